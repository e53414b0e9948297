import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { startCrawl } from "../domain/crawl.ts";
import { parsePage } from "../domain/page.ts";
import type { Controls, Pagination } from "../domain/pagination.ts";
import { detectPagination, NO_PAGINATION, pageUrl, paramTypeOf, readControls } from "../domain/pagination.ts";

const at = (url: string, html: string, more: { linkHeader?: string; contentType?: string } = {}) =>
  parsePage({ url, text: html, ...more });
const pager = (links: string) => `<div class="pagination">${links}</div>`;
const NONE: Controls = { next: null, numbered: [], more: null, moreKind: null, present: false, letters: [] };

describe("what a page says", () => {
  test.each<[string, string, string, Partial<Pagination>]>([
    [
      "page numbers",
      "https://a.test/m",
      pager('<a href="?page=2">2</a><a href="?page=3">3</a>'),
      { type: "query_param", param: "page", param_type: "page", start: 1 },
    ],
    [
      "zero-based page numbers",
      "https://a.test/m",
      pager('<a href="?p=1">2</a><a href="?p=2">3</a>'),
      { type: "query_param", param: "p", param_type: "page", start: 0 },
    ],
    [
      "offset by name",
      "https://a.test/m?x=1",
      pager('<a href="?x=1&offset=25">2</a>'),
      { type: "query_param", param: "offset", param_type: "offset", page_size: 25 },
    ],
    [
      "offset by its steps",
      "https://a.test/m",
      pager('<a href="?p=40">2</a><a href="?p=80">3</a>'),
      { type: "query_param", param: "p", param_type: "offset", page_size: 40 },
    ],
    [
      "offset by a next link only",
      "https://a.test/m",
      '<a rel="next" href="?start=30">Next</a>',
      { type: "query_param", param_type: "offset", page_size: 30 },
    ],
    [
      "path segment",
      "https://a.test/m/",
      pager('<a href="/m/page/2/">2</a>'),
      { type: "path_segment", pattern: "/page/{n}", start: 1 },
    ],
    [
      "path with a dash",
      "https://a.test/m",
      pager('<a href="/m/page-2">2</a>'),
      { type: "path_segment", pattern: "/page-{n}" },
    ],
    [
      "next link without a number",
      "https://a.test/m",
      '<a rel="next" href="/m?cursor=abc">Next</a>',
      { type: "next_link" },
    ],
    [
      "load more",
      "https://a.test/m",
      '<button class="load-more" data-url="/m/more?c=x">Load more</button>',
      { type: "load_more" },
    ],
    [
      "endless scrolling",
      "https://a.test/m",
      '<div data-infinite-scroll="/m/more?c=x"></div>',
      { type: "infinite_scroll" },
    ],
    ["nothing", "https://a.test/m", "<p>1,200 members</p>", { type: "none" }],
  ])("%s", (_, url, html, expected) => {
    expect(detectPagination(at(url, html))).toMatchObject(expected);
  });

  test.each([
    ["rel=next", '<a rel="next" href="?page=2">x</a>', "https://a.test/m?page=2"],
    ["the word", '<a href="?page=2">Next »</a>', "https://a.test/m?page=2"],
    [
      "a class on the list item",
      pager('<ul><li class="next"><a href="?page=2"></a></li></ul>'),
      "https://a.test/m?page=2",
    ],
    ["an arrow in a pager", pager('<a href="?page=2">›</a>'), "https://a.test/m?page=2"],
    ["an arrow anywhere else", '<a href="/news">›</a>', null],
    ["a teaser", '<a href="/benefits">More</a>', null],
    ["disabled", pager('<li class="disabled"><a rel="next" href="?page=2">Next</a></li>'), null],
    ["a script", pager('<a rel="next" href="#">Next</a>'), null],
    ["itself", '<a rel="next" href="/m">Next</a>', null],
    ["another site", '<a rel="next" href="https://b.test/m?page=2">Next</a>', null],
    [
      "a company called Next",
      '<ul class="member-list"><li><a href="/members/next-gen">Next Generation Tools</a></li></ul>',
      null,
    ],
  ])("next by %s", (_, html, next) => {
    expect(readControls(at("https://a.test/m", html)).next).toBe(next);
  });

  test("next by header, and by a JSON answer that carries HTML", () => {
    expect(
      readControls(at("https://a.test/m", "", { linkHeader: '</m?page=2>; rel="next", </m?page=9>; rel="last"' })).next,
    ).toBe("https://a.test/m?page=2");
    const json = JSON.stringify({ html: "<li><a href='/members/1'>A</a></li>", next_url: "/m/more?c=2" });
    const page = at("https://a.test/m/more", json, { contentType: "application/json" });
    expect(readControls(page).next).toBe("https://a.test/m/more?c=2");
    expect(page.$("a").attr("href")).toBe("/members/1");
  });
});

describe("computed addresses", () => {
  const query = (param: string, more: Partial<Pagination> = {}): Pagination => ({
    ...NO_PAGINATION,
    type: "query_param",
    param,
    ...more,
  });
  test.each<[string, Pagination, { entryUrl: string; page: number; firstCount: number }, string | null]>([
    [
      "page",
      query("page"),
      { entryUrl: "https://a.test/m?s=OH", page: 3, firstCount: 20 },
      "https://a.test/m?s=OH&page=3",
    ],
    [
      "page from zero",
      query("p", { start: 0 }),
      { entryUrl: "https://a.test/m", page: 2, firstCount: 20 },
      "https://a.test/m?p=1",
    ],
    [
      "page, entry in the middle",
      query("page"),
      { entryUrl: "https://a.test/m?page=5", page: 2, firstCount: 20 },
      "https://a.test/m?page=6",
    ],
    [
      "offset by the size of the first page",
      query("offset"),
      { entryUrl: "https://a.test/m", page: 3, firstCount: 20 },
      "https://a.test/m?offset=40",
    ],
    [
      "offset as the source has it",
      query("offset", { page_size: 100 }),
      { entryUrl: "https://a.test/m", page: 2, firstCount: 20 },
      "https://a.test/m?offset=100",
    ],
    ["count", query("limit"), { entryUrl: "https://a.test/m", page: 2, firstCount: 100 }, "https://a.test/m?limit=200"],
    [
      "PMA: all came with the first page",
      query("n", { param_type: "count" }),
      { entryUrl: "https://pma.org/directory/results.asp?n=2000", page: 2, firstCount: 1134 },
      null,
    ],
    [
      "path",
      { ...NO_PAGINATION, type: "path_segment" },
      { entryUrl: "https://a.test/m/?x=1", page: 2, firstCount: 1 },
      "https://a.test/m/page/2/?x=1",
    ],
    [
      "path, again",
      { ...NO_PAGINATION, type: "path_segment", pattern: "/page-{n}" },
      { entryUrl: "https://a.test/m/page-1", page: 3, firstCount: 1 },
      "https://a.test/m/page-3",
    ],
    ["none", NO_PAGINATION, { entryUrl: "https://a.test/m", page: 2, firstCount: 1 }, null],
  ])("%s", (_, pagination, position, url) => {
    expect(pageUrl(pagination, position)).toBe(url);
  });

  test("a parameter's kind by its name", () => {
    expect(["n", "count", "limit", "offset", "start", "page", "p"].map(paramTypeOf)).toEqual([
      "count",
      "count",
      "count",
      "offset",
      "offset",
      "page",
      "page",
    ]);
  });
});

describe("the walk", () => {
  const byPage: Pagination = { ...NO_PAGINATION, type: "query_param", param: "page" };
  const walk = (pagination = byPage, maxPages = 100) =>
    startCrawl({ entryUrl: "https://a.test/m", pagination, maxPages });
  const page = (url: string, keys: string[], controls: Partial<Controls> = {}) => ({
    url,
    keys,
    controls: { ...NONE, ...controls },
  });

  test("stops at a page that is not there, at an empty one and at one that repeats", () => {
    for (const [last, stop] of [
      [null, "not_found"],
      [page("https://a.test/m?page=2", []), "empty_pages"],
      [page("https://a.test/m?page=2", ["a", "b"]), "repeated_page"],
    ] as const) {
      const crawl = walk();
      expect(crawl.visit(page("https://a.test/m", ["a", "b"])).next).toBe("https://a.test/m?page=2");
      expect(crawl.visit(last)).toEqual({ fresh: [], next: null, stop });
    }
  });

  test("follows links past an empty page, and takes the missing marker of the last page for the end", () => {
    const crawl = walk();
    const next = (n: number) => ({ next: `https://a.test/m?page=${n}`, present: true });
    expect(crawl.visit(page("https://a.test/m", ["a"], next(2))).stop).toBeNull();
    expect(crawl.visit(page("https://a.test/m?page=2", [], next(3))).stop).toBeNull();
    expect(crawl.visit(page("https://a.test/m?page=3", ["b"], { present: true })).stop).toBe("no_next");
  });

  test("three barren pages in a row end it", () => {
    const crawl = walk({ ...NO_PAGINATION, type: "next_link" });
    const visits = [["a", "b"], ["a"], ["b"], []].map((keys, n) =>
      crawl.visit(page(`https://a.test/m?c=${n}`, keys, { next: `https://a.test/m?c=${n + 1}`, present: true })),
    );
    expect(visits.map(({ stop }) => stop)).toEqual([null, null, null, "empty_pages"]);
  });

  test("reports a member once, however often it is listed", () => {
    const crawl = walk();
    expect(crawl.visit(page("https://a.test/m", ["a", "b", "a"])).fresh).toEqual(["a", "b"]);
    expect(crawl.visit(page("https://a.test/m?page=2", ["b", "c"])).fresh).toEqual(["c"]);
  });

  test("visits every numbered page of a directory whose pager shows only a window", () => {
    const crawl = walk({ ...NO_PAGINATION, type: "auto" });
    const visited: number[] = [];
    for (let n: number | null = 1; n !== null; ) {
      visited.push(n);
      const here: number = n;
      const numbered: Controls["numbered"] = [here - 2, here - 1, here + 1, here + 2]
        .filter((k) => k >= 1 && k <= 9)
        .map((k) => ({ label: k, url: `https://a.test/m?page=${k}` }));
      const next: string | null = crawl.visit(
        page(n === 1 ? "https://a.test/m" : `https://a.test/m?page=${n}`, [`m${n}`], { numbered, present: true }),
      ).next;
      n = next === null ? null : Number(new URL(next).searchParams.get("page"));
    }
    expect(new Set(visited)).toEqual(new Set([1, 2, 3, 4, 5, 6, 7, 8, 9]));
  });

  test("never asks for an address twice and always ends, whatever a site answers", () => {
    const link = fc.integer({ min: 0, max: 12 }).map((n) => `https://a.test/m?page=${n}`);
    const answer = fc.oneof(
      fc.constant(null),
      fc.record({
        keys: fc.array(fc.constantFrom("a", "b", "c", "d", "e")),
        next: fc.option(link),
        more: fc.option(link),
        numbered: fc.array(fc.record({ label: fc.nat(12), url: link })),
      }),
    );
    fc.assert(
      fc.property(
        fc.array(answer, { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 1, max: 20 }),
        (answers, maxPages) => {
          const crawl = walk(byPage, maxPages);
          const asked = ["https://a.test/m"];
          const members: string[] = [];
          let steps = 0;
          for (let url: string | null = asked[0]!; url !== null; ) {
            const given: any = answers[steps++ % answers.length];
            const visit = crawl.visit(
              given && page(url, given.keys, { next: given.next, more: given.more, numbered: given.numbered }),
            );
            members.push(...visit.fresh);
            if (visit.next !== null) asked.push(visit.next);
            expect(visit.next === null).toBe(visit.stop !== null);
            url = visit.next;
          }
          expect(new Set(asked).size).toBe(asked.length);
          expect(new Set(members).size).toBe(members.length);
          expect(steps).toBeLessThanOrEqual(maxPages + 1);
        },
      ),
    );
  });
});

import { describe, expect, test } from "vitest";
import { dedupeRecords } from "../domain/dedupe.ts";
import { asksForLogin, estimateMembers, looksLikeDirectory, readSitemap } from "../domain/directory.ts";
import { memberLinks } from "../domain/member-links.ts";
import { limitersFor, paceKey, rateOf, SPACINGS_MS, slowerSpacing } from "../domain/pace.ts";
import { parsePage } from "../domain/page.ts";

const page = (html: string, url = "https://guild.test/members") => parsePage({ url, text: html });
const paths = (html: string, url?: string) =>
  memberLinks(page(html, url)).map((link) => link.replace("https://guild.test", ""));

describe("member links", () => {
  test.each([
    [
      "addresses that say so",
      '<a href="/member/1">A</a><a href="/company/b">B</a><a href="/profile/c?x=1">C</a><a href="/organization/d">D</a>',
      ["/member/1", "/company/b", "/profile/c?x=1", "/organization/d"],
    ],
    ["classes", '<a class="member-link" href="/x/1">A</a><a class="company" href="/x/2">B</a>', ["/x/1", "/x/2"]],
    ["a query", '<a href="profile.asp?id=7&sid=2">A</a>', ["/profile.asp?id=7&sid=2"]],
    [
      "one for each entry of a container",
      '<ul class="member-directory"><li><a href="/a">A</a><a href="/map/a">map</a></li><li><a href="/b">B</a></li></ul>',
      ["/a", "/b"],
    ],
    [
      "first in each table row",
      '<table><tr><td><a href="/a">A</a></td><td><a href="/map">m</a></td></tr><tr><td><a href="/b">B</a></td></tr></table>',
      ["/a", "/b"],
    ],
    [
      "each once",
      '<a href="/member/1">A</a><a href="/member/1/#x">again</a><a href="https://www.guild.test/member/1?utm_medium=x">again</a>',
      ["/member/1"],
    ],
    [
      "no other hosts",
      '<div class="directory-list"><a href="https://acme.test/member/1">A</a><a href="https://www.facebook.com/company/x">F</a></div>',
      [],
    ],
    [
      "no pages of the site",
      '<div class="member-nav-area member-list"><a href="/login">L</a><a href="/members/join">J</a><a href="/contact">C</a><a href="/about">A</a><a href="/faq">F</a><a href="/privacy">P</a><a href="/search?q=1">S</a><a href="/members/list.pdf">PDF</a><a href="mailto:a@b.test">M</a><a href="#top">T</a><a href="javascript:x()">J</a></div>',
      [],
    ],
    [
      "no turning of pages",
      '<div class="members"><a href="/members?page=2">2</a><a href="/members/page/3">3</a><a href="?sort=name">sort</a></div><div class="pagination"><a href="/member/4">4</a></div>',
      [],
    ],
    [
      "not the menu",
      '<nav><a href="/members/benefits-of-gold">Benefits</a></nav><a href="/members/acme">A</a>',
      ["/members/acme"],
    ],
    ["relative to the base", '<base href="/dir/"><a href="member/5">A</a>', ["/dir/member/5"]],
  ])("%s", (_, html, expected) => {
    expect(paths(html)).toEqual(expected);
  });

  test("a featured member does not hide the table of all others", () => {
    const rows = Array.from({ length: 10 }, (_, n) => `<tr><td><a href="/d/${n}">M${n}</a></td></tr>`).join("");
    expect(paths(`<a href="/member/star">Star</a><table>${rows}</table>`)).toHaveLength(11);
  });

  test("a configured selector decides alone", () => {
    const links = memberLinks(page('<a class="go" href="/a">A</a><a href="/member/1">B</a>'), { selector: "a.go" });
    expect(links).toEqual(["https://guild.test/a"]);
  });
});

describe("directory signals", () => {
  test("a list of members is one, a home page with many links is none", () => {
    expect(looksLikeDirectory(page('<h1>Member directory</h1><ul class="member-list"></ul>'))).toBe(true);
    const many = '<div class="box"><a href="/x">x</a></div>'.repeat(30);
    expect(looksLikeDirectory(page(`<h1>Welcome</h1>${many}`))).toBe(false);
  });

  test.each([
    ["Showing 1-50 of 1,134 companies", 1134],
    ["We have 300 members", 300],
    ["Total: 495", 495],
    ["148 results", 148],
    ["3 members of the board", null],
    ["nothing", null],
  ])("%s", (text, count) => {
    expect(estimateMembers(page(`<p>${text}</p>`))).toBe(count);
  });

  test("a login in the way is seen, a members-only corner of a public list is not", () => {
    expect(asksForLogin(page("<p>Please log in to view the directory</p>"), 0)).toBe(true);
    expect(asksForLogin(page('<form><input type="password"></form>'), 0)).toBe(true);
    expect(asksForLogin(page("<p>Members only area</p>"), 200)).toBe(false);
    expect(asksForLogin(page("<p>Welcome, our members list is empty</p>"), 0)).toBe(false);
  });

  test("sitemaps and their indexes", () => {
    const pages =
      "<urlset><url><loc>https://guild.test/about</loc></url><url><loc> https://guild.test/companies/all </loc></url><url><loc>https://guild.test/directory</loc></url><url><loc>https://evil.test/members</loc></url></urlset>";
    expect(readSitemap(pages, "https://guild.test/sitemap.xml").candidates).toEqual([
      "https://guild.test/directory",
      "https://guild.test/companies/all",
    ]);
    const index = "<sitemapindex><sitemap><loc>https://guild.test/a.xml?x=1&amp;y=2</loc></sitemap></sitemapindex>";
    expect(readSitemap(index, "https://guild.test/sitemap.xml")).toEqual({
      sitemaps: ["https://guild.test/a.xml?x=1&y=2"],
      candidates: [],
    });
  });
});

describe("duplicates in one association", () => {
  const names = (records: Record<string, unknown>[]) =>
    dedupeRecords(records).records.map((record) => record.company_name);
  test("member id before name, name before nothing", () => {
    expect(
      names([
        { company_name: "A", member_id: "1" },
        { company_name: "A Inc", member_id: "1" },
      ]),
    ).toEqual(["A"]);
    expect(
      names([
        { company_name: "A", member_id: "1" },
        { company_name: "A", member_id: "2" },
      ]),
    ).toEqual(["A", "A"]);
    expect(names([{ company_name: "A, Inc." }, { company_name: "a inc" }])).toEqual(["A, Inc."]);
    expect(
      names([
        { company_name: "A", profile_url: "https://g.test/p/1" },
        { company_name: "A", profile_url: "https://www.g.test/p/1/" },
      ]),
    ).toEqual(["A"]);
  });

  test("one name in two cities is two companies; a missing city is no other city", () => {
    expect(
      names([
        { company_name: "A", city: "Reno" },
        { company_name: "A", city: "Boise" },
      ]),
    ).toHaveLength(2);
    expect(
      names([
        { company_name: "A", city: "Reno" },
        { company_name: "A", city: null },
      ]),
    ).toHaveLength(1);
  });

  test("the first record stays, later ones fill its gaps, and nothing is changed in place", () => {
    const first = { company_name: "A", city: null, phone: "1" };
    const result = dedupeRecords<Record<string, unknown>>([
      first,
      { company_name: "A", city: "Reno", phone: "1", email: "a@b.test" },
    ]);
    expect(result).toEqual({
      records: [{ company_name: "A", city: "Reno", phone: "1", email: "a@b.test" }],
      merged: 1,
    });
    expect(first.city).toBeNull();
  });
});

test("the pace is never faster than anyone asks for", () => {
  expect(slowerSpacing({ ratePerSecond: 0.5, rateLimit: 0.5, crawlDelaySeconds: null })).toBeNull();
  expect(slowerSpacing({ ratePerSecond: 200, rateLimit: 0.5, crawlDelaySeconds: null })).toBe(2000);
  expect(slowerSpacing({ ratePerSecond: 200, rateLimit: 0.8, crawlDelaySeconds: null })).toBe(1250);
  expect(slowerSpacing({ ratePerSecond: 0.5, rateLimit: null, crawlDelaySeconds: 7 })).toBe(7000);
  expect(slowerSpacing({ ratePerSecond: 1, rateLimit: null, crawlDelaySeconds: 86_400 })).toBe(300_000);
  expect(limitersFor("https://a.test:8080/x", 2000)).toEqual(["host:a.test", "spaced-2000:a.test"]);
  expect(
    [
      "https://www.a.test/",
      "https://b.c.a.test:81/",
      "https://a.co.uk",
      "http://127.0.0.1:81/",
      "http://localhost:82/",
    ].map(paceKey),
  ).toEqual(["a.test", "a.test", "a.co.uk", "127.0.0.1:81", "localhost:82"]);
  for (let wanted = 21; wanted < 300_000; wanted *= 1.013) {
    const spacing = slowerSpacing({ ratePerSecond: 1000, rateLimit: 1000 / wanted, crawlDelaySeconds: null })!;
    expect(spacing / wanted).toBeGreaterThan(0.999);
    expect(spacing / wanted).toBeLessThan(1.051);
  }
  expect(SPACINGS_MS.length).toBeLessThan(350);
  expect([rateOf(0.5), rateOf(200)]).toEqual([
    { count: 1, perSeconds: 2 },
    { count: 200, perSeconds: 1 },
  ]);
});

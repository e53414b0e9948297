import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { readJsonl } from "../adapters/files.ts";
import { runPipeline } from "./harness.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

type Route = string | { status?: number; type?: string; location?: string; body?: string };

/** A site of a few pages; everything else is 404. */
async function site(routes: (url: string) => Record<string, Route>) {
  const requests: string[] = [];
  let url = "";
  const server = createServer((request, response) => {
    requests.push(request.url!);
    const route = routes(url)[request.url!] ?? { status: 404 };
    const {
      status = 200,
      type = "text/html",
      location,
      body = "",
    } = typeof route === "string" ? { body: route } : route;
    response.writeHead(location ? 301 : status, { "content-type": type, ...(location ? { location } : {}) }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  const dataDir = await mkdtemp(join(tmpdir(), "associations-"));
  cleanups.push(
    () => rm(dataDir, { recursive: true }),
    () => server.close(),
    () => server.closeAllConnections(),
  );
  const run = (more: object = {}) => runPipeline({ association: "TEST", baseUrl: url, dataDir, ...more });
  const records = async () => (await readJsonl(join(dataDir, "raw", "TEST", "records.jsonl"))).records;
  return { url, requests, run, records };
}

const members = (from: number, to: number) =>
  `<h1>Member directory</h1><ul class="member-list">${Array.from({ length: to - from }, (_, n) => `<li><a href="/member/${from + n}">M${from + n}</a></li>`).join("")}</ul>`;
const pages = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`/member/${n}`, `<h1>Member No ${n}</h1>`]));

test("the second of the usual places, when the first is only about membership", async () => {
  const { run, requests } = await site(() => ({
    "/members": '<h1>Member benefits and our list of perks</h1><div class="member-benefits"></div>',
    "/directory": members(0, 10),
    ...pages(10),
  }));
  const { map, written } = await run();
  expect([map.found_by, map.directory_url.endsWith("/directory"), written?.records]).toEqual(["pattern", true, 10]);
  expect(requests.slice(0, 3)).toEqual(["/robots.txt", "/members", "/directory"]);
  expect(new Set(requests).size).toBe(requests.length);
});

test("a link of the home page, then the sitemap, also one inside an index", async () => {
  const home = await site(() => ({
    "/": '<a href="/who/list.html">Find a member</a>',
    "/who/list.html": members(0, 5),
    ...pages(5),
  }));
  expect((await home.run()).map.found_by).toBe("home_link");
  const map = await site((url) => ({
    "/robots.txt": { type: "text/plain", body: `Sitemap: ${url}/index.xml` },
    "/index.xml": {
      type: "application/xml",
      body: `<sitemapindex><sitemap><loc>${url}/s1.xml</loc></sitemap></sitemapindex>`,
    },
    "/s1.xml": { type: "application/xml", body: `<urlset><url><loc>${url}/area/members-az</loc></url></urlset>` },
    "/area/members-az": members(0, 5),
    ...pages(5),
  }));
  expect((await map.run()).map.found_by).toBe("sitemap");
});

test("no directory at all is said so, with what to do", async () => {
  const { run, requests } = await site(() => ({ "/": "<h1>Hello</h1>" }));
  await expect(run()).rejects.toMatchObject({
    name: "NoDirectoryFoundError",
    category: "permanent",
    hint: expect.stringContaining("directory_url"),
  });
  expect(requests).toHaveLength(12);
});

test("a login is flagged and nothing behind it is asked for", async () => {
  const { run, requests, url } = await site(() => ({ "/members": "<p>Members only. Please log in.</p>" }));
  await expect(run({ directoryUrl: `${url}/members` })).rejects.toMatchObject({
    category: "skippable",
    message: expect.stringContaining("login"),
  });
  expect(requests).toEqual(["/robots.txt", "/members"]);
});

test("records that stand on the list itself are taken from the pages already fetched", async () => {
  const card = (n: number) => `<div class="member-card"><h3>Card ${n}</h3><p>Phone: 505-555-01${n}</p></div>`;
  const page = (from: number, next: string) =>
    `<h1>Members</h1>${[0, 1, 2].map((n) => card(from + n)).join("")}${next}`;
  const { run, requests, records, url } = await site(() => ({
    "/list": page(10, '<a rel="next" href="/list?page=2">Next</a>'),
    "/list?page=2": page(12, ""),
  }));
  const { crawl, written } = await run({ directoryUrl: `${url}/list` });
  expect(crawl).toMatchObject({ mode: "list", total_pages: 2, total_urls: 2, stopped_by: "no_next" });
  expect(written).toMatchObject({ records: 5, merged: 1, errors: 0 });
  expect((await records()).map(({ company_name, source_url }) => [company_name, source_url])).toEqual([
    ["Card 10", `${url}/list`],
    ["Card 11", `${url}/list`],
    ["Card 12", `${url}/list`],
    ["Card 13", `${url}/list?page=2`],
    ["Card 14", `${url}/list?page=2`],
  ]);
  expect(requests).toEqual(["/robots.txt", "/list", "/list?page=2"]);
});

test("every kind of paging reaches every member", async () => {
  const size = 4;
  const total = 18;
  const at = (n: number) => members((n - 1) * size, Math.min(total, n * size));
  const last = Math.ceil(total / size);
  const all = (path: (n: number) => string, controls: (n: number) => string, type?: (n: number) => Route) =>
    Object.fromEntries(
      Array.from({ length: last }, (_, n) => [path(n + 1), type?.(n + 1) ?? at(n + 1) + controls(n + 1)]),
    );
  const link = (path: (n: number) => string) => (n: number) =>
    n < last ? `<div class="pagination"><a href="${path(n + 1)}">${n + 1}</a></div>` : "";
  const by: Record<string, (n: number) => string> = {
    page: (n) => (n === 1 ? "/list" : `/list?page=${n}`),
    zero: (n) => (n === 1 ? "/list" : `/list?p=${n - 1}`),
    offset: (n) => (n === 1 ? "/list" : `/list?start=${(n - 1) * size}`),
    path: (n) => (n === 1 ? "/list" : `/list/page/${n}`),
  };
  const routes: Record<string, Record<string, Route>> = Object.fromEntries(
    Object.entries(by).map(([name, path]) => [name, all(path, link(path))]),
  );
  routes.more = all(
    (n) => (n === 1 ? "/list" : `/more?c=${n}`),
    () => '<button class="load-more" data-url="/more?c=2">Load more</button>',
    (n) =>
      n === 1
        ? (undefined as never)
        : {
            type: "application/json",
            body: JSON.stringify({ html: at(n), next: n < last ? `/more?c=${n + 1}` : null }),
          },
  );
  for (const [name, directory] of Object.entries(routes)) {
    const { run, requests, url } = await site(() => ({ ...directory, ...pages(total) }));
    const { written } = await run({ directoryUrl: `${url}/list` });
    expect([name, written?.records]).toEqual([name, total]);
    expect([name, requests.length - new Set(requests).size]).toEqual([name, 0]);
  }
});

test("a redirected directory is crawled where it leads, and fetched once", async () => {
  const { run, url, requests } = await site((own) => ({
    "/go": { location: `${own}/members` },
    "/members": members(0, 5),
    ...pages(5),
  }));
  const { map, written } = await run({ directoryUrl: `${url}/go` });
  expect([map.directory_url, written?.records]).toEqual([`${url}/members`, 5]);
  expect(requests.filter((path) => path === "/members")).toHaveLength(1);
});

test.each([
  ["an empty directory", "<h1>Member directory</h1><p>No members yet. Come back soon.</p>"],
  ["a directory whose pages are drawn by scripts", '<div id="app"></div><script src="/app.js"></script>'],
])("%s gives no record and says how to help", async (_, html) => {
  const { run, url } = await site(() => ({ "/list": html }));
  await expect(run({ directoryUrl: `${url}/list` })).rejects.toMatchObject({
    name: "ParseError",
    message: expect.stringContaining("no members found"),
    hint: expect.stringContaining("member_links"),
  });
});

test("a schema with a wrong selector finds nobody, and says so, rather than taking something else", async () => {
  const { run, url } = await site(() => ({
    "/list": `<h1>Our list</h1>${Array.from({ length: 8 }, (_, n) => `<div class="row"><h3>Company ${n}</h3><p>Reno, NV</p></div>`).join("")}`,
  }));
  await expect(run({ directoryUrl: `${url}/list`, schema: "socma" })).rejects.toMatchObject({
    name: "ParseError",
    hint: expect.stringContaining("schema"),
  });
});

test("members behind a login are flagged and left alone", async () => {
  const { run, url, requests } = await site(() => ({
    "/members":
      '<h1>Member directory</h1><form action="/login"><p>Please log in to view the list.</p><input type="password" name="p"></form>',
  }));
  await expect(run({ directoryUrl: `${url}/members` })).rejects.toMatchObject({
    name: "Skipped",
    message: expect.stringContaining("login"),
  });
  expect(requests).toEqual(["/robots.txt", "/members"]);
});

test("a directory in a frame is read where it stands", async () => {
  const { run, records } = await site(() => ({
    "/members": '<h1>Member directory and list</h1><div class="member-box"><iframe src="/embed/list"></iframe></div>',
    "/embed/list": members(0, 8),
    ...pages(8),
  }));
  expect((await run()).map.directory_url).toContain("/embed/list");
  expect(await records()).toHaveLength(8);
});

test("more members than shown, and nothing to turn the page with: page=2 is tried, a repeated page ends it", async () => {
  const card = (n: number) => `<div class="c"><h3>Company ${n}</h3><p>Reno, NV</p><p>775-555-0${100 + n}</p></div>`;
  const list = (from: number, to: number) =>
    `<h1>Members</h1><p>Showing 1-20 of 50 members</p>${Array.from({ length: to - from }, (_, n) => card(from + n)).join("")}`;
  const found = await site(() => ({
    "/list": list(0, 20),
    "/list?page=2": list(20, 40),
    "/list?page=3": list(40, 50),
    "/list?page=4": list(0, 0),
  }));
  expect((await found.run({ directoryUrl: `${found.url}/list` })).written?.records).toBe(50);
  const deaf = await site(() => ({ "/list": list(0, 20), "/list?page=2": list(0, 20) }));
  expect((await deaf.run({ directoryUrl: `${deaf.url}/list` })).written?.records).toBe(20);
  expect(deaf.requests).toEqual(["/robots.txt", "/list", "/list?page=2"]);
});

test("letters, each with pages of its own", async () => {
  const index = [..."ABCDEFGHIJ"].map((letter) => `<a href="/list?l=${letter}">${letter}</a>`).join(" ");
  const page = (names: string[], next = "") =>
    `<h1>Member directory</h1>${index}<ul class="member-list">${names.map((name) => `<li><a href="/member/${name}">${name} Works</a></li>`).join("")}</ul>${next}`;
  const names = [..."ABCDEFGHIJ"].flatMap((letter) => [1, 2, 3].map((n) => `${letter}${n}`));
  const { run, url, records, requests } = await site(() => ({
    "/list": page(["A1", "A2"], '<a rel="next" href="/list?l=A&p=2">Next</a>'),
    "/list?l=A": page(["A1", "A2"], '<a rel="next" href="/list?l=A&p=2">Next</a>'),
    "/list?l=A&p=2": page(["A3"]),
    ...Object.fromEntries(
      [..."BCDEFGHIJ"].map((letter) => [`/list?l=${letter}`, page([1, 2, 3].map((n) => letter + n))]),
    ),
    ...Object.fromEntries(names.map((name) => [`/member/${name}`, `<h1>${name} Works</h1><p>Reno, NV</p>`])),
  }));
  await run({ directoryUrl: `${url}/list` });
  expect((await records()).map(({ company_name }) => company_name).sort()).toEqual(
    names.map((name) => `${name} Works`).sort(),
  );
  expect(new Set(requests).size).toBe(requests.length);
});

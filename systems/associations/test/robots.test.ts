/** robots.txt as people write it: whose rules hold, which rule wins, how slowly, and files that are not what they should be. */
import type { RequestListener } from "node:http";
import { createServer } from "node:http";
import { afterEach, describe, expect, test } from "vitest";
import type { HttpOptions } from "../adapters/http.ts";
import { createHttpClient } from "../adapters/http.ts";
import { fetchRobots, MAX_ROBOTS_BYTES, readRobots } from "../adapters/robots.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function serve(listener: RequestListener, options: Partial<HttpOptions> = {}) {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const http = createHttpClient({ userAgent: "test/1.0 (+https://example.org)", ...options });
  cleanups.push(
    () => http.close(),
    () => server.closeAllConnections(),
    () => server.close(),
  );
  return { url: `http://127.0.0.1:${(server.address() as { port: number }).port}`, http, server };
}

describe("robots.txt", () => {
  const AGENT = "tenuto-associations/0.1 (+https://example.org)";
  test("our own rules before those for all, with delay and sitemaps", () => {
    const text =
      "User-agent: tenuto-associations\nDisallow: /private\nCrawl-delay: 3\n\nUser-agent: *\nDisallow: /\nSitemap: https://a.test/s.xml\n";
    const robots = readRobots("https://a.test/robots.txt", text, AGENT);
    expect([robots.allows("https://a.test/members"), robots.allows("https://a.test/private/x")]).toEqual([true, false]);
    expect([robots.crawlDelaySeconds, robots.sitemaps]).toEqual([3, ["https://a.test/s.xml"]]);
    expect(readRobots("https://a.test/robots.txt", text, "other/1.0").allows("https://a.test/members")).toBe(false);
    expect(readRobots("https://a.test/robots.txt", "", AGENT)).toMatchObject({ crawlDelaySeconds: null });
  });

  const allowed = (text: string, path: string, agent = AGENT) =>
    readRobots("https://a.test/robots.txt", text, agent).allows(`https://a.test${path}`);

  test.each([
    ["the longest rule wins", "User-agent: *\nDisallow: /a\nAllow: /a/b", "/a/b/c", true],
    ["a tie is allowed", "User-agent: *\nDisallow: /a\nAllow: /a", "/a", true],
    ["wildcards", "User-agent: *\nDisallow: /*/private", "/x/private/y", false],
    ["an end", "User-agent: *\nDisallow: /*.pdf$", "/x.pdf?y=1", true],
    ["an end that fits", "User-agent: *\nDisallow: /*.pdf$", "/x.pdf", false],
    ["an empty rule", "User-agent: *\nDisallow:", "/x", true],
    [
      "groups of one name are joined",
      "User-agent: tenuto-associations\nDisallow: /a\n\nUser-agent: *\nDisallow: /\n\nUser-agent: tenuto-associations\nDisallow: /b",
      "/b",
      false,
    ],
    ["several names for one group", "User-agent: other\nUser-agent: Tenuto-Associations\nDisallow: /a", "/a", false],
    [
      "a sitemap inside a group does not end it",
      "User-agent: other\nSitemap: https://a.test/s.xml\nUser-agent: tenuto-associations\nDisallow: /a",
      "/a",
      false,
    ],
    ["unknown lines do not end it either", "User-agent: tenuto-associations\nNoindex: /x\nDisallow: /a", "/a", false],
    [
      "comments, odd spacing, no colon, misspelling",
      "\ufeffuser agent : *   # us all\r\ndissallow /a#b\r\n",
      "/a",
      false,
    ],
    ["escapes that mean the same", "User-agent: *\nDisallow: /%7Ejoe/%61", "/~joe/a", false],
    ["letters that must be escaped", "User-agent: *\nDisallow: /café", "/caf%C3%A9", false],
    ["case counts in paths", "User-agent: *\nDisallow: /A", "/a", true],
    ["the query is part of it", "User-agent: *\nDisallow: /*?sort=", "/m?sort=a", false],
    ["rules before any name mean nobody", "Disallow: /\nUser-agent: *\nAllow: /", "/a", true],
    ["a longer name is another's", "User-agent: tenuto\nDisallow: /", "/a", true],
    ["robots.txt itself", "User-agent: *\nDisallow: /", "/robots.txt", true],
    [
      "pages named after what all objects have",
      "User-agent: __proto__\nDisallow: /\nUser-agent: *\nAllow: /",
      "/constructor",
      true,
    ],
  ])("%s", (_, text, path, expected) => {
    expect(allowed(text, path)).toBe(expected);
  });

  test.each([
    ["Crawl-delay: 2.5", 2.5],
    ["Crawl-delay: 10 seconds", 10],
    ["Crawl-delay: soon", null],
    ["Crawl-delay: -3", null],
    ["Request-rate: 1/5", 5],
    ["Request-rate: 2/1m", 30],
  ])("%s", (line, delay) => {
    expect(readRobots("https://a.test/robots.txt", `User-agent: *\n${line}\n`, AGENT).crawlDelaySeconds).toBe(delay);
  });

  test("10 MB are read as far as half a megabyte, and no rule in halves", async () => {
    const filler = `# ${"x".repeat(97)}\n`.repeat(100_000);
    const { url, http } = await serve((_, response) =>
      response.end(`User-agent: *\nDisallow: /private\n${filler}Disallow: /late\n`),
    );
    const text = await fetchRobots(http, `${url}/robots.txt`, {});
    expect(text.length).toBeLessThanOrEqual(MAX_ROBOTS_BYTES);
    const robots = readRobots(`${url}/robots.txt`, text, AGENT);
    expect(["/private/x", "/late", "/members"].map((path) => robots.allows(url + path))).toEqual([false, true, true]);
    const cut = `User-agent: *\n${"Disallow: /members-only\n".repeat(30_000)}`.slice(0, MAX_ROBOTS_BYTES);
    expect(readRobots(`${url}/robots.txt`, cut, AGENT).allows(`${url}/members`)).toBe(true);
  });

  test("patterns that would keep a bad matcher busy", () => {
    const hard = `User-agent: *\n${`Disallow: /${"*a".repeat(200)}*b\n`.repeat(200)}`;
    expect(allowed(hard, `/${"a".repeat(2000)}`)).toBe(true);
  });

  test.each([
    [404, ""],
    [403, ""],
    [418, ""],
  ])("%i allows everything", async (status, text) => {
    const { url, http } = await serve((_, response) => response.writeHead(status).end("x"));
    expect(await fetchRobots(http, `${url}/robots.txt`, {})).toBe(text);
  });

  test("a server that fails is asked again later, a home page is no robots.txt", async () => {
    const { url, http } = await serve((request, response) =>
      request.url === "/robots.txt" ? response.writeHead(503).end() : response.end("<!doctype html><p>home"),
    );
    await expect(fetchRobots(http, `${url}/robots.txt`, {})).rejects.toMatchObject({ category: "retryable" });
    expect(await fetchRobots(http, `${url}/other`, {})).toBe("");
  });
});

/** Directories behind landing pages: by category, by letter and then by category, by words that no address says. */
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { DEFAULT_CONFIG_DIR, loadSchema } from "../adapters/config.ts";
import { readJsonl } from "../adapters/files.ts";
import { parsePage } from "../domain/page.ts";
import { sectionLinks } from "../domain/sections.ts";
import { BUILDS, listedMembers } from "../fixtures/directories.ts";
import { randomness } from "../fixtures/members.ts";
import { MESSY_BUILDS } from "../fixtures/messy-directories.ts";
import { runPipeline } from "./harness.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const MEMBERS = listedMembers(40, 21);
const TRADES = ["Castings", "Finishing", "Tooling", "Welding"];
const shell = (main: string) =>
  `<html><body><nav><a href="/">Home</a><a href="/join">Join</a></nav><h1>Member directory</h1>${main}<footer>(614) 555-0199</footer></body></html>`;
const links = (targets: [string, string][]) =>
  `<ul>${targets.map(([href, text]) => `<li><a href="${href}">${text}</a></li>`).join("")}</ul>`;
const ofTrade = (at: number, build = "cards in rows of three") =>
  BUILDS[build]!(
    // One member is in two trades.
    MEMBERS.filter((_, member) => member % TRADES.length === at || (member === 0 && at === 2)),
    randomness(at),
  ).html;

/** Pages by address. */
const SITES: Record<string, () => Record<string, string>> = {
  "categories in the path": () => ({
    "/directory": shell(links(TRADES.map((trade, at) => [`/directory/category/${at}`, trade]))),
    ...Object.fromEntries(TRADES.map((_, at) => [`/directory/category/${at}`, ofTrade(at)])),
  }),
  "categories in the query, with counts": () => ({
    "/directory": shell(links(TRADES.map((trade, at) => [`/directory?cid=${at}`, `${trade} (10)`]))),
    ...Object.fromEntries(TRADES.map((_, at) => [`/directory?cid=${at}`, ofTrade(at, "definition list")])),
  }),
  "said by a heading alone": () => ({
    "/directory": shell(`<h2>Browse by industry</h2>${links(TRADES.map((trade, at) => [`/x/${at}`, trade]))}`),
    ...Object.fromEntries(TRADES.map((_, at) => [`/x/${at}`, ofTrade(at, "table with headings")])),
  }),
  "letters, then categories": () => ({
    "/directory": shell(
      `<div class="alphabet">${[..."ABCDEFGHIJ"].map((letter) => `<a href="/letter/${letter}">${letter}</a>`).join(" ")}</div>`,
    ),
    ...Object.fromEntries(
      [..."ABCDEFGHIJ"].map((letter, at) => [
        `/letter/${letter}`,
        at < TRADES.length
          ? shell(links([0, 1, 2].map((part) => [`/category/${at}-${part}`, `${TRADES[at]} ${part}`])))
          : shell("<p>There are no members under this letter.</p>"),
      ]),
    ),
    ...Object.fromEntries(
      TRADES.flatMap((_, at) =>
        [0, 1, 2].map((part) => [
          `/category/${at}-${part}`,
          BUILDS["plain paragraphs"]!(
            MEMBERS.filter(
              (_, member) => member % TRADES.length === at && Math.floor(member / TRADES.length) % 3 === part,
            ),
            randomness(at),
          ).html,
        ]),
      ),
    ),
  }),
};

describe.each(Object.entries(SITES))("%s", (_, site) => {
  test("every member once, no page twice", async () => {
    const pages = site();
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(request.url!);
      const html = pages[request.url!];
      response.writeHead(html === undefined ? 404 : 200, { "content-type": "text/html" }).end(html);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const dataDir = await mkdtemp(join(tmpdir(), "sections-"));
    cleanups.push(
      () => rm(dataDir, { recursive: true }),
      () => new Promise((resolve) => server.close(resolve)),
      () => server.closeAllConnections(),
    );
    const directoryUrl = `http://127.0.0.1:${(server.address() as { port: number }).port}/directory`;
    await runPipeline({ association: "NEW", directoryUrl, dataDir });
    const { records } = await readJsonl(join(dataDir, "raw/NEW/records.jsonl"));
    expect(records.map(({ company_name }) => company_name).sort()).toEqual(
      MEMBERS.map(({ company_name }) => company_name).sort(),
    );
    expect(asked.filter((path, at) => asked.indexOf(path) !== at)).toEqual([]);
  });
});

test.each(Object.entries({ ...BUILDS, ...MESSY_BUILDS }))(
  "a page that lists members is no landing page: %s",
  (_, build) => {
    const { html } = build(MEMBERS, randomness(3));
    const page = parsePage({ url: "https://guild.example/directory", text: html });
    expect(sectionLinks(page, loadSchema(DEFAULT_CONFIG_DIR, "default"))).toEqual([]);
  },
);

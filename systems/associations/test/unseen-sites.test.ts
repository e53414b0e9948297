/** Whole sites that no configuration describes: every build behind every kind of pager, from the address to records.jsonl. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { readJsonl } from "../adapters/files.ts";
import type { Pager } from "../fixtures/built-site.ts";
import { PAGERS, serveBuilt } from "../fixtures/built-site.ts";
import type { Listed } from "../fixtures/directories.ts";
import { BUILDS, listedMembers } from "../fixtures/directories.ts";
import { MESSY_BUILDS } from "../fixtures/messy-directories.ts";
import { runPipeline } from "./harness.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const plain = (value: unknown) =>
  String(value ?? "")
    .toLowerCase()
    .replaceAll("’", "'");

async function crawl(build: string, members: readonly Listed[], pager: Pager) {
  const site = await serveBuilt({ ...BUILDS, ...MESSY_BUILDS }[build]!, members, pager);
  const dataDir = await mkdtemp(join(tmpdir(), "unseen-"));
  cleanups.push(
    () => rm(dataDir, { recursive: true }),
    () => site.close(),
  );
  const result = await runPipeline({ association: "NEW", directoryUrl: `${site.url}/directory`, dataDir });
  const { records } = await readJsonl(join(dataDir, "raw/NEW/records.jsonl"));
  return { ...result, records, twice: [...site.requests].filter(([, count]) => count > 1) };
}

// JSON says itself where the next page is; it is tested apart.
const builds = [...Object.keys(BUILDS), ...Object.keys(MESSY_BUILDS).filter((_, at) => at % 3 === 0)].filter(
  (name) => name !== "JSON of an interface",
);
const pagers = Object.keys(PAGERS) as Pager[];

describe.each(builds.map((build, at) => [build, pagers[at % pagers.length]!] as const))("%s, %s", (build, pager) => {
  test("every member once, nothing else, no page twice", async () => {
    const members = listedMembers(43, 11);
    const { records, twice, crawl: walked } = await crawl(build, members, pager);
    const names = records.map(({ company_name }) => plain(company_name)).sort();
    expect({ names, twice, stopped: walked.stopped_by }).toEqual({
      names: members.map(({ company_name }) => plain(company_name)).sort(),
      twice: [],
      stopped: expect.not.stringMatching("max_pages"),
    });
    for (const member of members) {
      const record = records.find(({ company_name }) => plain(company_name) === plain(member.company_name));
      if (record.phone !== null)
        expect([member.company_name, record.phone]).toEqual([member.company_name, member.phone]);
      expect(record.provenance.fields.company_name).toMatch(/\w/);
    }
  });
});

test.each(pagers)("boxes with random classes, %s", async (pager) => {
  const members = listedMembers(43, 12);
  const { records } = await crawl("boxes with random classes", members, pager);
  expect(records.map(({ company_name }) => plain(company_name)).sort()).toEqual(
    members.map(({ company_name }) => plain(company_name)).sort(),
  );
});

/** Whole sites that turn, divide or close their directory in ways of their own, from the address to records.jsonl. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { readJsonl } from "../adapters/files.ts";
import { nameOf, phoneOf, serveTurning, TURNING_SITES } from "../fixtures/turning-sites.ts";
import { Memory, runPipeline } from "./harness.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

test.each(Object.entries(TURNING_SITES))("%s", async (_, site) => {
  const served = await serveTurning(site);
  const dataDir = await mkdtemp(join(tmpdir(), "turning-"));
  cleanups.push(
    () => rm(dataDir, { recursive: true }),
    () => served.close(),
  );
  const memory = new Memory();
  const directoryUrl = site.entry === null ? "" : served.url + site.entry;
  await runPipeline({ association: "NEW", baseUrl: served.url, directoryUrl, dataDir, memory });
  const { records } = await readJsonl(join(dataDir, "raw/NEW/records.jsonl"));
  const read = records.map(({ company_name, phone }) => `${company_name} ${phone}`).sort();
  expect(read).toEqual(site.found.map((at) => `${nameOf(at)} ${phoneOf(at)}`).sort());
  expect(served.asked.length, served.asked.join("\n")).toBeLessThanOrEqual(site.requests);
  const warnings = memory.log.filter((line) => line.includes("WARNING")).join("\n");
  expect(warnings).toMatch(site.warns ?? /^((?!posted form)[\s\S])*$/);
});

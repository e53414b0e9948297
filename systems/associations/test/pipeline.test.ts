import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { readJsonl } from "../adapters/files.ts";
import type { FixtureSite, SiteOptions } from "../fixtures/site.ts";
import { FIXTURE_CODE, startSite, writeSiteConfig } from "../fixtures/site.ts";
import { Memory, runPipeline } from "./harness.ts";

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function setup(options: SiteOptions = {}): Promise<{ site: FixtureSite; configDir: string; dataDir: string }> {
  const folder = await mkdtemp(join(tmpdir(), "associations-"));
  const site = await startSite(options);
  cleanups.push(() => rm(folder, { recursive: true }), site.close);
  const configDir = join(folder, "config");
  await writeSiteConfig(configDir, site.url);
  return { site, configDir, dataDir: join(folder, "data") };
}

test("all members come out once each, with every field, and the two bad pages are listed", async () => {
  const { site, configDir, dataDir } = await setup({ members: 420 });
  const { map, crawl, written, memory } = await runPipeline({ association: FIXTURE_CODE, configDir, dataDir });

  expect(map).toMatchObject({
    directory_url: `${site.url}/members`,
    found_by: "pattern",
    auth_required: false,
    estimated_members: 420,
  });
  expect(map.pagination).toMatchObject({ type: "query_param", param: "page", param_type: "page" });
  expect(crawl).toMatchObject({ mode: "detail", total_pages: 9, total_urls: 420, stopped_by: "no_next" });
  expect(written).toMatchObject({ records: 418, merged: 0, errors: 2 });

  const { records } = await readJsonl(join(dataDir, "raw", FIXTURE_CODE, "records.jsonl"));
  const byName = new Map(records.map((record) => [record.company_name, record]));
  for (const member of site.extractable) {
    const { id: _, slug: __, phone, ...fields } = member;
    expect(byName.get(member.company_name)).toMatchObject({
      ...fields,
      phone: phone === null ? null : `+1${phone.replace(/\D/g, "")}`,
      country: "United States",
      source_url: site.url + site.pathOf(member),
      association: FIXTURE_CODE,
      provenance: {
        extracted_by: "extraction/html_parser",
        association_code: FIXTURE_CODE,
        job_id: "run-1",
        page_type: "MEMBER_DETAIL",
      },
    });
  }
  expect(memory.failed.get(site.url + site.faults.missing)).toMatchObject({
    name: "NotFoundError",
    category: "skippable",
    status: 404,
  });
  expect(memory.failed.get(site.url + site.faults.unparsable)).toMatchObject({
    name: "ParseError",
    category: "skippable",
  });
  const errors = await readJsonl(join(dataDir, "raw", FIXTURE_CODE, "errors.jsonl"));
  expect(errors.records.map((line) => line.task.url).sort()).toEqual(
    [site.url + site.faults.missing, site.url + site.faults.unparsable].sort(),
  );
  expect((await readJsonl(join(dataDir, "raw", FIXTURE_CODE, "urls.jsonl"))).records).toHaveLength(420);
  expect(JSON.parse(await readFile(join(dataDir, "raw", FIXTURE_CODE, "site_map.json"), "utf8"))).toMatchObject({
    directory_url: map.directory_url,
  });
  expect((await readdir(join(dataDir, "raw", FIXTURE_CODE))).sort()).toEqual([
    "errors.jsonl",
    "records.jsonl",
    "site_map.json",
    "urls.jsonl",
  ]);
});

test("every address is asked for once, robots.txt first, with an honest name and within the limiter", async () => {
  const { site, configDir, dataDir } = await setup({ members: 120, pageSize: 20 });
  const { memory } = await runPipeline({ association: FIXTURE_CODE, configDir, dataDir });
  const repeated = [...site.requests].filter(([path, count]) => count > 1 && path !== site.faults.limited);
  expect(repeated).toEqual([]);
  expect(site.requests.get(site.faults.limited)).toBe(2);
  expect([...site.requests.keys()][0]).toBe("/robots.txt");
  expect([...site.userAgents]).toEqual([expect.stringMatching(/^tenuto-associations\/[\d.]+ \(\+https?:\/\/.+\)$/)]);
  const total = [...site.requests.values()].reduce((sum, count) => sum + count, 0);
  expect(memory.limits.get(`host:${new URL(site.url).host}`)).toBe(total);
});

test("after a crash nothing that was there is fetched again", async () => {
  const { site, configDir, dataDir } = await setup({ members: 120, pageSize: 20 });
  const memory = new Memory();
  await runPipeline({ association: FIXTURE_CODE, configDir, dataDir, memory, crashAfterItems: 50 });
  const before = new Map(site.requests);
  const { written } = await runPipeline({ association: FIXTURE_CODE, configDir, dataDir, memory });
  expect(written?.records).toBe(118);
  for (const [path, count] of before)
    expect([path, site.requests.get(path)]).toEqual([path, path === site.faults.limited ? 2 : count]);
});

test("a site that robots.txt closes is left alone", async () => {
  const { site, configDir, dataDir } = await setup({
    members: 30,
    robots: "User-agent: tenuto-associations\nDisallow: /members\n",
  });
  await expect(
    runPipeline({ association: FIXTURE_CODE, configDir, dataDir, directoryUrl: `${site.url}/members` }),
  ).rejects.toMatchObject({
    name: "ForbiddenError",
    code: "robots_disallowed",
    category: "skippable",
  });
  expect([...site.requests.keys()]).toEqual(["/robots.txt"]);
});

test("Crawl-delay puts the host behind a slower limiter as well", async () => {
  const { site, configDir, dataDir } = await setup({ members: 30, robots: "User-agent: *\nCrawl-delay: 4\n" });
  const { map, memory } = await runPipeline({ association: FIXTURE_CODE, configDir, dataDir });
  expect(map.politeness.spacing_ms).toBe(4_000);
  expect(memory.limits.get(`spaced-4000:${new URL(site.url).host}`)).toBeGreaterThan(30);
});

test("an association that is not configured is refused with the known ones", async () => {
  const { configDir, dataDir } = await setup({ members: 10 });
  await expect(runPipeline({ association: "NOPE", configDir, dataDir })).rejects.toMatchObject({
    code: "invalid_config",
    hint: expect.stringContaining("FFG"),
  });
});

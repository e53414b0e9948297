/** Enrichment and validation in the engine: limiters, budgets, halting on a refused key, retry, and every record in the final files. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { definePipeline, openTenuto } from "tenuto";
import { afterEach, expect, test } from "vitest";
import { z } from "zod";
import { readJsonl } from "../adapters/files.ts";
import { createHttpClient } from "../adapters/http.ts";
import type { ProviderName } from "../adapters/providers/settings.ts";
import { providerLimiters } from "../adapters/providers/settings.ts";
import { enrichmentAgents, enrichmentJobs } from "../jobs/enrich.ts";
import { validationAgents, validationJobs } from "../jobs/validate.ts";
import type { Asked, FakeAnswer } from "./provider-server.ts";
import { startProviders } from "./provider-server.ts";

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

type Limits = Parameters<typeof providerLimiters>[0];

/** An engine with both stages, whose providers are on loopback and whose name server knows everybody. */
async function setup(answer: (asked: Asked) => FakeAnswer, limits: Limits = {}) {
  const folder = await mkdtemp(join(tmpdir(), "enrich-"));
  const server = await startProviders(answer);
  const http = createHttpClient({ userAgent: "test/1.0 (+https://example.org)" });
  cleanups.push(
    () => rm(folder, { recursive: true }),
    server.close,
    () => http.close(),
  );
  const services = {
    now: () => new Date("2026-02-01T00:00:00Z"),
    env: server.env as Record<string, string | undefined>,
    http: () => http,
    dns: () => ({
      check: async () => ({ valid: true, method: "mx" as const, mail_servers: [], reason: null }),
      cutOff: async () => false,
    }),
  };
  const fast = { rate: { count: 100_000, perSeconds: 1 } };
  const names: ProviderName[] = [
    "clearbit",
    "zoominfo",
    "apollo",
    "builtwith",
    "hunter",
    "job_postings",
    "google_places",
  ];
  const pipeline = definePipeline({
    name: "enrich-and-validate",
    params: z.object({ association: z.string(), dataDir: z.string(), configDir: z.string().default("") }),
    limiters: {
      "host:*": { rate: { count: 1000, perSeconds: 1 } },
      ...providerLimiters(Object.fromEntries(names.map((name) => [name, { ...fast, ...limits[name] }]))),
    },
    agents: [...enrichmentAgents(services), ...validationAgents(services)],
    stages: [
      { name: "enrichment", jobs: enrichmentJobs({ source: { path: "{{ params.dataDir }}/raw/PMA/records.jsonl" } }) },
      { name: "validation", jobs: validationJobs({ source: { dataDir: "{{ params.dataDir }}" } }) },
    ],
  });
  const tenuto = await openTenuto({ home: join(folder, "home"), pipelines: [pipeline] });
  cleanups.push(() => tenuto.close());
  const dataDir = join(folder, "data");
  const write = async (records: object[]) => {
    await mkdir(join(dataDir, "raw", "PMA"), { recursive: true });
    await writeFile(
      join(dataDir, "raw", "PMA", "records.jsonl"),
      records.map((record) => `${JSON.stringify(record)}\n`).join(""),
    );
  };
  const read = async (path: string) => (await readJsonl(join(dataDir, path))).records;
  return { tenuto, server, dataDir, services, write, read };
}

const members = (count: number) =>
  Array.from({ length: count }, (_, at) => ({
    id: at,
    company_name: `${["Zorbel", "Quindle", "Marfex", "Toruth"][at % 4]}${at} Works`,
    website: at % 10 === 9 ? "" : `https://c${at}.invalid`,
    city: "Toledo",
    state: "OH",
    association: "PMA",
    extracted_at: "2026-01-30T00:00:00Z",
  }));

const knowsAll = ({ path }: Asked): FakeAnswer => {
  if (path === "/v2/companies/find")
    return { body: { metrics: { employees: 200 }, foundedYear: 1950, category: { industry: "Metal" } } };
  if (path === "/api/v1/mixed_people/search")
    return {
      body: {
        people: [
          { name: "Ann", title: "CIO" },
          { name: "Bo", title: "COO" },
        ],
      },
    };
  if (path === "/v21/api.json")
    return { body: { Results: [{ Result: { Paths: [{ Technologies: [{ Name: "NetSuite" }] }] } }] } };
  if (path === "/v1/places:searchText") return { body: { places: [] } };
  return { status: 404 };
};

test("130 records in two batches: each once, in order, through every step into the final files", async () => {
  let troubles = 2;
  const { tenuto, dataDir, write, read } = await setup((asked) =>
    asked.query.get("domain") === "c5.invalid" && troubles-- > 0
      ? { status: 503, headers: { "retry-after": "0" } }
      : knowsAll(asked),
  );
  const records = members(130);
  await write([...records, { ...records[3], id: "again", company_name: "TORUTH3 WORKS, INC." }]);
  const run = await tenuto.start("enrich-and-validate", { association: "PMA", dataDir });
  expect(await run.wait()).toMatchObject({ state: "completed" });
  const enriched = await read("processed/PMA/enriched.jsonl");
  expect(enriched.map(({ id }) => id)).toEqual([...records.map(({ id }) => id), "again"]);
  expect(enriched[0]).toMatchObject({
    employee_count_min: 200,
    firmographic_source: "clearbit",
    erp_system: "Oracle NetSuite",
    contacts: [{ name: "Ann" }, { name: "Bo" }],
    data_sources: ["association", "clearbit", "builtwith", "apollo"],
  });
  expect(enriched[5]).toMatchObject({ firmographic_source: "clearbit" });
  expect(enriched[9]).not.toHaveProperty("employee_count_min");
  const [final, below] = [await read("validated/final_dataset.jsonl"), await read("validated/below_minimum.jsonl")];
  expect(final.length + below.length).toBe(130);
  expect(final.find(({ id }) => id === 3)).toMatchObject({
    merged_from_count: 2,
    quality_grade: expect.stringMatching(/[ABC]/),
    validation: { dns_valid: true, places_match: false },
  });
  expect(await read("validated/duplicates.jsonl")).toHaveLength(1);
});

test("a daily quota and a monthly budget hold over all batches, and the next provider takes over", async () => {
  const answer = (asked: Asked): FakeAnswer =>
    asked.path === "/api/v1/organizations/enrich"
      ? { body: { organization: { founded_year: 1999 } } }
      : asked.path === "/enrich/company"
        ? { body: { data: { result: [{ data: [{ yearFounded: 1988 }] }] } } }
        : knowsAll(asked);
  const { tenuto, dataDir, server, write, read } = await setup(answer, {
    clearbit: { requestsPerDay: 30 },
    zoominfo: { budgetPerMonth: 4 },
  });
  await write(members(130).map((record, at) => ({ ...record, website: `https://c${at}.invalid` })));
  const run = await tenuto.start("enrich-and-validate", { association: "PMA", dataDir });
  expect(await run.wait()).toMatchObject({ state: "completed" });
  const sources = (await read("processed/PMA/enriched.jsonl")).map(({ firmographic_source }) => firmographic_source);
  const count = (source: string) => sources.filter((one) => one === source).length;
  // Four dollars at ten cents each.
  expect([count("clearbit"), count("zoominfo"), count("apollo")]).toEqual([30, 40, 60]);
  expect(server.asked.filter(({ path }) => path === "/enrich/company")).toHaveLength(40);
});

test("a refused key halts the run; with a better one, retry goes on without asking again", async () => {
  let good = false;
  const { tenuto, dataDir, server, write, read } = await setup((asked) =>
    asked.path === "/v21/api.json" && !good ? { status: 401 } : knowsAll(asked),
  );
  await write(members(120));
  const run = await tenuto.start("enrich-and-validate", { association: "PMA", dataDir });
  expect(await run.wait()).toMatchObject({ state: "failed" });
  const asked = server.asked.filter(({ path }) => path === "/v2/companies/find").length;
  expect(asked).toBe(108);
  good = true;
  await tenuto.client.retry(run.id);
  expect(await run.wait()).toMatchObject({ state: "completed" });
  expect(server.asked.filter(({ path }) => path === "/v2/companies/find")).toHaveLength(asked);
  expect(await read("processed/PMA/enriched.jsonl")).toHaveLength(120);
});

test("without any key everything still comes out, and the records say why they are not enriched", async () => {
  const { tenuto, dataDir, services, server, write, read } = await setup(() => ({ status: 500 }));
  for (const name of Object.keys(services.env)) delete services.env[name];
  // A private address: nobody is visited.
  await write(members(30).map((record) => ({ ...record, website: "http://127.0.0.1:1/" })));
  const run = await tenuto.start("enrich-and-validate", { association: "PMA", dataDir });
  expect(await run.wait()).toMatchObject({ state: "completed" });
  expect(server.asked).toEqual([]);
  const enriched = await read("processed/PMA/enriched.jsonl");
  expect(enriched).toHaveLength(30);
  expect(enriched[0].enrichment.firmographic.reason).toContain("no key: set CLEARBIT_API_KEY");
});

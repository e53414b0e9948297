/** The agents of validation: cross-checks against a name server and Places on loopback, deduplication, scoring, files. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { createDns } from "../adapters/dns.ts";
import { readJsonl } from "../adapters/files.ts";
import { collect, fromFiles, openRecords } from "../adapters/records.ts";
import { madeCompanies } from "../fixtures/companies-at-scale.ts";
import { batches } from "../jobs/enrich-batches.ts";
import { crossref } from "../jobs/validate-crossref.ts";
import { dedupe } from "../jobs/validate-dedupe.ts";
import { reporter } from "../jobs/validate-reporter.ts";
import { scorer } from "../jobs/validate-scorer.ts";
import { startDns } from "./dns-server.ts";
import { call } from "./harness.ts";
import { providerContext, startProviders } from "./provider-server.ts";

fc.configureGlobal({ seed: 20_260_129 });

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const now = () => new Date("2026-02-01T00:00:00Z");

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "validate-"));
  cleanups.push(() => rm(path, { recursive: true }));
  return path;
}

describe("dns", () => {
  const zone = {
    "mail.example": {
      mx: [
        [20, "b.example"],
        [10, "a.example"],
      ] as [number, string][],
    },
    "web.example": { a: ["192.0.2.1"] },
    "nothing.example": {},
    "nomail.example": { mx: [[0, ""]] as [number, string][] },
    "broken.example": { code: "servfail" as const },
    "refusing.example": { code: "refused" as const },
    "silent.example": { silent: true },
  };

  test.each([
    ["mail.example", { valid: true, method: "mx", mail_servers: ["a.example", "b.example"] }],
    ["web.example", { valid: true, method: "a" }],
    ["nothing.example", { valid: false }],
    ["missing.example", { valid: false }],
    ["nomail.example", { valid: false }],
    ["broken.example", { valid: null, reason: "ESERVFAIL" }],
    ["refusing.example", { valid: null, reason: "EREFUSED" }],
    ["silent.example", { valid: null, reason: "ETIMEOUT" }],
  ])("%s", async (domain, expected) => {
    const server = await startDns(zone);
    cleanups.push(server.close);
    // Only the silent one is waited for.
    const dns = createDns({
      servers: [server.address],
      timeoutMs: domain === "silent.example" ? 50 : 30_000,
      tries: 1,
    });
    expect(await dns.check(domain)).toMatchObject(expected);
  });

  test("records get their verdict; a domain is asked about once; unknown is not false", async () => {
    const server = await startDns(zone);
    const places = await startProviders(({ body }) =>
      /Acme/.test(body.textQuery)
        ? {
            body: {
              places: [
                { displayName: { text: "Other" } },
                { displayName: { text: "ACME Tool, Inc." }, formattedAddress: "1 Main St" },
              ],
            },
          }
        : { body: {} },
    );
    cleanups.push(server.close, places.close);
    const dns = () => createDns({ servers: [server.address], timeoutMs: 30_000, tries: 1 });
    const records = [
      { company_name: "Acme Tool", website: "https://mail.example", city: "Toledo" },
      { company_name: "Bolt", website: "https://missing.example/x", city: "Toledo", state: "OH" },
      { company_name: "Cog", website: "http://broken.example" },
      { company_name: "Acme Two", website: "https://mail.example" },
      {},
    ];
    const { ctx, told } = providerContext();
    const result = await call(crossref({ now, env: places.env, dns }), { records, batch: 3 }, ctx);
    expect(result.records).toMatchObject([
      {
        last_verified_at: "2026-02-01T00:00:00.000Z",
        validation: {
          dns_valid: true,
          places_match: true,
          places_name: "ACME Tool, Inc.",
          validation_score: 90,
          issues: [],
        },
      },
      {
        validation: {
          dns_valid: false,
          places_match: false,
          validation_score: 20,
          issues: ["invalid_domain", "address_not_found"],
        },
      },
      { validation: { dns_valid: null, places_match: null, validation_score: null, issues: [] } },
      { validation: { dns_valid: true, places_match: null, validation_score: 70 } },
      { validation: { dns_valid: null, places_match: null, validation_score: null } },
    ]);
    expect(result.records[2]).not.toHaveProperty("last_verified_at");
    expect(result).toMatchObject({
      batch: 3,
      validation_stats: { dns: { valid: 2, invalid: 1, unknown: 2 }, places: { valid: 1, invalid: 1, unknown: 3 } },
    });
    expect(server.asked.filter((question) => question === "MX mail.example")).toHaveLength(1);
    expect(told.spent.get("provider-google_places")).toBeCloseTo(0.006);
  });

  test("a namesake in another state is not the company", async () => {
    const address = "1 Main St, Reno, NV 89501, USA";
    const places = await startProviders(() => ({
      body: { places: [{ displayName: { text: "Acme" }, formattedAddress: address }] },
    }));
    cleanups.push(places.close);
    const records = ["OH", "Nevada", "", "Somewhere"].map((state) => ({ company_name: "Acme", city: "Toledo", state }));
    const input = { records, validators: ["google_places"] };
    const result = await call(crossref({ now, env: places.env }), input, providerContext().ctx);
    expect(result.records.map(({ validation }: any) => validation.places_match)).toEqual([false, true, true, true]);
  });

  test("without a key Places is left out, and says nothing about anybody", async () => {
    const records = [{ company_name: "Acme", city: "Toledo" }];
    const finding = { valid: true, method: "mx" as const, mail_servers: [], reason: null };
    const dns = () => ({ check: async () => finding, cutOff: async () => false });
    const result = await call(
      crossref({ now, env: {}, dns }),
      { records, validators: ["dns_mx", "google_places"] },
      providerContext().ctx,
    );
    expect(result.records[0]).toMatchObject({ validation: { places_match: null, issues: [] } });
    expect(result.providers.google_places?.left_out).toBe("no key: set GOOGLE_PLACES_API_KEY");
  });
});

describe("dedupe", () => {
  test("a list comes back as a list, merged where the first one stood, with reasons", async () => {
    const records = [
      { company_name: "Zorbel Stamping Inc", phone: "419-555-0100", association: "PMA", source_url: "https://a/1" },
      { company_name: "Quindle Gears", phone: "419-555-0177", association: "PMA" },
      {
        company_name: "ZORBEL STAMPING",
        phone: "(419) 555-0100",
        website: "zorbel.com",
        association: "NEMA",
        source_url: "https://b/2",
      },
    ];
    const result = await call(dedupe({ now }), { records }, providerContext().ctx);
    expect(result).toMatchObject({ success: true, records_processed: 3, duplicates_found: 1, duplicate_groups: 1 });
    expect(result.records).toMatchObject([
      {
        company_name: "Zorbel Stamping Inc",
        website: "zorbel.com",
        associations: ["NEMA", "PMA"],
        merged_from_count: 2,
        duplicate_group: "dup-000001",
        merged_at: "2026-02-01T00:00:00.000Z",
      },
      { company_name: "Quindle Gears", associations: ["PMA"] },
    ]);
    expect(result.groups).toMatchObject([
      {
        group: "dup-000001",
        members: [
          { record: 0, association: "PMA" },
          { record: 2, source_url: "https://b/2" },
        ],
        pairs: [
          { left: 0, right: 2, score: 1, evidence: [{ field: "company_name", likeness: 1 }, { field: "phone" }] },
        ],
      },
    ]);
  });

  test("the threshold decides, weights can be changed, and what is not wanted is not done", async () => {
    const records = [
      { company_name: "Zorbel Stamping", city: "Toledo" },
      { company_name: "Zorbel Stamping", city: "Dayton" },
    ];
    const groups = async (input: object) =>
      (await call(dedupe({ now }), { records, ...input }, providerContext().ctx)).duplicate_groups;
    expect(await groups({})).toBe(0);
    expect(await groups({ threshold: 0.8 })).toBe(1);
    expect(await groups({ weights: { city: { agree: 0.05, differ: 0.05 } } })).toBe(1);
    expect(await groups({ threshold: 0.8, validation: "score" })).toBe(0);
    await expect(groups({ weights: { city: { agree: 0, differ: 1 } } })).rejects.toThrow(/agree must not be less/);
    await expect(groups({ paths: ["x"] })).rejects.toThrow(/give one of/);
  });

  test("files and datasets: the same result as a list, in the same order; bad lines are counted", async () => {
    const list = [...madeCompanies({ count: 500, seed: 5 })].map(({ entity: _, ...record }) => record);
    const path = join(await folder(), "records.jsonl");
    await writeFile(path, `${list.map((record) => JSON.stringify(record)).join("\n")}\nnot json\n[1]\n`);
    const { ctx } = providerContext();
    const whole = await call(dedupe({ now }), { records: list }, ctx);
    const file = await call(dedupe({ now }), { paths: [path] }, ctx);
    expect(file).toMatchObject({ unreadable: 2, duplicates_found: whole.duplicates_found });
    expect(await collect(openRecords(ctx, file.records))).toEqual(whole.records);
    expect((whole.records as unknown[]).length + whole.duplicates_found).toBe(500);
    const dataset = await call(dedupe({ now }), { records: await ctx.dataset("x", list) }, ctx);
    expect(await collect(openRecords(ctx, dataset.records))).toEqual(whole.records);
  });

  test("every record is in the result once, whatever the records", async () => {
    const record = fc.record({
      id: fc.uuid(),
      company_name: fc.constantFrom("Acme", "Acme Inc", "Bolt", ""),
      phone: fc.constantFrom("419-555-0100", "419-555-0199", ""),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(record, { maxLength: 15 }), async (records) => {
        const result = await call(dedupe({ now }), { records }, providerContext().ctx);
        const merged = (result.records as any[]).reduce((sum, { merged_from_count = 1 }) => sum + merged_from_count, 0);
        expect(merged).toBe(records.length);
        const order = (result.records as any[]).map(({ id }) => records.findIndex((one) => one.id === id));
        expect(order).toEqual([...order].sort((a, b) => a - b));
      }),
      { numRuns: 50 },
    );
  });

  test("one company five thousand times is one record of a bearable size", async () => {
    const records = Array.from({ length: 5_000 }, (_, id) => ({
      id,
      company_name: "Zorbel Gears",
      phone: "419-555-0100",
    }));
    const result = await call(dedupe({ now }), { records }, providerContext().ctx);
    expect(result).toMatchObject({
      duplicates_found: 4_999,
      groups: [{ size: 5_000 }],
      records: [{ id: 0, merged_from_count: 5_000 }],
    });
    expect(JSON.stringify(result).length).toBeLessThan(100_000);
  });

  test("a file that is not there is named, with what to do", async () => {
    const missing = join(await folder(), "none.jsonl");
    await expect(collect(fromFiles([missing]))).rejects.toMatchObject({
      code: "invalid_config",
      hint: expect.stringContaining("Run the mode before"),
    });
    await expect(call(dedupe({ now }), { dataDir: await folder() }, providerContext().ctx)).rejects.toMatchObject({
      hint: "Run the mode enrich first.",
    });
  });
});

describe("scorer and reporter", () => {
  const list = Array.from({ length: 250 }, (_, at) => ({
    company_name: `Company ${at}`,
    ...(at % 2 === 0
      ? { website: "https://x.com", city: "Toledo", state: "OH", extracted_at: "2026-01-31T00:00:00Z" }
      : {}),
    association: "PMA",
  }));

  test("all files are there, complete, and nothing is lost between them", async () => {
    const { ctx } = providerContext();
    const dataDir = await folder();
    const scored = await call(scorer({ now }), { records: await ctx.dataset("x", list) }, ctx);
    expect(scored).toMatchObject({
      records_processed: 250,
      passed: 125,
      distribution: { A: 0, B: 0, C: 0, D: 125, F: 125 },
      average: 55.5,
    });
    const groups = await ctx.dataset("groups", [{ group: "dup-000001" }]);
    const report = await call(reporter({ now }), { records: scored.records, groups, dataDir }, ctx);
    expect(report).toMatchObject({ records: 125, below_minimum: 125 });
    const read = async (name: string) => (await readJsonl(join(dataDir, "validated", name))).records;
    const [final, below] = [await read("final_dataset.jsonl"), await read("below_minimum.jsonl")];
    expect(final.map(({ company_name }) => company_name)).toEqual(
      list.filter((_, at) => at % 2 === 0).map(({ company_name }) => company_name),
    );
    expect(final[0]).toMatchObject({ quality_score: 66, quality_grade: "D" });
    expect(below).toHaveLength(125);
    expect(await read("duplicates.jsonl")).toEqual([{ group: "dup-000001" }]);
    const text = (name: string) => readFile(join(dataDir, "validated", name), "utf8");
    expect((await text("final_dataset.csv")).trimEnd().split("\r\n")).toHaveLength(126);
    expect(JSON.parse(await text("summary.json"))).toMatchObject({ total_records: 250, passed: 125 });
    expect(await text("quality_report.md")).toContain("250 records, 125 (50.0 %)");
    expect(await text("quality_report.html")).toContain("<svg");
  });

  test("batches that a step lost are scored as they came in", async () => {
    const { ctx } = providerContext();
    const cut = await call(batches(), { records: list }, ctx);
    const results: any[] = [];
    for await (const { batch, records } of ctx.open<any>(cut.batches)) {
      if (batch !== 1)
        results.push({ batch, records: records.map((record: object) => ({ ...record, checked: true })) });
    }
    const scored = await call(
      scorer({ now }),
      { batches: cut.batches, results: [await ctx.dataset("r", results)] },
      ctx,
    );
    const records = await collect(openRecords(ctx, scored.records));
    expect(records.map(({ company_name }) => company_name)).toEqual(list.map(({ company_name }) => company_name));
    expect(records.filter(({ checked }) => checked === true)).toHaveLength(150);
  });

  test("a step that gives back fewer records is refused", async () => {
    const { ctx } = providerContext();
    const cut = await call(batches(), { records: list.slice(0, 10) }, ctx);
    const short = await ctx.dataset("r", [{ batch: 0, records: list.slice(0, 9) }]);
    await expect(call(scorer({ now }), { batches: cut.batches, results: [short] }, ctx)).rejects.toMatchObject({
      code: "records_lost",
      message: "batch 0 went in with 10 records and came out with 9",
    });
  });
});

/**
 * Runs the pipeline against a real list of companies, served on loopback, and reports how often each field agrees.
 *
 *   node --conditions=source systems/associations/dev/extract-companies.ts [CSV] [--limit 1000] [--pages …] [--markup …] [--shape …] [--styles] [--all] [--memory]
 *
 * `--styles` goes through three styles of pagination, `--all` through every markup and shape; `--memory` uses the test harness instead
 * of the engine.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { readJsonl } from "../adapters/files.ts";
import { e164, isValidPhone } from "../domain/phone.ts";
import { stateCode } from "../domain/places.ts";
import type { Company, CompanySiteOptions } from "./company-site.ts";
import { DEFAULT_CSV, MARKUPS, PAGE_STYLES, readCompanies, SHAPES, serveCompanies } from "./company-site.ts";

const FIELDS = [
  "company_name",
  "street",
  "city",
  "state",
  "postal_code",
  "country",
  "phone",
  "website",
  "longitude",
  "latitude",
] as const;
const ASSOCIATION = "COMPANIES";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    limit: { type: "string", default: "100000" },
    pages: { type: "string", default: "query" },
    markup: { type: "string", default: "dl" },
    shape: { type: "string", default: "detail" },
    all: { type: "boolean", default: false },
    styles: { type: "boolean", default: false },
    memory: { type: "boolean", default: false },
  },
});

function expected(company: Company): Record<string, string> {
  return {
    company_name: company.name,
    street: company.street,
    city: company.city,
    state: stateCode(company.state) ?? company.state,
    postal_code: company.postal_code,
    country: company.country,
    phone: e164(company.phone) ?? "",
    website: company.website,
    longitude: company.longitude,
    latitude: company.latitude,
  };
}

function comparable(field: string, value: unknown): string {
  const text = String(value ?? "")
    .replace(/\s+/g, " ")
    .trim();
  if (text === "") return "";
  if (field === "city") return text.toLowerCase();
  if (field === "postal_code") return text.replace(/-$/, "");
  if (field === "website") return text.toLowerCase().replace(/\/$/, "");
  return field === "longitude" || field === "latitude" ? String(Number(text)) : text;
}

async function runExtraction(url: string, dataDir: string): Promise<{ mode: string; stopped: string; pages: number }> {
  const params = { association: ASSOCIATION, directoryUrl: url, dataDir };
  if (values.memory) {
    const { runPipeline } = await import("../test/harness.ts");
    const { crawl } = await runPipeline({ ...params, ratePerSecond: 100_000 });
    return { mode: crawl.mode, stopped: crawl.stopped_by, pages: crawl.total_pages };
  }
  const { openTenuto } = await import("tenuto");
  const { associationsPipeline } = await import("../pipeline.ts");
  const tenuto = await openTenuto({
    home: join(dataDir, "home"),
    pipelines: [associationsPipeline({ ratePerSecond: 100_000 })],
  });
  try {
    const run = await tenuto.start("associations", params);
    await run.wait();
    return { mode: "engine", stopped: "", pages: 0 };
  } finally {
    await tenuto.close();
  }
}

async function measure(companies: Company[], options: CompanySiteOptions): Promise<void> {
  const site = await serveCompanies(companies, options);
  const dataDir = await mkdtemp(join(tmpdir(), "companies-"));
  try {
    const startedAt = performance.now();
    const { mode, stopped, pages } = await runExtraction(site.url + site.directoryPath, dataDir);
    const seconds = (performance.now() - startedAt) / 1000;
    const { records } = await readJsonl(join(dataDir, "raw", ASSOCIATION, "records.jsonl"));
    const repeated = [...site.requests.values()].filter((count) => count > 1).length;
    console.log(
      `\n${options.shape} ${options.markup} ${options.pages}: ${records.length} records of ${companies.length} companies, ${mode}, ${pages} pages, ${stopped}; ${repeated} addresses asked twice; ${seconds.toFixed(1)} s`,
    );
    compare(companies, records, options.shape === "detail" ? (company) => site.url + site.detailPath(company) : null);
  } finally {
    await site.close();
    await rm(dataDir, { recursive: true });
  }
}

function compare(companies: Company[], records: any[], urlOf: ((company: Company) => string) | null): void {
  const keyOf = (name: unknown, city: unknown, zip: unknown) =>
    `${comparable("company_name", name)}|${comparable("city", city)}|${comparable("postal_code", zip)}`;
  const found = new Map<string, any[]>();
  for (const record of records) {
    const key = urlOf === null ? keyOf(record.company_name, record.city, record.postal_code) : record.source_url;
    found.set(key, [...(found.get(key) ?? []), record]);
  }
  const tally = Object.fromEntries(
    FIELDS.map((field) => [field, { known: 0, agree: 0, invented: 0, samples: [] as string[] }]),
  );
  let absent = 0;
  const phones = { valid: 0, found: 0, invented: 0 };
  for (const company of companies) {
    const truth = expected(company);
    const key = urlOf === null ? keyOf(company.name, company.city, company.postal_code) : urlOf(company);
    const candidates = found.get(key) ?? [];
    const record =
      candidates.length > 1
        ? (candidates.find((one) => (one.street ?? "") === company.street) ?? candidates[0])
        : candidates[0];
    if (record === undefined) absent++;
    if (company.phone !== "" && isValidPhone(company.phone)) {
      phones.valid++;
      if (record?.phone === truth.phone) phones.found++;
    }
    if (record?.phone && record.phone !== truth.phone) phones.invented++;
    for (const field of FIELDS) {
      const row = tally[field]!;
      const [want, got] = [comparable(field, truth[field]), comparable(field, record?.[field])];
      if (want === "") row.invented += got === "" ? 0 : 1;
      else {
        row.known++;
        if (want === got) row.agree++;
        else if (row.samples.length < 3) row.samples.push(`${JSON.stringify(want)} → ${JSON.stringify(got)}`);
      }
    }
  }
  console.log(
    `  recall ${((companies.length - absent) / companies.length).toFixed(5)}; phones: ${phones.found} of ${phones.valid} valid ones (${((100 * phones.found) / phones.valid).toFixed(2)} %), ${phones.invented} invented`,
  );
  if (absent > 0) console.log(`  ${absent} companies without a record`);
  for (const field of FIELDS) {
    const { known, agree, invented, samples } = tally[field]!;
    const share = known === 0 ? "-" : `${((100 * agree) / known).toFixed(2)} %`;
    console.log(
      `  ${field.padEnd(13)} ${String(agree).padStart(5)} of ${String(known).padStart(5)}  ${share.padStart(9)}  ${invented > 0 ? `${invented} invented  ` : ""}${samples.join("  ")}`,
    );
  }
}

const csv = positionals[0] ?? DEFAULT_CSV;
const companies = readCompanies(csv)?.slice(0, Number(values.limit));
if (companies === undefined) {
  console.error(
    `Skipped: ${csv} is not there. The data is not part of the project; give the path of a CSV file in its form.`,
  );
} else if (values.styles) {
  const shape = values.shape as CompanySiteOptions["shape"] & string;
  const markup = values.markup as CompanySiteOptions["markup"] & string;
  for (const pages of ["query", "path", "next"] as const) await measure(companies, { pages, markup, shape });
} else if (values.all) {
  let style = 0;
  for (const shape of SHAPES)
    for (const markup of MARKUPS)
      await measure(companies, { shape, markup, pages: PAGE_STYLES[style++ % PAGE_STYLES.length]! });
} else {
  const { pages, markup, shape } = values as CompanySiteOptions;
  await measure(companies, { pages: pages!, markup: markup!, shape: shape! });
}

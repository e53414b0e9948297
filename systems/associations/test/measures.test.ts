/** The measures that the documents name do run, and their words about themselves are there. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { PROVIDER_NAMES, providerLimiters, providerSettings } from "../adapters/providers/settings.ts";
import { csvCell } from "../domain/quality/csv.ts";
import { madeCompanies } from "../fixtures/companies-at-scale.ts";

const HOME = join(import.meta.dirname, "..");
const execute = promisify(execFile);

/** As `npm run <name> -- …` does it, without npm. */
async function script(name: string, ...values: string[]): Promise<string> {
  const { scripts } = JSON.parse(await readFile(join(HOME, "package.json"), "utf8"));
  const [program, ...fixed] = scripts[name].split(" ");
  expect(program).toBe("node");
  return (await execute(process.execPath, [...fixed, ...values], { cwd: HOME })).stdout;
}

test("bench:dedupe prints time, memory and how well it found", async () => {
  const text = await script("bench:dedupe", "2000");
  expect(text).toMatch(/^2000 records, \d+ MB: [\d.]+ s \(processor [\d.]+ s\), VmHWM \d+ MB/);
  const [, precision, recall] = /precision ([\d.]+), recall ([\d.]+)/.exec(text)!;
  expect(Number(precision)).toBeGreaterThan(0.99);
  expect(Number(recall)).toBeGreaterThan(0.95);
});

test("dedupe:pairs prints F1 and every error", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pairs-"));
  try {
    const path = join(folder, "train.txt");
    await writeFile(
      path,
      '{"name":"Zorbel Gears"}\t{"name":"ZORBEL GEARS INC"}\t1\n{"name":"Quindle"}\t{"name":"Quindle"}\t0\n',
    );
    const text = await script("dedupe:pairs", path);
    expect(text).toContain("train.txt: 2 pairs, 1 found, 1 wrong, 0 missed, F1 0.6667");
    expect(text).toContain('not the same, but 1.000: {"name":"Quindle"}');
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("dedupe-companies finds again what it added to a list", async () => {
  const folder = await mkdtemp(join(tmpdir(), "companies-"));
  try {
    const path = join(folder, "companies.csv");
    const lines = [...madeCompanies({ count: 300, duplicates: 0 })].map(
      ({ company_name, street, city, state, postal_code, phone, website }) =>
        [company_name, street, city, state, postal_code, phone, website].map(csvCell).join(","),
    );
    await writeFile(path, `name,address_1,city,state_province,postal_code,phone,website_url\n${lines.join("\n")}\n`);
    const program = join(HOME, "dev", "dedupe-companies.ts");
    const { stdout } = await execute(process.execPath, ["--conditions=source", program, path, "100"]);
    expect(stdout).toContain("300 companies, 0 groups by themselves; 100 added");
    expect(Number(/found again (\d+)/.exec(stdout)?.[1])).toBeGreaterThan(94);
    expect(stdout).toMatch(/, 0 of them not the same/);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("the table of providers says what the settings are", async () => {
  const text = await readFile(join(HOME, "enrichment-and-validation.md"), "utf8");
  for (const name of PROVIDER_NAMES) {
    const { keyEnv, cost, requestsPerDay, budgetPerMonth } = providerSettings(name);
    const row = text.split("\n").find((line) => keyEnv.every((variable) => line.includes(`\`${variable}\``)));
    expect(row, name).toContain(requestsPerDay.toLocaleString("en"));
    expect(row).toContain(cost === 0 ? "free" : `${budgetPerMonth} at ${cost.toFixed(cost < 0.01 ? 3 : 2)}`);
    expect(providerLimiters()[`provider-${name}`]).toMatchObject({
      quota: { day: requestsPerDay },
      budget: { month: budgetPerMonth },
    });
  }
  const monthly = PROVIDER_NAMES.reduce((sum, name) => sum + providerSettings(name).budgetPerMonth, 0);
  expect(monthly).toBe(1_130);
});

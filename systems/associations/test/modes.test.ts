/** The modes through the engine: each alone, all in one run, several associations in one run, and the gate between them. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openTenuto } from "tenuto";
import { afterEach, expect, test } from "vitest";
import { readJsonl } from "../adapters/files.ts";
import { startSite } from "../fixtures/site.ts";
import { associationsPipelines } from "../pipeline.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Two associations on two sites; the second says how many members it expects. */
async function setup(expected = 40) {
  const folder = await mkdtemp(join(tmpdir(), "modes-"));
  const sites = [
    await startSite({ members: 60, pageSize: 20, retryAfterSeconds: 0 }),
    await startSite({ members: 40, pageSize: 20, retryAfterSeconds: 0, seed: 8 }),
  ] as const;
  const [configDir, dataDir] = [join(folder, "config"), join(folder, "data")];
  await mkdir(configDir);
  const entry = (at: 0 | 1, members: number) =>
    `  name: Guild ${at}\n  url: ${sites[at].url}\n  rate_limit: 1000\n  expected_members: ${members}\n  priority: high\n`;
  await writeFile(join(configDir, "associations.yaml"), `ONE:\n${entry(0, 60)}TWO:\n${entry(1, expected)}`);
  const tenuto = await openTenuto({
    home: join(folder, "home"),
    pipelines: [...associationsPipelines({ ratePerSecond: 1000 })],
  });
  cleanups.push(
    () => rm(folder, { recursive: true }),
    () => sites[0].close(),
    () => sites[1].close(),
    () => tenuto.close(),
  );
  // No provider has a key here, and nobody is asked.
  const common = { configDir, dataDir, enrichment: "firmographic", validation: "score" };
  const run = async (pipeline: string, params: object) => {
    const started = await tenuto.start(pipeline, { ...common, ...params });
    return { ...(await started.wait()), id: started.id };
  };
  const jobs = async (id: string) => new Map((await tenuto.client.jobs(id)).map((job) => [job.id, job.state]));
  return { sites, dataDir, run, jobs, records: async (path: string) => (await readJsonl(join(dataDir, path))).records };
}

test("extract, enrich and validate one after the other give what full gives in one run", async () => {
  const { dataDir, run, jobs, records, sites } = await setup();
  const extract = await run("associations", { association: "ONE" });
  expect(extract).toMatchObject({ state: "completed", output: { mode: "extract", records: 58, errors: 2 } });
  const asked = [...sites[0].requests.values()].reduce((sum, count) => sum + count, 0);
  const enrich = await run("associations", { association: "ONE", mode: "enrich" });
  expect(enrich).toMatchObject({ state: "completed", output: { mode: "enrich", records: 58 } });
  const states = await jobs(enrich.id);
  expect([states.get("map"), states.get("write"), states.get("write_enriched"), states.get("dedupe")]).toEqual([
    "skipped",
    "skipped",
    "completed",
    "skipped",
  ]);
  const validate = await run("associations", { mode: "validate" });
  expect(validate).toMatchObject({ state: "completed", output: { mode: "validate" } });
  expect([...sites[0].requests.values()].reduce((sum, count) => sum + count, 0)).toBe(asked);
  const raw = await records("raw/ONE/records.jsonl");
  const enriched = await records("processed/ONE/enriched.jsonl");
  expect(enriched.map((record) => record.company_name)).toEqual(raw.map((record) => record.company_name));
  const final = await readFile(join(dataDir, "validated/final_dataset.jsonl"), "utf8");

  const full = await run("associations", { association: "ONE", mode: "full" });
  expect(full).toMatchObject({ state: "completed", output: { mode: "full" } });
  const plain = (text: string) =>
    text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).company_name)
      .sort();
  expect(plain(await readFile(join(dataDir, "validated/final_dataset.jsonl"), "utf8"))).toEqual(plain(final));
});

test("several associations in one run, each with its own jobs, validated together", async () => {
  const { run, jobs, records } = await setup();
  const many = await run("associations-many", { mode: "full" });
  expect(many.state).toBe("completed");
  const states = [...(await jobs(many.id))];
  expect(states.filter(([id, state]) => /\/write$/.test(id) && state === "completed")).toHaveLength(2);
  expect(await records("raw/ONE/records.jsonl")).toHaveLength(58);
  expect(await records("raw/TWO/records.jsonl")).toHaveLength(38);
  const final = await records("validated/final_dataset.jsonl");
  expect(new Set(final.flatMap((record) => record.associations ?? [record.association]))).toEqual(
    new Set(["ONE", "TWO"]),
  );
});

test("far fewer members than expected fail the run of one, and of several only that one", async () => {
  const { run, jobs, records } = await setup(100);
  const one = await run("associations", { association: "TWO", mode: "full" });
  expect(one).toMatchObject({ state: "failed", error: { code: "gate_failed" } });
  expect((await jobs(one.id)).get("write_enriched")).toBe("skipped");
  const many = await run("associations-many", { mode: "extract" });
  expect(many).toMatchObject({ state: "failed" });
  const states = await jobs(many.id);
  expect([states.get("association/0"), states.get("association/1")]).toEqual(["completed", "failed"]);
  expect(await records("raw/ONE/records.jsonl")).toHaveLength(58);
});

test("what cannot be run is refused before anything is written or fetched", async () => {
  const { run, sites } = await setup();
  await expect(run("associations", { mode: "full" })).rejects.toMatchObject({ code: "invalid_params" });
  await expect(run("associations", { association: "../x" })).rejects.toMatchObject({ code: "invalid_params" });
  expect(await run("associations-many", { associations: ["NOPE"] })).toMatchObject({
    state: "failed",
    error: { message: expect.stringContaining("NOPE") },
  });
  expect(sites[0].requests.size + sites[1].requests.size).toBe(0);
});

/** A model in the place of an agent's code: it works by the skill, and code checks what it gives back. The model is a server on loopback. */
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { definePipeline, openTenuto } from "tenuto";
import { afterEach, expect, test } from "vitest";
import { z } from "zod";
import { readJsonl } from "../adapters/files.ts";
import { enrichmentAgents, enrichmentJobs, providerLimiters } from "../jobs/enrich.ts";
import { MODEL_AGENTS, withModels } from "../jobs/model-agents.ts";
import { realServices } from "../jobs/web.ts";
import { startModel } from "./model-server.ts";

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const records = [
  { company_name: "Zorbel Stamping", website: "" },
  { company_name: "Quindle Gears", website: "" },
];

async function enrichWith(result: object) {
  const folder = await mkdtemp(join(tmpdir(), "model-"));
  cleanups.push(() => rm(folder, { recursive: true }));
  const model = await startModel(result);
  cleanups.push(model.close);
  const agents = withModels(enrichmentAgents({ ...realServices, env: {} }), {
    "enrichment/firmographic": { model: { id: "openai-compatible/stand-in", baseURL: model.baseURL } },
  });
  const pipeline = definePipeline({
    name: "with-a-model",
    params: z.object({ association: z.string(), dataDir: z.string(), configDir: z.string().default("") }),
    limiters: { "host:*": { rate: { count: 1000, perSeconds: 1 } }, ...providerLimiters() },
    agents,
    jobs: enrichmentJobs({ source: { path: "{{ params.dataDir }}/records.jsonl" } }),
  });
  const tenuto = await openTenuto({ home: join(folder, "home"), pipelines: [pipeline] });
  cleanups.push(() => tenuto.close());
  const dataDir = join(folder, "data");
  await mkdir(dataDir);
  await writeFile(join(dataDir, "records.jsonl"), records.map((record) => `${JSON.stringify(record)}\n`).join(""));
  const run = await tenuto.start("with-a-model", { association: "PMA", dataDir });
  const end = await run.wait();
  return {
    end,
    model,
    read: async () => (await readJsonl(join(dataDir, "processed", "PMA", "enriched.jsonl"))).records,
  };
}

test("the model is told its task and the skill, gets the batch, and its result goes on to the next job", async () => {
  const { end, model, read } = await enrichWith({
    success: true,
    batch: 0,
    records: records.map((record) => ({ ...record, industry: "Metal", employee_count_min: 30 })),
    records_processed: 2,
  });
  expect(end.state).toBe("completed");
  expect(await read()).toMatchObject([
    { company_name: "Zorbel Stamping", industry: "Metal" },
    { company_name: "Quindle Gears", industry: "Metal" },
  ]);
  const [system, task] = model.asked[0]!;
  expect(system?.content).toContain("You were called as enrichment/firmographic.");
  expect(system?.content).toContain("Give back every record you got: each once");
  expect(task?.content).toContain("Quindle Gears");
});

test("a model that drops a record is refused", async () => {
  const { end } = await enrichWith({ success: true, batch: 0, records: records.slice(0, 1), records_processed: 1 });
  expect(end).toMatchObject({
    state: "failed",
    error: { message: expect.stringContaining("went in with 2 records and came out with 1") },
  });
});

test("every agent has its part in the skill of its layer", () => {
  const skill = (layer: string) => readFileSync(join(import.meta.dirname, "..", "skills", layer, "SKILL.md"), "utf8");
  for (const name of [...MODEL_AGENTS, "validation/dedupe", "validation/scorer", "validation/reporter"]) {
    expect(skill(name.split("/")[0]!)).toContain(`## ${name}\n`);
  }
  for (const layer of ["enrichment", "validation"])
    expect(skill(layer)).toMatch(/^---\nname: \w+\ndescription: .+\n---\n/);
});

// Shows: a fan-out over a JSONL file: key (duplicates left out), retry per item, skipped items, tolerated error rate.
// Run:   npx tenuto run examples/fan-out.ts
//        npm run example examples/fan-out.ts
import { type DatasetRef, defineAgent, definePipeline, type FanoutResult, openTenuto } from "tenuto";
import { z } from "zod";

const Company = z.object({ id: z.string(), name: z.string(), founded: z.number().optional() });

const enrich = defineAgent({
  name: "companies/enrich",
  input: Company,
  output: z.object({ id: z.string(), name: z.string(), age: z.number() }),
  retry: { maxRetries: 2, baseSeconds: 0.02 },
  run: ({ id, name, founded }, ctx) => {
    // Retryable: tried again, alone. The other items go on meanwhile.
    if (id === "c07" && ctx.attempt === 1) throw Object.assign(new Error("connection reset"), { code: "ECONNRESET" });
    // Skippable: left out and listed; the job goes on up to the tolerated error rate.
    if (founded === undefined) throw Object.assign(new Error(`${name} has no year`), { status: 404 });
    return { id, name, age: 2026 - founded };
  },
});

const count = defineAgent({
  name: "companies/count",
  run: async (input: { records: DatasetRef & FanoutResult }, ctx) => {
    // The result of a fan-out is a dataset: read as a stream, in the order of the file, however long it is.
    let oldest = { name: "", age: -1 };
    for await (const record of ctx.open<{ name: string; age: number }>(input.records)) {
      if (record.age > oldest.age) oldest = record;
    }
    const { total, completed, skipped, failed } = input.records;
    return { total, completed, skipped, failed, oldest: oldest.name };
  },
});

export const fanOut = definePipeline({
  name: "fan-out",
  // Paths below begin in this file's folder.
  file: import.meta.url,
  jobs: [
    {
      id: "enrich",
      agent: enrich,
      forEach: { file: "data/companies.jsonl", key: "{{ item.id }}", concurrency: 4, errorRate: 0.2 },
    },
    { id: "count", agent: count, needs: ["enrich"], input: { records: "{{ jobs.enrich.output }}" } },
  ],
});

if (import.meta.main) {
  await using tenuto = await openTenuto({ pipelines: [fanOut] });
  const run = await tenuto.start(fanOut);
  const end = await run.wait();
  console.log(end.state, end.output);
  for (const item of await tenuto.client.items(run.id, "enrich", { states: ["skipped", "failed"] })) {
    console.log(`  item ${item.ordinal}: ${item.state}, ${JSON.parse(item.error ?? "{}").message}`);
  }
}

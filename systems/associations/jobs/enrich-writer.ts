/** enrichment/writer: `processed/<CODE>/enriched.jsonl`, with every record that came in, once, in order. */
import { join } from "node:path";
import type { ArtifactRef, Context, DatasetRef } from "tenuto";
import { z } from "zod";
import { writeJsonl } from "../adapters/files.ts";
import type { AnyRecord } from "../adapters/records.ts";
import { datasetSchema } from "../adapters/records.ts";
import { steppedRecords } from "./batch-results.ts";

export const enrichWriterInput = z.object({
  association: z.string(),
  dataDir: z.string().default("data"),
  /** As enrichment/batches gives them. */
  batches: datasetSchema,
  /** Results of the steps in their order, each a dataset of batches; null for a step that was left out. */
  results: z.array(datasetSchema.nullable()),
});

export const enrichWriterOutput = z.object({
  success: z.literal(true),
  association: z.string(),
  records: z.number(),
  /** Records that went out as they came in. */
  unchanged: z.number(),
  path: z.string(),
  dataset: z.custom<DatasetRef>(),
  artifact: z.custom<ArtifactRef>(),
});

type Input = z.infer<typeof enrichWriterInput>;

export function enrichWriter() {
  return {
    name: "enrichment/writer",
    description: "Writes the enriched records of an association, each record once and in order",
    version: "1",
    timeoutSeconds: 3600,
    input: enrichWriterInput,
    output: enrichWriterOutput,
    run,
  };
}

async function run(input: Input, ctx: Context): Promise<z.infer<typeof enrichWriterOutput>> {
  const path = join(input.dataDir, "processed", input.association, "enriched.jsonl");
  const records = steppedRecords(ctx, input);
  const dataset = await ctx.dataset("enriched", records);
  const unchanged = records.untouched();
  const count = await writeJsonl(path, ctx.open<AnyRecord>(dataset));
  if (unchanged > 0)
    ctx.log.warn(`${unchanged} records of ${input.association} could not be enriched and stay as they are`);
  ctx.log.info(`Saved ${count} enriched records of ${input.association}`);
  return {
    success: true,
    association: input.association,
    records: count,
    unchanged,
    path,
    dataset,
    artifact: await ctx.artifact("enriched.jsonl", { path }, { mediaType: "application/jsonl" }),
  };
}

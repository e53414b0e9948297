/**
 * enrichment/writer: `processed/<CODE>/enriched.jsonl`, with every record that came in, once, in order.
 *
 * Enriching happens in steps over batches. For each batch the result of the last step that completed it counts; a batch that no step
 * completed goes out as it came in. So no fault of a step can drop a record; and what would not add up stops here.
 */
import { join } from "node:path";
import type { ArtifactRef, Context, DatasetRef } from "tenuto";
import { z } from "zod";
import { writeJsonl } from "../adapters/files.ts";
import type { AnyRecord } from "../adapters/records.ts";
import { datasetSchema } from "../adapters/records.ts";
import { RefusedError } from "../domain/errors.ts";
import type { Batch } from "./enrich-batches.ts";

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
  let unchanged = 0;
  async function* records(): AsyncGenerator<AnyRecord> {
    const steps = input.results.flatMap((result) => (result === null ? [] : [new StepReader(ctx, result)]));
    for await (const batch of ctx.open<Batch>(input.batches)) {
      const latest = await latestOf(batch, steps);
      if (latest === null) unchanged += batch.records.length;
      yield* latest?.records ?? batch.records;
    }
  }
  const dataset = await ctx.dataset("enriched", records());
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

/** The batch as the last step that completed it left it. */
async function latestOf(batch: Batch, steps: readonly StepReader[]): Promise<Batch | null> {
  let latest: Batch | null = null;
  for (const step of steps) {
    const result = await step.batch(batch.batch);
    if (result === null) continue;
    if (result.records.length !== batch.records.length) {
      throw new RefusedError(
        "records_lost",
        `batch ${batch.batch} went in with ${batch.records.length} records and came out with ${result.records.length}`,
        { hint: "An agent of the enrichment must give every record back, once and in order." },
      );
    }
    latest = result;
  }
  return latest;
}

/** Results of one step, read in step with the batches: both are in order, and results may be missing. */
class StepReader {
  private readonly results: AsyncIterator<Batch>;
  private ahead: Batch | null = null;
  private ended = false;

  constructor(ctx: Context, result: DatasetRef) {
    this.results = ctx.open<Batch>(result)[Symbol.asyncIterator]();
  }

  async batch(number: number): Promise<Batch | null> {
    while (!this.ended && (this.ahead === null || this.ahead.batch < number)) {
      const { value, done } = await this.results.next();
      if (done === true) this.ended = true;
      else this.ahead = value as Batch;
    }
    return this.ahead?.batch === number ? this.ahead : null;
  }
}

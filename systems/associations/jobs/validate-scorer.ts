/** validation/scorer: how good each record is, and what the set of them looks like. */
import type { Context } from "tenuto";
import { z } from "zod";
import type { AnyRecord } from "../adapters/records.ts";
import { collect, datasetSchema, openRecords, recordsSchema } from "../adapters/records.ts";
import { GRADES, qualityOf } from "../domain/quality/score.ts";
import { SummaryBuilder } from "../domain/quality/summary.ts";
import { steppedRecords } from "./batch-results.ts";
import type { Services } from "./web.ts";

export const scorerInput = z
  .object({
    records: recordsSchema.optional(),
    /** Batches, and the results of the steps over them, instead of `records`. */
    batches: datasetSchema.optional(),
    results: z.array(datasetSchema.nullable()).default([]),
    min_score: z.number().min(0).max(100).default(60),
  })
  .refine(
    ({ records, batches }) => (records === undefined) !== (batches === undefined),
    "give either records or batches",
  );

export const scorerOutput = z.object({
  success: z.literal(true),
  records: recordsSchema,
  records_processed: z.number(),
  distribution: z.record(z.enum(GRADES), z.number()),
  average: z.number().nullable(),
  median: z.number().nullable(),
  /** Records with at least `min_score`. */
  passed: z.number(),
});

type Input = z.infer<typeof scorerInput>;

export function scorer(services: Pick<Services, "now">) {
  return {
    name: "validation/scorer",
    description: "Scores records by completeness, accuracy, freshness and sources",
    version: "1",
    timeoutSeconds: 3600,
    input: scorerInput,
    output: scorerOutput,
    run: (input: Input, ctx: Context) => run(input, ctx, services),
  };
}

async function run(input: Input, ctx: Context, services: Pick<Services, "now">): Promise<z.infer<typeof scorerOutput>> {
  // One time for all records, kept: a second attempt gives the same scores.
  const now = new Date(await ctx.step("scored at", () => services.now().toISOString()));
  const builder = new SummaryBuilder(input.min_score);
  const { batches, results } = input;
  const source =
    batches === undefined ? openRecords(ctx, input.records ?? []) : steppedRecords(ctx, { batches, results });
  async function* scored(): AsyncGenerator<AnyRecord> {
    for await (const record of source) {
      const { score, grade, parts } = qualityOf(record, now);
      const result = { ...record, quality_score: score, quality_grade: grade, quality_parts: parts };
      builder.add(result);
      yield result;
    }
  }
  const records = Array.isArray(input.records) ? await collect(scored()) : await ctx.dataset("scored", scored());
  const { total_records, passed, quality_distribution, average_quality_score, median_quality_score } =
    builder.build(now);
  if (source.unreadable() > 0) ctx.log.warn(`${source.unreadable()} entries are no records and were left out`);
  ctx.log.info(
    `${total_records} records scored, ${passed} with ${input.min_score} or more, average ${average_quality_score}`,
  );
  return {
    success: true,
    records,
    records_processed: total_records,
    distribution: quality_distribution,
    average: average_quality_score,
    median: median_quality_score,
    passed,
  };
}

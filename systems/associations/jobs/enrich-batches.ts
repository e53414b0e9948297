/** enrichment/batches: records cut into batches of a hundred, each small enough to travel from job to job. */
import type { Context, DatasetRef } from "tenuto";
import { z } from "zod";
import type { AnyRecord, RecordSource } from "../adapters/records.ts";
import { fromFiles, openRecords, recordsSchema } from "../adapters/records.ts";

export interface Batch {
  batch: number;
  records: AnyRecord[];
}

export const batchesInput = z
  .object({
    records: recordsSchema.optional(),
    /** A JSONL file, instead of `records`. */
    path: z.string().optional(),
    batch_size: z.number().int().min(1).max(1000).default(100),
  })
  .refine(({ records, path }) => (records === undefined) !== (path === undefined), "give either records or path");

export const batchesOutput = z.object({
  batches: z.custom<DatasetRef>(),
  total: z.number(),
  unreadable: z.number(),
});

type Input = z.infer<typeof batchesInput>;

/** The engine takes results up to a megabyte; enriching adds to each record. */
const MAX_BATCH_CHARACTERS = 200_000;

export function batches() {
  return {
    name: "enrichment/batches",
    description: "Cuts records into batches",
    version: "1",
    input: batchesInput,
    output: batchesOutput,
    run,
  };
}

async function run(input: Input, ctx: Context): Promise<z.infer<typeof batchesOutput>> {
  const source = input.path === undefined ? openRecords(ctx, input.records ?? []) : fromFiles([input.path]);
  let total = 0;
  async function* counted(): AsyncGenerator<Batch> {
    for await (const batch of cutBatches(source, input.batch_size)) {
      total += batch.records.length;
      yield batch;
    }
  }
  const cut = await ctx.dataset("batches", counted());
  const unreadable = source.unreadable();
  if (unreadable > 0) ctx.log.warn(`${unreadable} lines are no records and were left out`);
  return { batches: cut, total, unreadable };
}

/** Batches of at most `size` records; large records make smaller batches. */
export async function* cutBatches(
  source: RecordSource | AsyncIterable<AnyRecord>,
  size: number,
): AsyncGenerator<Batch> {
  let number = 0;
  let records: AnyRecord[] = [];
  let characters = 0;
  for await (const record of source) {
    const length = JSON.stringify(record).length;
    if (records.length === size || (records.length > 0 && characters + length > MAX_BATCH_CHARACTERS)) {
      yield { batch: number++, records };
      records = [];
      characters = 0;
    }
    records.push(record);
    characters += length;
  }
  if (records.length > 0) yield { batch: number, records };
}

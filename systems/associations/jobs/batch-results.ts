/**
 * Records that went through steps over batches: for each batch the result of the last step that completed it, else the batch as it came in.
 *
 * So no fault of a step can drop a record. A step that gave back fewer or more records than it got is refused with its batch.
 */
import type { Context, DatasetRef } from "tenuto";
import type { AnyRecord, RecordSource } from "../adapters/records.ts";
import { RefusedError } from "../domain/errors.ts";
import type { Batch } from "./enrich-batches.ts";

export interface SteppedRecords extends RecordSource {
  /** Records that went through no step, of the latest complete reading. */
  untouched(): number;
}

/** `results`: of the steps in their order, each a dataset of batches; null for one that was left out. */
export function steppedRecords(
  ctx: Context,
  { batches, results }: { batches: DatasetRef; results: readonly (DatasetRef | null)[] },
): SteppedRecords {
  let untouched = 0;
  return {
    unreadable: () => 0,
    untouched: () => untouched,
    async *[Symbol.asyncIterator]() {
      const steps = results.flatMap((result) => (result === null ? [] : [new StepReader(ctx, result)]));
      let count = 0;
      for await (const batch of ctx.open<Batch>(batches)) {
        const latest = await latestOf(batch, steps);
        if (latest === null) count += batch.records.length;
        yield* latest?.records ?? (batch.records as AnyRecord[]);
      }
      untouched = count;
    },
  };
}

async function latestOf(batch: Batch, steps: readonly StepReader[]): Promise<Batch | null> {
  let latest: Batch | null = null;
  for (const step of steps) {
    const result = await step.batch(batch.batch);
    if (result === null) continue;
    if (result.records.length !== batch.records.length) {
      throw new RefusedError(
        "records_lost",
        `batch ${batch.batch} went in with ${batch.records.length} records and came out with ${result.records.length}`,
        { hint: "An agent must give every record of its batch back, once and in order." },
      );
    }
    latest = result;
  }
  return latest;
}

/** Results of one step, read along with the batches: both are in order, and results may be missing. */
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

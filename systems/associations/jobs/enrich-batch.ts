/** What all enriching agents have in common: a batch comes in, the same records go out, each once and in order. */
import type { Context } from "tenuto";
import { z } from "zod";
import type { AnyRecord } from "../adapters/records.ts";
import { recordSchema } from "../adapters/records.ts";
import type { Services } from "./web.ts";

export const batchInput = {
  records: z.array(recordSchema),
  /** Number of the batch; comes out again. */
  batch: z.number().int().min(0).default(0),
  /** Which kind of enrichment is wanted; an agent of another kind gives its records back as they are. */
  enrichment: z.enum(["all", "firmographic", "techstack", "contacts"]).default("all"),
};

export const batchOutput = {
  success: z.literal(true),
  batch: z.number(),
  records: z.array(recordSchema),
  records_processed: z.number(),
};

export type EnrichServices = Pick<Services, "now"> & { env?: Readonly<Record<string, string | undefined>> };

/** The variables that keys are read from. */
export function environmentOf(services: { env?: EnrichServices["env"] }): NonNullable<EnrichServices["env"]> {
  return services.env ?? process.env;
}

/** One time for a batch, kept: a second attempt does not change it. */
export async function timeOf(ctx: Context, services: EnrichServices): Promise<string> {
  return await ctx.step("enriched at", () => services.now().toISOString());
}

/**
 * Every record through `work`, a few at a time, results in the order of the records. A record whose work throws ends the batch: what is no
 * trouble of a provider is a fault that must be seen.
 */
export async function eachRecord(
  ctx: Context,
  records: readonly AnyRecord[],
  work: (record: AnyRecord) => Promise<AnyRecord>,
  { concurrency = 4 }: { concurrency?: number } = {},
): Promise<AnyRecord[]> {
  const results = new Array<AnyRecord>(records.length);
  let next = 0;
  let done = 0;
  const run = async () => {
    for (let at = next++; at < records.length; at = next++) {
      ctx.signal.throwIfAborted();
      results[at] = await work(records[at]!);
      ctx.progress(++done, records.length);
    }
  };
  const all = await Promise.allSettled(Array.from({ length: Math.min(concurrency, records.length) }, run));
  const failed = all.find((one) => one.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  return results;
}

/** True when this kind is wanted. */
export function isWanted(wanted: string, kind: string): boolean {
  return wanted === "all" || wanted === kind;
}

/** A share, 0 for none of none. */
export function rate(part: number, whole: number): number {
  return whole === 0 ? 0 : Number((part / whole).toFixed(4));
}

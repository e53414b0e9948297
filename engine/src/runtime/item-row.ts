/** What an item's outcome becomes in the ledger, by the job's policy: an end, or a later try. */
import { errorJson, type ItemRow } from "../core/decision.ts";
import type { JobSeq } from "../core/model.ts";
import { retriesExhausted, retryDelayMs } from "../core/retry.ts";
import type { ResolvedJob } from "./definitions.ts";
import type { ItemOutcome, ItemTask } from "./item-work.ts";

interface Circumstances {
  policy: ResolvedJob["policy"];
  now: number;
  /** False while the work is being stopped: what has failed stays so. */
  mayRetry: boolean;
}

/** With a `dueAt`, the item is tried again then. */
export function rowOf(
  job: JobSeq,
  { ordinal, attempt }: Pick<ItemTask, "ordinal" | "attempt">,
  outcome: Exclude<ItemOutcome, { kind: "stopped" }>,
  { policy, now, mayRetry }: Circumstances,
): ItemRow {
  const base = { job, ordinal, attempts: attempt, result: null, error: null, dueAt: null, endedAt: now };
  if (outcome.kind === "completed") return { ...base, state: "completed", result: outcome.json };
  if (outcome.kind === "skipped")
    return {
      ...base,
      state: "skipped",
      error: errorJson({ category: "skippable", code: "skipped", message: outcome.reason }),
    };
  const { error } = outcome;
  const row = { ...base, error: errorJson(error) };
  if (error.category === "skippable") return { ...row, state: "skipped" };
  if (error.category !== "retryable" || !mayRetry) return { ...row, state: "failed" };
  if (retriesExhausted(policy.retry, attempt))
    return { ...row, state: policy.onExhausted === "skip" ? "skipped" : "failed" };
  const dueAt = now + retryDelayMs(policy.retry, attempt, `${job}/${ordinal}`, error.retryAfterMs);
  return { ...row, state: "pending", dueAt, endedAt: null };
}

/** Records in batches of this size, each a list. */
export function chunk(raw: readonly string[], size: number): string[] {
  const batches: string[] = [];
  for (let at = 0; at < raw.length; at += size) batches.push(`[${raw.slice(at, at + size).join(",")}]`);
  return batches;
}

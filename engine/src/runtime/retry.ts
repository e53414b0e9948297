/**
 * What a person chose to retry, as rows: ids become numbers, items are looked up with how they ended.
 *
 * Invariants: (1) whatever names nothing that can be retried is refused, all of it at once; (2) what was looked up counts
 * only as long as the run's row is the same.
 */

import { TenutoError } from "../core/errors.ts";
import type { ChosenItems } from "../core/fanout.ts";
import type { ItemState } from "../core/model.ts";
import type { RetryChoice } from "../core/reopen-choice.ts";
import type { JobRecord, Ledger, RunRecord } from "../ports/ledger.ts";

/** Jobs, and items of fan-outs by their ordinals. */
export interface RetryRequest {
  jobs?: readonly string[];
  items?: readonly { job: string; ordinals: readonly number[] }[];
}

const MOST_ITEMS = 10_000;
const PAGE = 1_000;
const ENDED: readonly ItemState[] = ["failed", "skipped", "cancelled"];

/** Null for an empty request: everything that did not complete. @throws invalid_input, not_found */
export async function choiceOf(
  ledger: Ledger,
  run: RunRecord,
  request: RetryRequest,
  jobOf: (id: string) => Promise<JobRecord>,
): Promise<RetryChoice | null> {
  const { jobs = [], items = [] } = request;
  if (jobs.length === 0 && items.length === 0) return null;
  const chosen: RetryChoice = { rowVersion: run.rowVersion, jobs: [], items: [] };
  const numbers = new Set<number>();
  for (const id of jobs) numbers.add((await jobOf(id)).seq);
  const parts: ChosenItems[] = [];
  for (const { job: id, ordinals } of items) {
    const job = await jobOf(id);
    if (numbers.has(job.seq)) continue;
    if (parts.some((part) => part.job === job.seq))
      throw new TenutoError("invalid_input", `job ${id} is named more than once among the items`);
    parts.push(
      await itemsOf(
        ledger,
        job,
        [...new Set(ordinals)].sort((a, b) => a - b),
      ),
    );
  }
  return { ...chosen, jobs: [...numbers], items: parts };
}

async function itemsOf(ledger: Ledger, job: JobRecord, ordinals: readonly number[]): Promise<ChosenItems> {
  if (job.kind === "single")
    throw new TenutoError("invalid_input", `job ${job.id} has no items`, { hint: "Choose the job itself." });
  if (ordinals.length === 0 || ordinals.length > MOST_ITEMS)
    throw new TenutoError("invalid_input", `of job ${job.id} between 1 and ${MOST_ITEMS} items may be chosen`);
  const wanted = new Set(ordinals);
  let failed = 0;
  for (let from = ordinals[0] as number; ; ) {
    const to = (ordinals.at(-1) as number) + 1;
    const rows = await ledger.items(job.seq, { states: ENDED, from, to, limit: PAGE });
    for (const row of rows) if (row.attempts > 0 && wanted.delete(row.ordinal) && row.state === "failed") failed += 1;
    if (rows.length < PAGE) break;
    from = rows.at(-1)!.ordinal + 1;
  }
  if (wanted.size > 0)
    throw new TenutoError(
      "invalid_input",
      `items of job ${job.id} did not fail, were not skipped, or were never begun: ${[...wanted].slice(0, 10).join(", ")}`,
      { hint: "Choose among those that failed or were skipped.", details: { ordinals: [...wanted].slice(0, 100) } },
    );
  return { job: job.seq, ordinals, failed };
}

/**
 * The order in which claimable jobs are taken: one number per job, the smaller first.
 *
 * Owner: core. A job's rank is the time it became ready plus a delay that depends on its priority. Ageing needs no
 * sweep and no rewriting of rows: a low job that has waited 5 minutes ranks before a high job that becomes ready now,
 * so nothing starves.
 *
 * 1. Within one priority, ranks follow the order in which jobs became ready.
 * 2. A job is overtaken only by jobs that became ready less than the difference of the delays after it.
 * 3. The rank is fixed when the job becomes ready; a retry counts from the time it is due again.
 * 4. A job counts as ready up to half a minute earlier, but not before its run was created: started runs are finished
 *    before later ones are begun, yet a long run can't hold them up for long.
 */
import { PRIORITY_DELAY_MS, SENIORITY_MS } from "./limits.ts";
import type { Priority } from "./model.ts";

/** The rank of a job that is ready (or due) at `readyAtMs`. */
export function rankOf(priority: Priority, readyAtMs: number): number {
  return readyAtMs + PRIORITY_DELAY_MS[priority];
}

/** The rank of a job of a run that was created at `runCreatedAtMs`. */
export function rankInRun(priority: Priority, readyAtMs: number, runCreatedAtMs: number): number {
  return rankOf(priority, Math.max(readyAtMs - SENIORITY_MS, Math.min(readyAtMs, runCreatedAtMs)));
}

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
 */
import { PRIORITY_DELAY_MS } from "./limits.ts";
import type { Priority } from "./model.ts";

/** The rank of a job that is ready (or due) at `readyAtMs`. */
export function rankOf(priority: Priority, readyAtMs: number): number {
  return readyAtMs + PRIORITY_DELAY_MS[priority];
}

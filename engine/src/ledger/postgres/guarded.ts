/**
 * A step that comes alone is saved by one statement, guarded by the lease, without a transaction around it.
 *
 * Invariant: a step is saved here only while the job is held under the lease it came with.
 */
import type { Change } from "../../ports/ledger.ts";
import type { Database } from "./connection.ts";
import { PUT_STEP_GUARDED } from "./save.ts";

/** False if it has to go the usual way, which says how the lease was lost. */
export async function saveGuarded(database: Database, { guardedStep }: Change): Promise<boolean> {
  if (guardedStep === undefined) return false;
  const { lease, row } = guardedStep;
  const { job, item, key, inputHash, output, startedAt, endedAt } = row;
  const values = [job, item, key, inputHash, output, startedAt, endedAt, lease.epoch, lease.boot];
  try {
    const [rows] = await database.pipeline([{ name: "put_step_guarded", sql: PUT_STEP_GUARDED, values }]);
    return rows?.length === 1;
  } catch {
    return false;
  }
}

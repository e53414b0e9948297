/** Port: reads about what models were asked and what it cost. Writes are changes, as everywhere. */
import type { RunUsageRow, UsageRow } from "../core/budget.ts";
import type { JobSeq, RunSeq } from "../core/model.ts";

export interface UsageReads {
  /** Totals of a run; null if no model was asked. */
  runUsage(run: RunSeq): Promise<RunUsageRow | null>;
  /** Calls of a run, or of one job of it, in the order in which they began. */
  usage(run: RunSeq, job?: JobSeq): Promise<UsageRow[]>;
}

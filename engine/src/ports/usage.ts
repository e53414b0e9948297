/** Port: reads about what models were asked and what it cost. Writes are changes, as everywhere. */
import type { RunUsageRow, UsageRow } from "../core/budget.ts";
import type { JobSeq, RunSeq } from "../core/model.ts";

export interface AgentUsage {
  agent: string;
  calls: number;
  inputTokens: number;
  outputTokens: number;
  /** In millionths of the unit. */
  cost: number;
}

export interface UsageReads {
  /** Totals of a run; null if no model was asked. */
  runUsage(run: RunSeq): Promise<RunUsageRow | null>;
  /** Calls of a run, or of one job of it, in the order in which they began. */
  usage(run: RunSeq, job?: JobSeq): Promise<UsageRow[]>;
  /** Totals of each agent over all runs after this one. */
  usageByAgent(after: RunSeq): Promise<AgentUsage[]>;
}

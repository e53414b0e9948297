/** Port: reads about people's part in a run. Writes are changes, as everywhere. */
import type { JobSeq, RunSeq } from "../core/model.ts";
import type { ApprovalRow, ApprovalState, GateRow } from "../core/records.ts";

export interface ApprovalFilter {
  run?: RunSeq;
  job?: JobSeq;
  state?: ApprovalState;
  /** Default 1,000. */
  limit?: number;
}

export interface ApprovalReads {
  approval(id: string): Promise<ApprovalRow | null>;
  /** Oldest first. */
  approvals(filter?: ApprovalFilter): Promise<ApprovalRow[]>;
  /** Verdicts of a run in the order in which they were given. */
  gates(run: RunSeq): Promise<GateRow[]>;
}

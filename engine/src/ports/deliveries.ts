/** Port: reads of deliveries, and of what notifiers are to tell people about. Writes are changes, as everywhere. */
import type { DeliveryRow, DeliveryState } from "../core/delivery.ts";
import type { RunRow, RunSeq } from "../core/model.ts";
import type { ApprovalRow } from "../core/records.ts";

export interface DeliveryFilter {
  notifier?: string;
  run?: number;
  state?: DeliveryState;
  /** Default 100. */
  limit?: number;
}

export interface DeliveryReads {
  delivery(id: string): Promise<DeliveryRow | null>;
  /** The newest first. */
  deliveries(filter?: DeliveryFilter): Promise<DeliveryRow[]>;
  /** Deliveries of these notifiers that may be sent now, the longest due first; and when the next one is due. */
  dueDeliveries(
    notifiers: readonly string[],
    at: number,
    limit: number,
  ): Promise<{ due: string[]; nextAt: number | null }>;
  /** Runs after a number that ended at or after a time, in the order of their numbers. Looks at all of them. */
  endedRuns(after: RunSeq, since: number, limit: number): Promise<RunRow[]>;
  /** Runs after a number that have not ended, in the order of their numbers. Looks at all of them. */
  openRuns(after: RunSeq, limit: number): Promise<RunRow[]>;
  /** Runs after a number, in the order of their numbers. */
  runsAfter(after: RunSeq, limit: number): Promise<RunRow[]>;
  /** Those of these runs that are still kept. */
  runsNumbered(runs: readonly RunSeq[]): Promise<RunRow[]>;
  /** Approvals opened at or after a time that nobody has decided. */
  openApprovals(since: number, limit: number): Promise<ApprovalRow[]>;
}

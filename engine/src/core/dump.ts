/** A whole ledger, or whole runs of it, as plain rows: what the invariants are checked on. Owner: core. */
import type { AttemptRow, EdgeRow, ItemRow } from "./decision.ts";
import type { BootRow, FanoutRow, JobRow, JobSeq, RunRow, RunSeq, StageRow, WindowRow } from "./model.ts";
import type { ApprovalState } from "./records.ts";

export interface DumpedEvent {
  run: RunSeq;
  seq: number;
  at: number;
  name: string;
  job: string | null;
}

export interface DumpedHold {
  limiter: string;
  key: string;
  job: JobSeq;
  epoch: number;
  item: number;
}

/** A whole ledger, or whole runs of it, as rows. */
export interface Dump {
  runs: readonly RunRow[];
  stages: readonly StageRow[];
  jobs: readonly JobRow[];
  attempts: readonly AttemptRow[];
  fanouts: readonly FanoutRow[];
  windows: readonly WindowRow[];
  items: readonly ItemRow[];
  events: readonly DumpedEvent[];
  edges: readonly EdgeRow[];
  holds: readonly DumpedHold[];
  boots: readonly BootRow[];
  approvals: readonly { id: string; job: JobSeq; state: ApprovalState }[];
  propagations: readonly { run: RunSeq; kind: string; subject: number }[];
}

/** Everything that belongs to one run, for its checks. */
export interface RunDump {
  run: RunRow;
  /** False while consequences are still to be worked off: what follows from them is not checked. */
  calm: boolean;
  stages: StageRow[];
  jobs: JobRow[];
  events: DumpedEvent[];
  say(problem: string): void;
}

export const groupBy = <T>(rows: readonly T[], key: (row: T) => number): Map<number, T[]> => {
  const groups = new Map<number, T[]>();
  for (const row of rows) {
    const found = groups.get(key(row));
    if (found === undefined) groups.set(key(row), [row]);
    else found.push(row);
  }
  return groups;
};

const ENDS = ["completed", "failed", "skipped", "cancelled"];
export const ended = (job: JobRow): boolean => ENDS.includes(job.state);

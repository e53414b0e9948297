/** From the tables of any ledger, as they are, to a dump. Owner: testing. */
import type { AttemptRow } from "../core/decision.ts";
import type { Dump } from "../core/dump.ts";
import type { JobRow } from "../core/model.ts";

const EVENT_SPAN = 2 ** 24;

/** Columns of payloads, which no invariant is about. */
export const HEAVY_COLUMNS: ReadonlySet<string> = new Set(["params", "output", "document", "data", "result", "labels"]);

export const camelCase = (column: string): string =>
  column.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** Tables that a dump is made of. */
export const DUMPED_TABLES = [
  "run",
  "stage",
  "job",
  "attempt",
  "fanout",
  "item_window",
  "item",
  "event",
  "dependency",
  "hold",
  "boot",
  "approval",
  "propagation",
] as const;

/** The last attempt of a job that ended well is told by the job's own row. */
function lastAttempt(job: JobRow): AttemptRow[] {
  if (job.attemptBoot === null || job.endedAt === null) return [];
  const { seq, attempt, epoch, attemptBoot, startedAt, endedAt } = job;
  const times = { startedAt: startedAt ?? endedAt, endedAt };
  return [{ job: seq, number: attempt, epoch, boot: attemptBoot, state: "completed", ...times, error: null }];
}

/** `table` gives all rows of a table with their columns in camel case. */
export function dumpOf(table: <T>(name: (typeof DUMPED_TABLES)[number]) => T[]): Dump {
  const jobs = table<JobRow>("job");
  const edges = table<{ source: number; target: number; type: string }>("dependency").map((row) => ({
    from: row.source,
    to: row.target,
    on: row.type,
  }));
  const events = table<Dump["events"][number] & { id: number; seq?: number }>("event").map((row) => ({
    ...row,
    seq: row.seq ?? row.id - row.run * EVENT_SPAN,
  }));
  return {
    runs: table("run"),
    stages: table("stage"),
    jobs,
    attempts: [...table<AttemptRow>("attempt"), ...jobs.flatMap(lastAttempt)],
    fanouts: table("fanout"),
    windows: table("item_window"),
    items: table("item"),
    events,
    edges: edges as Dump["edges"],
    holds: table("hold"),
    boots: table("boot"),
    approvals: table("approval"),
    propagations: table("propagation"),
  };
}

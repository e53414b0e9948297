/**
 * The nouns of the ledger and their states, as the core sees them: narrow rows that decisions need, without payloads.
 *
 * Owner: core. Ledgers map these rows to their columns one to one (see ledger/<x>/rows.ts). Times are milliseconds
 * since the Unix epoch and come in through events; a `seq` is a ledger-wide number, an `id` is what people read.
 */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export type RunState = "pending" | "running" | "waiting" | "completed" | "failed" | "cancelled";
export type JobState = "pending" | "ready" | "running" | "waiting" | "completed" | "failed" | "skipped" | "cancelled";
export type ItemState = "pending" | "running" | "completed" | "failed" | "skipped" | "cancelled";
export type AttemptState = "running" | "completed" | "failed" | "lost" | "stopped";
export type StageState = "pending" | "running" | "completed" | "failed" | "skipped" | "cancelled";
export type DependencyType = "success" | "failure" | "always";
export type Priority = "high" | "normal" | "low";

export type RunSeq = number;
export type JobSeq = number;
export type BootSeq = number;

/** A run's header: everything a decision about any of its jobs may need, and nothing that grows with the run. */
export interface RunRow {
  seq: RunSeq;
  id: string;
  pipeline: string;
  /** Hash of the definition that the run began with. */
  version: string;
  state: RunState;
  priority: Priority;
  stageCount: number;
  jobCount: number;
  /** Jobs without an end. */
  openJobs: number;
  /** Jobs `ready` or `running`, and fan-outs with open items. When 0 while jobs are open, the run is `waiting`. */
  liveJobs: number;
  /** Jobs `waiting` for a time, a child or a person. When this is 0 too while jobs are open, the run is deadlocked. */
  waitingJobs: number;
  /** Failed jobs that are not marked `allowFailure`. */
  failedJobs: number;
  /** Jobs spawned by jobs, for the cap. */
  spawnedJobs: number;
  /** Seq of the first declared job; declared jobs are numbered without gaps in the document's order. */
  firstJob: JobSeq;
  /** Durable propagation rows of this run that are still to be worked off. */
  propagating: number;
  /** Number of the last event of this run. */
  eventSeq: number;
  concurrencyKey: string | null;
  createdAt: number;
  startedAt: number | null;
  endedAt: number | null;
  cancelRequestedAt: number | null;
  haltedAt: number | null;
  /** The run that this one comes from: a rollback or a rerun of it. */
  origin: RunSeq | null;
  /** JSON of a RunVariant, for a run that is not an ordinary one. */
  variant: string | null;
  /** Grows with each save; every save is a compare-and-set on it. */
  rowVersion: number;
}

/** How a run differs from an ordinary one. */
export interface RunVariant {
  relation?: "rollback" | "rerun" | "import";
  /** Jobs that write outside are planned, not run. */
  dryRun?: true;
  /** Jobs of its pipeline that were left out at its start. */
  excluded?: string[];
  [more: string]: Json | undefined;
}

export function variantOf(run: RunRow): RunVariant {
  return run.variant === null ? {} : (JSON.parse(run.variant) as RunVariant);
}

export function isDryRun(run: RunRow): boolean {
  return run.variant !== null && variantOf(run).dryRun === true;
}

/** Counters of one stage: the barrier that jobs of the next stage wait for. */
export interface StageRow {
  run: RunSeq;
  ordinal: number;
  name: string;
  /** Seq of the stage's first declared job, and how many are declared. */
  firstJob: JobSeq;
  declared: number;
  /** Jobs of this stage, spawned ones included. */
  total: number;
  /** Jobs with an end. */
  settled: number;
  completed: number;
  /** Failed without `allowFailure`. */
  failed: number;
  skipped: number;
  cancelled: number;
  /** 1 if a stage before failed, so that this one cannot settle well. */
  tainted: 0 | 1;
}

/** How a job gets its work done. `map` is a fan-out whose closure lives in its parent's process. */
export type JobKind = "single" | "fanout" | "map";

export interface JobRow {
  seq: JobSeq;
  run: RunSeq;
  id: string;
  stage: number;
  kind: JobKind;
  /** The agent that a worker must offer, with its declared version: `layer/name` or `layer/name@version`. */
  agent: string;
  state: JobState;
  priority: Priority;
  allowFailure: 0 | 1;
  /** Dependencies, and the stage barrier, that are not yet satisfied. */
  blockers: number;
  /** 1 if the job waits for the stage before. */
  barrier: 0 | 1;
  /** 1 if some job depends on this one. */
  hasDependents: 0 | 1;
  parent: JobSeq | null;
  depth: number;
  /** Children spawned so far, for the cap. */
  children: number;
  openChildren: number;
  /** Approvals of this job that nobody has decided yet. */
  approvals: number;
  /** 1 while a worker may claim this job or a window of it. */
  claimable: 0 | 1;
  /** Order among claimable jobs: the smaller goes first. Priority with ageing, see schedule.ts. */
  rank: number;
  /** Earliest time of the next claim (`ready`) or of the wake (`waiting`). */
  dueAt: number | null;
  attempt: number;
  failures: number;
  crashes: number;
  /** 1 while limiters count this job, or an item of it, as a holder. */
  holding: 0 | 1;
  /** Fencing number of the present claim; every report must carry it. */
  epoch: number;
  /** The worker boot that holds the lease. */
  boot: BootSeq | null;
  /**
   * The boot of the attempt that this row describes: the one under way, or the one with which the job ended. Null when the
   * last attempt has a row of its own. Most jobs have one attempt, and so need no other row for it.
   */
  attemptBoot: BootSeq | null;
  readyAt: number | null;
  /** Start of the first attempt. */
  firstStartedAt: number | null;
  /** Start of the present or last attempt. */
  startedAt: number | null;
  endedAt: number | null;
  cancelRequestedAt: number | null;
  /** Why the job was skipped, waits or was cancelled: a word, with an id after a colon where one helps. */
  reason: string | null;
  /** Grows with each save; every save is a compare-and-set on it. */
  rowVersion: number;
}

/** Counters and position of a fan-out; constant size however many items there are. */
export interface FanoutRow {
  job: JobSeq;
  /** SHA-256 of the dataset that holds the fixed list. */
  source: string;
  /** Items; with `batch`, an item is one batch. */
  total: number;
  /** The first ordinal that no window has been cut from yet. */
  cursor: number;
  concurrency: number;
  /** Part of `concurrency` that windows hold at present. */
  slotsUsed: number;
  /** Windows that a worker holds. */
  leased: number;
  /** Where to look for the next reopened item; null when there is none left to lease. */
  retryCursor: number | null;
  /** Windows of this fan-out that no worker holds. */
  released: number;
  /** Fencing number of the last window. */
  windowEpoch: number;
  windowSize: number;
  completed: number;
  failed: number;
  skipped: number;
  /** Skipped because an earlier item has the same key; not an error. */
  duplicates: number;
  /** Share of failed and skipped items above which the job fails. */
  errorRate: number;
  /** 1 once the error rate cannot be met any more: no new windows. */
  stopped: 0 | 1;
  lastOrdinal: number | null;
  /** When progress was last published as an event. */
  progressAt: number;
}

/** A range [start, stop) of a fan-out's items leased to one boot. */
export interface WindowRow {
  job: JobSeq;
  start: number;
  stop: number;
  /** Items of the range that have no end yet. */
  open: number;
  epoch: number;
  boot: BootSeq | null;
  /** Items that the holder may have at work at the same time, over all its windows of this job; 0 in all but one of them. */
  slots: number;
}

/** One process start. Its heartbeat stands for all leases that it holds. */
export interface BootRow {
  seq: BootSeq;
  id: string;
  host: string;
  /** The kernel's boot id of that host and, after a slash, the namespace of its pids; empty where the system has none. */
  machine: string;
  pid: number;
  /** Start time of the process in the unit of the operating system; identifies it together with pid and machine. */
  pidStart: string;
  startedAt: number;
  heartbeatAt: number;
  state: "alive" | "stopped" | "dead";
}

export const RUN_ENDS: readonly RunState[] = ["completed", "failed", "cancelled"];
export const JOB_ENDS: readonly JobState[] = ["completed", "failed", "skipped", "cancelled"];

export function isRunEnd(state: RunState): boolean {
  return state === "completed" || state === "failed" || state === "cancelled";
}

export function isJobEnd(state: JobState): boolean {
  return state === "completed" || state === "failed" || state === "skipped" || state === "cancelled";
}

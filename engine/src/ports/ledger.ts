/**
 * Port: the durable record. One way to write, `apply`; SQL loads, saves and claims, it never decides.
 *
 * A change is a selector (data) and a pure synchronous `decide`, which may run again after a conflict. Changes that arrive
 * together are committed together; a rejected change is undone alone; the promise settles after the commit.
 */
import type { ArtifactRow, AttemptRow, ItemRow, LimiterState, Slice, StepRow, Verdict } from "../core/decision.ts";
import type { WindowChoice } from "../core/fanout.ts";
import type { Lease } from "../core/job.ts";
import type {
  BootRow,
  BootSeq,
  FanoutRow,
  ItemState,
  JobRow,
  JobSeq,
  JobState,
  RunRow,
  RunSeq,
  RunState,
  StageRow,
  WindowRow,
} from "../core/model.ts";
import type { RecordSlice, RecordTable } from "../core/records.ts";
import type { ReopenSlice } from "../core/reopen.ts";
import type { Numbers, StartSlice } from "../core/run.ts";
import type { EventRow, Hints } from "../core/unit.ts";
import type { ApprovalReads } from "./approvals.ts";
import type { ArtifactReads } from "./artifacts.ts";
import type { AuditReads } from "./audit.ts";
import type { DeliveryReads } from "./deliveries.ts";
import type { FeedReads } from "./feed.ts";
import type { ScheduleReads } from "./schedules.ts";
import type { TemplateReads } from "./templates.ts";
import type { TokenReads } from "./tokens.ts";
import type { UsageReads } from "./usage.ts";

export interface SliceOf {
  /** A new run: what its keys find. */
  start: StartSlice;
  run: { run: RunRow };
  job: Slice;
  child: Slice & { parent: JobRow | null };
  /** Only the job itself, for writes that change no state. */
  lease: { job: JobRow };
  spawn: Slice & { twin: JobRow | null };
  window: Slice;
  nextWindow: Slice & { choice: WindowChoice };
  limiter: { state: LimiterState | null; job: JobRow | null; window: WindowRow | null; holders: number };
  /** Which ordinal of this job has each key. */
  itemKeys: { job: JobRow; owners: (number | null)[] };
  reopen: ReopenSlice;
  /** Records by id, and the job that they belong to. */
  records: RecordSlice<any>;
  jobRecords: Slice & RecordSlice<any>;
}

export type Selector =
  | { kind: "start"; idempotencyKey: string | null; concurrencyKey: string | null; origin: RunSeq | null }
  | { kind: "run"; run: RunSeq }
  | { kind: "job"; job: JobSeq }
  | { kind: "child"; job: JobSeq }
  | { kind: "lease"; job: JobSeq }
  | { kind: "spawn"; job: JobSeq; stage: number | null; childId: string }
  | { kind: "window"; job: JobSeq; start: number }
  | { kind: "nextWindow"; job: JobSeq; held: number | null }
  | { kind: "limiter"; name: string; key: string; job: JobSeq | null; window: number | null }
  | { kind: "itemKeys"; job: JobSeq; scope: number; hashes: readonly Uint8Array[] }
  | { kind: "reopen"; run: RunSeq }
  | { kind: "records"; of: readonly RecordName[] }
  | { kind: "jobRecords"; job: JobSeq; of: readonly RecordName[] };

export interface RecordName {
  table: RecordTable;
  id: string;
}

export interface Change<K extends keyof SliceOf = keyof SliceOf, R = unknown> {
  select: Selector & { kind: K };
  decide(slice: SliceOf[K], at: number, numbers: Numbers): Verdict<R>;
  /** The whole effect of this change, if it is one step under a lease: may be saved by one guarded statement. */
  guardedStep?: { lease: Lease; row: StepRow };
}

/** What a worker asks for: at most this much of what it offers. */
export interface ClaimRequest {
  boot: BootSeq;
  /** Free slots. A job takes one, and so does the work on one fan-out, whatever its own concurrency. */
  slots: number;
  /** Items of one fan-out that this worker would have at work at the same time. */
  itemSlots: number;
  offers(agent: string): boolean;
  /** Fan-outs that are left to other workers just now. */
  leaves?(job: JobSeq): boolean;
  /** Grows when `offers` may answer otherwise than before. */
  offersVersion: number;
  /** Only jobs of this run; null takes any. */
  run: RunSeq | null;
  /** Jobs that have crashed a worker before run one at a time: whether one may be claimed now. */
  suspects: boolean;
}

export interface Claimed {
  run: RunRow;
  job: JobRow;
  window: { start: number; stop: number; epoch: number; slots: number; hasRows: boolean } | null;
}

export interface RunRecord extends RunRow {
  params: string;
  idempotencyKey: string | null;
}

export interface JobRecord extends JobRow {
  output: string | null;
  error: string | null;
}

export interface RunFilter {
  states?: readonly RunState[];
  pipeline?: string;
  /** Runs with a smaller seq. */
  before?: RunSeq;
  limit: number;
}

export interface PruneResult {
  runs: number;
  jobs: number;
  items: number;
  /** Ids of the runs, so that their files can go too. */
  ids: string[];
}

export interface Ledger
  extends UsageReads,
    ApprovalReads,
    ArtifactReads,
    TemplateReads,
    ScheduleReads,
    DeliveryReads,
    TokenReads,
    AuditReads,
    FeedReads {
  /** Commits a change, together with whatever else has arrived. @throws TenutoError with the code of a rejection. */
  apply<K extends keyof SliceOf, R>(change: Change<K, R>): Promise<R>;
  /** Adds a claim to the next commit. With `only`, the claim is made when that commit happens anyway. */
  claim(request: ClaimRequest): Promise<Claimed[]>;
  /**
   * Called before each commit that may make jobs claimable, so that a worker's claim can travel with it. `reserved` slots are for
   * what the next commit will make ready. Returns how to stop.
   */
  onBeforeCommit(hook: (reserved?: number) => ClaimTicket | null): () => void;
  onCommit(listener: (hints: Hints) => void): () => void;
  /** Called when another process has written, at most every 250 ms. */
  onForeignWrite(listener: () => void): () => void;

  /** Moves jobs whose time has come; returns when the next one is due. */
  dueJobs(limit: number): Promise<{ due: JobSeq[]; nextAt: number | null }>;
  now(): number;

  // boots and leases
  registerBoot(boot: Omit<BootRow, "seq" | "heartbeatAt" | "state">): Promise<BootSeq>;
  /**
   * Starts a thread that writes the boot's heartbeat every `everyMs`, as long as `tick` is called at least every `stallMs`.
   * `onDead` is called when the boot has been declared dead.
   */
  keepAlive(boot: BootSeq, options: { everyMs: number; stallMs: number; onDead: () => void }): KeepAlive;
  boots(state?: BootRow["state"]): Promise<BootRow[]>;
  /** Says which agents a worker takes, in the place of what it said before. */
  putOffers(boot: BootSeq, agents: readonly string[]): Promise<void>;
  /** What the workers that are alive take; null for one that has not said so. */
  offers(): Promise<{ boot: BootSeq; agents: string[] | null }[]>;
  /** Boots that have ended, however, and still hold leases or programs. */
  abandoned(): Promise<BootRow[]>;
  /** With `heartbeatAt`, only if that is still its last heartbeat. */
  endBoot(boot: BootSeq, state: "stopped" | "dead", heartbeatAt?: number): Promise<void>;
  leasesOf(boot: BootSeq, limit: number): Promise<{ jobs: JobSeq[]; windows: WindowRow[] }>;
  forgetProcess(marker: string): Promise<void>;
  processesOf(boot: BootSeq): Promise<{ pid: number; pidStart: string; marker: string; job: JobSeq; epoch: number }[]>;

  // definitions
  putDefinition(version: string, name: string, document: string): Promise<void>;
  definition(version: string): Promise<string | null>;

  // reads
  run(seq: RunSeq): Promise<RunRecord | null>;
  /** Of these runs, those that are being cancelled or halted; in one question, whatever their number. */
  runsToStop(runs: readonly RunSeq[]): Promise<{ seq: RunSeq; cancelRequestedAt: number | null }[]>;
  runById(id: string): Promise<RunRecord | null>;
  runs(filter: RunFilter): Promise<RunRecord[]>;
  runStates(): Promise<Record<RunState, number>>;
  stages(run: RunSeq): Promise<StageRow[]>;
  job(seq: JobSeq): Promise<JobRecord | null>;
  /** How a job ended, without the rest of its row. */
  outcome(seq: JobSeq): Promise<{ state: JobState; output: string | null; error: string | null } | null>;
  jobs(run: RunSeq, filter?: { states?: readonly JobState[]; after?: JobSeq; limit?: number }): Promise<JobRecord[]>;
  childOf(parent: JobSeq, id: string): Promise<JobRecord | null>;
  children(parent: JobSeq): Promise<JobRecord[]>;
  spec(job: JobSeq): Promise<string | null>;
  attempts(job: JobSeq): Promise<AttemptRow[]>;
  fanout(job: JobSeq): Promise<FanoutRow | null>;
  items(
    job: JobSeq,
    filter: { states?: readonly ItemState[]; from?: number; to?: number; limit: number },
  ): Promise<ItemRow[]>;
  windows(job: JobSeq): Promise<WindowRow[]>;
  step(job: JobSeq, item: number, key: string): Promise<StepRow | null>;
  steps(job: JobSeq, item?: number): Promise<StepRow[]>;
  /** When the first steps of a job were, without what they gave: there may be many, and large ones. */
  stepTimes(job: JobSeq, limit: number): Promise<Pick<StepRow, "item" | "key" | "startedAt" | "endedAt">[]>;
  events(run: RunSeq, after: number, limit: number): Promise<EventRow[]>;
  limiters(): Promise<LimiterState[]>;
  artifacts(run: RunSeq): Promise<ArtifactRow[]>;
  dataset(sha256: string): Promise<{ count: number; bytes: number; stride: number; offsets: Uint8Array } | null>;
  cached(pipeline: string, key: string): Promise<{ job: JobSeq; at: number; output: string } | null>;
  /** Where an item's key has been seen, newest first. */
  itemsByKey(scope: number, hash: Uint8Array, limit: number): Promise<{ job: JobSeq; ordinal: number }[]>;
  /** Runs that have stood still with open jobs, for the deadlock check. */
  standing(limit: number): Promise<RunSeq[]>;
  /** The rollback of a run, if there is one. */
  rollbackOf(run: RunSeq): Promise<{ seq: RunSeq; id: string; state: RunState } | null>;
  /** Runs that come from this one, the newest first. */
  successors(run: RunSeq): Promise<RunRecord[]>;
  /** Agents that `ready` jobs ask for. */
  readyAgents(): Promise<string[]>;

  // upkeep
  backup(file: string): Promise<void>;
  prune(olderThan: number, limit: number): Promise<PruneResult>;
  /** Forgets how a dataset is read; its object is gone. */
  forgetDataset(sha256: string): Promise<void>;
  /** Whether a row stands for this object: an artifact, or the list of a fan-out. */
  referenced(sha256: string): Promise<boolean>;
  check(): Promise<{ ok: boolean; problems: string[] }>;
  info(): Promise<{ path: string; schema: number; bytes: number; engine: string }>;
  close(): Promise<void>;
}

export interface KeepAlive {
  /** Says that the main loop is alive. */
  tick(): void;
  stop(): Promise<void>;
}

/** A claim that is to travel with the next commit. */
export interface ClaimTicket {
  request: ClaimRequest;
  /** Called after the commit; with an empty list after a failed one. */
  done(claimed: Claimed[]): void;
}

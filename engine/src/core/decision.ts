/**
 * What a decision is made of: the slice it looks at, the patches and effects it answers with, or a rejection.
 *
 * Owner: core. Decisions are pure: rows that come in are never changed; a patch names the columns that change, an effect
 * names a row to be written in the same transaction or a consequence (a cascade) to be decided next.
 */
import type { ErrorCode, StoredError } from "./errors.ts";
import type {
  AttemptState,
  BootSeq,
  DependencyType,
  FanoutRow,
  ItemState,
  JobRow,
  JobSeq,
  Json,
  RunRow,
  RunSeq,
  StageRow,
  WindowRow,
} from "./model.ts";
import type { RecordEffect } from "./records.ts";

export interface AttemptRow {
  job: JobSeq;
  number: number;
  epoch: number;
  boot: BootSeq | null;
  state: AttemptState;
  startedAt: number;
  /** Null while it runs. */
  endedAt: number | null;
  /** JSON of a StoredError, or null. */
  error: string | null;
}

export interface EdgeRow {
  from: JobSeq;
  to: JobSeq;
  on: DependencyType;
}

/** An item with a row: it ended, or it failed and is to be tried again. Items without a row are pending. */
export interface ItemRow {
  job: JobSeq;
  ordinal: number;
  state: ItemState;
  attempts: number;
  /** JSON of the result. */
  result: string | null;
  /** JSON of a StoredError; for skipped items also the reason. */
  error: string | null;
  dueAt: number | null;
  endedAt: number | null;
}

export interface StepRow {
  job: JobSeq;
  /** -1 for a job that is no fan-out. */
  item: number;
  key: string;
  inputHash: string | null;
  output: string;
  startedAt: number;
  endedAt: number;
}

/** Payloads and immutable facts of a new run that decisions never look at again. */
export interface RunFacts {
  /** JSON. */
  params: string;
  idempotencyKey: string | null;
  requestHash: string | null;
  labels: string | null;
}

export interface NewJob {
  row: JobRow;
  /** JSON of the JobSpec, for jobs that are not in the pipeline's document. */
  spec: string | null;
}

export type PropagationKind =
  | "dependents"
  | "barrier"
  | "cancel"
  | "halt"
  | "begin"
  | "deadlock"
  | "replace"
  | "keyFreed"
  | "child"
  | "orphans";

/** Consequences still to be decided: at once up to a bound, the rest from a durable row. */
export interface Propagation {
  kind: PropagationKind;
  run: RunSeq;
  /** The job whose end is propagated, the stage's ordinal for a barrier, the successor for a replacement. */
  subject: number;
  /** Seq of the last job that has been worked off. */
  cursor: number;
}

export type Effect =
  | { type: "event"; name: string; job: string | null; data?: { [key: string]: Json } }
  | { type: "attempt"; row: AttemptRow }
  | { type: "payload"; job: JobSeq; output: string | null; error: string | null }
  | { type: "ready"; job: JobRow }
  | { type: "ended"; job: JobRow; state: JobRow["state"] }
  | { type: "propagate"; row: Propagation }
  | { type: "insertRun"; row: RunRow; facts: RunFacts }
  | { type: "insertStage"; row: StageRow }
  | { type: "insertJob"; job: NewJob }
  | { type: "insertEdge"; row: EdgeRow }
  | { type: "insertFanout"; row: FanoutRow }
  | { type: "insertWindow"; row: WindowRow }
  | { type: "items"; job: JobSeq; rows: readonly ItemRow[] }
  | { type: "reopenItems"; job: JobSeq; ordinals: readonly number[] | null }
  | { type: "itemKeys"; job: JobSeq; scope: number; keys: readonly { ordinal: number; hash: Uint8Array }[] }
  | { type: "clearItemKeys"; job: JobSeq; scope: number }
  | { type: "step"; row: StepRow }
  | { type: "putLimiter"; row: LimiterState }
  | RecordEffect
  | { type: "closeApprovals"; job: JobSeq }
  | { type: "voidApprovals"; job: JobSeq }
  | { type: "hold"; limiter: string; key: string; job: JobSeq; epoch: number; item: number }
  | { type: "release"; limiter: string | null; key: string | null; job: JobSeq; epoch: number; item: number | null }
  | { type: "cachePut"; pipeline: string; key: string; job: JobSeq; at: number; output: string }
  | { type: "artifact"; row: ArtifactRow }
  | { type: "consume"; rows: readonly Consumption[] }
  | { type: "process"; row: ProcessRow }
  | { type: "processEnded"; marker: string }
  | { type: "dataset"; sha256: string; count: number; bytes: number; stride: number; offsets: Uint8Array };

/** A limiter's state; `data` is JSON that core/limiter.ts understands. */
export interface LimiterState {
  name: string;
  key: string;
  data: string;
}

/** A program that a boot has started, until its whole tree is dead. */
export interface ProcessRow {
  marker: string;
  boot: BootSeq;
  pid: number;
  pidStart: string;
  job: JobSeq;
  epoch: number;
}

export interface ArtifactRow {
  run: RunSeq;
  job: JobSeq;
  attempt: number;
  name: string;
  type: string;
  sha256: string;
  bytes: number;
  mediaType: string;
  at: number;
  /** Ordinal of the item that made it; default -1, for a job. */
  item?: number | null;
  /** 1 if jobs that depend on its producer get it into their workspace. Default 0. */
  offered?: 0 | 1;
  /** Id of the artifact of another run that it is taken over from. */
  source?: number | null;
}

/** A job was given an artifact, or read it. */
export interface Consumption {
  job: JobSeq;
  artifact: number;
  /** Linked into its workspace, named in its input, or read by code. The first way counts. */
  how: "offered" | "input" | "read";
  at: number;
}

/** The rows a decision sees. Which are present depends on the selector. */
export interface Slice {
  run: RunRow;
  stage: StageRow;
  job: JobRow;
  fanout: FanoutRow | null;
  window: WindowRow | null;
}

export interface Decision<R = unknown> {
  ok: true;
  run?: Partial<RunRow>;
  stage?: Partial<StageRow>;
  job?: Partial<JobRow>;
  fanout?: Partial<FanoutRow>;
  window?: Partial<WindowRow> | "drop";
  effects?: readonly Effect[];
  /** Further decisions of the same change, each made when the ones before have been taken in. */
  then?: readonly { slice: Slice; decide(): Verdict }[];
  result?: R;
}

export interface Rejection {
  ok: false;
  code: ErrorCode;
  message: string;
  details?: Record<string, unknown>;
}

export type Verdict<R = unknown> = Decision<R> | Rejection;

export function reject(code: ErrorCode, message: string, details?: Record<string, unknown>): Rejection {
  return details === undefined ? { ok: false, code, message } : { ok: false, code, message, details };
}

/** The usual answer to a report from a claim that is no longer the present one. */
export function leaseLost(job: JobRow, epoch: number): Rejection {
  return reject(
    "lease_lost",
    `job ${job.id} is ${job.state} under epoch ${job.epoch}; a report with epoch ${epoch} is refused`,
    {
      job: job.id,
      epoch,
      present: job.epoch,
    },
  );
}

export function errorJson(error: StoredError): string {
  return JSON.stringify(error);
}

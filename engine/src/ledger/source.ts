/**
 * What a ledger answers while changes are decided: single rows by their names, and the few queries that decisions need.
 *
 * Invariants: (1) an answer is the state as of the last commit, whatever the present unit of work has decided since: the
 * `Loader` lays that over it; (2) a row that is handed out belongs to the asker, who may change it; (3) answers come at once.
 * A ledger that cannot answer at once notes the question, answers as if there were nothing, and has everything decided anew.
 */
import type { EdgeRow, LimiterState, Propagation } from "../core/decision.ts";
import type { FanoutRow, JobRow, JobSeq, JobState, RunRow, RunSeq, StageRow, WindowRow } from "../core/model.ts";
import type { Records, RecordTable } from "../core/records.ts";
import type { ClaimRequest } from "../ports/ledger.ts";
import type { Holder } from "./holders.ts";

/** A job that may be claimed. */
export interface Candidate {
  seq: JobSeq;
  rank: number;
  state: string;
  crashes: number;
}

/** Runs of a concurrency key without an end: all, those that have begun, those that wait for their turn. */
export type KeyQuery = "open" | "active" | "waiting";

export interface RowSource {
  run(seq: RunSeq): RunRow | undefined;
  stage(run: RunSeq, ordinal: number): StageRow | undefined;
  job(seq: JobSeq): JobRow | undefined;
  fanout(job: JobSeq): FanoutRow | undefined;
  window(job: JobSeq, start: number): WindowRow | undefined;
  limiter(name: string, key: string): LimiterState | undefined;
  record(table: RecordTable, id: string): Records[RecordTable] | undefined;

  /** Edges from a job to jobs after `after`, by target. */
  edges(from: JobSeq, after: JobSeq, limit: number): EdgeRow[];
  edgesOfRun(run: RunSeq): EdgeRow[];
  /** Jobs of a run with a number in (after, before), in one of the states, in order. */
  jobs(run: RunSeq, states: readonly JobState[], after: JobSeq, before: JobSeq, limit: number): JobSeq[];
  statesOfRun(run: RunSeq): { seq: JobSeq; state: JobState; children: number }[];
  child(parent: JobSeq, id: string): JobRow | undefined;
  /** Children of kind `map` without an end. */
  openMaps(parent: JobSeq): JobSeq[];

  /** In order, with a number in (after, before). */
  runsOfKey(query: KeyQuery, key: string, after: RunSeq, before: RunSeq, limit: number): RunRow[];
  twin(idempotencyKey: string): { seq: RunSeq; id: string; requestHash: string | null } | undefined;
  rollbackOf(run: RunSeq): RunRow | undefined;

  /** The first window after `after` that nobody holds. */
  releasedWindow(job: JobSeq, after: number): WindowRow | undefined;
  /** Ordinals of pending items with rows, from `from` on. */
  reopenedItems(job: JobSeq, from: number, limit: number): number[];
  /** Rows of a range of items that are not pending. */
  endedItems(job: JobSeq, from: number, to: number): number;
  /** Which ordinal has each key. */
  keyOwners(scope: number, job: JobSeq, hashes: readonly Uint8Array[]): (number | undefined)[];
  holderCount(limiter: string, key: string): number;
  holders(limiter: string, key: string): Holder[];

  /** Consequences that earlier transactions have put off, the oldest first. */
  propagations(limit: number): (Propagation & { seq: number })[];
  bootState(boot: number): string | undefined;
  /** Claimable jobs of what is offered, at most `limit` of each agent by rank; `all` if none was left out. */
  candidates(request: ClaimRequest, limit: number): { found: Candidate[]; all: boolean };
}

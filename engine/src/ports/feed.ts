/**
 * Port: everything in the order in which it was committed, and lists for people that stay quick with a million runs.
 *
 * Invariant: a reader that has seen the entry with number n has seen all entries with smaller numbers, or they were trimmed:
 * then `feedStart` is greater than the number after its last one.
 */
import type { JobRow, JobState, RunRow, RunSeq, RunState } from "../core/model.ts";
import type { EventRow } from "../core/unit.ts";

export interface FeedEntry {
  seq: number;
  at: number;
  /** Events of one run from the first to the last of these numbers. */
  ranges: { run: RunSeq; first: number; last: number }[];
}

export interface FeedEvent extends EventRow {
  runId: string;
  pipeline: string;
}

/** A run for lists: without its params. */
export interface RunSummary extends RunRow {
  /** JSON of the labels, or null. */
  labels: string | null;
  /** Id of the run that it comes from. */
  originId: string | null;
}

export interface RunSearch {
  states?: readonly RunState[];
  pipeline?: string;
  /** Part of the id or the pipeline's name, in any case. */
  text?: string;
  /** A label, as `name` or `name=value`. */
  label?: string;
  createdFrom?: number;
  createdTo?: number;
  before?: RunSeq;
  limit: number;
}

export interface JobSummary extends Omit<JobRow, "rank" | "blockers"> {
  error: string | null;
}

export interface FeedReads {
  /** Number of the newest entry; 0 without any. */
  feedEnd(): Promise<number>;
  /** Number of the oldest entry that is kept; one past the end without any. */
  feedStart(): Promise<number>;
  feed(after: number, limit: number): Promise<FeedEntry[]>;
  /** The events of a range, in order. Those of runs that were pruned are gone. */
  feedEvents(range: FeedEntry["ranges"][number]): Promise<FeedEvent[]>;
  runSummary(seq: RunSeq): Promise<RunSummary | null>;
  /**
   * The newest first. Looks at a bounded number of runs: with fewer than `limit` found, `next` says where to go on, and is
   * null only when there are no more.
   */
  searchRuns(search: RunSearch): Promise<{ runs: RunSummary[]; next: RunSeq | null }>;
  /** How many runs are in each state; constant time. */
  runCounts(): Promise<Record<RunState, number>>;
  /** Jobs without their payloads, with their errors; in the order of their numbers. */
  jobSummaries(
    run: RunSeq,
    filter: { states?: readonly JobState[]; after?: number; limit: number },
  ): Promise<JobSummary[]>;
  /** Labels of a run as JSON. */
  labelsOf(run: RunSeq): Promise<string | null>;
}

/** Rows that one transaction leaves to the next. Owner: core, for unit.ts. */
import type { EdgeRow, LimiterState } from "./decision.ts";
import type { FanoutRow, JobRow, JobSeq, RunRow, RunSeq, StageRow, WindowRow } from "./model.ts";

/**
 * Rows as of the last commit of this process. They may be kept from one transaction to the next as long as nobody else
 * has written in between and no transaction has failed.
 */
export class RowCache {
  readonly runs = new Map<RunSeq, RunRow>();
  readonly stages = new Map<string, StageRow>();
  readonly jobs = new Map<JobSeq, JobRow>();
  readonly fanouts = new Map<JobSeq, FanoutRow | null>();
  readonly windows = new Map<string, WindowRow | null>();
  readonly limiters = new Map<string, LimiterState | null>();
  /** Edges of jobs that were inserted lately, all of them; edges never change. */
  readonly edges = new Map<JobSeq, EdgeRow[]>();
  /** Whether commits are told to the feed of all commits; null if that is not known. */
  feed: boolean | null = null;

  get size(): number {
    return (
      this.runs.size +
      this.stages.size +
      this.jobs.size +
      this.fanouts.size +
      this.windows.size +
      this.limiters.size +
      this.edges.size
    );
  }

  clear(): void {
    this.runs.clear();
    this.stages.clear();
    this.jobs.clear();
    this.fanouts.clear();
    this.windows.clear();
    this.limiters.clear();
    this.edges.clear();
    this.feed = null;
  }
}

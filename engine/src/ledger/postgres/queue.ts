/**
 * What this process knows of the queue of claimable jobs: the first ones by rank, as they were when it last looked, and what
 * it has added and taken itself since. A hint only: whoever claims decides on the job's own row, under its run's lock.
 */

import { SUSPECT_CRASHES } from "../../core/limits.ts";
import type { JobRow, JobSeq, RunSeq } from "../../core/model.ts";
import type { ClaimRequest } from "../../ports/ledger.ts";
import type { Candidate } from "../source.ts";

export interface Queued extends Candidate {
  run: RunSeq;
  agent: string;
}

/** More than this are not kept in memory; the database has them. */
const MAX_QUEUED = 4_000;

export class QueueMemory {
  private readonly rows = new Map<JobSeq, Queued>();
  private order: Queued[] | null = [];
  /** Whether the database shows no others. */
  private complete = false;
  /** What follows is in the order of the database up to this rank; what ranks later may lie behind rows not kept. */
  private horizon = Number.NEGATIVE_INFINITY;

  /** Others have written. */
  invalidate(): void {
    this.rows.clear();
    this.order = [];
    this.complete = false;
    this.horizon = Number.NEGATIVE_INFINITY;
  }

  /** What the database shows: at most `limit` of each agent. */
  fill(found: readonly Queued[], limit: number): void {
    this.invalidate();
    const counts = new Map<string, { n: number; last: number }>();
    for (const row of found) {
      this.rows.set(row.seq, row);
      const count = counts.get(row.agent) ?? { n: 0, last: row.rank };
      counts.set(row.agent, { n: count.n + 1, last: Math.max(count.last, row.rank) });
    }
    const cut = [...counts.values()].filter((count) => count.n >= limit).map((count) => count.last);
    this.complete = cut.length === 0;
    this.horizon = this.complete ? Number.POSITIVE_INFINITY : Math.min(...cut);
    this.order = null;
  }

  /** How a job stands after a commit of this process. */
  note(job: JobRow): void {
    if (job.claimable === 0) {
      if (this.rows.delete(job.seq)) this.order = null;
      return;
    }
    if (this.horizon === Number.NEGATIVE_INFINITY) return;
    const { seq, run, agent, rank, state, crashes } = job;
    if (rank > this.horizon || this.rows.size >= MAX_QUEUED) {
      this.complete = false;
      this.horizon = Math.min(this.horizon, rank);
      return;
    }
    this.rows.set(seq, { seq, run, agent, rank, state, crashes });
    this.order = null;
  }

  drop(seq: JobSeq): void {
    if (this.rows.delete(seq)) this.order = null;
  }

  /** Best rank first; null if the database has to be asked. `all` if there are no others. */
  find(request: ClaimRequest, limit: number, enough: number, fresh: boolean): { found: Queued[]; all: boolean } | null {
    if (this.horizon === Number.NEGATIVE_INFINITY) return null;
    this.order ??= [...this.rows.values()].sort((a, b) => a.rank - b.rank || a.seq - b.seq);
    const found: Queued[] = [];
    let all = this.complete;
    for (const row of this.order) {
      if (row.rank > this.horizon || !serves(row, request)) continue;
      if (found.length >= limit) {
        all = false;
        break;
      }
      found.push(row);
    }
    return found.length >= enough || fresh || (enough <= 1 && this.complete)
      ? { found, all: all && request.suspects }
      : null;
  }
}

export function serves(row: Queued, request: ClaimRequest): boolean {
  return (
    (request.run === null || row.run === request.run) &&
    (request.suspects || row.crashes < SUSPECT_CRASHES) &&
    request.offers(row.agent)
  );
}

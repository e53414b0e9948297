/**
 * Rows as of the last commits of this process, by run.
 *
 * Invariants: (1) rows of a run are as they are in the database while the run's version there is the one that is known here,
 * because whoever changes any row of a run raises it; (2) rows in here are never changed, whoever asks gets copies.
 */
import type { EdgeRow } from "../../core/decision.ts";
import type { FanoutRow, JobRow, JobSeq, RunRow, RunSeq, StageRow, WindowRow } from "../../core/model.ts";
import type { Unit } from "../../core/unit.ts";

const MAX_ROWS = 60_000;

export class KnownRun {
  row: RunRow;
  /** Null where there is no such stage. */
  readonly stages = new Map<number, StageRow | null>();
  readonly jobs = new Map<JobSeq, JobRow>();
  readonly fanouts = new Map<JobSeq, FanoutRow | null>();
  readonly windows = new Map<string, WindowRow | null>();
  /** All edges of a job; edges never change. */
  readonly edges = new Map<JobSeq, EdgeRow[]>();
  /** All jobs and all their edges are known. */
  whole = false;

  constructor(row: RunRow) {
    this.row = row;
  }

  get size(): number {
    return 1 + this.stages.size + this.jobs.size + this.fanouts.size + this.windows.size + this.edges.size;
  }
}

export class KnownRows {
  /** The run used least recently comes first. */
  private readonly runs = new Map<RunSeq, KnownRun>();
  private readonly runOfJob = new Map<JobSeq, RunSeq>();
  private rows = 0;

  run(seq: RunSeq): KnownRun | undefined {
    return this.runs.get(seq);
  }

  runOf(job: JobSeq): RunSeq | undefined {
    return this.runOfJob.get(job);
  }

  forget(seq: RunSeq): void {
    const known = this.runs.get(seq);
    if (known === undefined) return;
    this.rows -= known.size;
    this.runs.delete(seq);
    for (const job of known.jobs.keys()) this.runOfJob.delete(job);
  }

  clear(): void {
    this.runs.clear();
    this.runOfJob.clear();
    this.rows = 0;
  }

  private put<K, V>(rows: Map<K, V> | undefined, key: K, row: V): void {
    if (rows === undefined) return;
    if (!rows.has(key)) this.rows += 1;
    rows.set(key, row);
  }

  /** Takes a run's row in as it has just been read under a lock. What was known of an older version is forgotten. */
  learn(row: RunRow): KnownRun {
    const known = this.runs.get(row.seq);
    if (known !== undefined && known.row.rowVersion === row.rowVersion) return known;
    this.forget(row.seq);
    const fresh = new KnownRun(row);
    this.runs.set(row.seq, fresh);
    this.rows += 1;
    return fresh;
  }

  learnJob(row: JobRow): void {
    const known = this.runs.get(row.run);
    if (known === undefined) return;
    this.put(known.jobs, row.seq, row);
    this.runOfJob.set(row.seq, row.run);
  }

  learnStage(row: StageRow): void {
    this.put(this.runs.get(row.run)?.stages, row.ordinal, row);
  }

  learnNoStage(run: RunSeq, ordinal: number): void {
    this.put(this.runs.get(run)?.stages, ordinal, null);
  }

  /** Null where there is no such row. */
  learnFanout(job: JobSeq, row: FanoutRow | null): void {
    this.put(this.ofJob(job)?.fanouts, job, row);
  }

  learnWindow(key: string, row: WindowRow | null): void {
    this.put(this.ofJob(Number(key.slice(0, key.indexOf(":"))))?.windows, key, row);
  }

  private ofJob(job: JobSeq): KnownRun | undefined {
    const run = this.runOfJob.get(job);
    return run === undefined ? undefined : this.runs.get(run);
  }

  /** Takes over what a committed unit of work holds; its rows belong to this class from now on. */
  adopt(unit: Unit, inserted: ReadonlySet<RunSeq>): void {
    for (const row of unit.runs.values()) {
      let known = this.runs.get(row.seq);
      if (known === undefined) {
        known = new KnownRun(row);
        known.whole = inserted.has(row.seq);
        this.rows += 1;
      } else this.runs.delete(row.seq);
      known.row = row;
      this.runs.set(row.seq, known);
    }
    for (const row of unit.jobs.values()) this.learnJob(row);
    for (const row of unit.stages.values()) this.learnStage(row);
    for (const [job, row] of unit.fanouts) this.learnFanout(job, row);
    for (const [key, row] of unit.windows) this.learnWindow(key, row);
    for (const [from, edges] of unit.edges) this.put(this.ofJob(from)?.edges, from, edges);
    for (const row of unit.runs.values()) if (row.endedAt !== null) this.forget(row.seq);
    for (const seq of this.runs.keys()) {
      if (this.rows <= MAX_ROWS) return;
      this.forget(seq);
    }
  }
}

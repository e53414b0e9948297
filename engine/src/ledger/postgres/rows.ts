/**
 * Rows that are read for each job and each run: gathered, and outcomes of jobs that this process has just completed from
 * memory, since a completed job is never run again.
 */
import type { JobSeq, JobState, RunSeq } from "../../core/model.ts";
import type { Unit } from "../../core/unit.ts";
import type { JobRecord, RunRecord } from "../../ports/ledger.ts";
import { JOB_COLUMNS, RUN_COLUMNS } from "../columns.ts";
import type { Database } from "./connection.ts";
import { Gathered } from "./gather.ts";
import { PostgresReads } from "./reads.ts";
import { list } from "./sql.ts";
import { storageError } from "./storage-error.ts";

const RUNS = `SELECT ${list(RUN_COLUMNS)}, coalesce(params, (SELECT p.params FROM run_params p WHERE p.run = run.seq)) AS params, idempotency_key AS "idempotencyKey"
  FROM run WHERE seq = ANY ($1::bigint[])`;
const JOBS = `SELECT ${list(JOB_COLUMNS)}, output, error FROM job WHERE seq = ANY ($1::bigint[])`;
const OUTCOMES = "SELECT seq, state, output, error FROM job WHERE seq = ANY ($1::bigint[])";

interface Outcome {
  state: JobState;
  output: string | null;
  error: string | null;
}

/** Characters of outputs that are remembered, and how many one may have. */
const MAX_REMEMBERED = 4_000_000;
const MAX_OUTPUT = 16_000;

/** Outputs of jobs that commits of this process have completed, the latest ones. */
export class Outcomes {
  private readonly rows = new Map<JobSeq, Outcome>();
  private size = 0;

  get(job: JobSeq): Outcome | undefined {
    return this.rows.get(job);
  }

  /** What a commit has written. */
  note(unit: Unit): void {
    for (const { job, output, error } of unit.writes.payloads) {
      this.drop(job);
      const length = output?.length ?? 0;
      if (unit.jobs.get(job)?.state !== "completed" || length > MAX_OUTPUT) continue;
      this.rows.set(job, { state: "completed", output, error });
      this.size += length + 1;
    }
    for (const job of this.rows.keys()) {
      if (this.size <= MAX_REMEMBERED) return;
      this.drop(job);
    }
  }

  private drop(job: JobSeq): void {
    const before = this.rows.get(job);
    if (before === undefined) return;
    this.size -= (before.output?.length ?? 0) + 1;
    this.rows.delete(job);
  }

  clear(): void {
    this.rows.clear();
    this.size = 0;
  }
}

export abstract class PostgresRows extends PostgresReads {
  protected readonly outcomes = new Outcomes();
  private readonly gatheredRuns: Gathered<RunRecord>;
  private readonly gatheredJobs: Gathered<JobRecord>;
  private readonly gatheredOutcomes: Gathered<Outcome>;

  constructor(database: Database) {
    super(database);
    this.gatheredRuns = new Gathered((seqs) => this.rowsOf<RunRecord>("runs", RUNS, seqs));
    this.gatheredJobs = new Gathered((seqs) => this.rowsOf<JobRecord>("jobs_whole", JOBS, seqs));
    this.gatheredOutcomes = new Gathered(async (seqs) =>
      (await this.rowsOf<Outcome & { seq: number }>("outcomes", OUTCOMES, seqs)).map(({ key, row }) => ({
        key,
        row: { state: row.state, output: row.output, error: row.error },
      })),
    );
  }

  private async rowsOf<T extends { seq: number }>(name: string, sql: string, seqs: number[]) {
    try {
      const rows = await this.database.read<T>(sql, [seqs], name);
      return rows.map((row) => ({ key: row.seq, row }));
    } catch (error) {
      throw storageError(error, this.database.shown);
    }
  }

  override run(seq: RunSeq): Promise<RunRecord | null> {
    return this.gatheredRuns.get(seq);
  }

  override job(seq: JobSeq): Promise<JobRecord | null> {
    return this.gatheredJobs.get(seq);
  }

  override async outcome(seq: JobSeq): Promise<Outcome | null> {
    const known = this.outcomes.get(seq);
    return known === undefined ? await this.gatheredOutcomes.get(seq) : { ...known };
  }
}

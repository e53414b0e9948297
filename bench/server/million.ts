/** A ledger with very many runs, as rows: what lists and counts read is all that is made. */
import type { Tenuto } from "tenuto";

interface Database {
  exec(sql: string): unknown;
  prepare(sql: string): { run(...values: unknown[]): unknown };
}

/** Copies the first run until there are `count`; one in fifty failed, one in a hundred was cancelled. */
export function fillWithRuns(tenuto: Tenuto, count: number): void {
  const { db } = tenuto.engine.parts.ledger as unknown as { db: Database };
  db.exec("BEGIN");
  db.prepare(
    `INSERT INTO run (seq, id, pipeline, version, state, priority, stage_count, job_count, open_jobs, live_jobs, waiting_jobs, failed_jobs, spawned_jobs, first_job,
       propagating, event_seq, created_at, started_at, ended_at, params, row_version)
     WITH RECURSIVE n (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < ?)
     SELECT n, 'bench-' || n, CASE WHEN n % 1000 = 0 THEN 'other' ELSE pipeline END, version,
       CASE WHEN n % 50 = 0 THEN 'failed' WHEN n % 100 = 1 THEN 'cancelled' ELSE 'completed' END, priority, stage_count, job_count, 0, 0, 0,
       CASE WHEN n % 50 = 0 THEN 1 ELSE 0 END, 0, first_job, 0, 4, created_at, started_at, ended_at, params, 1
     FROM n CROSS JOIN run WHERE run.seq = 1`,
  ).run(count);
  db.exec("COMMIT");
}

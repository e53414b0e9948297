/**
 * What must be true of a ledger file, read raw from a process that is not the engine: the auditor's invariants, and beside
 * them recounts in plain SQL that share no code with the core. Returns problems; none is a pass.
 */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import Database from "better-sqlite3";
import { auditFile } from "../../src/testing/auditor.ts";

type Db = Database.Database;

export function openRaw(database: string): Db {
  return new Database(database, { readonly: true, timeout: 5_000 });
}

/** One question to the file, with a connection of its own. */
export function query<T = any>(database: string, sql: string, ...args: unknown[]): T[] {
  const db = openRaw(database);
  try {
    return db.prepare(sql).all(...args) as T[];
  } finally {
    db.close();
  }
}

/** Each query lists offenders. */
const RULES: Record<string, string> = {
  "run counters differ from a recount": `SELECT run.id, open_jobs, live_jobs, waiting_jobs, failed_jobs, spawned_jobs, job_count FROM run
    JOIN (SELECT run AS r, count(*) AS n, sum(ended_at IS NULL) AS o, sum(state IN ('ready', 'running') OR (state = 'waiting' AND kind = 'fanout')) AS l, sum(state = 'waiting' AND kind <> 'fanout') AS w,
      sum(state = 'failed' AND allow_failure = 0) AS f, sum(parent IS NOT NULL) AS s FROM job GROUP BY run) ON r = run.seq
    WHERE (open_jobs, live_jobs, waiting_jobs, failed_jobs, spawned_jobs, job_count) IS NOT (o, l, w, f, s, n)`,
  "stage counters differ from a recount": `SELECT stage.run, ordinal FROM stage LEFT JOIN (SELECT run AS r, stage AS s, count(*) AS n, sum(ended_at IS NOT NULL) AS e,
      sum(state = 'completed') AS c, sum(state = 'failed' AND allow_failure = 0) AS f, sum(state = 'skipped') AS k, sum(state = 'cancelled') AS x FROM job GROUP BY run, stage)
    ON r = stage.run AND s = ordinal WHERE (total, settled, completed, failed, skipped, cancelled) IS NOT (n, e, c, f, k, x)`,
  "children differ from a recount": `SELECT p.id FROM job p LEFT JOIN (SELECT parent AS q, count(*) AS n, sum(ended_at IS NULL) AS o FROM job WHERE parent IS NOT NULL GROUP BY parent) ON q = p.seq
    WHERE p.children <> ifnull(n, 0) OR p.open_children <> ifnull(o, 0)`,
  "fan-out counters differ from a recount": `SELECT fanout.job FROM fanout LEFT JOIN (SELECT job AS j, sum(state = 'completed') AS c, sum(state = 'failed') AS f, sum(state = 'skipped') AS s FROM item GROUP BY job) ON j = fanout.job
    WHERE (completed, failed, skipped) IS NOT (ifnull(c, 0), ifnull(f, 0), ifnull(s, 0))`,
  "windows differ from a recount": `SELECT fanout.job FROM fanout LEFT JOIN (SELECT job AS j, sum(boot IS NOT NULL) AS l, sum(boot IS NULL) AS r, sum(slots) AS s FROM item_window GROUP BY job) ON j = fanout.job
    WHERE (leased, released, slots_used) IS NOT (ifnull(l, 0), ifnull(r, 0), ifnull(s, 0))`,
  // The attempt that ends a job is described by the job's own row.
  "attempts with a gap or beyond the job's number": `SELECT job.id FROM job JOIN (SELECT job AS j, count(*) AS n, max(number) AS m FROM attempt GROUP BY job) ON j = job.seq
    WHERE (n <> m AND job.run NOT IN (SELECT run FROM event WHERE name = 'run.reopened')) OR m > job.attempt`,
  "events with a gap": `SELECT run.id FROM run JOIN (SELECT run AS r, count(*) AS n, max(id - run * 16777216) AS m FROM event GROUP BY run) ON r = run.seq WHERE n <> m OR m <> event_seq`,
  "a job ended more than once": `SELECT event.run, event.job, count(*) FROM event WHERE name IN ('job.completed','job.failed','job.skipped','job.cancelled')
    AND run NOT IN (SELECT run FROM event WHERE name = 'run.reopened') GROUP BY event.run, event.job HAVING count(*) > 1`,
  "an ended job without its event": `SELECT id FROM job WHERE ended_at IS NOT NULL
    AND (run, id, 'job.' || state) NOT IN (SELECT run, job, name FROM event WHERE job IS NOT NULL)`,
  "a lease of a boot that is not alive": `SELECT job.id FROM job JOIN boot ON boot.seq = job.boot WHERE boot.state = 'stopped'`,
  "usage of models differs from a recount": `SELECT run_usage.run FROM run_usage LEFT JOIN (SELECT run AS r, sum(tries) AS t, sum(state = 'open') AS o, sum(reserved_tokens) AS k, sum(reserved_cost) AS m FROM usage GROUP BY run)
    ON r = run_usage.run WHERE (calls, open_calls, open_tokens, open_cost) IS NOT (t - o, o, k, m)`,
  "time runs backwards": `SELECT id FROM job WHERE ended_at < first_started_at AND run NOT IN (SELECT run FROM event WHERE name = 'run.reopened')`,
};

/** Once every run has ended, nothing may be held any more. */
const QUIET_RULES: Record<string, string> = {
  "a run has not ended": "SELECT id, state FROM run WHERE ended_at IS NULL",
  "a job has not ended": "SELECT id, state FROM job WHERE ended_at IS NULL",
  "a window is left": "SELECT job, start FROM item_window WHERE boot IS NOT NULL",
  "a limiter is still held": "SELECT limiter, job FROM hold",
  "a consequence is left": "SELECT kind, run FROM propagation",
  "a process is still recorded": "SELECT pid FROM process",
};

export interface AuditOptions {
  /** All runs have ended. */
  quiet?: boolean;
  /** Folder of the artifacts; default beside the ledger. */
  artifacts?: string;
}

export async function audit(database: string, options: AuditOptions = {}): Promise<string[]> {
  const folder = options.artifacts ?? join(dirname(database), "artifacts");
  const whole = await auditFile({ database, ...(existsSync(folder) ? { artifacts: folder } : {}) });
  return [...whole.problems, ...ownProblems(database, options.quiet === true)];
}

function ownProblems(database: string, quiet: boolean): string[] {
  const db = openRaw(database);
  try {
    const problems: string[] = [];
    const rules = { ...RULES, ...(quiet ? QUIET_RULES : {}) };
    for (const [what, sql] of Object.entries(rules)) {
      const offenders = db.prepare(sql).all();
      if (offenders.length > 0)
        problems.push(`${what} (${offenders.length}): ${JSON.stringify(offenders.slice(0, 3))}`);
    }
    return problems;
  } finally {
    db.close();
  }
}

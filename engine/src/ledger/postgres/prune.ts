/**
 * Pruning: runs that ended long ago go with all their rows, in transactions of bounded size.
 *
 * Invariants: (1) a run that is being pruned can't be reopened, from the first deletion on; (2) whatever is left when a
 * pruning process dies is taken up by the next one, since the run's own row goes last; (3) a run stays while another one that
 * comes from it may still have to read it; (4) of several processes that prune at once, one takes each run.
 */
import type { PruneResult } from "../../ports/ledger.ts";
import { EVENTS_PER_RUN } from "../events.ts";
import type { Database, Session } from "./connection.ts";
import { codeOf } from "./storage-error.ts";

/** Rows that one transaction deletes, at most, of a table that may be long. */
const ROWS = 5_000;
/** Jobs whose rows go together. */
const JOBS = 1_000;
/** So many runs in a row that began too late end the search for old ones. */
const YOUNG_RUNS = 1_000;

const JOBS_OF_RUN = `SELECT job.seq, job.kind FROM run r CROSS JOIN job
  WHERE job.seq >= r.first_job AND job.seq < r.first_job + r.job_count - r.spawned_jobs AND r.seq = $1
  UNION ALL SELECT seq, kind FROM job WHERE run = $1 AND parent IS NOT NULL ORDER BY 1`;

/** Tables that may hold any number of rows of one job, with their keys. */
const LONG = {
  item: "job, ordinal",
  step: "job, item, key",
  consumption: "job, artifact",
  attempt: "job, number",
} as const;
/** The same by run. */
const LONG_OF_RUN = { artifact: "id", approval: "id", gate: "id", usage: "id", run_usage: "id" } as const;
/** Some rows per job. */
const SHORT = ["item_window", "fanout", "hold", "queue", "process", "job_spec"] as const;

const STILL_READ = `EXISTS (SELECT 1 FROM run later WHERE later.origin = run.seq
  AND (later.ended_at IS NULL OR (later.state <> 'completed' AND later.ended_at >= $2)))`;

const KEY_SCOPES = `WITH RECURSIVE s (scope) AS (SELECT min(scope) FROM item_key UNION ALL
  SELECT (SELECT min(k.scope) FROM item_key k WHERE k.scope > s.scope) FROM s WHERE s.scope IS NOT NULL)
  SELECT scope FROM s WHERE scope IS NOT NULL`;

export async function pruneRuns(database: Database, olderThan: number, limit: number): Promise<PruneResult> {
  const result: PruneResult = { runs: 0, jobs: 0, items: 0, ids: [] };
  for (const run of await prunable(database, olderThan, limit)) {
    if (!(await mark(database, run.seq, olderThan))) continue;
    const jobs = await database.read<{ seq: number; kind: string }>(JOBS_OF_RUN, [run.seq]);
    result.items += await pruneRows(database, run.seq, jobs);
    result.jobs += await dropRun(
      database,
      run.seq,
      jobs.map((job) => job.seq),
    );
    result.runs += 1;
    result.ids.push(run.id);
  }
  await pruneLeftovers(database, olderThan);
  return result;
}

/** Runs are numbered in the order of their creation, and end after it: what is young ends the search, unless a clock was wrong. */
async function prunable(database: Database, olderThan: number, limit: number): Promise<{ seq: number; id: string }[]> {
  const found: { seq: number; id: string }[] = [];
  let young = 0;
  for (let after = 0; ; ) {
    const page = await database.read<{ seq: number; id: string; created: number; ended: number | null }>(
      "SELECT seq, id, created_at AS created, ended_at AS ended FROM run WHERE seq > $1 ORDER BY seq LIMIT 1000",
      [after],
    );
    for (const row of page) {
      if (row.ended !== null && row.ended < olderThan) found.push({ seq: row.seq, id: row.id });
      young = row.created < olderThan ? 0 : young + 1;
      if (found.length >= limit || young >= YOUNG_RUNS) return found;
      after = row.seq;
    }
    if (page.length < 1_000) return found;
  }
}

/**
 * From here on the run can't be reopened, as if it had consequences left; false if it has been reopened already. The lock
 * comes first, so that a run which somebody begins from this one at the same moment is seen.
 */
async function mark(database: Database, run: number, olderThan: number): Promise<boolean> {
  const [, marked] = await database.pipeline([
    { sql: "SELECT seq FROM run WHERE seq = $1 FOR UPDATE", values: [run] },
    {
      sql: `UPDATE run SET propagating = propagating + 1, row_version = row_version + 1
        WHERE seq = $1 AND ended_at < $2 AND NOT ${STILL_READ} RETURNING seq`,
      values: [run, olderThan],
    },
  ]);
  return marked?.length === 1;
}

/** Runs a deletion of at most `ROWS` rows until there is nothing left for it. */
async function repeat(session: Session, sql: string, values: readonly unknown[]): Promise<number> {
  for (let total = 0; ; ) {
    const count = await session.execute(sql, [...values, ROWS]);
    total += count;
    if (count < ROWS) return total;
  }
}

/** Everything that may be long; gives the number of items. */
async function pruneRows(
  database: Database,
  run: number,
  jobs: readonly { seq: number; kind: string }[],
): Promise<number> {
  let items = 0;
  for (let at = 0; at < jobs.length; at += JOBS) {
    const seqs = jobs.slice(at, at + JOBS).map((job) => job.seq);
    for (const [table, key] of Object.entries(LONG)) {
      const count = await repeat(
        database,
        `DELETE FROM ${table} WHERE (${key}) IN (SELECT ${key} FROM ${table} WHERE job = ANY ($1::bigint[]) LIMIT $2)`,
        [seqs],
      );
      if (table === "item") items += count;
    }
    await repeat(
      database,
      "DELETE FROM dependency WHERE (source, target) IN (SELECT source, target FROM dependency WHERE source = ANY ($1::bigint[]) LIMIT $2)",
      [seqs],
    );
  }
  const manifold = jobs.filter((job) => job.kind !== "single").map((job) => job.seq);
  if (manifold.length > 0)
    for (const { scope } of await database.read<{ scope: number }>(KEY_SCOPES))
      await database.execute("DELETE FROM item_key WHERE scope = $1 AND job = ANY ($2::bigint[])", [scope, manifold]);
  for (const [table, key] of Object.entries(LONG_OF_RUN))
    await repeat(
      database,
      `DELETE FROM ${table} WHERE ${key} IN (SELECT ${key} FROM ${table} WHERE run = $1 LIMIT $2)`,
      [run],
    );
  await repeat(
    database,
    "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3)",
    [run * EVENTS_PER_RUN, (run + 1) * EVENTS_PER_RUN],
  );
  return items;
}

/** The rest, the run itself last. Gives the number of its jobs. */
async function dropRun(database: Database, run: number, seqs: readonly number[]): Promise<number> {
  let total = 0;
  for (let at = 0; at < seqs.length; at += JOBS) {
    const chunk = seqs.slice(at, at + JOBS);
    const rows = await database.pipeline([
      ...SHORT.map((table) => ({ sql: `DELETE FROM ${table} WHERE job = ANY ($1::bigint[])`, values: [chunk] })),
      { sql: "DELETE FROM job WHERE seq = ANY ($1::bigint[]) RETURNING seq", values: [chunk] },
    ]);
    total += rows.at(-1)?.length ?? 0;
  }
  await database.pipeline([
    ...["propagation", "run_params", "stage"].map((table) => ({
      sql: `DELETE FROM ${table} WHERE run = $1`,
      values: [run],
    })),
    { sql: "DELETE FROM run WHERE seq = $1", values: [run] },
  ]);
  return total;
}

/** Datasets go with their objects, see runtime/garbage.ts. */
const LEFTOVERS = [
  "DELETE FROM definition WHERE created_at < $1 AND NOT EXISTS (SELECT 1 FROM run WHERE run.version = definition.version)",
  "DELETE FROM delivery WHERE ended_at < $1",
  "DELETE FROM cache WHERE at < $1",
  `DELETE FROM boot WHERE state <> 'alive' AND heartbeat_at < $1 AND NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.boot = boot.seq)
    AND NOT EXISTS (SELECT 1 FROM job WHERE job.boot = boot.seq) AND NOT EXISTS (SELECT 1 FROM process WHERE process.boot = boot.seq)
    AND NOT EXISTS (SELECT 1 FROM item_window WHERE item_window.boot = boot.seq)`,
] as const;

async function pruneLeftovers(database: Database, olderThan: number): Promise<void> {
  for (const sql of LEFTOVERS)
    await database.execute(sql, [olderThan]).catch((error: unknown) => {
      // A run has begun with that definition meanwhile: the next pruning looks again.
      if (codeOf(error) !== "23503") throw error;
    });
}

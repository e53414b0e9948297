/**
 * Pruning: runs that ended long ago go with all their rows, in transactions of bounded size.
 *
 * Invariants: (1) a run that is being pruned can't be reopened, from the first deletion on; (2) whatever is left when a
 * pruning process dies is taken up by the next one, since the run's own row goes last; (3) a run stays while another one that
 * comes from it may still have to read it; (4) of several processes that prune at once, one counts each run: the one that
 * deletes its row.
 */
import type { PruneResult } from "../../ports/ledger.ts";
import { EVENTS_PER_RUN } from "../events.ts";
import type { Database, Statement } from "./connection.ts";
import { LEASED } from "./sql.ts";
import { codeOf } from "./storage-error.ts";

/** Rows that one statement deletes, at most, of a table that may be long. */
const ROWS = 5_000;
/** Jobs whose rows go together, and runs: most have few jobs. */
const JOBS = 1_000;
const RUNS = 100;
/** So many runs in a row that began too late end the search for old ones. */
const YOUNG_RUNS = 1_000;

const JOBS_OF_RUNS = `SELECT job.seq, job.kind FROM run r JOIN job
    ON job.seq >= r.first_job AND job.seq < r.first_job + r.job_count - r.spawned_jobs WHERE r.seq = ANY ($1::bigint[])
  UNION ALL SELECT seq, kind FROM job WHERE run = ANY ($1::bigint[]) AND parent IS NOT NULL ORDER BY 1`;

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
const SHORT_OF_RUN = ["propagation", "run_params", "stage"] as const;

const STILL_READ = `EXISTS (SELECT 1 FROM run later WHERE later.origin = run.seq
  AND (later.ended_at IS NULL OR (later.state <> 'completed' AND later.ended_at >= $2)))`;

const KEY_SCOPES = `WITH RECURSIVE s (scope) AS (SELECT min(scope) FROM item_key UNION ALL
  SELECT (SELECT min(k.scope) FROM item_key k WHERE k.scope > s.scope) FROM s WHERE s.scope IS NOT NULL)
  SELECT scope FROM s WHERE scope IS NOT NULL`;

interface Old {
  seq: number;
  id: string;
}

export async function pruneRuns(database: Database, olderThan: number, limit: number): Promise<PruneResult> {
  const result: PruneResult = { runs: 0, jobs: 0, items: 0, ids: [] };
  const old = await prunable(database, olderThan, limit);
  for (let at = 0; at < old.length; at += RUNS) {
    const runs = await mark(database, old.slice(at, at + RUNS), olderThan);
    const seqs = runs.map((run) => run.seq);
    const jobs = await database.read<{ seq: number; kind: string }>(JOBS_OF_RUNS, [seqs]);
    result.items += await pruneRows(database, seqs, jobs);
    const dropped = await dropRuns(
      database,
      seqs,
      jobs.map((job) => job.seq),
    );
    result.jobs += dropped.jobs;
    result.runs += dropped.ids.length;
    result.ids.push(...dropped.ids);
  }
  await pruneLeftovers(database, olderThan);
  return result;
}

/** Runs are numbered in the order of their creation, and end after it: what is young ends the search, unless a clock was wrong. */
async function prunable(database: Database, olderThan: number, limit: number): Promise<Old[]> {
  const found: Old[] = [];
  let young = 0;
  for (let after = 0; ; ) {
    const page = await database.read<Old & { created: number; ended: number | null }>(
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
 * From here on these runs can't be reopened, as if they had consequences left; gives those that have not been reopened
 * already. The locks come first, so that a run which somebody begins from one of them at the same moment is seen.
 */
async function mark(database: Database, old: readonly Old[], olderThan: number): Promise<Old[]> {
  const seqs = old.map((run) => run.seq);
  const [, marked] = await database.pipeline([
    { sql: "SELECT seq FROM run WHERE seq = ANY ($1::bigint[]) ORDER BY seq FOR UPDATE", values: [seqs] },
    {
      sql: `UPDATE run SET propagating = propagating + 1, row_version = row_version + 1
        WHERE seq = ANY ($1::bigint[]) AND ended_at < $2 AND NOT ${STILL_READ} RETURNING seq, id`,
      values: [seqs, olderThan],
    },
  ]);
  return (marked as Old[]).sort((a, b) => a.seq - b.seq);
}

/** Deletes at most `ROWS` rows of each table, again until there is nothing left; gives how many of each. */
async function repeat(database: Database, deletions: readonly Statement[]): Promise<number[]> {
  const totals = deletions.map(() => 0);
  let left = deletions.map((deletion, at) => ({ deletion, at }));
  while (left.length > 0) {
    const counts = await database.pipeline(
      left.map(({ deletion: { sql, values = [] } }) => ({
        sql: `WITH gone AS (${sql} RETURNING 1) SELECT count(*) AS n FROM gone`,
        values: [...values, ROWS],
      })),
    );
    const found = counts.map((rows) => (rows[0] as { n: number }).n);
    for (const [index, { at }] of left.entries()) totals[at] = (totals[at] ?? 0) + (found[index] ?? 0);
    left = left.filter((_, index) => found[index] === ROWS);
  }
  return totals;
}

const some = (table: string, key: string, where: string, values: readonly unknown[]): Statement => ({
  sql: `DELETE FROM ${table} WHERE (${key}) IN (SELECT ${key} FROM ${table} WHERE ${where} LIMIT $${values.length + 1})`,
  values,
});

/** Everything that may be long; gives the number of items. */
async function pruneRows(
  database: Database,
  runs: readonly number[],
  jobs: readonly { seq: number; kind: string }[],
): Promise<number> {
  let items = 0;
  for (let at = 0; at < jobs.length; at += JOBS) {
    const seqs = jobs.slice(at, at + JOBS).map((job) => job.seq);
    const [first] = await repeat(database, [
      ...Object.entries(LONG).map(([table, key]) => some(table, key, "job = ANY ($1::bigint[])", [seqs])),
      some("dependency", "source, target", "source = ANY ($1::bigint[])", [seqs]),
    ]);
    items += first ?? 0;
  }
  const manifold = jobs.filter((job) => job.kind !== "single").map((job) => job.seq);
  if (manifold.length > 0)
    for (const { scope } of await database.read<{ scope: number }>(KEY_SCOPES))
      await database.put("DELETE FROM item_key WHERE scope = $1 AND job = ANY ($2::bigint[])", [scope, manifold]);
  await repeat(
    database,
    Object.entries(LONG_OF_RUN).map(([table, key]) => some(table, key, "run = ANY ($1::bigint[])", [runs])),
  );
  const ranges = [runs.map((run) => run * EVENTS_PER_RUN), runs.map((run) => (run + 1) * EVENTS_PER_RUN)];
  await repeat(database, [
    {
      sql: `DELETE FROM event WHERE id IN (SELECT e.id FROM unnest($1::bigint[], $2::bigint[]) r (first, past)
        CROSS JOIN LATERAL (SELECT id FROM event WHERE id > r.first AND id < r.past) e LIMIT $3)`,
      values: ranges,
    },
  ]);
  return items;
}

/** The rest, the runs themselves last. Gives the number of their jobs, and the ids of the runs. */
async function dropRuns(
  database: Database,
  runs: readonly number[],
  seqs: readonly number[],
): Promise<{ jobs: number; ids: string[] }> {
  let total = 0;
  for (let at = 0; at < seqs.length; at += JOBS) {
    const chunk = seqs.slice(at, at + JOBS);
    const rows = await database.pipeline([
      ...SHORT.map((table) => ({ sql: `DELETE FROM ${table} WHERE job = ANY ($1::bigint[])`, values: [chunk] })),
      { sql: "DELETE FROM job WHERE seq = ANY ($1::bigint[]) RETURNING seq", values: [chunk] },
    ]);
    total += rows.at(-1)?.length ?? 0;
  }
  const rows = await database.pipeline([
    ...SHORT_OF_RUN.map((table) => ({ sql: `DELETE FROM ${table} WHERE run = ANY ($1::bigint[])`, values: [runs] })),
    { sql: "DELETE FROM run WHERE seq = ANY ($1::bigint[]) RETURNING seq, id", values: [runs] },
  ]);
  const gone = (rows.at(-1) as Old[]).sort((a, b) => a.seq - b.seq);
  return { jobs: total, ids: gone.map((run) => run.id) };
}

/** Datasets go with their objects, see runtime/garbage.ts. */
const LEFTOVERS = [
  "DELETE FROM definition WHERE created_at < $1 AND NOT EXISTS (SELECT 1 FROM run WHERE run.version = definition.version)",
  "DELETE FROM delivery WHERE ended_at < $1",
  "DELETE FROM cache WHERE at < $1",
  `DELETE FROM boot WHERE state <> 'alive' AND heartbeat_at < $1 AND NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.boot = boot.seq)
    AND seq NOT IN (SELECT boot FROM (${LEASED}) leased) AND NOT EXISTS (SELECT 1 FROM process WHERE process.boot = boot.seq)
    AND NOT EXISTS (SELECT 1 FROM item_window WHERE item_window.boot = boot.seq)`,
] as const;

async function pruneLeftovers(database: Database, olderThan: number): Promise<void> {
  for (const sql of LEFTOVERS)
    await database.execute(sql, [olderThan]).catch((error: unknown) => {
      // A run has begun with that definition meanwhile: the next pruning looks again.
      if (codeOf(error) !== "23503") throw error;
    });
}

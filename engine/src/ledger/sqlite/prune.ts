/**
 * Pruning: runs that ended long ago go with all their rows, in transactions of bounded size.
 *
 * Invariants: (1) a run that is being pruned can't be reopened, from the first deletion on; (2) whatever is left when a
 * pruning process dies is taken up by the next one, since the run's own row goes last; (3) a run stays while another one that
 * comes from it may still have to read it.
 */
import type { PruneResult } from "../../ports/ledger.ts";
import { EVENTS_PER_RUN } from "../events.ts";
import type { Connection } from "./open.ts";
import { SQL } from "./sql.ts";
import type { Statements } from "./statements.ts";

/** Rows that one transaction deletes, at most, of a table that may be long. */
const ROWS = 2_000;
/** Jobs whose last rows go in one transaction. */
const JOBS = 1_000;
/** So many runs in a row that began too late end the search for old ones. */
const YOUNG_RUNS = 1_000;

const JOBS_OF_RUN = `(${SQL.jobsOf})`;
/** Tables that may hold any number of rows of one job, with their keys. */
const LONG = {
  step: "job, item, key",
  consumption: "job, artifact",
  attempt: "job, number",
} as const;
/** The same by run. */
const LONG_OF_RUN = { artifact: "id", approval: "id", gate: "id", usage: "id", run_usage: "id" } as const;
/** Some rows per job. */
const SHORT = ["item_window", "fanout", "hold", "job_spec"] as const;

const STILL_READ = `EXISTS (SELECT 1 FROM run later WHERE later.origin = run.seq
  AND (later.ended_at IS NULL OR (later.state <> 'completed' AND later.ended_at >= ?)))`;

export interface PruneAccess {
  db: Connection;
  statements: Statements;
  /** A write outside the group commit; waits for a lock without blocking. */
  write<T>(work: () => T): Promise<T>;
}

const turn = () => new Promise((next) => setImmediate(next));

export async function pruneRuns(access: PruneAccess, olderThan: number, limit: number): Promise<PruneResult> {
  const result: PruneResult = { runs: 0, jobs: 0, items: 0, ids: [] };
  for (const run of prunable(access.db, olderThan, limit)) {
    if (!(await access.write(() => mark(access.db, run.seq, olderThan)))) continue;
    result.items += await pruneItems(access, run.seq);
    result.jobs += await pruneRows(access, run.seq);
    result.runs += 1;
    result.ids.push(run.id);
    await turn();
  }
  await pruneLeftovers(access, olderThan);
  return result;
}

/** Runs are numbered in the order of their creation, and end after it: what is young ends the search, unless a clock was wrong. */
function prunable(db: Connection, olderThan: number, limit: number): { seq: number; id: string }[] {
  const found: { seq: number; id: string }[] = [];
  let young = 0;
  for (const row of db
    .prepare("SELECT seq, id, created_at AS createdAt, ended_at AS endedAt FROM run ORDER BY seq")
    .iterate() as IterableIterator<{ seq: number; id: string; createdAt: number; endedAt: number | null }>) {
    if (row.endedAt !== null && row.endedAt < olderThan) found.push(row);
    young = row.createdAt < olderThan ? 0 : young + 1;
    if (found.length >= limit || young >= YOUNG_RUNS) break;
  }
  return found;
}

/** From here on the run can't be reopened, as if it had consequences left; false if it has been reopened already. */
function mark(db: Connection, run: number, olderThan: number): boolean {
  const sql = `UPDATE run SET propagating = propagating + 1, row_version = row_version + 1 WHERE seq = ? AND ended_at < ? AND NOT ${STILL_READ}`;
  return db.prepare(sql).run(run, olderThan, olderThan).changes === 1;
}

/** Runs a deletion of at most `ROWS` rows until there is nothing left for it. */
async function repeat(access: PruneAccess, sql: string, ...args: unknown[]): Promise<number> {
  for (let total = 0; ; ) {
    const { changes } = await access.write(() => access.statements.of(sql).run(...args, ROWS));
    total += changes;
    if (changes < ROWS) return total;
    await turn();
  }
}

async function pruneItems(access: PruneAccess, run: number): Promise<number> {
  let total = 0;
  for (const { seq } of access.statements.of(SQL.manifoldJobs).all(run, run) as { seq: number }[]) {
    for (const { scope } of access.statements.of(SQL.keyScopes).all() as { scope: number }[])
      await access.write(() => access.statements.of(SQL.clearItemKeys).run(scope, seq));
    total += await repeat(
      access,
      "DELETE FROM item WHERE job = ? AND ordinal IN (SELECT ordinal FROM item WHERE job = ? LIMIT ?)",
      seq,
      seq,
    );
  }
  return total;
}

/** Everything but the items; gives the number of jobs. */
async function pruneRows(access: PruneAccess, run: number): Promise<number> {
  for (const [table, key] of Object.entries(LONG))
    await repeat(
      access,
      `DELETE FROM ${table} WHERE (${key}) IN (SELECT ${key} FROM ${table} WHERE job IN ${JOBS_OF_RUN} LIMIT ?)`,
      run,
      run,
    );
  for (const [table, key] of Object.entries(LONG_OF_RUN))
    await repeat(
      access,
      `DELETE FROM ${table} WHERE ${key} IN (SELECT ${key} FROM ${table} WHERE run = ? LIMIT ?)`,
      run,
    );
  await repeat(
    access,
    "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE id > ? AND id < ? LIMIT ?)",
    run * EVENTS_PER_RUN,
    (run + 1) * EVENTS_PER_RUN,
  );
  await repeat(
    access,
    `DELETE FROM dependency WHERE (source, target) IN (SELECT source, target FROM dependency WHERE source IN ${JOBS_OF_RUN} LIMIT ?)`,
    run,
    run,
  );
  let total = 0;
  // Children have higher numbers than their parents, to whom they refer.
  const seqs = (access.statements.of(SQL.jobsOf).all(run, run) as { seq: number }[]).map((row) => row.seq);
  seqs.sort((a, b) => b - a);
  while (seqs.length > JOBS) {
    const chunk = seqs.splice(0, JOBS);
    total += await access.write(() => access.db.transaction(() => dropJobs(access, chunk)).immediate());
    await turn();
  }
  total += await access.write(() =>
    access.db
      .transaction(() => {
        const jobs = dropJobs(access, seqs);
        for (const table of ["propagation", "run_params", "stage"])
          access.db.prepare(`DELETE FROM ${table} WHERE run = ?`).run(run);
        access.db.prepare("DELETE FROM run WHERE seq = ?").run(run);
        access.statements.of(SQL.keepRunNumber).run(run);
        return jobs;
      })
      .immediate(),
  );
  return total;
}

function dropJobs({ db }: PruneAccess, seqs: readonly number[]): number {
  const list = JSON.stringify(seqs);
  const among = "(SELECT value FROM json_each(?))";
  for (const table of SHORT) db.prepare(`DELETE FROM ${table} WHERE job IN ${among}`).run(list);
  // Parents and children in one statement, after which the foreign key is looked at.
  return db.prepare(`DELETE FROM job WHERE seq IN ${among}`).run(list).changes;
}

/** Datasets go with their objects, see runtime/garbage.ts. */
const LEFTOVERS = [
  "DELETE FROM definition WHERE created_at < ? AND NOT EXISTS (SELECT 1 FROM run WHERE run.version = definition.version)",
  "DELETE FROM delivery WHERE ended_at < ?",
  "DELETE FROM cache WHERE at < ?",
  `DELETE FROM boot WHERE state <> 'alive' AND heartbeat_at < ? AND NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.boot = boot.seq)
    AND NOT EXISTS (SELECT 1 FROM job WHERE job.boot = boot.seq) AND NOT EXISTS (SELECT 1 FROM process WHERE process.boot = boot.seq)
    AND NOT EXISTS (SELECT 1 FROM item_window WHERE item_window.boot = boot.seq)`,
] as const;

async function pruneLeftovers({ db, write }: PruneAccess, olderThan: number): Promise<void> {
  for (const sql of LEFTOVERS) await write(() => db.prepare(sql).run(olderThan));
  for (let round = 0; round < 64; round++) {
    if (db.pragma("freelist_count", { simple: true }) === 0) break;
    await write(() => db.pragma("incremental_vacuum(1000)"));
    await turn();
  }
}

/**
 * A whole SQLite ledger as rows, read with statements of its own: the auditor must not share the ledger's mistakes.
 *
 * Owner: testing.
 */
import type { AttemptRow } from "../core/decision.ts";
import type { Dump } from "../core/dump.ts";
import type { JobRow } from "../core/model.ts";

/** What is needed of a better-sqlite3 connection. */
export interface Readable {
  prepare(sql: string): { all(...args: unknown[]): unknown[]; pluck(): { all(...args: unknown[]): unknown[] } };
}

const EVENT_SPAN = 2 ** 24;

type Statement = ReturnType<Readable["prepare"]>;

/** Statements by connection and table; preparing them costs more than running them. */
const prepared = new WeakMap<Readable, Map<string, Statement>>();

/** All rows of a table with their columns in camel case; payload columns are left out. */
function table<T>(db: Readable, name: string): T[] {
  let statements = prepared.get(db);
  if (statements === undefined) {
    statements = new Map();
    prepared.set(db, statements);
  }
  let statement = statements.get(name);
  if (statement === undefined) {
    statement = statementFor(db, name);
    statements.set(name, statement);
  }
  return statement.all() as T[];
}

function statementFor(db: Readable, name: string): Statement {
  const heavy = new Set(["params", "output", "document", "data", "result", "labels"]);
  const columns = (db.prepare(`SELECT name FROM pragma_table_info('${name}')`).pluck().all() as string[])
    .filter((column) => !heavy.has(column))
    .map((column) => `"${column}" AS "${column.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())}"`);
  return db.prepare(`SELECT ${columns.join(", ")} FROM "${name}"`);
}

/** The last attempt of a job that ended well is told by the job's own row. */
function lastAttempt(job: JobRow): AttemptRow[] {
  if (job.attemptBoot === null || job.endedAt === null) return [];
  const { seq, attempt, epoch, attemptBoot, startedAt, endedAt } = job;
  const times = { startedAt: startedAt ?? endedAt, endedAt };
  return [{ job: seq, number: attempt, epoch, boot: attemptBoot, state: "completed", ...times, error: null }];
}

export function dumpSqlite(db: Readable): Dump {
  const jobs = table<JobRow>(db, "job");
  const edges = table<{ source: number; target: number; type: string }>(db, "dependency").map((row) => ({
    from: row.source,
    to: row.target,
    on: row.type,
  }));
  const events = table<Dump["events"][number] & { id: number; seq?: number }>(db, "event").map((row) => ({
    ...row,
    seq: row.seq ?? row.id - row.run * EVENT_SPAN,
  }));
  return {
    runs: table(db, "run"),
    stages: table(db, "stage"),
    jobs,
    attempts: [...table<AttemptRow>(db, "attempt"), ...jobs.flatMap(lastAttempt)],
    fanouts: table(db, "fanout"),
    windows: table(db, "item_window"),
    items: table(db, "item"),
    events,
    edges: edges as Dump["edges"],
    holds: table(db, "hold"),
    boots: table(db, "boot"),
    approvals: table(db, "approval"),
    propagations: table(db, "propagation"),
  };
}

/**
 * A whole SQLite ledger as rows, read with statements of its own: the auditor must not share the ledger's mistakes.
 *
 * Owner: testing.
 */
import type { Dump } from "../core/dump.ts";
import { camelCase, dumpOf, HEAVY_COLUMNS } from "./dump-rows.ts";

/** What is needed of a better-sqlite3 connection. */
export interface Readable {
  prepare(sql: string): { all(...args: unknown[]): unknown[]; pluck(): { all(...args: unknown[]): unknown[] } };
}

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
  const columns = (db.prepare(`SELECT name FROM pragma_table_info('${name}')`).pluck().all() as string[])
    .filter((column) => !HEAVY_COLUMNS.has(column))
    .map((column) => `"${column}" AS "${camelCase(column)}"`);
  return db.prepare(`SELECT ${columns.join(", ")} FROM "${name}"`);
}

export function dumpSqlite(db: Readable): Dump {
  return dumpOf(<T>(name: string) => table<T>(db, name));
}

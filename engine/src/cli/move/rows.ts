/**
 * Moves all rows of one ledger into another, empty one, and looks at them again there.
 *
 * Invariant: a table that only one of them knows, or a column, is an error before anything is written; what was written is
 * read back and must have the same digest, or the move fails as a whole.
 */
import { TenutoError } from "../../core/errors.ts";
import { Digest, type End, OWN_TABLES, type Row, type Tables, type Target } from "./end.ts";

/** Rows of one statement are at most this many characters, so that a statement with large payloads stays small. */
const STATEMENT_CHARS = 8_000_000;

export interface Moved {
  table: string;
  rows: number;
  digest: string;
}

/** @throws conflict where the target has rows */
export async function assertEmpty(target: End): Promise<void> {
  for (const [table, columns] of await target.tables()) {
    if (OWN_TABLES.has(table)) continue;
    for await (const page of target.rows(table, columns)) {
      if (page.length === 0) continue;
      throw new TenutoError("conflict", `${target.shown} is not empty: table ${table} has rows`, {
        hint: "A ledger moves only into an empty one. Give another database, or another schema with ?schema=NAME.",
        details: { table },
      });
    }
  }
}

/** @throws migration_failed if the two are not of the same schema */
export function sharedTables(from: Tables, to: Tables): Map<string, readonly string[]> {
  const shared = new Map<string, readonly string[]>();
  const odd: string[] = [];
  for (const table of new Set([...from.keys(), ...to.keys()])) {
    if (OWN_TABLES.has(table)) continue;
    const [here, there] = [from.get(table), to.get(table)];
    if (here === undefined || there === undefined) odd.push(table);
    else {
      odd.push(...here.filter((name) => !there.includes(name)).map((name) => `${table}.${name}`));
      odd.push(...there.filter((name) => !here.includes(name)).map((name) => `${table}.${name}`));
      shared.set(table, here);
    }
  }
  if (odd.length === 0) return shared;
  throw new TenutoError("migration_failed", `the two ledgers are not of one schema: ${odd.slice(0, 5).join(", ")}`, {
    hint: "Bring the source to this Tenuto's schema first: tenuto migrate --database FILE.",
    details: { odd },
  });
}

export async function moveRows(from: End, to: Target, onTable: (moved: Moved) => void): Promise<Moved[]> {
  const all: Moved[] = [];
  const numbers = { run: 1, job: 1 };
  for (const [table, columns] of sharedTables(await from.tables(), await to.tables())) {
    const sent = new Digest(columns);
    for await (const page of from.rows(table, columns)) {
      sent.add(page);
      for (const part of parts(page, columns)) await to.insert(table, columns, part);
      if (table === "run" || table === "job")
        numbers[table] = page.reduce((next, row) => Math.max(next, Number(row["seq"]) + 1), numbers[table]);
    }
    const found = new Digest(columns);
    for await (const page of to.rows(table, columns)) found.add(page);
    if (found.count !== sent.count || found.value !== sent.value)
      throw new TenutoError("migration_failed", `table ${table} is not the same in ${to.shown}`, {
        hint: "Nothing was moved. This is a fault in Tenuto; please report it.",
        details: { table, sent: sent.count, found: found.count },
      });
    const moved = { table, rows: sent.count, digest: sent.value };
    all.push(moved);
    onTable(moved);
  }
  for await (const page of from.rows("number", ["name", "next"]))
    for (const { name, next } of page)
      if (name === "run" || name === "job") numbers[name] = Math.max(numbers[name], Number(next));
  await to.settle(numbers);
  return all;
}

function* parts(page: readonly Row[], columns: readonly string[]): Generator<Row[]> {
  let part: Row[] = [];
  let chars = 0;
  for (const row of page) {
    for (const column of columns) chars += typeof row[column] === "string" ? (row[column] as string).length : 20;
    part.push(row);
    if (chars < STATEMENT_CHARS) continue;
    yield part;
    part = [];
    chars = 0;
  }
  if (part.length > 0) yield part;
}

/**
 * Statements that write many rows at once: one array a column. What must hold for all rows of one is checked in the
 * statement itself, since a pipeline has been committed when its answer comes: if it does not hold, the statement fails.
 */
import type { Statement } from "./connection.ts";

type Type = "bigint" | "text" | "bytea" | "double precision";

interface Column<T> {
  name: string;
  type: Type;
  of(row: T): unknown;
}

export type Columns<T> = readonly Column<T>[];

/** Columns of a row by the core's names; those in `texts` are texts, the others numbers. */
export function columnsOf<T>(names: Record<string, string>, texts: readonly string[]): Columns<T> {
  return Object.entries(names).map(([key, name]) => ({
    name,
    type: texts.includes(key) ? "text" : key === "errorRate" ? "double precision" : "bigint",
    of: (row) => (row as Record<string, unknown>)[key],
  }));
}

const arrays = <T>(columns: Columns<T>): string =>
  `unnest(${columns.map(({ type }, index) => `$${index + 1}::${type}[]`).join(", ")})`;
const values = <T>(columns: Columns<T>, rows: readonly T[]): unknown[] =>
  columns.map(({ of }) => rows.map((row) => of(row)));
const namesOf = <T>(columns: Columns<T>): string => columns.map(({ name }) => name).join(", ");

/** Fails with `mark` unless as many rows were met as `$n` says. */
const exactly = (statement: string, n: number, mark: string): string =>
  `WITH met AS (${statement} RETURNING 1) SELECT CASE WHEN count(*) = $${n}::bigint THEN 1 ELSE ('${mark} ' || count(*))::integer END AS met FROM met`;

export type Write<T> = (rows: readonly T[]) => Statement;

export function inserter<T>(table: string, columns: Columns<T>, more = "", name = `add_${table}`): Write<T> {
  const sql = `INSERT INTO ${table} (${namesOf(columns)}) SELECT * FROM ${arrays(columns)}${more}`;
  return (rows) => ({ name, sql, values: values(columns, rows) });
}

/** Like `inserter`, and each row must be written. */
export function strictInserter<T>(options: {
  table: string;
  columns: Columns<T>;
  more: string;
  mark: string;
}): Write<T> {
  const { table, columns, more, mark } = options;
  const insert = `INSERT INTO ${table} (${namesOf(columns)}) SELECT * FROM ${arrays(columns)} ${more}`;
  const sql = exactly(insert, columns.length + 1, mark);
  return (rows) => ({ name: `put_${table}`, sql, values: [...values(columns, rows), rows.length] });
}

interface Update<T> {
  name: string;
  table: string;
  keys: Columns<T>;
  /** What is set: columns, each to its value. */
  set: Columns<T>;
  /** Columns of `v` beyond that, for `also`. */
  extra?: Columns<T>;
  /** Further assignments. */
  also?: string;
  /** If each row must be met: with what the statement fails otherwise. */
  mark?: string;
}

export function updater<T>({ name, table, keys, set, extra = [], also = "", mark }: Update<T>): Write<T> {
  const all = [...keys, ...set, ...extra];
  const assigned = [...set.map((column) => `${column.name} = v.${column.name}`), ...(also === "" ? [] : [also])];
  const update = `UPDATE ${table} t SET ${assigned.join(", ")} FROM ${arrays(all)} v (${namesOf(all)})
    WHERE ${keys.map((key) => `t.${key.name} = v.${key.name}`).join(" AND ")}`;
  if (mark === undefined) return (rows) => ({ name, sql: update, values: values(all, rows) });
  const sql = exactly(update, all.length + 1, mark);
  return (rows) => ({ name, sql, values: [...values(all, rows), rows.length] });
}

/** Rows that must be as they were: locked against change until the commit. */
export function asserter<T>(name: string, table: string, keys: Columns<T>, mark: string): Write<T> {
  const sql = `WITH met AS (SELECT 1 FROM ${table} t JOIN ${arrays(keys)} v (${namesOf(keys)})
    ON ${keys.map((key) => `t.${key.name} = v.${key.name}`).join(" AND ")} FOR SHARE OF t)
    SELECT CASE WHEN count(*) = $${keys.length + 1}::bigint THEN 1 ELSE ('${mark} ' || count(*))::integer END AS met FROM met`;
  return (rows) => ({ name, sql, values: [...values(keys, rows), rows.length] });
}

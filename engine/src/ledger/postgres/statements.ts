/**
 * Statements that write many rows at once: one array a column, one value a column that is the same in all of them. What must
 * hold for all rows of one is checked in the statement itself, since a pipeline has been committed when its answer comes: if
 * it does not hold, the statement fails.
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

const namesOf = <T>(columns: Columns<T>): string => columns.map(({ name }) => name).join(", ");

/**
 * Rows as a table in FROM, under the columns' names: parameters are numbered as the columns are. In `same` are those that
 * come as one value for all rows; a server that reads and joins an array for each column needs twice the time.
 */
function rowsAs<T>(columns: Columns<T>, same: readonly boolean[]): string {
  const list = columns.map(({ name, type }, at) => (same[at] ? `$${at + 1}::${type} AS ${name}` : `u.${name}`));
  const arrays = columns.flatMap(({ type }, at) => (same[at] ? [] : [`$${at + 1}::${type}[]`]));
  if (arrays.length === 0) return `(SELECT ${list.join(", ")})`;
  const names = namesOf(columns.filter((_, at) => !same[at]));
  return `(SELECT ${list.join(", ")} FROM unnest(${arrays.join(", ")}) u (${names}))`;
}

/** Statements of one kind that a connection prepares, at most; rows of other shapes go as arrays only. */
const MAX_SHAPES = 16;

interface Kind<T> {
  name: string;
  columns: Columns<T>;
  text(rows: string): string;
  /** So many of the first columns find a row: with one of them in common the planner would begin at the wrong end. */
  keys: number;
  /** The last parameter is the number of rows. */
  counted: boolean;
}

/** Makes statements of one kind: the text depends on which columns have one value in all rows. */
function shaped<T>({ name, columns, text, keys, counted }: Kind<T>): Write<T> {
  const shapes = new Map<string, { name: string; sql: string }>();
  const none = columns.map(() => false);
  const shape = (same: readonly boolean[], key: string) => {
    const made = { name: shapes.size === 0 ? name : `${name}_${shapes.size}`, sql: text(rowsAs(columns, same)) };
    shapes.set(key, made);
    return made;
  };
  const arrays = shape(none, "");
  return (rows) => {
    const values = columns.map(({ of }) => rows.map((row) => of(row)));
    const one = rows.length === 1;
    const same = values.map((all, at) => one || (at >= keys && isSame(all) && columns[at]!.type !== "bytea"));
    // An array at least says how many rows there are.
    if (!one && !same.includes(false)) same[0] = false;
    const key = same.map((one) => (one ? "1" : "0")).join("");
    const found = shapes.get(key) ?? (shapes.size < MAX_SHAPES ? shape(same, key) : arrays);
    const sent: unknown[] = found === arrays ? values : values.map((all, at) => (same[at] ? all[0] : all));
    return { ...found, values: counted ? [...sent, rows.length] : sent };
  };
}

const isSame = (values: readonly unknown[]): boolean => values.every((value) => value === values[0]);

/** Fails with `mark` unless as many rows were met as `$n` says. */
const exactly = (statement: string, n: number, mark: string): string =>
  `WITH met AS (${statement} RETURNING 1) SELECT CASE WHEN count(*) = $${n}::bigint THEN 1 ELSE ('${mark} ' || count(*))::integer END AS met FROM met`;

export type Write<T> = (rows: readonly T[]) => Statement;

export function inserter<T>(table: string, columns: Columns<T>, more = "", name = `add_${table}`): Write<T> {
  const insert = `INSERT INTO ${table} (${namesOf(columns)}) SELECT * FROM`;
  return shaped({ name, columns, text: (rows) => `${insert} ${rows} v${more}`, keys: 0, counted: false });
}

/** Like `inserter`, and each row must be written. */
export function strictInserter<T>(options: {
  table: string;
  columns: Columns<T>;
  more: string;
  mark: string;
}): Write<T> {
  const { table, columns, more, mark } = options;
  const insert = `INSERT INTO ${table} (${namesOf(columns)}) SELECT * FROM`;
  const text = (rows: string) => exactly(`${insert} ${rows} v ${more}`, columns.length + 1, mark);
  return shaped({ name: `put_${table}`, columns, text, keys: 0, counted: true });
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
  const where = keys.map((key) => `t.${key.name} = v.${key.name}`).join(" AND ");
  const update = (rows: string) => `UPDATE ${table} t SET ${assigned.join(", ")} FROM ${rows} v WHERE ${where}`;
  const kind = { name, columns: all, keys: keys.length };
  if (mark === undefined) return shaped({ ...kind, text: update, counted: false });
  return shaped({ ...kind, text: (rows) => exactly(update(rows), all.length + 1, mark), counted: true });
}

/** Rows that must be as they were: locked against change until the commit. */
export function asserter<T>(name: string, table: string, keys: Columns<T>, mark: string): Write<T> {
  const on = keys.map((key) => `t.${key.name} = v.${key.name}`).join(" AND ");
  const text = (rows: string) => `WITH met AS (SELECT 1 FROM ${table} t JOIN ${rows} v ON ${on} FOR SHARE OF t)
    SELECT CASE WHEN count(*) = $${keys.length + 1}::bigint THEN 1 ELSE ('${mark} ' || count(*))::integer END AS met FROM met`;
  return shaped({ name, columns: keys, text, keys: keys.length, counted: true });
}

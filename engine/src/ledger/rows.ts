/**
 * What all reads of a ledger are made of: rows of a statement. The statements are the same for all ledgers, written in what
 * SQLite and PostgreSQL have in common, with `?` for each value; what differs a ledger translates (see postgres/dialect.ts).
 */

/** A table whose texts may name artifacts. */
export interface TextTable {
  name: string;
  /** The primary key, along which the table is read page by page. */
  keys: string[];
  texts: string[];
}

export abstract class RowReader {
  abstract now(): number;
  protected abstract many<T>(sql: string, ...values: unknown[]): T[] | Promise<T[]>;
  protected abstract one<T>(sql: string, ...values: unknown[]): T | null | Promise<T | null>;
  /** All tables that have columns of text outside their keys. */
  protected abstract textTables(): Promise<TextTable[]>;
}

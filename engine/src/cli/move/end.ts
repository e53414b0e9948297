/**
 * A ledger as rows of tables, for whoever moves it: the same for SQLite and PostgreSQL, whose tables and columns have the same
 * names. Nothing here knows what the rows mean.
 */
import { createHash } from "node:crypto";

export type Row = Record<string, unknown>;

/** Tables of one ledger with their columns. */
export type Tables = ReadonlyMap<string, readonly string[]>;

export interface End {
  /** For messages. */
  readonly shown: string;
  tables(): Promise<Tables>;
  /** All rows of a table as of one moment, in pages. */
  rows(table: string, columns: readonly string[]): AsyncIterable<Row[]>;
  /** Workers that are alive, or have been a moment ago. */
  working(): Promise<string[]>;
  close(): Promise<void>;
}

export interface Target extends End {
  insert(table: string, columns: readonly string[], rows: readonly Row[]): Promise<void>;
  /** Sets what gives numbers behind those that are taken, and makes what follows from the rows. */
  settle(numbers: { run: number; job: number }): Promise<void>;
}

/** Who a worker is, for the probe of this machine. */
export interface Boot {
  host: string;
  machine: string;
  pid: number;
  pidStart: string;
}

/** Kept by each kind of ledger for itself. */
export const OWN_TABLES: ReadonlySet<string> = new Set([
  "schema_migration",
  "number",
  "queue",
  "writer",
  "feed_inbox",
  "object",
  "object_upload",
  "object_chunk",
  "log_head",
  "log_chunk",
  "output",
  "output_chunk",
]);

const text = (value: unknown): string => {
  if (value === null || value === undefined) return "-";
  if (value instanceof Uint8Array) return `x${Buffer.from(value).toString("hex")}`;
  return typeof value === "string" ? JSON.stringify(value) : String(Number(value));
};

/** Of the rows of a table in any order: their number, and a sum of their hashes. */
export class Digest {
  count = 0;
  private readonly sum = new BigUint64Array(2);
  private readonly columns: readonly string[];

  constructor(columns: readonly string[]) {
    this.columns = columns;
  }

  add(rows: readonly Row[]): void {
    for (const row of rows) {
      const hash = createHash("sha256");
      hash.update(this.columns.map((column) => text(row[column])).join("\u001f"));
      const bytes = hash.digest();
      this.count += 1;
      this.sum[0] = (this.sum[0] as bigint) + bytes.readBigUInt64LE(0);
      this.sum[1] = (this.sum[1] as bigint) + bytes.readBigUInt64LE(8);
    }
  }

  get value(): string {
    return [...this.sum].map((part) => part.toString(16).padStart(16, "0")).join("");
  }
}

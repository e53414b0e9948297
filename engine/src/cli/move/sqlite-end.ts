/** A ledger in a file, as an end of a move. Reading or writing, the file belongs to the move until that is over. */
import { rename } from "node:fs/promises";
import type { Database } from "better-sqlite3";
import { TenutoError } from "../../core/errors.ts";
import { createProbe } from "../../executors/probe.ts";
import { connect, openDatabase } from "../../ledger/sqlite/open.ts";
import type { Boot, Row, Tables, Target } from "./end.ts";

const PAGE = 2_000;

abstract class SqliteEnd {
  readonly shown: string;
  protected readonly db: Database;

  constructor(db: Database, shown: string) {
    this.db = db;
    this.shown = shown;
  }

  async tables(): Promise<Tables> {
    const names = this.db
      .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
      .pluck()
      .all() as string[];
    return new Map(
      names.map((name) => [
        name,
        this.db.prepare(`SELECT name FROM pragma_table_info('${name}') ORDER BY cid`).pluck().all() as string[],
      ]),
    );
  }

  async *rows(table: string, columns: readonly string[]): AsyncGenerator<Row[]> {
    let page: Row[] = [];
    for (const row of this.db.prepare(`SELECT ${columns.map(quoted).join(", ")} FROM "${table}"`).iterate()) {
      page.push(row as Row);
      if (page.length < PAGE) continue;
      yield page;
      page = [];
    }
    if (page.length > 0) yield page;
  }

  async working(): Promise<string[]> {
    const probe = createProbe();
    const boots = this.db
      .prepare(`SELECT host, machine, pid, pid_start AS "pidStart" FROM boot WHERE state = 'alive'`)
      .all() as Boot[];
    return boots.filter((boot) => probe.alive(boot) !== false).map((boot) => `${boot.host}:${boot.pid}`);
  }

  async close(): Promise<void> {
    this.db.close();
  }
}

const quoted = (name: string) => `"${name}"`;

/** Nobody can write to the file until it is closed. @throws ledger_busy */
export class SqliteSource extends SqliteEnd {
  constructor(path: string) {
    super(connect(path), path);
    try {
      this.db.exec("BEGIN IMMEDIATE");
    } catch (cause) {
      this.db.close();
      throw new TenutoError("ledger_busy", `${path} is being written to`, {
        hint: "Stop all engines on it first; nothing was changed.",
        cause,
      });
    }
  }
}

/** Written under another name, which becomes the right one at the end. */
export class SqliteTarget extends SqliteEnd implements Target {
  private readonly path: string;

  constructor(path: string) {
    const partial = `${path}.partial`;
    super(openDatabase({ path: partial }), path);
    this.path = path;
    this.db.pragma("foreign_keys = OFF");
    this.db.exec("BEGIN IMMEDIATE");
  }

  async insert(table: string, columns: readonly string[], rows: readonly Row[]): Promise<void> {
    const places = columns.map(() => "?").join(", ");
    const statement = this.db.prepare(`INSERT INTO "${table}" (${columns.map(quoted).join(", ")}) VALUES (${places})`);
    for (const row of rows) statement.run(...columns.map((column) => row[column] ?? null));
  }

  async settle(numbers: { run: number; job: number }): Promise<void> {
    const statement = this.db.prepare("UPDATE number SET next = ? WHERE name = ?");
    for (const [name, next] of Object.entries(numbers)) statement.run(next, name);
    const broken = this.db.pragma("foreign_key_check") as unknown[];
    if (broken.length > 0)
      throw new TenutoError("ledger_corrupt", `${broken.length} rows name others that are not there`, {
        hint: "Look at the ledger with tenuto doctor.",
      });
  }

  async finish(): Promise<void> {
    this.db.exec("COMMIT");
    this.db.pragma("wal_checkpoint(TRUNCATE)");
    this.db.pragma("journal_mode = DELETE");
    this.db.close();
    await rename(`${this.path}.partial`, this.path);
  }

  override async close(): Promise<void> {
    if (this.db.open) this.db.close();
  }
}

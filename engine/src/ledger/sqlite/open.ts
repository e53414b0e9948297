/**
 * Opens the database file: version gate, file-system gate, pragmas asserted, migrations with a backup before.
 *
 * Invariants: (1) nothing is written before every gate has passed; (2) synchronous=FULL, foreign keys on, no mmap; (3) the
 * busy wait is at most 50 ms, longer waits are asynchronous in the ledger.
 */
import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import Database from "better-sqlite3";
import { TenutoError } from "../../core/errors.ts";
import type { Applied, Migration } from "../migrate.ts";
import { planMigrations } from "../migrate.ts";
import { filesystemWithoutLocks } from "./filesystem.ts";
import { restoreHint } from "./storage-error.ts";

export type Connection = Database.Database;

const MIGRATIONS = fileURLToPath(new URL("./migrations/", import.meta.url));
export const BUSY_WAIT_MS = 50;

export function loadMigrations(folder = MIGRATIONS): Migration[] {
  return readdirSync(folder)
    .filter((name) => /^\d{4}_.*\.sql$/.test(name))
    .sort()
    .map((name) => {
      const sql = readFileSync(`${folder}/${name}`, "utf8");
      return { number: Number(name.slice(0, 4)), name, sql, checksum: createHash("sha256").update(sql).digest("hex") };
    });
}

/** Bugs below 3.51.3 (3.50.7 has the fix too) can corrupt a WAL that two connections write and checkpoint at once. */
export function checkVersion(version: string): void {
  const [major = 0, minor = 0, patch = 0] = version.split(".").map(Number);
  const number = major * 1_000_000 + minor * 1_000 + patch;
  if (number >= 3_051_003 || (number >= 3_050_007 && number < 3_051_000)) return;
  throw new TenutoError(
    "sqlite_too_old",
    `SQLite ${version} can corrupt a database in WAL mode; at least 3.51.3 is needed`,
    { hint: "Reinstall better-sqlite3 13 or newer: npm ci --ignore-scripts." },
  );
}

function checkFilesystem(path: string): void {
  const kind = filesystemWithoutLocks(dirname(path));
  if (kind === undefined) return;
  throw new TenutoError("unsupported_filesystem", `${path} lies on ${kind}, where SQLite's locks do not hold`, {
    hint: "Put the ledger on a local disk with --database, or use PostgreSQL.",
  });
}

export interface OpenOptions {
  /** Path of the file, or `:memory:`. */
  path: string;
  readOnly?: boolean;
  migrations?: Migration[];
  /** Test hook: called before each statement of a migration. */
  onMigrationStep?: (number: number, phase: "before" | "after") => void;
}

/** A connection with every gate passed and the schema up to date. @throws schema_newer, schema_unstamped, sqlite_too_old */
export function openDatabase(options: OpenOptions): Connection {
  const memory = options.path === ":memory:";
  const path = memory ? options.path : resolve(options.path);
  if (!memory) {
    if (options.readOnly === true && !existsSync(path))
      throw new TenutoError("not_found", `there is no ledger at ${path}`, {
        hint: "Start a run first, or give the file with --database.",
      });
    checkFilesystem(path);
    mkdirSync(dirname(path), { recursive: true });
  }
  const db = connect(path, (fresh) => {
    checkVersion(String(fresh.prepare("SELECT sqlite_version() AS v").pluck().get()));
    planned(fresh, path, options.migrations ?? loadMigrations());
  });
  try {
    if (!memory) checkPages(db, path);
    migrate(db, path, options);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Larger files take too long to be read at each start; `tenuto doctor` looks at them whole. */
const CHECKED_AT_START_BYTES = 16 * 1_048_576;

/** Damage is found before anything is written, not when a page is met by chance. */
function checkPages(db: Connection, path: string): void {
  const bytes = Number(db.pragma("page_count", { simple: true })) * Number(db.pragma("page_size", { simple: true }));
  if (bytes > CHECKED_AT_START_BYTES) return;
  let found: unknown;
  try {
    found = db.pragma("quick_check(1)", { simple: true });
  } catch (error) {
    throw openFailure(path, error);
  }
  if (found !== "ok")
    throw new TenutoError("ledger_corrupt", `${path} is damaged: ${String(found).split("\n")[0]}`, {
      hint: `Nothing was changed. ${restoreHint(path)}`,
      category: "critical",
    });
}

/**
 * A connection with the pragmas that every user of the file must have. `gate` looks at the file first and throws if it must
 * not be touched: until then nothing is written, not even the journal mode.
 */
export function connect(path: string, gate: (db: Connection) => void = () => {}): Connection {
  let db: Connection;
  try {
    db = new Database(path, { timeout: BUSY_WAIT_MS });
  } catch (error) {
    throw openFailure(path, error);
  }
  try {
    db.pragma("busy_timeout = 5000");
    gate(db);
    const fresh = path !== ":memory:" && db.pragma("page_count", { simple: true }) === 0;
    if (fresh) db.pragma("auto_vacuum = INCREMENTAL");
    if (path !== ":memory:" && db.pragma("journal_mode = WAL", { simple: true }) !== "wal") {
      throw new TenutoError("unsupported_filesystem", `${path}: the file system does not support SQLite's WAL mode`, {
        hint: "Put the ledger on a local disk with --database.",
      });
    }
    db.pragma("synchronous = FULL");
    db.pragma("foreign_keys = ON");
    db.pragma("mmap_size = 0");
    db.pragma("journal_size_limit = -1");
    db.pragma("cache_size = -8000");
    db.pragma("temp_store = MEMORY");
    assertPragmas(db, path);
    db.pragma(`busy_timeout = ${BUSY_WAIT_MS}`);
    return db;
  } catch (error) {
    db.close();
    throw error instanceof TenutoError ? error : openFailure(path, error);
  }
}

function assertPragmas(db: Connection, path: string): void {
  const expected = { synchronous: 2, foreign_keys: 1 } as const;
  for (const [name, value] of Object.entries(expected)) {
    const is = db.pragma(name, { simple: true });
    if (is !== value)
      throw new TenutoError("ledger_unavailable", `${path}: PRAGMA ${name} is ${String(is)}, must be ${value}`);
  }
}

function openFailure(path: string, cause: unknown): TenutoError {
  const code = (cause as { code?: string }).code ?? "";
  const text = cause instanceof Error ? cause.message : String(cause);
  if (code === "SQLITE_NOTADB" || code.startsWith("SQLITE_CORRUPT")) {
    return new TenutoError("ledger_corrupt", `${path} is not a sound SQLite database: ${text}`, {
      hint: `Nothing was changed. ${restoreHint(path)}`,
      cause,
    });
  }
  if (code === "SQLITE_FULL")
    return new TenutoError("disk_full", `no room to open ${path}`, {
      hint: "Free space on that disk.",
      cause,
      category: "critical",
    });
  return new TenutoError("ledger_unavailable", `cannot open ${path}: ${text}`, {
    hint: "Check that the folder exists and that you may write there.",
    cause,
  });
}

function migrate(db: Connection, path: string, options: OpenOptions): void {
  const known = options.migrations ?? loadMigrations();
  const pending = planned(db, path, known);
  if (pending.length === 0) return;
  if (options.readOnly === true)
    throw new TenutoError("schema_unstamped", `${path} needs ${pending.length} migration(s)`, {
      hint: "Run `tenuto migrate` first.",
    });
  db.pragma("busy_timeout = 10000");
  const applied = db.prepare("SELECT count(*) AS n FROM sqlite_schema").pluck().get() as number;
  if (path !== ":memory:" && applied > 0) backupBefore(db, path, pending[0]!.number - 1);
  for (const migration of pending) {
    db.exec("BEGIN IMMEDIATE");
    try {
      // Another process may have migrated while this one waited for the lock.
      if (planned(db, path, known).some((candidate) => candidate.number === migration.number)) {
        options.onMigrationStep?.(migration.number, "before");
        db.exec(
          "CREATE TABLE IF NOT EXISTS schema_migration (number INTEGER PRIMARY KEY, checksum TEXT NOT NULL, name TEXT NOT NULL) STRICT",
        );
        db.exec(migration.sql);
        db.prepare("INSERT INTO schema_migration (number, checksum, name) VALUES (?, ?, ?)").run(
          migration.number,
          migration.checksum,
          migration.name,
        );
        options.onMigrationStep?.(migration.number, "after");
      }
      db.exec("COMMIT");
    } catch (error) {
      if (db.inTransaction) db.exec("ROLLBACK");
      if (error instanceof TenutoError) throw error;
      throw new TenutoError(
        "migration_failed",
        `${path}: migration ${migration.number} failed: ${(error as Error).message}`,
        { hint: "The ledger is as it was before. Free disk space or restore the backup beside it.", cause: error },
      );
    }
  }
  db.pragma(`busy_timeout = ${BUSY_WAIT_MS}`);
}

function planned(db: Connection, path: string, known: Migration[]): Migration[] {
  const tables = db
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    .pluck()
    .all() as string[];
  const stamped = tables.includes("schema_migration");
  const applied = stamped
    ? (db.prepare("SELECT number, checksum FROM schema_migration ORDER BY number").all() as Applied[])
    : [];
  return planMigrations(known, applied, stamped, tables.length === 0, path);
}

function backupBefore(db: Connection, path: string, schema: number): void {
  const target = `${path}.schema-${schema}.backup`;
  if (existsSync(target)) return;
  // Under its final name only when it is whole: a later start takes an existing backup for a good one.
  const part = `${target}.${process.pid}.part`;
  try {
    rmSync(part, { force: true });
    db.prepare("VACUUM INTO ?").run(part);
    const file = openSync(part, "r+");
    fsyncSync(file);
    closeSync(file);
    renameSync(part, target);
  } catch (cause) {
    rmSync(part, { force: true });
    throw new TenutoError("migration_failed", `cannot write the backup ${target} before migrating`, {
      hint: "Free space on that disk; nothing was changed.",
      cause,
    });
  }
}

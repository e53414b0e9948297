/**
 * Where a ledger is, and the right one for it: a file of SQLite, or a `postgres:` URL. PostgreSQL's is loaded when it is asked
 * for, so that who keeps to a file needs no driver.
 */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { TenutoError } from "./core/errors.ts";
import { openSqliteLedger } from "./ledger/sqlite/index.ts";
import type { Clock } from "./ports/clock.ts";
import type { Ledger } from "./ports/ledger.ts";

export interface LedgerPlace {
  home: string;
  cwd: string;
  /** A path or a URL. Default `TENUTO_DATABASE`, else `ledger.db` in the home. */
  database: string | undefined;
}

export function isPostgres(database: string): boolean {
  return /^postgres(ql)?:/.test(database);
}

/**
 * Whether it is a URL rather than a file. One with a mistake is not taken as a file: that would make a ledger of its own, in a
 * folder that is named after the password. @throws invalid_input
 */
export function isUrl(database: string): boolean {
  if (isPostgres(database)) return true;
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(database)?.[1];
  if (scheme === undefined) return false;
  throw new TenutoError("invalid_input", `a ledger is a file or a postgres: URL, not a ${scheme}: URL`, {
    hint: "Write it as postgres://user:password@host:5432/name.",
  });
}

/** A URL, an absolute path, or `:memory:`. */
export function databaseAt({ home, cwd, database }: LedgerPlace): string {
  const chosen = database ?? (process.env["TENUTO_DATABASE"] || join(home, "ledger.db"));
  return chosen === ":memory:" || isUrl(chosen) ? chosen : resolve(cwd, chosen);
}

/** Whether there is a ledger; nothing is made. @throws ledger_unavailable */
export async function ledgerExists(database: string): Promise<boolean> {
  if (!isPostgres(database)) return existsSync(database);
  const { openDatabase } = await import("./ledger/postgres/index.ts");
  const { storageError } = await import("./ledger/postgres/storage-error.ts");
  const db = openDatabase({ url: database, writers: 1, readers: 0, waitMs: 0 });
  try {
    const found = await db.query("SELECT 1 FROM pg_tables WHERE schemaname = $1 AND tablename = 'schema_migration'", [
      db.schema,
    ]);
    return found.length > 0;
  } catch (error) {
    throw storageError(error, db.shown);
  } finally {
    await db.close();
  }
}

/** Without a clock the ledger's own counts: the system's for a file, the server's for PostgreSQL. */
export async function openLedger(
  database: string,
  clock: Clock | undefined,
  system: Clock,
  onFailure: (error: unknown) => void,
  waitMs?: number,
): Promise<Ledger> {
  if (!isPostgres(database)) return openSqliteLedger({ path: database, clock: clock ?? system, onFailure });
  const { openPostgresLedger } = await import("./ledger/postgres/index.ts");
  const more = { ...(clock === undefined ? {} : { clock }), ...(waitMs === undefined ? {} : { waitMs }) };
  return await openPostgresLedger({ url: database, ...more, onFailure });
}

/** The clock of who works on this ledger: its time, the system's timers. */
export function clockOf(ledger: Ledger, database: string, given: Clock | undefined, system: Clock): Clock {
  if (given !== undefined) return given;
  return isPostgres(database) ? { now: () => ledger.now(), after: system.after } : system;
}

/** What histories are made of, and the ledger that they are played on. */
import type { Dump } from "../../src/core/dump.ts";
import { openSqliteLedger, type SqliteLedger } from "../../src/ledger/sqlite/index.ts";
import type { Ledger } from "../../src/ports/ledger.ts";
import { FakeClock } from "../../src/testing/clock.ts";
import { dumpSqlite } from "../../src/testing/sqlite-dump.ts";
import type { Held } from "../../src/testing/world.ts";

export interface Action {
  kind: (typeof KINDS)[number];
  x: number;
  y: number;
  /** Handed in together with the action before, in one batch. */
  together: boolean;
}

/** What may happen; repeated names happen more often. */
export const KINDS = [
  ...(["start", "claim", "claim", "claim", "claim", "end", "end", "end", "end", "settle", "settle", "settle"] as const),
  ...(["fail", "fail", "park", "spawn", "spawn", "map", "window", "release", "limit", "late", "late"] as const),
  ...(["time", "time", "cancel", "halt", "retry", "retry", "die", "bury", "giveBack", "standing", "again"] as const),
  ...(["ask", "ask", "decide", "decide"] as const),
] as const;

export const GRAPHS = [
  "a",
  "a b(a) c(a)",
  "a | b | c",
  "a b | c(a) d | e",
  "a b(a:failure) c(a:always) | d",
  "a! | b* | c",
  "a* b(a) | c()",
  "a x | b() | c | d",
  "a b(a) c(b) d(a,c) | e f",
  "x y(x:failure) z(y) w(y:always) | v",
  "a* | b* c | d!",
  "a b(c) c(b)",
  "p | q",
] as const;

/** True if a boot that is dead has it yet: it was leased in the very moment in which the boot was taken over. */
export async function stillHeld(ledger: Ledger, held: Held): Promise<boolean> {
  const { job, window, lease } = held;
  const rows = window === null ? [await ledger.job(job)] : await ledger.windows(job);
  return rows.some(
    (row) =>
      row?.boot === lease.boot &&
      row.epoch === lease.epoch &&
      (window === null || ("start" in row && row.start === window.start)),
  );
}

/** A ledger that many histories are played on, one after the other, each beginning with nothing. */
export interface Stage {
  readonly clock: FakeClock;
  readonly ledger: Ledger;
  /** Whether a look at all rows is so cheap that it may follow each action. */
  readonly quick: boolean;
  dump(): Dump | Promise<Dump>;
  clear(): Promise<void>;
}

export class SqliteStage implements Stage {
  readonly clock = new FakeClock();
  readonly ledger: SqliteLedger = openSqliteLedger({ path: ":memory:", clock: this.clock });
  readonly quick = true;

  dump(): Dump {
    return dumpSqlite(this.ledger.db);
  }

  async clear(): Promise<void> {
    const { db } = this.ledger;
    const tables = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").pluck().all() as string[];
    db.pragma("foreign_keys = OFF");
    for (const table of tables) if (!["schema_migration", "number"].includes(table)) db.exec(`DELETE FROM ${table}`);
    db.pragma("foreign_keys = ON");
    // A write past the commits makes the ledger forget the rows that it has kept.
    await this.ledger.endBoot(0, "dead");
  }
}

/** The conformance suite over SQLite, in memory and in a file. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { describe, it } from "vitest";
import type { FakeClock } from "../../testing/clock.ts";
import { type LedgerContract, type LedgerUnderTest, ledgerSuite } from "../../testing/ledgerSuite/index.ts";
import { dumpSqlite } from "../../testing/sqlite-dump.ts";
import { openSqliteLedger, type SqliteLedger } from "./index.ts";

/** Writes as another process would. */
function spoil(path: string, sql: string): void {
  const db = new Database(path);
  try {
    db.exec(sql);
  } finally {
    db.close();
  }
}

function over(makePath: () => string): LedgerContract {
  const folders = new Map<LedgerUnderTest, string>();
  return {
    setup: async (clock: FakeClock) => {
      const folder = mkdtempSync(join(tmpdir(), "tenuto-ledger-"));
      const path = makePath().replace("FOLDER", folder);
      const ledger: SqliteLedger = openSqliteLedger({ path, clock });
      const copy = join(folder, "copy.db");
      const under: LedgerUnderTest = {
        ledger,
        dump: async () => dumpSqlite(ledger.db),
        second: path === ":memory:" ? null : async () => openSqliteLedger({ path, clock }),
        backup: {
          path: copy,
          dump: async () => {
            const db = new Database(copy, { readonly: true });
            try {
              return dumpSqlite(db);
            } finally {
              db.close();
            }
          },
        },
        spoil: path === ":memory:" ? null : (sql) => spoil(path, sql),
      };
      folders.set(under, folder);
      return under;
    },
    teardown: async (under) => {
      await under.ledger.close();
      rmSync(folders.get(under) as string, { recursive: true, force: true });
    },
  };
}

ledgerSuite(
  "SQLite in memory",
  over(() => ":memory:"),
  { describe, it },
);
ledgerSuite(
  "SQLite in a file",
  over(() => "FOLDER/ledger.db"),
  { describe, it },
);

/** The conformance suite's contract on a PostgreSQL ledger: one database a file, emptied between two cases. */
import { afterAll, beforeAll } from "vitest";
import { type Database, openDatabase } from "../../src/ledger/postgres/connection.ts";
import { openOn, openPostgresLedger } from "../../src/ledger/postgres/index.ts";
import { migrate } from "../../src/ledger/postgres/migrate.ts";
import type { FakeClock } from "../../src/testing/clock.ts";
import type { LedgerContract, LedgerUnderTest } from "../../src/testing/ledgerSuite/index.ts";
import { dumpPostgres } from "../../src/testing/postgres-dump.ts";
import { type Lite, startLite } from "./lite.ts";
import { createDatabase, emptyTables, type TestDatabase } from "./shared.ts";

/** Cases with thousands of jobs take minutes here: they are for `npm run test:long`. */
const large = process.env["LONG"] === "1";

const dumpOf = (database: Database) => database.snapshot((session) => dumpPostgres(session));

/** Ledgers on a server. */
export function onServer(server: string): LedgerContract {
  let test: TestDatabase;
  let admin: Database;
  beforeAll(async () => {
    test = await createDatabase(server);
    admin = openDatabase({ url: test.url, writers: 1, readers: 1 });
    await migrate(admin);
  });
  afterAll(async () => {
    await admin?.close();
    await test?.drop();
  });
  return {
    large,
    setup: async (clock: FakeClock): Promise<LedgerUnderTest> => {
      await emptyTables(admin);
      const { url } = test;
      return {
        ledger: await openPostgresLedger({ url, clock }),
        dump: () => dumpOf(admin),
        second: () => openPostgresLedger({ url, clock }),
        backup: null,
        spoil: null,
      };
    },
    teardown: async ({ ledger }) => await ledger.close(),
  };
}

/** Ledgers on PostgreSQL in this process: one session, so no second ledger. */
export function inProcess(): LedgerContract {
  let lite: Lite | null = null;
  let used = false;
  beforeAll(async () => {
    lite = await startLite();
  }, 120_000);
  afterAll(async () => await lite?.stop());
  return {
    large,
    setup: async (clock: FakeClock): Promise<LedgerUnderTest> => {
      const { stream } = lite as Lite;
      const database = openDatabase({ url: "postgres://postgres@localhost/postgres", writers: 1, readers: 0, stream });
      if (used) await emptyTables(database);
      used = true;
      return {
        ledger: await openOn(database, { clock }, null),
        dump: () => dumpOf(database),
        second: null,
        backup: null,
        spoil: null,
      };
    },
    teardown: async ({ ledger }) => await ledger.close(),
  };
}

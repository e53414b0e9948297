/**
 * "A bare loop writing the same rows", taken literally: the statements of a real run of the engine are recorded with their
 * values and transactions, and replayed on an empty ledger of the same schema by a loop that does nothing else.
 */
import { join } from "node:path";
import { openSqliteLedger, type SqliteLedger } from "tenuto/sqlite";
import { elapsed, inFolder } from "../place.ts";

export interface Recorded {
  sql: string;
  values: unknown[];
}

const WRITES = /^\s*(INSERT|UPDATE|DELETE|BEGIN|COMMIT|ROLLBACK)/;

/** Records what a ledger writes from now on. */
export function recordWrites(ledger: SqliteLedger): Recorded[] {
  const log: Recorded[] = [];
  const { statements } = ledger;
  const original = statements.of.bind(statements);
  const wrapped = new Map<string, ReturnType<typeof original>>();
  statements.of = (sql) => {
    const statement = original(sql);
    if (!WRITES.test(sql)) return statement;
    let recorder = wrapped.get(sql);
    if (recorder === undefined) {
      const noting =
        (call: (...values: unknown[]) => unknown) =>
        (...values: unknown[]) => {
          log.push({ sql, values });
          return call(...values);
        };
      const run = noting((...values) => statement.run(...values));
      const get = noting((...values) => statement.get(...values));
      recorder = { run, get } as unknown as ReturnType<typeof original>;
      wrapped.set(sql, recorder);
    }
    return recorder;
  };
  return log;
}

/** Seconds that the bare loop needs for the recorded writes. `prepare` writes what they refer to. */
export async function replay(
  log: readonly Recorded[],
  prepare: (ledger: SqliteLedger) => Promise<void>,
): Promise<number> {
  return await inFolder(async (folder) => {
    const ledger = openSqliteLedger({
      path: join(folder, "ledger.db"),
      clock: { now: Date.now, after: () => ({ cancel: () => {} }) },
    });
    await prepare(ledger);
    ledger.db.pragma("wal_autocheckpoint = 0");
    const statements = log.map(({ sql, values }) => ({
      statement: ledger.db.prepare(sql),
      values,
      reads: /RETURNING/.test(sql),
    }));
    const startedAt = performance.now();
    for (const { statement, values, reads } of statements) {
      if (reads) statement.get(...values);
      else statement.run(...values);
    }
    const seconds = elapsed(startedAt);
    await ledger.close();
    return seconds;
  });
}

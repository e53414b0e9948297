/** The SQLite ledger: one file, several processes on one machine. */

export type { SqliteOptions } from "./ledger.ts";
export { openSqliteLedger, SqliteLedger } from "./upkeep.ts";

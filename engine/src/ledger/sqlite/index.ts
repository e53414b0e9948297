/** The SQLite ledger: one file, several processes on one machine. */
export { openSqliteLedger, SqliteLedger } from "./upkeep.ts";
export type { SqliteOptions } from "./ledger.ts";

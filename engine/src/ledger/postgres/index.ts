/** The PostgreSQL ledger: one database, any number of processes on any number of machines. */

export { isPostgresUrl, parseAddress } from "./address.ts";
export { type Database, type DatabaseOptions, openDatabase, type Session, type Transaction } from "./connection.ts";
export { storageError } from "./storage-error.ts";
export { openOn, openPostgresLedger, type PostgresLedger } from "./upkeep.ts";

/** Statements of the record tables in PostgreSQL's words; see ../records.ts. */
import type { RecordTable } from "../../core/records.ts";
import { RECORD_SQL as SHARED } from "../records.ts";
import { toPostgres } from "./dialect.ts";

export { RECORD_COLUMNS, recordValues } from "../records.ts";

export const RECORD_SQL = Object.fromEntries(
  Object.entries(SHARED).map(([table, statements]) => [
    table,
    Object.fromEntries(Object.entries(statements).map(([name, sql]) => [name, toPostgres(sql)])),
  ]),
) as unknown as { readonly [T in RecordTable]: (typeof SHARED)[T] };

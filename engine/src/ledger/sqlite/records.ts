/** The record tables' statements, which all ledgers share. */
export { CLOSE_APPROVALS, RECORD_SQL, recordValues, VOID_APPROVALS } from "../records.ts";

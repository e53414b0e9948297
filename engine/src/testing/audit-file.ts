/**
 * `node audit-file.ts LEDGER [ARTIFACTS]`: audits a ledger from a process of its own. Prints the audit as JSON; exits with 1
 * when something is wrong.
 */
import { auditFile } from "./auditor.ts";

const [database, artifacts] = process.argv.slice(2);
if (database === undefined) {
  console.error("usage: node --conditions=source engine/src/testing/audit-file.ts LEDGER [ARTIFACTS]");
  process.exit(2);
}
const audit = await auditFile(artifacts === undefined ? { database } : { database, artifacts });
console.log(JSON.stringify(audit));
process.exitCode = audit.problems.length === 0 ? 0 : 1;

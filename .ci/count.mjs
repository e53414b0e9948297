/** Prints `N passed, N failed` from vitest's JSON report. Says 1 failed where the tests did not even run. */
import { readFileSync } from "node:fs";

const [, , file, code] = process.argv;
let passed = 0;
let failed = 0;
let skipped = 0;
try {
  const report = JSON.parse(readFileSync(file, "utf8"));
  passed = report.numPassedTests;
  failed = report.numFailedTests;
  skipped = report.numPendingTests + report.numTodoTests;
  // A file that could not be loaded has no tests that could fail.
  failed += report.testResults.filter(
    (suite) => suite.status === "failed" && !suite.assertionResults.some((test) => test.status === "failed"),
  ).length;
} catch {
  console.log("the tests did not run to their end");
}
if (code !== "0" && failed === 0) failed = 1;
if (skipped > 0) console.log(`${skipped} skipped`);
console.log(`${passed} passed, ${failed} failed`);

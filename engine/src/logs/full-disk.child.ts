/**
 * Program of the sink's test of a full disk: logs into the small file system at argv[2] until it is full, makes room,
 * logs again, and prints what it was told and what the log holds.
 *
 * Owner: logs, tests.
 */
import { rmSync, statSync, writeFileSync } from "node:fs";
import { openLogFiles } from "./files.ts";

const root = process.argv[2]!;
const told: string[] = [];
const logs = openLogFiles(`${root}/logs`, {
  clock: { now: () => 0, after: () => ({ cancel() {} }) },
  onProblem: (error) => told.push(`${error.code} ${error.category}`),
});
const log = (message: string) => logs.line({ at: 0, run: "r", agent: "orchestrator", level: "INFO", message });

writeFileSync(`${root}/filler`, Buffer.alloc(600_000));
const output = logs.output("r", "job", 1, null, 50_000_000);
for (let round = 0; round < 100; round++) {
  for (let at = 0; at < 50; at++) log(`round ${round} ${"x".repeat(100)}`);
  output.write("stdout", Buffer.alloc(10_000, "o"));
  await logs.flush();
}
await output.close();
rmSync(`${root}/filler`);
log("space again");

const lastLines: string[] = [];
for await (const line of logs.read("r")) lastLines.push(line.message);
const outputBytes = statSync(logs.outputPath("r", "job", 1, null)).size;
console.log(JSON.stringify({ told, lastLines: lastLines.slice(-2), outputBytes }));

/** Four writers in one process on a shared ledger file: start, claim, complete until the time is over. Prints a report. */
import * as changes from "../../core/changes.ts";
import { startOf } from "../../testing/builders.ts";
import { openSqliteLedger } from "./index.ts";

const [path, name, forMs] = process.argv.slice(2) as [string, string, string];
const clock = { now: () => Date.now(), after: () => ({ cancel: () => {} }) };
const ledger = openSqliteLedger({ path, clock });
const until = performance.now() + Number(forMs);
const report = { runs: [] as string[], errors: [] as string[], completed: 0 };

async function write(writer: number): Promise<void> {
  const boot = await ledger.registerBoot({
    id: `${name}.${writer}`,
    host: "test",
    machine: "",
    pid: process.pid,
    pidStart: "",
    startedAt: clock.now(),
  });
  for (let n = 0; performance.now() < until; n++) {
    const started = await ledger.apply(changes.startRun(startOf("a b | c", { id: `${name}.${writer}.${n}` })));
    report.runs.push(started.id);
    const request = { boot, run: null, slots: 5, itemSlots: 1, offers: () => true, offersVersion: 0, suspects: true };
    for (const { job } of await ledger.claim(request)) {
      await ledger.apply(changes.completeJob(job.seq, { epoch: job.epoch, boot }, `"${name}"`));
      report.completed += 1;
    }
  }
  await ledger.endBoot(boot, "stopped");
}

await ledger.putDefinition("v1", "test", "{}");
const ends = await Promise.allSettled([0, 1, 2, 3].map(write));
for (const end of ends) if (end.status === "rejected") report.errors.push(String(end.reason));
await ledger.close();
console.log(JSON.stringify(report));

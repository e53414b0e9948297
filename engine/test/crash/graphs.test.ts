/** graphs of 10,000 jobs, each killed in the middle and resumed: finished, each job's result proved, one join. */
import { afterEach, expect, test } from "vitest";
import { audit, query } from "./audit.ts";
import { byKey, readJournal } from "./journal.ts";
import { Bench, readLines, until } from "./process.ts";
import { proveResults } from "./proof.ts";
import { figure } from "./seeded.ts";

const SIZE = figure("GRAPH", 10_000);

let bench: Bench;
afterEach(() => bench.close());

for (const [pipeline, jobs] of [
  ["chain", SIZE],
  ["join", SIZE + 1],
  ["dag", SIZE],
] as const) {
  test(`R-35: ${pipeline} of ${SIZE}, killed in the middle`, { timeout: 120_000 }, async () => {
    bench = new Bench("graph");
    const first = await bench.engine({ concurrency: 50 });
    let since = performance.now();
    const { id } = await first.ask("start", pipeline, {}, {});
    const createdMs = performance.now() - since;
    await until("half of it", () => readLines(bench.journal).length >= SIZE, 60_000);
    await first.kill();
    since = performance.now();
    const second = await bench.engine({ concurrency: 50 });
    await until(
      "work after the restart",
      () => query(bench.database, "SELECT 1 FROM event WHERE name = 'job.lost' LIMIT 1").length === 1,
      10_000,
    );
    expect((await second.ask("wait", id, 60_000)).state).toBe("completed");
    const resumedMs = performance.now() - since;
    await second.stop();
    expect(await audit(bench.database, { quiet: true })).toEqual([]);
    const proof = proveResults(bench.database, bench.journal);
    expect(proof.problems).toEqual([]);
    expect(proof.checked).toBe(jobs);
    expect(proof.repeated).toBeLessThanOrEqual(50);
    if (pipeline === "join") {
      const joins = byKey(readJournal(bench.journal)).get(`${id}/join`)!;
      expect(joins.begins.length).toBe(1);
    }
    console.log(
      `R-35 ${pipeline}: created in ${createdMs.toFixed(0)} ms; restart to end ${resumedMs.toFixed(0)} ms; ${proof.repeated} repeated`,
    );
  });
}

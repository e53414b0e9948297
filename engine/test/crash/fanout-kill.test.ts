/** kill -9 at half of a 10,000-item fan-out: finished after the restart, at most `concurrency` items twice, none lost. */
import { writeFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { audit, query } from "./audit.ts";
import { byKey, readJournal } from "./journal.ts";
import { Bench, readLines, until } from "./process.ts";
import { proveResults } from "./proof.ts";

let bench: Bench;
afterEach(() => bench.close());

for (const [pipeline, what] of [
  ["swarm", "forEach with a function agent"],
  ["swarmCode", "ctx.map with a closure"],
] as const) {
  test(`kill at half of 10,000 items: ${what}`, { timeout: 60_000 }, async () => {
    bench = new Bench("jobs");
    const first = await bench.engine();
    const { id } = await first.ask("start", pipeline, {}, {});
    await until("half of the items", () => readLines(bench.journal).length >= 10_000);
    await first.kill();
    const before = query<{ n: number }>(bench.database, "SELECT count(*) AS n FROM item")[0]!.n;
    expect(before).toBeGreaterThan(1_000);
    expect(before).toBeLessThan(10_000);

    const second = await bench.engine();
    const since = performance.now();
    const end = await second.ask("wait", id, 40_000);
    const tookMs = performance.now() - since;
    await second.stop();
    expect(end.state).toBe("completed");
    expect(await audit(bench.database, { quiet: true })).toEqual([]);
    const proof = proveResults(bench.database, bench.journal);
    expect(proof.problems).toEqual([]);
    expect(query<{ n: number }>(bench.database, "SELECT count(*) AS n FROM item WHERE state = 'completed'")[0]!.n).toBe(
      10_000,
    );
    const twice = [...byKey(readJournal(bench.journal)).values()].filter((key) => key.begins.length > 1).length;
    expect(twice).toBeLessThanOrEqual(100);
    console.log(`${what}: killed at ${before} of 10,000; the rest took ${tookMs.toFixed(0)} ms; ${twice} items twice`);
  });
}

test("items whose worker died at their first try find the steps that they had recorded", {
  timeout: 60_000,
}, async () => {
  bench = new Bench("jobs");
  const first = await bench.engine();
  const { id } = await first.ask("start", "stepped", {}, {});
  await until("a step of each item", () => readLines(`${bench.journal}.stepped`).length === 6);
  await first.kill();
  writeFileSync(`${bench.journal}.again`, "");

  const second = await bench.engine();
  expect((await second.ask("wait", id, 40_000)).state).toBe("completed");
  await second.stop();
  const executions = [...byKey(readJournal(bench.journal)).values()].map((key) => key.begins.length);
  expect(executions).toEqual([1, 1, 1, 1, 1, 1]);
  expect(readLines(`${bench.journal}.stepped`)).toHaveLength(12);
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
});

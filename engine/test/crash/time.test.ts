/** Time that misbehaves: R-18 (the clock jumps), R-46 (days of work under retention). */
import { afterEach, expect, test } from "vitest";
import { audit, query } from "./audit.ts";
import { Bench, readLines, until } from "./process.ts";
import { figure } from "./seeded.ts";

const HOUR_MS = 3_600_000;
const YEAR_MS = 365 * 24 * HOUR_MS;
const NEGATIVE = /^time runs backwards|ended before/;
/** Part of a checkpoint's thousand pages by which a file may be ahead or behind at the end of a day. */
const CHECKPOINT_BYTES = 256 * 1_024;
const DAYS = figure("DAYS", 12);

let bench: Bench;
afterEach(() => bench.close());

for (const [name, jump] of [
  ["an hour forward", HOUR_MS],
  ["an hour back", -HOUR_MS],
  ["a year forward", YEAR_MS],
  ["a year back", -YEAR_MS],
] as const) {
  // The hour by an injected clock, the year by a faked Date of the whole process.
  for (const fakeDate of [Math.abs(jump) === YEAR_MS]) {
    test(`R-18: the clock of one of two engines jumps ${name} (${fakeDate ? "Date" : "injected"})`, async () => {
      bench = new Bench("clock");
      const open = { concurrency: 20, leaseMs: 1_500, heartbeatMs: 300 };
      const [jumping, steady] = await Promise.all([
        bench.engine(open, { facts: { fakeDate } }),
        bench.engine({ ...open, concurrency: 5 }),
      ]);
      const { id } = await jumping.ask("start", "hundredSlow", {}, {});
      await until("work in both", () => readLines(bench.journal).length > 20);
      await jumping.ask("jump", jump);
      expect((await steady.ask("wait", id, 20_000)).state).toBe("completed");
      const next = await jumping.ask("start", "pair", {}, {});
      expect((await jumping.ask("wait", next.id, 20_000)).state).toBe("completed");
      await Promise.all([jumping.stop(), steady.stop()]);
      // Nobody was taken for dead, nothing ran twice.
      expect(query(bench.database, "SELECT seq FROM boot WHERE state = 'dead'")).toEqual([]);
      expect(query(bench.database, "SELECT id FROM job WHERE crashes > 0 OR attempt > 1")).toEqual([]);
      const problems = await audit(bench.database, { quiet: true });
      // Durations that a backward jump makes negative have a test of their own, below.
      expect(problems.filter((problem) => !NEGATIVE.test(problem))).toEqual([]);
    });
  }
}

test("R-18: a backward jump makes no duration negative", async () => {
  bench = new Bench("clock");
  const engine = await bench.engine({}, { facts: { fakeDate: false } });
  const { id } = await engine.ask("start", "pair", {}, {});
  await until("a job at work", () => readLines(bench.journal).length === 1);
  await engine.ask("jump", -HOUR_MS);
  await engine.ask("wait", id, 10_000);
  await engine.stop();
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
});

test("R-18: a sleep that a forward jump has overtaken ends at once", async () => {
  bench = new Bench("clock");
  const engine = await bench.engine({ leaseMs: 1_500, heartbeatMs: 300 }, { facts: { fakeDate: false } });
  const { id } = await engine.ask("start", "longSleep", {}, {});
  await until("the sleep", () => query(bench.database, "SELECT 1 FROM job WHERE state = 'waiting'").length === 1);
  await engine.ask("jump", 2 * HOUR_MS);
  // The next heartbeat makes the engine look at the clock.
  expect((await engine.ask("wait", id, 10_000)).state).toBe("completed");
  await engine.stop();
});

test(`R-46: ${DAYS} days of work under a retention of three: the ledger's size levels out`, {
  timeout: 60_000 + DAYS * 5_000,
}, async () => {
  bench = new Bench("clock");
  const engine = await bench.engine({ retentionMs: 3 * 24 * HOUR_MS, concurrency: 50 }, { facts: { fast: true } });
  const sizes: number[] = await engine.ask("days", DAYS, figure("RUNS_PER_DAY", 150));
  await engine.stop();
  // The file grows by whole checkpoints, which come when they come: its peak must not grow by more than one of them.
  const half = Math.floor(DAYS / 2);
  const [before, after] = [Math.max(...sizes.slice(3, half + 1)), Math.max(...sizes.slice(half + 1))];
  expect(after, JSON.stringify(sizes)).toBeLessThanOrEqual(before * 1.1 + CHECKPOINT_BYTES);
  const kept = query<{ n: number }>(bench.database, "SELECT count(*) AS n FROM run")[0]!.n;
  expect(kept).toBeLessThanOrEqual(figure("RUNS_PER_DAY", 150) * 4);
  for (const table of ["job", "event", "stage", "dependency"])
    expect(query(bench.database, `SELECT count(*) AS n FROM ${table}`)[0].n, table).toBeLessThan(kept * 12);
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
  console.log(
    `R-46: ${DAYS} days, ${kept} runs kept, sizes ${sizes.map((size) => Math.round(size / 1_024)).join(" ")} KiB`,
  );
});

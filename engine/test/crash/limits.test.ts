/** Limits under stress: R-14 (slots after deaths), R-34 (spawn caps), R-39 (retry storm on a dead dependency). */
import { afterEach, expect, test } from "vitest";
import { audit, query } from "./audit.ts";
import { readJournal } from "./journal.ts";
import { Bench, readLines, until } from "./process.ts";
import { proveResults } from "./proof.ts";
import { between, figure, replay, SEED, seeded } from "./seeded.ts";

const DEATHS = figure("DEATHS", 5);

let bench: Bench;
afterEach(() => bench.close());

test(`R-14: after ${DEATHS} random deaths limiters hold exactly who is at work`, {
  timeout: 60_000 + DEATHS * 4_000,
}, async () => {
  bench = new Bench("jobs");
  const note = replay("limits.test.ts", { DEATHS });
  const random = seeded(SEED);
  const open = { heartbeatMs: 200, leaseMs: 1_000 };
  for (let death = 0; death < DEATHS; death++) {
    const engine = await bench.engine(open);
    await engine.ask("start", "limited", {}, {});
    const killed = setTimeout(() => engine.send("SIGKILL"), between(random, 5, 150));
    await engine.exited;
    clearTimeout(killed);
    const leaked = query(
      bench.database,
      `SELECT hold.* FROM hold JOIN job ON job.seq = hold.job WHERE job.ended_at IS NOT NULL AND hold.item = -1`,
    );
    expect(leaked, note).toEqual([]);
    const held = query<{ n: number }>(bench.database, "SELECT count(*) AS n FROM hold")[0]!.n;
    expect(held, note).toBeLessThanOrEqual(3);
  }
  const last = await bench.engine(open);
  for (const { id } of query<{ id: string }>(bench.database, "SELECT id FROM run"))
    expect((await last.ask("wait", id, 40_000)).state, note).toBe("completed");
  await last.stop();
  expect(await audit(bench.database, { quiet: true }), note).toEqual([]);
  expect(proveResults(bench.database, bench.journal).problems, note).toEqual([]);
});

test("R-14: items that held a limiter when their worker died hold it no more", async () => {
  bench = new Bench("jobs");
  const begun = () => readLines(bench.journal).length;
  const first = await bench.engine();
  const { id } = await first.ask("start", "limitedItems", {}, {});
  await until("some items", () => begun() > 20);
  await first.kill();
  expect(query(bench.database, "SELECT 1 FROM hold").length).toBeGreaterThan(0);
  const second = await bench.engine();
  expect((await second.ask("wait", id, 15_000)).state).toBe("completed");
  await second.stop();
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
});

test("R-34: the 1,001st child and the 33rd depth are refused by name, the run ends", { timeout: 60_000 }, async () => {
  bench = new Bench("jobs");
  const engine = await bench.engine({ concurrency: 50 });
  const wide = await engine.ask("start", "children", {}, {});
  const deep = await engine.ask("start", "depth", {}, {});
  for (const [run, limit] of [
    [wide, 1_000],
    [deep, 32],
  ] as const) {
    const end = await engine.ask("wait", run.id, 40_000);
    expect(end.state).toBe("failed");
    expect(
      JSON.stringify(
        query(bench.database, "SELECT error FROM job WHERE run = ? AND error LIKE '%spawn_limit%'", run.seq),
      ),
    ).toContain(`limited to ${limit}`);
  }
  await engine.stop();
  expect(query(bench.database, "SELECT max(depth) AS depth FROM job")).toEqual([{ depth: 32 }]);
  expect(query(bench.database, "SELECT max(children) AS n FROM job")).toEqual([{ n: 1_000 }]);
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
});

test("R-39: a storm of retries on a dead dependency is held by the breaker", { timeout: 60_000 }, async () => {
  bench = new Bench("jobs");
  const engine = await bench.engine();
  const { id } = await engine.ask("start", "storm", {}, {});
  const calls = () => readLines(bench.journal).length;
  const since = performance.now();
  const end = await engine.ask("wait", id, 8_000).catch((error: { code: string }) => error.code);
  const seconds = (performance.now() - since) / 1_000;
  // 60 items may all be let in before the first failures are told (20 at work); afterwards one trial per second.
  expect(calls()).toBeLessThanOrEqual(20 + 5 + Math.ceil(seconds) + 2);
  const memory = await engine.ask("memory");
  expect(memory).toBeLessThan(300 * 1_024 * 1_024);
  if (end === "timeout") {
    await engine.ask("cancel", id);
    expect((await engine.ask("wait", id, 10_000)).state).toBe("cancelled");
  }
  await engine.stop();
  expect(readJournal(bench.journal).length).toBeGreaterThan(5);
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
});

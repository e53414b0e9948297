/** Programs and deadly jobs. */
import { afterEach, expect, test } from "vitest";
import { audit, query } from "./audit.ts";
import { readJournal } from "./journal.ts";
import { Bench, freeze, isAlive, readLines, survivors, until } from "./process.ts";

let bench: Bench;
afterEach(() => bench.close());

const begun = () => readLines(bench.journal).filter((line) => line.startsWith("begin")).length;
const shells = () => readJournal(bench.journal).map((entry) => entry.pid);
const programs = () => survivors(bench.home).filter((entry) => /^(sleep|\/bin\/sh|sh) /.test(entry.text));

test("R-22: a started command is cancelled while the engine restarts: cancelled only when its tree is dead", async () => {
  bench = new Bench("jobs");
  const first = await bench.engine();
  const { id } = await first.ask("start", "tree", {}, {});
  await until("the program", () => begun() === 1);
  await until("its tree", () => programs().length >= 3);
  // The order is committed by another process, the engine dies before it can act on it.
  await freeze(first, bench.database);
  const other = await bench.engine({ work: false });
  await other.ask("cancel", id);
  expect(query(bench.database, "SELECT state FROM job")[0].state).toBe("running");
  await first.kill();
  const second = await bench.engine();
  expect((await second.ask("wait", id, 20_000)).state).toBe("cancelled");
  expect(programs()).toEqual([]);
  expect(begun()).toBe(1);
  await other.stop();
  await second.stop();
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
});

test("R-22: cancel of a running command in the same engine", async () => {
  bench = new Bench("jobs");
  const engine = await bench.engine();
  const { id } = await engine.ask("start", "tree", {}, {});
  await until("the program", () => begun() === 1);
  await engine.ask("cancel", id);
  expect((await engine.ask("wait", id, 20_000)).state).toBe("cancelled");
  expect(programs()).toEqual([]);
  await engine.stop();
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
});

test("R-23: the engine is killed while 20 programs run: guard and next start leave none", {
  timeout: 60_000,
}, async () => {
  bench = new Bench("jobs");
  const first = await bench.engine({ concurrency: 20 });
  const { id } = await first.ask("start", "trees", {}, {});
  await until("20 programs", () => begun() === 20);
  const before = shells();
  await first.kill();
  const second = await bench.engine({ concurrency: 20 });
  await until("a new program", () => begun() > 20);
  expect(before.filter(isAlive)).toEqual([]);
  // Killed again, with the guard killed too: only the next start can find them.
  const guards = survivors(bench.home).filter((entry) => entry.text.includes("guard-main"));
  for (const guard of guards) process.kill(guard.pid, "SIGKILL");
  await second.kill();
  const orphans = shells().slice(20);
  expect(guards.length === 0 || orphans.filter(isAlive).length > 0).toBe(true);
  const third = await bench.engine({ work: false });
  await third.ask("cancel", id);
  await third.ask("work");
  expect((await third.ask("wait", id, 30_000)).state).toBe("cancelled");
  expect(programs()).toEqual([]);
  expect(query(bench.database, "SELECT pid FROM process")).toEqual([]);
  await third.stop();
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
});

for (const [pipeline, env] of [
  ["poisonExit", []],
  ["poisonKill", []],
  ["poisonMemory", ["--max-old-space-size=80"]],
] as const) {
  test(`R-30: ${pipeline}: quarantined after three crashes, everything else completes`, {
    timeout: 60_000,
  }, async () => {
    bench = new Bench("jobs");
    const starter = await bench.engine({ work: false });
    const poison = await starter.ask("start", pipeline, {}, {});
    const others = await starter.ask("many", "pair", 5);
    await starter.kill();
    let deaths = 0;
    for (;;) {
      const engine = bench.launch({ maxCrashes: 3 }, {}, { NODE_OPTIONS: env.join(" ") });
      await engine.signal("open");
      const ended = await Promise.race([
        engine.exited.then(() => "died"),
        engine.ask("wait", poison.id, 20_000).then(
          (end) => end.state,
          () => "died",
        ),
      ]);
      if (ended === "died") {
        await engine.exited;
        deaths += 1;
        expect(deaths).toBeLessThanOrEqual(3);
        continue;
      }
      expect(ended).toBe(pipeline === "poisonExit" ? "completed" : "failed");
      for (const id of others) expect((await engine.ask("wait", id, 20_000)).state).toBe("completed");
      await engine.stop();
      break;
    }
    expect(deaths).toBe(3);
    const job = query(bench.database, "SELECT state, crashes, error FROM job WHERE run = ?", poison.seq)[0];
    expect(job).toMatchObject({ state: "failed", crashes: 3 });
    expect(JSON.parse(job.error)).toMatchObject({ code: "crashed_too_often" });
    expect(await audit(bench.database, { quiet: true })).toEqual([]);
  });
}

test("R-30: a poisonous job can be cancelled between its crashes", async () => {
  bench = new Bench("jobs");
  const first = await bench.engine();
  const { id } = await first.ask("start", "poisonKill", {}, {}).catch(() => ({ id: "poisonKill-1" }));
  await first.exited;
  const other = await bench.engine({ work: false });
  await other.ask("cancel", id);
  const second = await bench.engine();
  expect((await second.ask("wait", id, 10_000)).state).toBe("cancelled");
  expect(begun()).toBe(1);
  await other.stop();
  await second.stop();
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
});

/** Two engines on one file, and calls in every wrong order, cancel, retry, prune and backup in between. */
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { audit, query } from "./audit.ts";
import { byKey, readJournal } from "./journal.ts";
import { Bench, readLines, until } from "./process.ts";
import { proveResults } from "./proof.ts";

let bench: Bench;
afterEach(() => bench.close());

const begun = () => readLines(bench.journal).filter((line) => line.startsWith("begin")).length;

test("two engines share the work of one file; both notice what the other wrote", async () => {
  bench = new Bench("jobs");
  const [one, two] = await Promise.all([bench.engine({ concurrency: 10 }), bench.engine({ concurrency: 10 })]);
  const runs = await Promise.all([one.ask("start", "hundredSlow", {}, {}), two.ask("start", "hundredSlow", {}, {})]);
  // Each waits for the run that the other one started.
  expect((await one.ask("wait", runs[1].id, 20_000)).state).toBe("completed");
  expect((await two.ask("wait", runs[0].id, 20_000)).state).toBe("completed");
  await Promise.all([one.stop(), two.stop()]);
  const workers = new Set(readJournal(bench.journal).map((entry) => entry.pid));
  expect(workers.size).toBe(2);
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
  expect(proveResults(bench.database, bench.journal).problems).toEqual([]);
  expect(begun()).toBe(200);
});

test("one of two engines is killed: the other one takes its work over, in under two seconds", async () => {
  bench = new Bench("jobs");
  const one = await bench.engine({ concurrency: 4 });
  const { id } = await one.ask("start", "blocks", {}, {});
  await until("four jobs", () => begun() === 4);
  const two = await bench.engine({ concurrency: 4 });
  await until("the other four", () => begun() === 8);
  await one.kill();
  const since = performance.now();
  await until("the first four again", () => query(bench.database, "SELECT 1 FROM job WHERE crashes = 1").length === 4);
  expect(performance.now() - since).toBeLessThan(2_000);
  await two.ask("cancel", id);
  expect((await two.ask("wait", id, 10_000)).state).toBe("cancelled");
  await two.stop();
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
});

test("calls in the wrong order are answered, not swallowed", async () => {
  bench = new Bench("jobs");
  const engine = await bench.engine();
  await engine.ask("work");
  const run = await engine.ask("start", "quick", {}, {});
  await engine.ask("wait", run.id, 10_000);
  await expect(engine.ask("cancel", run.id)).rejects.toMatchObject({ code: "illegal_transition" });
  await expect(engine.ask("retry", run.id)).rejects.toMatchObject({ code: "cannot_resume" });
  await expect(engine.ask("cancel", "nobody")).rejects.toMatchObject({ code: "not_found" });
  await expect(engine.ask("start", "nothing", {}, {})).rejects.toMatchObject({ code: "unknown_pipeline" });
  await engine.ask("close");
  await engine.ask("close");
  await expect(engine.ask("work")).rejects.toMatchObject({ code: "conflict" });
  await expect(engine.ask("start", "quick", {}, {})).rejects.toMatchObject({ code: "ledger_unavailable" });
  await engine.kill();
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
});

test("close while runs are being started: what was acknowledged is there, the rest is refused", async () => {
  bench = new Bench("jobs");
  const engine = await bench.engine();
  const started = Array.from({ length: 50 }, () =>
    engine.ask("start", "pair", {}, {}).then(
      (run) => run.id,
      () => null,
    ),
  );
  await engine.ask("close", 0);
  const acked = (await Promise.all(started)).filter((id) => id !== null);
  await engine.kill();
  const known = query<{ id: string }>(bench.database, "SELECT id FROM run").map((run) => run.id);
  expect(acked.filter((id) => !known.includes(id))).toEqual([]);
  expect(await audit(bench.database)).toEqual([]);
  const next = await bench.engine();
  for (const id of known) expect((await next.ask("wait", id, 20_000)).state).toBe("completed");
  await next.stop();
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
});

test("cancel right after start, and right after the claim", async () => {
  bench = new Bench("jobs");
  const engine = await bench.engine();
  for (let round = 0; round < 20; round++)
    expect((await engine.ask("startAndCancel", "block")).state).toBe("cancelled");
  await engine.stop();
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
});

test("retry while cancelling is refused, afterwards it reopens; retry of a spawned tree completes", async () => {
  bench = new Bench("jobs");
  const engine = await bench.engine();
  const { id } = await engine.ask("start", "tree", {}, {});
  await until("the program", () => begun() === 1);
  const cancelled = engine.ask("cancel", id);
  await expect(engine.ask("retry", id)).rejects.toMatchObject({ code: "illegal_transition" });
  await cancelled;
  expect((await engine.ask("wait", id, 10_000)).state).toBe("cancelled");
  await engine.ask("retry", id);
  await until("the program again", () => begun() === 2);
  await engine.ask("cancel", id);
  expect((await engine.ask("wait", id, 10_000)).state).toBe("cancelled");

  const family = await engine.ask("start", "reopened", {}, {});
  expect((await engine.ask("wait", family.id, 10_000)).state).toBe("failed");
  await engine.ask("retry", family.id);
  expect((await engine.ask("wait", family.id, 10_000)).state).toBe("completed");
  await engine.stop();
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
});

test("R-48: backups and prunes while two engines write", { timeout: 60_000 }, async () => {
  bench = new Bench("mixed");
  const acks = join(bench.home, "acks");
  const count = Number(process.env["CRASH_BACKUPS"] ?? 4);
  const feed = { total: 30, open: 6, acks };
  const one = await bench.engine({ concurrency: 16 }, { facts: { feed } });
  const two = await bench.engine({ concurrency: 16 });
  for (let index = 0; index < count; index++) {
    const before = readLines(acks).length;
    const file = join(bench.home, `backup-${index}.db`);
    await Promise.all([two.ask("backup", file), one.ask("prune", 0)]);
    expect(await audit(file, { artifacts: join(bench.home, "artifacts") }), `backup ${index}`).toEqual([]);
    expect(
      query<{ n: number }>(
        file,
        "SELECT max((SELECT next - 1 FROM number WHERE name = 'run'), (SELECT ifnull(max(seq), 0) FROM run)) AS n",
      )[0]!.n,
    ).toBeGreaterThanOrEqual(before);
  }
  await one.signal("fed");
  await expect(two.ask("backup", join(bench.home, "backup-0.db"))).rejects.toMatchObject({ code: "conflict" });
  await one.stop();
  await two.stop();
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
});

test("R-55: SIGTERM with 100 jobs at work: no claim more, drained, nothing counted as failure", async () => {
  bench = new Bench("jobs");
  const engine = await bench.engine({ concurrency: 40, drainMs: 10_000 });
  const { id } = await engine.ask("start", "hundredSlow", {}, {});
  await until("the first 40", () => begun() >= 40);
  engine.send("SIGTERM");
  await engine.signal("stopping");
  const claimed = query<{ n: number }>(bench.database, "SELECT count(*) AS n FROM job WHERE attempt > 0")[0]!.n;
  expect((await engine.exited).code).toBe(0);
  const after = query<{ n: number }>(bench.database, "SELECT count(*) AS n FROM job WHERE attempt > 0")[0]!.n;
  expect(after - claimed).toBeLessThanOrEqual(40);
  expect(query(bench.database, "SELECT id FROM job WHERE state = 'running' OR failures > 0 OR crashes > 0")).toEqual(
    [],
  );
  expect(query<{ n: number }>(bench.database, "SELECT count(*) AS n FROM job WHERE state = 'completed'")[0]!.n).toBe(
    after,
  );

  const next = await bench.engine({ concurrency: 40 });
  const since = performance.now();
  await until("the next start to go on", () => begun() > after, 1_000);
  expect(performance.now() - since).toBeLessThan(1_000);
  expect((await next.ask("wait", id, 20_000)).state).toBe("completed");
  await next.stop();
  expect([...byKey(readJournal(bench.journal)).values()].filter((key) => key.begins.length !== 1)).toEqual([]);
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
});

test("R-55: what does not end before the deadline is stopped, and is no failure", async () => {
  bench = new Bench("jobs");
  const engine = await bench.engine({ concurrency: 8, drainMs: 200 });
  await engine.ask("start", "blocks", {}, {});
  await until("all to have begun", () => begun() === 8);
  engine.send("SIGTERM");
  expect((await engine.exited).code).toBe(0);
  expect(query(bench.database, "SELECT DISTINCT state, failures, crashes, attempt FROM job")).toEqual([
    { state: "ready", failures: 0, crashes: 0, attempt: 1 },
  ]);
  expect(query(bench.database, "SELECT DISTINCT state FROM attempt")).toEqual([{ state: "stopped" }]);
  expect(query(bench.database, "SELECT DISTINCT state FROM boot")).toEqual([{ state: "stopped" }]);
  expect(await audit(bench.database)).toEqual([]);
});

test("R-55: the items of a fan-out are drained too", async () => {
  bench = new Bench("jobs");
  const engine = await bench.engine({ drainMs: 10_000 });
  const { id } = await engine.ask("start", "swarm", {}, {});
  await until("items", () => begun() > 500);
  engine.send("SIGTERM");
  expect((await engine.exited).code).toBe(0);
  expect(query(bench.database, "SELECT 1 FROM item_window WHERE boot IS NOT NULL")).toEqual([]);
  const next = await bench.engine();
  expect((await next.ask("wait", id, 30_000)).state).toBe("completed");
  await next.stop();
  const repeated = [...byKey(readJournal(bench.journal)).values()].filter((key) => key.begins.length !== 1);
  expect(repeated.length).toBe(0);
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
});

const STARTS = Number(process.env["CRASH_STARTS"] ?? 5);

test("R-59: started and stopped again and again", { timeout: 60_000 + STARTS * 3_000 }, async () => {
  bench = new Bench("jobs");
  const took: number[] = [];
  for (let round = 0; round < STARTS; round++) {
    const since = performance.now();
    const engine = await bench.engine();
    took.push(performance.now() - since);
    const { id } = await engine.ask("start", "quick", {}, {});
    if (round % 2 === 0) {
      await engine.ask("wait", id, 10_000);
      await engine.stop();
    } else await engine.kill();
  }
  const last = await bench.engine();
  for (const { id } of query<{ id: string }>(bench.database, "SELECT id FROM run")) await last.ask("wait", id, 10_000);
  await last.stop();
  expect(query(bench.database, "SELECT seq FROM boot WHERE state = 'alive'")).toEqual([]);
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
  const p95 = took.sort((a, b) => a - b)[Math.floor(took.length * 0.95)]!;
  console.log(`R-59: ${STARTS} starts, p95 ${p95.toFixed(0)} ms`);
});

/** Leases and who holds them. */

import Database from "better-sqlite3";
import { afterEach, expect, test } from "vitest";
import { audit, query } from "./audit.ts";
import { byKey, readJournal } from "./journal.ts";
import { Bench, freeze, isAlive, readLines, survivors, until } from "./process.ts";

let bench: Bench;
afterEach(() => bench.close());

const SHORT = { leaseMs: 900, heartbeatMs: 200 };

test("R-05: a start sweeps away dead boots, never what this process has just started", async () => {
  bench = new Bench("jobs");
  const rounds = Number(process.env["CRASH_ADOPTIONS"] ?? 4);
  for (let round = 0; round < rounds; round++) {
    // Runs are started in the very turn in which the sweep begins: same millisecond, same process.
    const engine = await bench.engine({ work: false });
    const started = engine.ask("many", "quick", 30);
    const working = engine.ask("work");
    const more = engine.ask("many", "quick", 30);
    await working;
    for (const id of [...(await started), ...(await more)]) await engine.ask("wait", id, 20_000);
    await engine.kill();
  }
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
  expect(query(bench.database, "SELECT id FROM job WHERE crashes > 0 OR attempt > 1")).toEqual([]);
  expect([...byKey(readJournal(bench.journal)).values()].filter((key) => key.begins.length !== 1)).toEqual([]);
  expect(readJournal(bench.journal).filter((entry) => entry.kind === "begin").length).toBe(rounds * 60);
});

test("R-06: nothing is dispatched before what jobs need is ready", async () => {
  bench = new Bench("slow-start");
  const first = await bench.engine({}, { facts: { delayMs: 0 } });
  await first.ask("start", "needy", {}, {});
  await first.signal("begun");
  await first.kill();
  for (let round = 0; round < 2; round++) {
    // The pool opens late, after the engine; the app calls `work()` when it is ready, as an app with such a pool must.
    const engine = bench.launch({ work: false }, { facts: { delayMs: 300 } });
    await engine.signal("begun", 1);
    const order = engine.seen.map((entry) => entry.signal).filter((name) => name !== "open");
    expect(order.slice(0, 2)).toEqual(["pool", "begun"]);
    await engine.kill();
  }
  expect(await audit(bench.database)).toEqual([]);
});

test("R-07: a worker that was stopped beyond its lease can write nothing, ends its processes and goes on", {
  timeout: 60_000,
}, async () => {
  bench = new Bench("jobs");
  const old = await bench.engine(SHORT);
  const { id } = await old.ask("start", "zombie", {}, {});
  await until(
    "all jobs to have begun",
    () => readLines(bench.journal).filter((line) => line.startsWith("begin")).length === 5,
  );
  const shell = readJournal(bench.journal).find((entry) => entry.key.endsWith("/tree"))!.pid;
  const oldBoot = await old.ask("boot");
  await freeze(old, bench.database);

  const fresh = await bench.engine(SHORT);
  const end = await fresh.ask("wait", id, 20_000);
  expect(end.state).toBe("completed");
  const before = query(bench.database, "SELECT seq, state, output, epoch FROM job ORDER BY seq");

  const since = performance.now();
  old.send("SIGCONT");
  await until("the late writes", () => readLines(bench.journal).some((line) => line.startsWith("late")));
  await until(
    "its processes to be dead",
    () => !isAlive(shell) && survivors(bench.home).filter((entry) => entry.text.startsWith("sleep")).length === 0,
  );
  expect(performance.now() - since).toBeLessThan(5_000);

  const late = JSON.parse(
    readLines(bench.journal)
      .find((line) => line.startsWith("late"))!
      .split("\t")[1]!,
  );
  for (const what of ["step", "artifact", "spawn"]) expect(late[what], what).not.toBe("accepted");
  // It goes on under a new boot: with the other one gone it does the next run.
  await until(
    "a new boot of the old process",
    () =>
      query(bench.database, "SELECT 1 FROM boot WHERE pid = ? AND state = 'alive' AND seq > ?", old.pid, oldBoot)
        .length === 1,
  );
  await fresh.stop();
  const next = await old.ask("start", "quick", {}, {});
  expect((await old.ask("wait", next.id, 20_000)).state).toBe("completed");
  await old.stop();
  // One rebirth, however often it was told of its death while its processes were ending.
  expect(query(bench.database, "SELECT seq, state FROM boot WHERE pid = ?", old.pid).map((boot) => boot.state)).toEqual(
    ["dead", "stopped"],
  );

  expect(
    query(bench.database, "SELECT seq, state, output, epoch FROM job WHERE seq <= ? ORDER BY seq", before.at(-1)!.seq),
  ).toEqual(before);
  expect(query(bench.database, "SELECT count(*) AS n FROM step")[0]).toEqual({ n: 0 });
  expect(query(bench.database, "SELECT id FROM job WHERE id LIKE '%late%'")).toEqual([]);
  expect(
    JSON.parse(
      query<{ output: string }>(bench.database, "SELECT output FROM job WHERE id = 'job' AND run = 1")[0]!.output,
    ),
  ).toEqual({ attempt: 2 });
  const items = query<{ result: string }>(bench.database, "SELECT result FROM item");
  expect(items.map((item) => JSON.parse(item.result).pid)).toEqual([fresh.pid, fresh.pid, fresh.pid]);
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
});

test("R-07: a stop shorter than the lease costs nothing", async () => {
  bench = new Bench("jobs");
  const lease = { leaseMs: 3_000, heartbeatMs: 200 };
  const old = await bench.engine(lease);
  const { id } = await old.ask("start", "hundredSlow", {}, {});
  await until("work", () => readLines(bench.journal).length > 20);
  await freeze(old, bench.database);
  const fresh = await bench.engine(lease);
  const other = await fresh.ask("start", "quick", {}, {});
  await fresh.ask("wait", other.id, 10_000);
  old.send("SIGCONT");
  expect((await old.ask("wait", id, 20_000)).state).toBe("completed");
  await fresh.stop();
  await old.stop();
  expect(query(bench.database, "SELECT id FROM job WHERE crashes > 0")).toEqual([]);
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
});

test("R-08: a job that burns the processor for more than two leases keeps its lease", async () => {
  bench = new Bench("jobs");
  const burning = await bench.engine(SHORT);
  const watching = await bench.engine({ ...SHORT, takes: undefined });
  const { id } = await burning.ask("start", "burn", {}, {});
  const end = await watching.ask("wait", id, 20_000);
  expect(end.state).toBe("completed");
  await burning.stop();
  await watching.stop();
  expect(query(bench.database, "SELECT id FROM job WHERE crashes > 0 OR attempt > 1")).toEqual([]);
  expect(query(bench.database, "SELECT seq FROM boot WHERE state = 'dead'")).toEqual([]);
  expect([...byKey(readJournal(bench.journal)).values()].map((key) => key.begins.length)).toEqual([1]);
});

test("R-08: the heartbeat stops when the main loop has not ticked for the stall time", async () => {
  bench = new Bench("stall");
  // The same thread with a stall of 300 ms instead of 60 s, driven on the ledger itself.
  const engine = bench.launch({ work: false }, { facts: { stallMs: 300, everyMs: 50, blockMs: 1_500 } });
  const beats = await engine.signal("beats");
  expect(beats.whileTicking).toBeGreaterThan(1);
  expect(beats.lastBeatAfterBlockMs).toBeLessThan(700);
});

test("R-10: a lease shorter than three heartbeats is refused", async () => {
  bench = new Bench("jobs");
  const engine = bench.launch({ leaseMs: 1_000, heartbeatMs: 500 });
  expect((await engine.exited).code).not.toBe(0);
  expect(engine.stderr).toContain("at least three times heartbeatMs");
});

test("R-13: the same host and pid with another start time is a dead boot", async () => {
  bench = new Bench("jobs");
  const first = await bench.engine({ leaseMs: 600_000, heartbeatMs: 100_000 });
  const { id } = await first.ask("start", "block", {}, {});
  await until("the job to have begun", () => readLines(bench.journal).length === 1);
  await first.kill();
  // As after a reboot: the pid of the dead boot belongs to somebody who lives, this test.
  const db = new Database(bench.database);
  db.prepare("UPDATE boot SET pid = ?").run(process.pid);
  db.close();
  const second = await bench.engine({ leaseMs: 600_000, heartbeatMs: 100_000 });
  await until("the job to be taken over", () => readLines(bench.journal).length === 2, 5_000);
  await second.ask("cancel", id);
  expect((await second.ask("wait", id, 10_000)).state).toBe("cancelled");
  await second.stop();
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
});

import { afterAll, describe, expect, it } from "vitest";
import { createCommandExecutor } from "./command.ts";
import { endTree, systemTimers } from "./ending.ts";
import { cleanUp, failure, manualTimers, markedPids, trial, until } from "./fixtures/attempts.ts";
import type { ProcessEntry, ProcessTable } from "./procfs.ts";
import { createScanner, HAS_PROC, readProcess, startOf } from "./procfs.ts";
import { startProgram } from "./program.ts";
import { createTree, membersOf } from "./tree.ts";
import { createWatch } from "./watch.ts";

const prefix = `ending-${process.pid}`;
const executor = createCommandExecutor({ guard: false, markerPrefix: prefix, graceMs: 200 });
afterAll(async () => {
  await executor.close();
  cleanUp();
});
const sh = (script: string) => ["sh", "-c", script];

describe.runIf(HAS_PROC)("ending a command", () => {
  it("R-20: kills what ignores TERM when the grace is over, not before", async () => {
    const timers = manualTimers();
    const own = createCommandExecutor({ guard: false, timers });
    const one = trial({ argv: sh("trap 'echo no' TERM; echo ready; while :; do sleep 0.01; done"), graceSeconds: 3 });
    const outcome = own.run(one.attempt);
    await one.printed("ready");
    one.abort("cancel");
    await one.printed("no");
    timers.fire(3_000);
    expect(await outcome).toEqual({ kind: "stopped" });
    await own.close();
  });

  it("gives a polite program the time to finish, and keeps its last output", async () => {
    const one = trial({ argv: sh("trap 'echo tidied; exit 0' TERM; echo ready; while :; do sleep 0.01; done") });
    const outcome = executor.run(one.attempt);
    await one.printed("ready");
    one.abort("stop");
    expect(await outcome).toEqual({ kind: "stopped" });
    expect(one.bytes("stdout").toString()).toBe("ready\ntidied\n");
  });

  it("R-21: leaves nothing of 50 grandchildren, 3 double forks, a setsid and one that clears its environment", async () => {
    const script = `
      trap '' TERM
      i=0; while [ $i -lt 50 ]; do sleep 1000 & i=$((i+1)); done
      for i in 1 2 3; do (sh -c 'setsid sleep 1000 & exit 0' &); done
      setsid sleep 1000 &
      env -i setsid /bin/sleep 1000 & echo "cleared $!"
      echo ready; while :; do wait; done`;
    const one = trial({ argv: sh(script) });
    const outcome = executor.run(one.attempt);
    await one.printed("ready");
    await until("55 processes carry the marker", async () => (await markedPids(prefix)).length === 55);
    const cleared = Number(/cleared (\d+)/.exec(one.bytes("stdout").toString())![1]);
    await until("the cleared one left the session", () => readProcess(cleared)!.session === cleared);
    one.abort("cancel");
    expect(await outcome).toEqual({ kind: "stopped" });
    expect(await markedPids(prefix)).toEqual([]);
    expect(readProcess(cleared)?.live ?? false).toBe(false);
  });

  it("fails with timeout, retryable, when the time is over", async () => {
    const error = failure(await executor.run(trial({ argv: ["sleep", "1000"] }, { timeoutMs: 50 }).attempt));
    expect(error).toMatchObject({ code: "timeout", category: "retryable", details: { timeoutMs: 50 } });
    const one = trial({ argv: sh("echo ready; sleep 1000") });
    const outcome = executor.run(one.attempt);
    await one.printed("ready");
    one.abort("timeout");
    expect(failure(await outcome).code).toBe("timeout");
  });

  it("takes a limit beyond the longest timer as no limit", async () => {
    const one = trial({ argv: ["true"] }, { timeoutMs: 2 ** 40 });
    expect((await executor.run(one.attempt)).kind).toBe("completed");
  });

  it("starts nothing for an attempt that has ended already", async () => {
    const one = trial({ argv: ["echo", "x"] });
    one.abort("lease");
    expect(await executor.run(one.attempt)).toEqual({ kind: "stopped" });
    expect(one.bytes("stdout").length).toBe(0);
  });

  it("ends what a command leaves behind after a normal end, in its group and out of it", async () => {
    const own = createCommandExecutor({ guard: false, markerPrefix: `left-${process.pid}`, sweepMs: 1 });
    const quiet = ">/dev/null 2>&1 </dev/null";
    const script = `sleep 1000 ${quiet} & setsid sh -c 'echo > away; exec sleep 1000' ${quiet} &
      while [ ! -e away ]; do sleep 0.01; done`;
    const outcomes = await Promise.all([1, 2, 3].map(() => own.run(trial({ argv: sh(script) }).attempt)));
    expect(outcomes.map(({ kind }) => kind)).toEqual(["completed", "completed", "completed"]);
    await until("everything is gone", async () => (await markedPids(`left-${process.pid}`)).length === 0);
    await own.close();
  });

  it("close() ends all that runs and waits for it; then nothing starts any more", async () => {
    const own = createCommandExecutor({ guard: false, markerPrefix: `close-${process.pid}` });
    const trials = Array.from({ length: 5 }, () => trial({ argv: sh("setsid sleep 1000 & echo ready; wait") }));
    const outcomes = trials.map((one) => own.run(one.attempt));
    await Promise.all(trials.map((one) => one.printed("ready")));
    await own.close();
    expect(await markedPids(`close-${process.pid}`)).toEqual([]);
    expect(await Promise.all(outcomes)).toEqual(trials.map(() => ({ kind: "stopped" })));
    expect(await own.run(trial({ argv: ["true"] }).attempt)).toEqual({ kind: "stopped" });
  });

  it("finds what cleared its environment, left and lost its parent, if it was seen before", async () => {
    let text = "";
    const program = await startProgram({
      argv: sh("env -i setsid /bin/sleep 1000 >/dev/null 2>&1 & echo $!; read line"),
      cwd: "/",
      env: { PATH: process.env.PATH! },
      stdin: undefined,
      output: (_, chunk) => {
        text += Buffer.from(chunk).toString();
      },
    });
    await program.exited;
    // Without standard input the shell ended at once; its child must be found through the record made while it lived.
    const escaped = Number(text);
    expect(Number.isInteger(escaped)).toBe(true);
    const tree = createTree({ pid: program.pid, pidStart: "1", marker: "none" }, true);
    tree.seen.set(escaped, Number(startOf(escaped)));
    await endTree(tree, { graceMs: 0, scanner: createScanner(), timers: systemTimers, leaderExited: program.exited });
    expect(readProcess(escaped)?.live ?? false).toBe(false);
  });

  it("records descendants while they can still be traced", async () => {
    const scanner = createScanner();
    const watch = createWatch(scanner);
    const program = await startProgram({
      argv: sh("env -i setsid /bin/sleep 1000 & echo $!; wait"),
      cwd: "/",
      env: { PATH: process.env.PATH! },
      stdin: undefined,
      output: () => {},
    });
    const tree = createTree({ pid: program.pid, pidStart: startOf(program.pid), marker: "none" }, true);
    watch.add(tree);
    await until("leader and child are recorded", async () => {
      await watch.look();
      return tree.seen.size === 2;
    });
    watch.remove(tree);
    await endTree(tree, { graceMs: 0, scanner, timers: systemTimers, leaderExited: program.exited });
    for (const pid of tree.seen.keys()) expect(readProcess(pid)?.live ?? false).toBe(false);
  });
});

describe("R-25: who belongs to a tree", () => {
  const entry = (over: Partial<ProcessEntry>): ProcessEntry => ({
    pid: 100_001,
    parent: 1,
    group: 100_001,
    session: 100_001,
    start: 50,
    live: true,
    marker: null,
    ...over,
  });
  const table = (...entries: ProcessEntry[]): ProcessTable => {
    const live = entries.filter((one) => one.live);
    return {
      byPid: new Map(entries.map((one) => [one.pid, one])),
      byParent: Map.groupBy(live, (one) => one.parent),
      byGroup: Map.groupBy(live, (one) => one.group),
      byMarker: Map.groupBy(
        live.filter((one) => one.marker !== null),
        (one) => one.marker!,
      ),
    };
  };
  const identity = { pid: 100_001, pidStart: "50", marker: "m" };

  it("does not take a stranger with the same pid, nor its group", () => {
    const stranger = table(entry({ start: 99 }), entry({ pid: 100_002, group: 100_001, start: 99 }));
    for (const owned of [true, false]) {
      expect(membersOf(createTree(identity, owned), stranger)).toEqual({ live: [], group: false });
    }
  });

  it("does not trust pid and start time alone for an identity from a ledger", () => {
    expect(membersOf(createTree(identity, false), table(entry({}))).live).toEqual([]);
    expect(membersOf(createTree(identity, true), table(entry({}))).live).toHaveLength(1);
  });

  it("does not take a group whose number was given up", () => {
    const tree = createTree(identity, true);
    tree.groupGone = true;
    expect(membersOf(tree, table(entry({ pid: 100_002, parent: 1, start: 60 }))).live).toEqual([]);
  });

  it("takes the marked, their group and their descendants, and no zombie, parent or ourselves", () => {
    const members = membersOf(
      createTree(identity, false),
      table(
        entry({ live: false }),
        entry({ pid: 100_002, parent: 100_001, marker: "m" }),
        entry({ pid: 100_003, parent: 1 }),
        entry({ pid: 100_004, parent: 100_002, group: 100_004 }),
        entry({ pid: 100_005, parent: 1, group: 100_005, marker: "other" }),
        entry({ pid: process.pid, parent: 100_002, marker: "m" }),
      ),
    );
    expect(members.group).toBe(true);
    expect(members.live.map((one) => one.pid).sort()).toEqual([100_002, 100_003, 100_004]);
  });
});

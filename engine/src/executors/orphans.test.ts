import { type ChildProcess, spawn } from "node:child_process";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { cleanUp, markedPids } from "./fixtures/attempts.ts";
import { endOrphans } from "./orphans.ts";
import { HAS_PROC, MARKER_VARIABLE, readProcess, startOf } from "./procfs.ts";

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) {
    try {
      process.kill(-child.pid!, "SIGKILL");
    } catch {
      // Ended by the test.
    }
  }
});

function sleeper(marker: string | null): { pid: number; pidStart: string } {
  const env = { PATH: process.env.PATH, ...(marker === null ? {} : { [MARKER_VARIABLE]: marker }) };
  const child = spawn("sh", ["-c", "sleep 1000 & wait"], { env, detached: true, stdio: "ignore" });
  children.push(child);
  return { pid: child.pid!, pidStart: startOf(child.pid!) };
}

afterAll(cleanUp);

describe.runIf(HAS_PROC)("endOrphans", () => {
  it("ends recorded trees, and says so", async () => {
    const marker = `orphan-${process.pid}`;
    const identity = { ...sleeper(marker), marker };
    const [result] = await endOrphans([identity], { graceMs: 50 });
    expect(result).toMatchObject({ identity, outcome: "ended" });
    expect(result!.pids).toContain(identity.pid);
    expect(await markedPids(marker)).toEqual([]);
    const [again] = await endOrphans([identity]);
    expect(again!.pids).toEqual([]);
  });

  it("ends a tree by its marker when its leader's number is another's now", async () => {
    const marker = `led-${process.pid}`;
    sleeper(marker);
    const stranger = sleeper(null);
    const [result] = await endOrphans([{ pid: stranger.pid, pidStart: "1", marker }], { graceMs: 50 });
    expect(result!.outcome).toBe("ended");
    expect(await markedPids(marker)).toEqual([]);
    expect(readProcess(stranger.pid)?.live).toBe(true);
  });

  it("R-25: signals no stranger in 1,000 reuses of a recorded number", async () => {
    const unmarked = sleeper(null);
    const marked = sleeper(`other-${process.pid}`);
    const identities = Array.from({ length: 1_000 }, (_, i) => {
      const stranger = i % 2 === 0 ? unmarked : marked;
      // With the same start time too: after a reboot the ticks begin anew.
      const pidStart = i % 4 < 2 ? stranger.pidStart : String(i);
      return { pid: stranger.pid, pidStart, marker: i % 10 === 9 ? "" : `reused-${process.pid}-${i}` };
    });
    const kill = vi.spyOn(process, "kill");
    const results = await endOrphans(identities);
    expect(kill).not.toHaveBeenCalled();
    kill.mockRestore();
    expect(new Set(results.map(({ outcome }) => outcome))).toEqual(new Set(["stranger"]));
    for (const { pid } of [unmarked, marked]) expect(readProcess(pid)?.live).toBe(true);
  });
});

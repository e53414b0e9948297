import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { cleanUp, markedPids, until } from "./fixtures/attempts.ts";
import { createGuard } from "./guard.ts";
import { endOrphans } from "./orphans.ts";
import { HAS_PROC, readProcess, readTable } from "./procfs.ts";

const worker = fileURLToPath(new URL("./fixtures/worker.ts", import.meta.url));

/** Resolves with the folder of its socket when it has been killed. */
async function killedWorker(prefix: string, ...more: string[]): Promise<string> {
  const child = spawn(process.execPath, [worker, prefix, ...more], {
    env: { ...process.env, TMPDIR: temporary },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  await until("60 processes carry the marker", async () => (await markedPids(prefix)).length === 60);
  child.kill("SIGKILL");
  await once(child, "exit");
  return dirname(line.toString().trim());
}

// A worker that is killed leaves the files of its trials.
const temporary = mkdtempSync(join(tmpdir(), "tenuto-guard-"));
afterAll(() => {
  rmSync(temporary, { recursive: true, force: true });
  cleanUp();
});

describe.runIf(HAS_PROC)("R-23: a worker that is killed while it runs 20 commands", () => {
  it("is cleaned up after by its guard, which then goes", async () => {
    const prefix = `guarded-${process.pid}`;
    const folder = await killedWorker(prefix);
    await until("nothing is left", async () => (await markedPids(prefix)).length === 0);
    await until("the guard has gone", async () => (await guardsOf(prefix)).length === 0);
    expect(existsSync(folder)).toBe(false);
  }, 20_000);

  it("is cleaned up after by the next start where there was no guard", async () => {
    const prefix = `unguarded-${process.pid}`;
    await killedWorker(prefix, "no-guard");
    expect(await markedPids(prefix)).toHaveLength(60);
    const results = await endOrphans([], { prefixes: [prefix], graceMs: 20 });
    expect(results.filter(({ outcome }) => outcome === "ended")).toHaveLength(20);
    expect(await markedPids(prefix)).toEqual([]);
  }, 20_000);
});

describe.runIf(HAS_PROC)("the guard", () => {
  it("leads its own session, ignores the terminal's signals, and goes when dismissed", async () => {
    const guard = createGuard({ prefix: "nobody-", env: process.env });
    guard.add({ pid: 2 ** 22, pidStart: "1", marker: "nobody-1" });
    const pid = guard.pid()!;
    // Installed last; node itself catches SIGINT and SIGTERM from the start.
    await until("its handlers are installed", () => (signals(pid, "SigCgt") & bit("SIGQUIT")) > 0n);
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.kill(pid, signal);
    await until("the signals are delivered", () => !readProcess(pid)?.live || signals(pid, "ShdPnd") === 0n);
    expect(readProcess(pid)).toMatchObject({ live: true, session: pid });
    await guard.close();
    expect(readProcess(pid)?.live ?? false).toBe(false);
  });

  it("is started again when it dies while commands run", async () => {
    const guard = createGuard({ prefix: "nobody-", env: process.env, batchMs: 1 });
    guard.add({ pid: 2 ** 22, pidStart: "1", marker: "nobody-1" });
    const first = guard.pid()!;
    process.kill(first, "SIGKILL");
    await until("there is another", () => guard.pid() !== null && guard.pid() !== first);
    await guard.close();
  });
});

async function guardsOf(prefix: string): Promise<number[]> {
  const table = await readTable(Number.POSITIVE_INFINITY);
  return [...table.byPid.values()]
    .filter((entry) => {
      try {
        const line = readFileSync(`/proc/${entry.pid}/cmdline`, "utf8");
        return entry.live && line.includes("guard-main") && line.includes(prefix);
      } catch {
        return false;
      }
    })
    .map((entry) => entry.pid);
}

/** A set of signals of the process, as a bit mask. */
function signals(pid: number, which: "SigCgt" | "ShdPnd"): bigint {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return BigInt(`0x${new RegExp(`${which}:\\s*([0-9a-f]+)`).exec(status)![1]}`);
}

function bit(signal: keyof typeof constants.signals): bigint {
  return 1n << BigInt(constants.signals[signal] - 1);
}

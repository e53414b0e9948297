import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { until } from "./fixtures/attempts.ts";
import { createScanner, HAS_PROC, MARKER_VARIABLE, readMarker, readProcess, readTable, startOf } from "./procfs.ts";

describe.runIf(HAS_PROC)("processes in /proc", () => {
  it("takes no zombie for alive, although a signal to it succeeds", async () => {
    // The shell becomes a program that never waits for the shell's child.
    const child = spawn("sh", ["-c", "sleep 0 & exec sleep 1000"], { stdio: "ignore" });
    let zombie = 0;
    await until("there is a zombie", async () => {
      const table = await readTable(Number.POSITIVE_INFINITY);
      zombie = [...table.byPid.values()].find((entry) => entry.parent === child.pid && !entry.live)?.pid ?? 0;
      return zombie > 0;
    });
    expect(process.kill(zombie, 0)).toBe(true);
    expect(readProcess(zombie)?.live).toBe(false);
    child.kill("SIGKILL");
    await once(child, "exit");
  });

  it("reads names with brackets and blanks, and markers far into a large environment", async () => {
    const folder = mkdtempSync(join(tmpdir(), "tenuto-procfs-"));
    const program = join(folder, "a) R (b c");
    copyFileSync("/bin/sleep", program);
    const filler = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`FILLER_${i}`, "x".repeat(100_000)]));
    const env = {
      ...filler,
      [`X_${MARKER_VARIABLE}`]: "wrong",
      LAST: `${MARKER_VARIABLE}=wrong`,
      [MARKER_VARIABLE]: "m/n",
    };
    const child = spawn(program, ["1000"], { env, stdio: "ignore", detached: true });
    const pid = child.pid!;
    expect(readProcess(pid)).toMatchObject({ pid, parent: process.pid, group: pid, session: pid, live: true });
    expect(readMarker(pid)).toBe("m/n");
    const table = await createScanner().scan(Number(startOf(pid)));
    for (const marker of ["m", "m/n"]) expect(table.byMarker.get(marker)?.map((entry) => entry.pid)).toEqual([pid]);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(readProcess(pid)).toBeNull();
    rmSync(folder, { recursive: true });
  });

  it("shares scans that are asked for at the same time, and gives none that began before", async () => {
    const scanner = createScanner();
    const [first, second] = [scanner.scan(0), scanner.scan(Number.POSITIVE_INFINITY)];
    expect(await first).toBe(await second);
    const third = scanner.scan(0);
    await Promise.resolve().then(() => {});
    const fourth = scanner.scan(0);
    expect(await third).not.toBe(await fourth);
  });
});

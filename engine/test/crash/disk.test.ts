/** the disk fills up under a working engine: it says so, takes nothing new, and goes on by itself when there is room. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statfsSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { audit, query } from "./audit.ts";
import { Bench, type EngineProcess, readLines, until } from "./process.ts";
import { proveResults } from "./proof.ts";

let bench: Bench | null = null;
let mounted: string | null = null;

function smallDisk(): string | null {
  const folder = mkdtempSync(join(tmpdir(), "tenuto-small-disk-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64M", "none", folder], { stdio: "ignore" });
    mounted = folder;
    return folder;
  } catch {
    rmSync(folder, { recursive: true });
    return null;
  }
}

afterEach(async () => {
  await bench?.close();
  if (mounted !== null) {
    execFileSync("umount", [mounted]);
    rmSync(mounted, { recursive: true });
  }
  bench = null;
  mounted = null;
});

for (const pipeline of ["hundredSlow", "swarm", "steps"]) {
  test(`R-45: disk full during ${pipeline}`, { timeout: 60_000 }, async (context) => {
    const folder = smallDisk();
    if (folder === null) return context.skip("this user may not mount a tmpfs");
    bench = new Bench("jobs", folder);
    const journal = mkdtempSync(join(tmpdir(), "tenuto-journal-"));
    const path = join(journal, "journal");
    const env = { CRASH_JOURNAL: path };
    const engine = bench.launch({ concurrency: 10, heartbeatMs: 500, leaseMs: 60_000 }, {}, env);
    await engine.signal("open");
    const { id } = await engine.ask("start", pipeline, {}, {});
    await until("some work", () => readLines(path).length > 20);
    const ballast = join(folder, "ballast");
    fill(folder, ballast);
    if (pipeline === "steps") {
      await until("the steps to stand still", () => Date.now() - statSync(path).mtimeMs > 500);
      expect(query(bench.database, "SELECT state FROM run")).toEqual([{ state: "running" }]);
    } else await expectSilence(engine, path);
    unlinkSync(ballast);
    const since = performance.now();
    const end = await engine.ask("wait", id, 30_000);
    expect(end.state).toBe("completed");
    console.log(`R-45 ${pipeline}: completed ${(performance.now() - since).toFixed(0)} ms after there was room again`);
    await engine.stop();
    expect(await audit(bench.database, { quiet: true })).toEqual([]);
    expect(proveResults(bench.database, path).problems).toEqual([]);
    expect(query(bench.database, "SELECT id FROM job WHERE crashes > 0")).toEqual([]);
    rmSync(journal, { recursive: true });
  });
}

/** While it is full no claim goes through: bodies do not run without end. */
async function expectSilence(engine: EngineProcess, path: string): Promise<void> {
  const fault = await engine.signal("fault", 1, 20_000);
  expect(fault.code).toBe("disk_full");
  expect(fault.message).toContain("ledger");
  const begun = readLines(path).length;
  // It tries again once a second; what began anew in these tries would move the journal.
  await until("the bodies to stand still", () => Date.now() - statSync(path).mtimeMs > 2_500);
  expect(readLines(path).length - begun).toBeLessThanOrEqual(400);
}

function fill(folder: string, path: string): void {
  const { bavail, bsize } = statfsSync(folder);
  for (let bytes = bavail * bsize; bytes >= 4_096; bytes = Math.floor(bytes / 2)) {
    try {
      writeFileSync(path, Buffer.alloc(bytes), { flag: "a" });
    } catch {
      // Somebody else took the last pages; a smaller piece still fits.
    }
  }
}

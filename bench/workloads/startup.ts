/** Start of the command line: help, and a run of a one-job pipeline from a file, process start included. */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { inFolder } from "../place.ts";
import { type Figure, median } from "../report.ts";

const LAUNCHER = fileURLToPath(new URL("../../engine/bin/tenuto.mjs", import.meta.url));
const SAMPLES = 10;

export async function startup(): Promise<Figure[]> {
  return await inFolder(async (folder) => {
    const file = join(folder, "one.yaml");
    writeFileSync(file, "name: one\njobs:\n  - id: only\n    command: [/bin/true]\n");
    const help = samples(() => call(["--help"], folder));
    const bare = samples(() => spawned(["-e", "0"], folder));
    const run = samples(() => call(["run", file, "--home", join(folder, "home")], folder));
    return [
      {
        workload: "startup",
        what: "tenuto --help",
        value: help,
        unit: "ms",
        reference: { what: "node -e 0", value: bare },
        target: { text: "under 150 ms", met: help < 150 },
      },
      {
        workload: "startup",
        what: "tenuto run of a one-job pipeline",
        value: run,
        unit: "ms",
        reference: { what: "node -e 0", value: bare },
        target: { text: "under 500 ms", met: run < 500 },
      },
    ];
  });
}

function samples(once: () => number): number {
  once();
  return median(Array.from({ length: SAMPLES }, once));
}

function call(args: string[], cwd: string): number {
  return spawned([LAUNCHER, ...args], cwd);
}

function spawned(args: string[], cwd: string): number {
  const startedAt = performance.now();
  const result = spawnSync(process.execPath, args, { cwd, encoding: "utf8" });
  if (result.status !== 0) throw new Error(`node ${args.join(" ")} exited ${result.status}: ${result.stderr}`);
  return performance.now() - startedAt;
}

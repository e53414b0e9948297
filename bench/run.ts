/**
 * `npm run bench [-- NAME…]`: runs the workloads, each in a process of its own, prints each figure beside its reference of
 * the same run, and writes JSON to `bench/results/`. A figure is never a test; noisy machines make ratios, not absolute
 * values, worth quoting.
 */
import { fork } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { type Figure, print } from "./report.ts";

const WORKLOADS: Record<string, () => Promise<Figure[]>> = {
  steps: async () => (await import("./workloads/steps.ts")).steps(),
  fanout: async () => (await import("./workloads/fanout.ts")).fanout(),
  runs: async () => (await import("./workloads/runs.ts")).runs(),
  idle: async () => (await import("./workloads/idle.ts")).idle(),
  kill: async () => (await import("./workloads/kill.ts")).kill(),
  graph: async () => (await import("./workloads/graph.ts")).graph(),
  commands: async () => (await import("./workloads/commands.ts")).commands(),
  postgres: async () => (await import("./workloads/postgres.ts")).postgres(),
  startup: async () => (await import("./workloads/startup.ts")).startup(),
};

/** A small young generation keeps a long fan-out small, and costs bursts of runs a third of their rate; see the operating guide. */
const FLAGS: Record<string, string[]> = { fanout: ["--max-semi-space-size=4"] };
const CACHE = fileURLToPath(new URL("../.cache/compile/", import.meta.url));

const only = process.env["TENUTO_BENCH_WORKLOAD"];
if (only !== undefined) {
  // Loading alone first fills the compile cache, so that measured processes start as an installed Tenuto does.
  if (process.env["TENUTO_BENCH_LOAD_ONLY"] === "1") await import(`./workloads/${only}.ts`);
  else process.send?.(await WORKLOADS[only]!());
  process.disconnect?.();
} else {
  await main(process.argv.slice(2));
}

async function main(wanted: string[]): Promise<void> {
  const unknown = wanted.filter((name) => !(name in WORKLOADS));
  if (unknown.length > 0) {
    console.error(`There is no workload ${unknown.join(", ")}. Known: ${Object.keys(WORKLOADS).join(", ")}.`);
    process.exit(2);
  }
  const figures: Figure[] = [];
  const load = loadavg()[0] ?? 0;
  console.log(
    `node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? "?"}, ${Math.round(totalmem() / 2 ** 30)} GiB, load ${load.toFixed(1)} at the start`,
  );
  for (const name of Object.keys(WORKLOADS)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    for (const figure of await alone(name)) {
      figures.push(figure);
      print(figure);
    }
  }
  write(figures, load);
}

/** Memory and compiled code of one workload must not colour the next. */
async function alone(name: string): Promise<Figure[]> {
  await child(name, { TENUTO_BENCH_LOAD_ONLY: "1" });
  return await child(name, {});
}

function child(name: string, env: Record<string, string>): Promise<Figure[]> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(import.meta.url), [], {
      env: { ...process.env, ...env, TENUTO_BENCH_WORKLOAD: name, NODE_COMPILE_CACHE: CACHE },
      execArgv: [...process.execArgv, ...(FLAGS[name] ?? [])],
      serialization: "advanced",
    });
    let figures: Figure[] | null = env["TENUTO_BENCH_LOAD_ONLY"] === "1" ? [] : null;
    child.on("message", (message) => {
      figures = message as Figure[];
    });
    child.on("exit", (code) =>
      figures === null ? reject(new Error(`workload ${name} ended with ${code}`)) : resolve(figures),
    );
  });
}

function write(figures: readonly Figure[], load: number): void {
  const folder = fileURLToPath(new URL("./results/", import.meta.url));
  mkdirSync(folder, { recursive: true });
  const file = `${folder}${new Date().toISOString().replace(/[:.]/g, "-")}.json`;
  writeFileSync(file, `${JSON.stringify({ node: process.version, cpus: cpus().length, load, figures }, null, 2)}\n`);
  const bounded = figures.filter((figure) => figure.target !== undefined);
  const missed = bounded.filter((figure) => figure.target?.met === false);
  console.log(
    `written: bench/results/${file.slice(folder.length)}; ${missed.length} of ${bounded.length} targets missed`,
  );
}

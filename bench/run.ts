/**
 * `npm run bench [NAME…]`: runs the workloads, prints each figure beside its reference of the same run, and writes JSON to
 * `bench/results/`. A figure is never a test; noisy machines make ratios, not absolute values, worth quoting.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { type Figure, print } from "./report.ts";

const WORKLOADS: Record<string, () => Promise<Figure[]>> = {
  steps: async () => (await import("./workloads/steps.ts")).steps(),
  fanout: async () => (await import("./workloads/fanout.ts")).fanout(),
  runs: async () => (await import("./workloads/runs.ts")).runs(),
  idle: async () => (await import("./workloads/idle.ts")).idle(),
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in WORKLOADS));
if (unknown.length > 0) {
  console.error(`There is no workload ${unknown.join(", ")}. Known: ${Object.keys(WORKLOADS).join(", ")}.`);
  process.exit(2);
}
const figures: Figure[] = [];
console.log(
  `node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? "?"}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
);
for (const [name, workload] of Object.entries(WORKLOADS)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  for (const figure of await workload()) {
    figures.push(figure);
    print(figure);
  }
}
const folder = fileURLToPath(new URL("./results/", import.meta.url));
mkdirSync(folder, { recursive: true });
const file = `${folder}${new Date().toISOString().replace(/[:.]/g, "-")}.json`;
writeFileSync(file, `${JSON.stringify({ node: process.version, cpus: cpus().length, figures }, null, 2)}\n`);
console.log(
  `written: bench/results/${file.slice(folder.length)}; ${figures.filter((figure) => figure.target?.met === false).length} of ${figures.filter((figure) => figure.target !== undefined).length} targets missed`,
);

/**
 * `npm run test:long`: the crash suites, and the simulator, with their full figures, one after the other, and a table of
 * how they went. A name as argument runs only the suites whose name contains it; `--list` shows them.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

interface Suite {
  id: string;
  /** Files of Vitest, or folders of them. */
  files: string;
  figures: Record<string, string>;
}

const CRASH = "engine/test/crash";
const SUITES: Suite[] = [
  { id: "R-01 kill loop", files: `${CRASH}/kill-loop.test.ts`, figures: { CRASH_KILLS: "1000", CRASH_JOBS: "50000" } },
  { id: "R-02 crash points", files: `${CRASH}/crash-points.test.ts`, figures: { CRASH_POINT_KILLS: "1200" } },
  {
    id: "people kill",
    files: `${CRASH}/people-kill.test.ts`,
    figures: { CRASH_PEOPLE_KILLS: "200", CRASH_PEOPLE_RUNS: "400" },
  },
  { id: "fan-out kill", files: `${CRASH}/fanout-kill.test.ts`, figures: {} },
  { id: "R-05..R-13 leases", files: `${CRASH}/lease.test.ts`, figures: { CRASH_ADOPTIONS: "170" } },
  { id: "R-14, R-34, R-39 limits", files: `${CRASH}/limits.test.ts`, figures: { CRASH_DEATHS: "300" } },
  { id: "R-18, R-46 time", files: `${CRASH}/time.test.ts`, figures: { CRASH_DAYS: "30", CRASH_RUNS_PER_DAY: "3000" } },
  { id: "R-22, R-23, R-30 processes", files: `${CRASH}/processes.test.ts`, figures: {} },
  { id: "R-35 graphs", files: `${CRASH}/graphs.test.ts`, figures: { CRASH_GRAPH: "10000" } },
  { id: "R-45 disk full", files: `${CRASH}/disk.test.ts`, figures: {} },
  {
    id: "R-48, R-55, R-59 orders",
    files: `${CRASH}/orders.test.ts`,
    figures: { CRASH_BACKUPS: "100", CRASH_STARTS: "1000" },
  },
  { id: "R-15 simulation", files: "engine/test/sim/simulation.test.ts", figures: { TENUTO_SIM_RUNS: "200000" } },
  { id: "R-16 cancel races", files: "engine/test/sim/cancel-races.test.ts", figures: {} },
  { id: "R-42 shared file", files: "engine/src/ledger/sqlite/shared.test.ts", figures: {} },
  {
    id: "R-47 garbage",
    files: "engine/test/artifacts/garbage.test.ts",
    figures: { TENUTO_GARBAGE_OPERATIONS: "1000000" },
  },
  { id: "R-43 artifacts", files: "engine/test/artifacts/kill.test.ts", figures: { TENUTO_ARTIFACT_KILLS: "200" } },
  { id: "R-54 rollback", files: "engine/test/aftermath/rollback-kill.test.ts", figures: {} },
  { id: "LLM kills", files: `${CRASH}/llm-kill.test.ts`, figures: { CRASH_LLM_KILLS: "100" } },
  { id: "R-36 slow readers", files: "engine/test/server/slow.test.ts", figures: { TENUTO_SLOW_SECONDS: "600" } },
  { id: "R-37 resumed streams", files: "engine/test/server/live.test.ts", figures: { TENUTO_RESUMED_RUNS: "1000" } },
  { id: "S-03 paths", files: "engine/test/server/gate.test.ts", figures: { TENUTO_PATHS: "10000" } },
  { id: "PostgreSQL conformance", files: "engine/test/postgres/conformance.test.ts", figures: {} },
  {
    id: "PostgreSQL and SQLite",
    files: "engine/test/postgres/differential.test.ts",
    figures: { TENUTO_DIFFERENTIAL_RUNS: "1000" },
  },
  { id: "PostgreSQL killed", files: "engine/test/postgres/restart.test.ts", figures: { TENUTO_SERVER_KILLS: "100" } },
  { id: "PostgreSQL writers", files: "engine/test/postgres/writers.test.ts", figures: {} },
  { id: "PGlite conformance", files: "engine/test/postgres/pglite.test.ts", figures: {} },
  {
    id: "R-49 machines",
    files: "engine/test/machines/chaos.test.ts",
    figures: {
      CRASH_MACHINE_RUNS: "5000",
      CRASH_MACHINE_KILLS: "100000",
      CRASH_MACHINE_KILL_EVERY_MS: "10000",
      CRASH_MACHINE_DOWN_MS: "2000",
    },
  },
  {
    id: "R-07 networks",
    files: "engine/test/machines/namespaces.test.ts",
    figures: { CRASH_NETWORK_RUNS: "300", CRASH_NETWORK_FAULTS: "40" },
  },
  {
    id: "R-04, R-11 machines",
    files: "engine/test/machines/recovery.test.ts",
    figures: { CRASH_RECOVERIES: "1000", CRASH_ORPHANS: "500", CRASH_RUNNING: "50000" },
  },
  {
    id: "associations kills",
    files: "systems/associations/test/kill.test.ts",
    figures: { ASSOCIATIONS_KILLS: "20", ASSOCIATIONS_MEMBERS: "1134" },
  },
  { id: "looks of the dashboard", files: "ui/test/looks.test.ts", figures: {} },
  { id: "R-53 versions", files: `${CRASH}/versions.test.ts`, figures: {} },
];

interface Outcome {
  id: string;
  ok: boolean;
  seconds: number;
  /** What the suite said of itself, one line a test. */
  said: string[];
}

const root = fileURLToPath(new URL("../../../", import.meta.url));

function run(suite: Suite, more: Suite["figures"]): Promise<Outcome> {
  const since = performance.now();
  return new Promise((resolve) => {
    const child = spawn(
      process.execPath,
      [join(root, "node_modules/vitest/vitest.mjs"), "run", suite.files, "--disable-console-intercept"],
      {
        cwd: root,
        env: { ...process.env, NO_COLOR: "1", LONG: "1", ...suite.figures, ...more },
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    let text = "";
    child.stdout.on("data", (chunk) => {
      text += chunk;
      process.stderr.write(chunk);
    });
    child.once("close", (code) => {
      const said = text.split("\n").filter((line) => /^(R-\d\d|forEach|ctx\.map|people|llm)/.test(line));
      resolve({ id: suite.id, ok: code === 0, seconds: (performance.now() - since) / 1_000, said });
    });
  });
}

function table(outcomes: readonly Outcome[]): string {
  const width = Math.max(...outcomes.map((outcome) => outcome.id.length));
  return outcomes
    .flatMap(({ id, ok, seconds, said }) => [
      `${ok ? "ok    " : "FAILED"}  ${id.padEnd(width)}  ${seconds.toFixed(0).padStart(6)} s`,
      ...said.map((line) => `        ${line}`),
    ])
    .join("\n");
}

const wanted = process.argv.slice(2).find((argument) => !argument.startsWith("--"));
const chosen = SUITES.filter((suite) => existsSync(join(root, suite.files)) && suite.id.includes(wanted ?? ""));
if (process.argv.includes("--list")) {
  for (const { id, files, figures } of chosen) console.log(`${id}: ${files} ${JSON.stringify(figures)}`);
} else {
  const seed = process.env["CRASH_SEED"] ?? String(Math.floor(Math.random() * 1_000_000_000));
  const outcomes: Outcome[] = [];
  for (const suite of chosen) outcomes.push(await run(suite, { CRASH_SEED: seed }));
  const text = table(outcomes);
  console.log(`\nseed ${seed}\n${text}`);
  mkdirSync(join(root, ".cache"), { recursive: true });
  writeFileSync(join(root, ".cache", "test-long.txt"), `seed ${seed}\n${text}\n`);
  process.exitCode = outcomes.every((outcome) => outcome.ok) ? 0 : 1;
}

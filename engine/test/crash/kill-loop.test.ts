/**
 * engine killed with SIGKILL again and again at random moments while runs of every kind of job go on; in the end
 * nothing is lost, nothing was committed twice, nothing stands still and no process is left.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { JOBS_PER_RUN } from "./apps/mixed.app.ts";
import { audit, query } from "./audit.ts";
import { Bench, readLines, survivors } from "./process.ts";
import { proveResults } from "./proof.ts";
import { between, figure, replay, SEED, seeded } from "./seeded.ts";

const KILLS = figure("KILLS", 12);
const JOBS = figure("JOBS", 1_200);
const RUNS = Math.ceil(JOBS / JOBS_PER_RUN);
const OPEN = { concurrency: 16, leaseMs: 3_000, heartbeatMs: 500, maxCrashes: 1_000 };

const bench = new Bench("mixed");
afterAll(() => bench.close());

test(`R-01: ${KILLS} kills while ${RUNS * JOBS_PER_RUN} jobs run`, { timeout: 90_000 + KILLS * 3_000 }, async () => {
  const note = replay("kill-loop.test.ts", { KILLS, JOBS });
  const random = seeded(SEED);
  const acks = join(bench.home, "acks");
  const orders = { facts: { feed: { total: RUNS, open: 6, acks } }, faults: join(bench.home, "faults") };
  for (let kill = 0; kill < KILLS; kill++) {
    const engine = bench.launch(OPEN, orders);
    const killed = setTimeout(() => engine.send("SIGKILL"), between(random, 50, 1_500));
    await engine.exited;
    clearTimeout(killed);
    // After each tenth kill a look from outside, while orphans of that engine may still be ending. On a machine so busy that
    // no engine has lived long enough to make the ledger, there is nothing to look at yet.
    if (kill % 10 === 9 && existsSync(bench.database))
      expect(await audit(bench.database), `after kill ${kill}; ${note}`).toEqual([]);
  }
  const last = await bench.engine(OPEN, orders);
  await last.signal("fed", 1, 60_000 + JOBS * 20);
  await last.stop();

  expect(await audit(bench.database, { quiet: true }), note).toEqual([]);
  expect(
    readLines(join(bench.home, "faults")).filter((line) => !line.includes("lease")),
    note,
  ).toEqual([]);
  const acked = readLines(acks);
  expect(new Set(acked).size, note).toBe(RUNS);
  const runs = query<{ id: string; state: string }>(bench.database, "SELECT id, state FROM run");
  expect(
    runs.filter((run) => run.state !== "completed"),
    note,
  ).toEqual([]);
  expect(
    acked.filter((id) => !runs.some((run) => run.id === id)),
    note,
  ).toEqual([]);
  const proof = proveResults(bench.database, bench.journal);
  expect(proof.problems, note).toEqual([]);
  expect(proof.checked, note).toBeGreaterThanOrEqual(RUNS * 40);
  expect(survivors(bench.home), note).toEqual([]);
  const jobs = query<{ n: number }>(bench.database, "SELECT count(*) AS n FROM job")[0]!.n;
  expect(jobs, note).toBe(RUNS * JOBS_PER_RUN);
  console.log(
    `R-01: ${KILLS} kills, ${jobs} jobs, ${proof.checked} results proved, ${proof.repeated} executions repeated after a kill`,
  );
});

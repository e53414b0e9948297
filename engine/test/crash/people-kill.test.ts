/**
 * The engine killed again and again while its runs wait for people and children: every approval is decided once, every round
 * happens once, every child is there once, and nothing stands still.
 */
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { APPROVALS_PER_RUN, JOBS_PER_RUN } from "./apps/people.app.ts";
import { audit, query } from "./audit.ts";
import { Bench, readLines, survivors } from "./process.ts";
import { proveResults } from "./proof.ts";
import { between, figure, replay, SEED, seeded } from "./seeded.ts";

const KILLS = figure("PEOPLE_KILLS", 4);
const RUNS = figure("PEOPLE_RUNS", 12);
const OPEN = { concurrency: 8, leaseMs: 3_000, heartbeatMs: 500, maxCrashes: 1_000 };

const bench = new Bench("people");
afterAll(() => bench.close());

test(`${KILLS} kills while people and children are waited for`, { timeout: 90_000 + KILLS * 3_000 }, async () => {
  const note = replay("people-kill.test.ts", { PEOPLE_KILLS: KILLS, PEOPLE_RUNS: RUNS });
  const random = seeded(SEED);
  const acks = join(bench.home, "acks");
  const orders = { facts: { feed: { total: RUNS, open: 6, acks } }, faults: join(bench.home, "faults") };
  for (let kill = 0; kill < KILLS; kill++) {
    const engine = await bench.engine(OPEN, orders);
    const killed = setTimeout(() => engine.send("SIGKILL"), between(random, 5, 900));
    await engine.exited;
    clearTimeout(killed);
    if (kill % 4 === 3) expect(await audit(bench.database), `after kill ${kill}; ${note}`).toEqual([]);
  }
  const last = await bench.engine(OPEN, orders);
  await last.signal("fed", 1, 60_000 + RUNS * 2_000);
  await last.stop();

  expect(await audit(bench.database, { quiet: true }), note).toEqual([]);
  expect(
    readLines(join(bench.home, "faults")).filter((line) => !line.includes("lease")),
    note,
  ).toEqual([]);
  const runs = query<{ id: string; state: string }>(bench.database, "SELECT id, state FROM run");
  expect(
    runs.filter((run) => run.state !== "completed"),
    note,
  ).toEqual([]);
  const count = (sql: string) => query<{ n: number }>(bench.database, sql)[0]!.n;
  expect(count("SELECT count(*) AS n FROM job"), note).toBe(RUNS * JOBS_PER_RUN);
  expect(count("SELECT count(*) AS n FROM approval WHERE state = 'approved'"), note).toBe(RUNS * APPROVALS_PER_RUN);
  expect(count("SELECT count(*) AS n FROM approval"), note).toBe(RUNS * APPROVALS_PER_RUN);
  const decided = count("SELECT count(*) AS n FROM event WHERE name = 'approval.approved'");
  expect(decided, note).toBe(RUNS * APPROVALS_PER_RUN);
  const proof = proveResults(bench.database, bench.journal);
  expect(proof.problems, note).toEqual([]);
  expect(survivors(bench.home), note).toEqual([]);
  console.log(
    `people: ${KILLS} kills, ${decided} decisions, ${proof.checked} results proved, ${proof.repeated} repeated`,
  );
});

/**
 * worker processes and the database server are killed again and again while runs of every kind of job go on, on
 * machines that share nothing but the database; in the end nothing is lost, nothing was committed twice, no process is left.
 */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { JOBS_PER_RUN } from "../crash/apps/mixed.app.ts";
import { type EngineProcess, survivors } from "../crash/process.ts";
import { proveResults } from "../crash/proof.ts";
import { between, figure, type Random, replay, SEED, seeded } from "../crash/seeded.ts";
import { type Server, startServer } from "../postgres/server.ts";
import { Cluster, pause, sizeOf } from "./cluster.ts";

const RUNS = figure("MACHINE_RUNS", 6);
const WORKERS = figure("MACHINE_WORKERS", 2);
const KILLS = figure("MACHINE_KILLS", 5);
/** 0 kills by progress: each time some more bodies have run, however slow the machine is. */
const EVERY_MS = figure("MACHINE_KILL_EVERY_MS", 0);
const DOWN_MS = figure("MACHINE_DOWN_MS", 300);
const OPEN = { concurrency: 8, leaseMs: 3_000, heartbeatMs: 500, maxCrashes: 1_000, work: true };

describe("chaos", () => {
  let server: Server;
  let cluster: Cluster;
  beforeAll(async () => {
    server = await startServer({ durable: true });
    cluster = new Cluster("../crash/apps/mixed", server.url);
  }, 60_000);
  afterAll(async () => {
    await cluster?.close();
    await server?.stop();
    // A server that has written gigabytes takes its time to put them away.
  }, 300_000);

  test(`R-49: workers and server killed while ${RUNS * JOBS_PER_RUN} jobs run`, {
    timeout: 120_000 + RUNS * 2_000,
  }, async () => {
    const note = replay("../machines/chaos.test.ts", { MACHINE_RUNS: RUNS });
    const random = seeded(SEED);
    const acks = join(cluster.root, "acks");
    const feed = { facts: { feed: { total: RUNS, open: 6 * WORKERS, acks } } };
    const faults = join(cluster.root, "faults");
    const feeder = await cluster.machine("feeder", { ...OPEN, work: false }, { ...feed, faults });
    const workers = new Map<string, EngineProcess>();
    const launch = (name: string) => workers.set(name, cluster.launch(name, OPEN, { faults }));
    for (let n = 0; n < WORKERS; n++) launch(`worker-${n}`);
    const fed = feeder.signal("fed", 1, 60_000 + RUNS * 2_000);
    let over = false;
    void fed.then(
      () => (over = true),
      () => (over = true),
    );
    let [kills, restarts] = [0, 0];
    while (!over && kills + restarts < KILLS) {
      await nextMoment(random, cluster.journal, fed);
      if (over) break;
      if (random() < 0.4) {
        await server.kill();
        await pause(between(random, 0, DOWN_MS));
        await server.start();
        restarts += 1;
      } else {
        const name = `worker-${between(random, 0, WORKERS - 1)}`;
        await workers.get(name)?.kill();
        launch(name);
        kills += 1;
      }
    }
    await fed;
    const file = await cluster.expectCompleted(
      { feeder, workers: workers.values() },
      { acks, runs: RUNS, jobs: RUNS * JOBS_PER_RUN, note },
    );
    const proof = proveResults(file, cluster.journal);
    expect(proof.problems, note).toEqual([]);
    expect(survivors(cluster.root), note).toEqual([]);
    console.log(
      `R-49: ${kills} kills of workers, ${restarts} of the server, ${RUNS} runs with ${RUNS * JOBS_PER_RUN} jobs, ${proof.checked} results proved, ${proof.repeated} executions repeated after a kill`,
    );
  });
});

async function nextMoment(random: Random, journal: string, over: Promise<unknown>): Promise<void> {
  if (EVERY_MS > 0) return void (await Promise.race([over, pause(between(random, EVERY_MS / 2, EVERY_MS))]));
  const target = sizeOf(journal) + between(random, 1_000, 4_000);
  const ended = over.then(
    () => true,
    () => true,
  );
  while (sizeOf(journal) < target && !(await Promise.race([ended, pause(20)])));
}

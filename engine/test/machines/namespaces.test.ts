/**
 * R-07 over real networks, for `npm run test:long`: machines in network namespaces whose links are cut for longer than a
 * lease and mended again, beside machines and a database server that die, two at once at times. Who was cut off is fenced;
 * who was not goes on; in the end nothing is lost and nothing was committed that was not executed.
 */
import { chmodSync, chownSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { JOBS_PER_RUN } from "../crash/apps/mixed.app.ts";
import { query } from "../crash/audit.ts";
import { readJournal } from "../crash/journal.ts";
import { type EngineProcess, readLines, survivors, until } from "../crash/process.ts";
import { between, figure, type Random, replay, SEED, seeded } from "../crash/seeded.ts";
import { findBinaries } from "../postgres/binaries.ts";
import { type Server, startServer } from "../postgres/server.ts";
import { Cluster, pause, sizeOf } from "./cluster.ts";
import { Network, noNetworks } from "./network.ts";

const RUNS = figure("NETWORK_RUNS", 20);
const FAULTS = figure("NETWORK_FAULTS", 8);
const WORKERS = ["one", "two", "three"] as const;
const LEASE_MS = 3_000;
const OPEN = { concurrency: 6, leaseMs: LEASE_MS, heartbeatMs: 500, maxCrashes: 1_000, work: true };

const reason = process.env["LONG"] === "1" ? noNetworks() : "it is part of npm run test:long";
if (reason !== null) console.warn(`Tests on networks are left out: ${reason}`);

/** Database server and machines; the test itself reaches the database through a socket in the file system. */
class World {
  readonly network = new Network();
  readonly folder = mkdtempSync(join(tmpdir(), "tenuto-socket-"));
  server: Server | null = null;
  cluster: Cluster | null = null;
  private address = "";

  async open(app: string): Promise<Cluster> {
    chmodSync(this.folder, 0o755);
    const { user, dispose } = findBinaries();
    dispose();
    if (user !== null) chownSync(this.folder, user.uid, user.gid);
    this.address = this.network.add("db");
    for (const name of WORKERS) this.network.add(name);
    this.server = await startServer({
      durable: true,
      within: this.network.on("db"),
      settings: { listen_addresses: "*", unix_socket_directories: this.folder },
      access: ["host all all 10.213.7.0/24 trust"],
    });
    const { port } = this.server;
    this.cluster = new Cluster(app, `postgres:///postgres?user=postgres&host=${this.folder}&port=${port}`);
    return this.cluster;
  }

  launch(name: string, more: object = {}): EngineProcess {
    const url = `postgres://postgres@${this.address}:${this.server?.port}/postgres?sslmode=disable`;
    return (this.cluster as Cluster).launch(name, { ...OPEN, database: url }, more, this.network.machine(name));
  }

  async close(): Promise<void> {
    await this.cluster?.close();
    await this.server?.stop();
    this.network.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

describe.skipIf(reason !== null)("networks", () => {
  let world: World;
  afterEach(() => world.close(), 120_000);

  test("R-07: who is cut off beyond its lease is fenced and begins anew; the others live on", {
    timeout: 300_000,
  }, async () => {
    world = new World();
    const cluster = await world.open("../crash/apps/jobs");
    const { network } = world;
    const old = world.launch("one");
    await old.signal("open");
    const { id } = await old.ask("start", "zombie", {}, {});
    const begun = () => readJournal(cluster.journal).filter((entry) => entry.kind === "begin");
    await until("all jobs to have begun", () => begun().length === 5);
    const states = async () =>
      (await cluster.db.query<{ state: string }>("SELECT state FROM boot ORDER BY seq")).map((row) => row.state);

    network.cut("one");
    const fresh = world.launch("two");
    await fresh.signal("open");
    expect((await fresh.ask("wait", id, 120_000)).state).toBe("completed");
    const bystander = world.launch("three");
    await bystander.signal("open");
    // The one that comes back must not take the time without a network for the silence of the others.
    await pause(2 * LEASE_MS);
    const before = await cluster.db.query("SELECT seq, state, output, epoch FROM job ORDER BY seq");
    expect(await states()).toEqual(["dead", "alive", "alive"]);

    network.mend("one");
    await until("the late writes", () => readLines(cluster.journal).some((line) => line.startsWith("late")));
    const line = readLines(cluster.journal).find((one) => one.startsWith("late")) as string;
    const late = JSON.parse(line.split("\t")[1] as string);
    for (const what of ["step", "artifact", "spawn"]) expect(late[what], what).not.toBe("accepted");
    await until(
      "its programs to be dead",
      () => survivors(cluster.root).filter((entry) => entry.text.startsWith("sleep")).length === 0,
    );
    await pause(2 * LEASE_MS);
    expect(await states()).toEqual(["dead", "alive", "alive", "alive"]);
    expect(await cluster.db.query("SELECT seq, state, output, epoch FROM job ORDER BY seq")).toEqual(before);

    // It works again, under its new boot.
    await fresh.stop();
    await bystander.stop();
    const next = await old.ask("start", "quick", {}, {});
    expect((await old.ask("wait", next.id, 60_000)).state).toBe("completed");
    await old.stop();
    expect(await cluster.audit(await cluster.toFile())).toEqual([]);
  });

  test(`R-07: ${FAULTS} faults of links, machines and server while ${RUNS * JOBS_PER_RUN} jobs run`, {
    timeout: 600_000 + RUNS * 5_000 + FAULTS * 60_000,
  }, async () => {
    world = new World();
    const cluster = await world.open("../crash/apps/mixed");
    const note = replay("../machines/namespaces.test.ts", { NETWORK_RUNS: RUNS, NETWORK_FAULTS: FAULTS });
    const random = seeded(SEED);
    const acks = join(cluster.root, "acks");
    const feeder = await cluster.machine(
      "feeder",
      { ...OPEN, work: false },
      { facts: { feed: { total: RUNS, open: 6, acks } } },
    );
    const workers = new Map<string, EngineProcess>();
    for (const name of WORKERS) workers.set(name, world.launch(name));
    let over = false;
    const fed = feeder.signal("fed", 1, 600_000 + RUNS * 5_000 + FAULTS * 60_000).finally(() => {
      over = true;
    });
    const counts: Record<string, number> = {};
    let faults = 0;
    while (!over && faults < FAULTS) {
      const target = sizeOf(cluster.journal) + between(random, 2_000, 8_000);
      while (!over && sizeOf(cluster.journal) < target) await pause(50);
      // Two at once, now and then.
      const chosen = Array.from({ length: random() < 0.3 ? 2 : 1 }, () => chooseFault(random));
      await Promise.all(
        chosen.map(async ({ what, name, ms }) => {
          counts[what] = (counts[what] ?? 0) + 1;
          if (what === "link") await cutFor(world.network, name, ms);
          else if (what === "server") {
            await world.server?.kill();
            await pause(ms / 4);
            await world.server?.start();
          } else {
            await workers.get(name)?.kill();
            workers.set(name, world.launch(name));
          }
        }),
      );
      faults += chosen.length;
    }
    await fed;
    const file = await cluster.expectCompleted(
      { feeder, workers: workers.values() },
      { acks, runs: RUNS, jobs: RUNS * JOBS_PER_RUN, note },
    );
    expect(notExecuted(file, cluster.journal), note).toEqual([]);
    expect(survivors(cluster.root), note).toEqual([]);
    console.log(`R-07: ${JSON.stringify(counts)}, ${RUNS} runs with ${RUNS * JOBS_PER_RUN} jobs, nothing lost`);
  });
});

function chooseFault(random: Random): { what: "link" | "machine" | "server"; name: string; ms: number } {
  const dice = random();
  const name = WORKERS[between(random, 0, WORKERS.length - 1)] as string;
  // From a blink to some leases.
  const ms = between(random, 100, 4 * LEASE_MS);
  if (dice < 0.5) return { what: "link", name, ms };
  if (dice < 0.6) return { what: "link", name: "db", ms };
  return { what: dice < 0.8 ? "machine" : "server", name, ms };
}

async function cutFor(network: Network, name: string, ms: number): Promise<void> {
  network.cut(name);
  await pause(ms);
  network.mend(name);
}

/**
 * Committed results that no body has given. A body that was cut off may end after another one's result was committed, so its
 * line need not be the last one; what was committed must be one of them.
 */
function notExecuted(file: string, journal: string): string[] {
  const effects = new Map<string, Set<string>>();
  for (const { kind, key, nonce } of readJournal(journal))
    if (kind === "effect") effects.set(key, (effects.get(key) ?? new Set()).add(nonce));
  const rows = query<{ key: string; value: string }>(
    file,
    `SELECT run.id || '/' || job.id AS key, output AS value FROM job JOIN run ON run.seq = job.run WHERE job.state = 'completed' AND output LIKE '{"nonce"%'
     UNION ALL SELECT run.id || '/' || job.id || '/' || ordinal, result FROM item JOIN job ON job.seq = item.job JOIN run ON run.seq = job.run WHERE item.state = 'completed'`,
  );
  return rows.filter(({ key, value }) => effects.get(key)?.has(JSON.parse(value).nonce) !== true).map(({ key }) => key);
}

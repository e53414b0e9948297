/**
 * on PostgreSQL: many recoverers of one backlog, each with connections and sweeps of its own, and dead workers
 * among very many living leases. The long suite raises the figures.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { checkInvariants } from "../../src/core/invariants.ts";
import {
  type Database,
  openDatabase,
  openPostgresLedger,
  type PostgresLedger,
} from "../../src/ledger/postgres/index.ts";
import { migrate } from "../../src/ledger/postgres/migrate.ts";
import { Sweeper } from "../../src/runtime/sweeper.ts";
import { FakeClock } from "../../src/testing/clock.ts";
import { dumpPostgres } from "../../src/testing/postgres-dump.ts";
import { World } from "../../src/testing/world.ts";
import { figure } from "../crash/seeded.ts";
import { createDatabase, emptyTables, sharedServer, type TestDatabase } from "../postgres/shared.ts";

const server = await sharedServer();
const ITERATIONS = figure("RECOVERIES", 1);
const ORPHANS = figure("ORPHANS", 100);
const RUNNING = figure("RUNNING", 1_000);
const RECOVERERS = 8;

interface Boot {
  seq: number;
  pid: number;
}

/** Does something again until so much is done in sum (or `reached` by it); after nothing, when others have written. */
async function patiently(
  { ledger }: World,
  step: () => Promise<number>,
  target: number,
  how: "sum" | "reached" = "sum",
): Promise<void> {
  let noticed = () => {};
  const off = ledger.onForeignWrite(() => noticed());
  try {
    for (let [done, before] = [0, 0]; done < target; before = done) {
      const written = new Promise<void>((resolve) => {
        noticed = resolve;
        // What others write is noticed by polling; this is only for the case that they have all ended.
        setTimeout(resolve, 1_000);
      });
      const made = await step();
      done = how === "sum" ? done + made : made;
      if (done === before) await written;
    }
  } finally {
    off();
  }
}

describe.skipIf(server === null)("recovery", () => {
  let test: TestDatabase;
  let admin: Database;
  let ledgers: PostgresLedger[] = [];
  let clock: FakeClock;
  let pids = 0;
  beforeAll(async () => {
    test = await createDatabase(server as string);
    admin = openDatabase({ url: test.url, writers: 1, readers: 1 });
    await migrate(admin);
  }, 60_000);
  afterAll(async () => {
    await admin?.close();
    await test?.drop();
  });
  beforeEach(async () => {
    await emptyTables(admin);
    clock = new FakeClock(1_700_000_000_000);
  });
  afterEach(async () => {
    for (const ledger of ledgers) await ledger.close();
    ledgers = [];
  });

  async function open(count: number): Promise<World[]> {
    ledgers = await Promise.all(
      Array.from({ length: count }, () => openPostgresLedger({ url: test.url, clock, writers: 1, readers: 1 })),
    );
    return ledgers.map((ledger) => new World(ledger, clock));
  }

  async function bootOn({ ledger }: World): Promise<Boot> {
    pids += 1;
    const identity = { id: `boot-${pids}`, host: "h", machine: "m", pid: pids, pidStart: "1" };
    return { seq: await ledger.registerBoot({ ...identity, startedAt: clock.now() }), pid: pids };
  }

  /** A sweeper that takes these boots for dead. */
  function sweeper(world: World, dead: ReadonlySet<number>): Sweeper {
    const { ledger } = world;
    const probe = {
      self: () => ({ host: "h", machine: "m", pid: 1, pidStart: "1" }),
      alive: ({ pid }: { pid: number }) => !dead.has(pid),
      endOrphans: async () => 0,
    };
    const options = {
      concurrency: 1,
      leaseMs: 30_000,
      heartbeatMs: 5_000,
      drainMs: 0,
      maxCrashes: 1_000,
      retentionMs: null,
    };
    return new Sweeper({ ledger, clock, probe } as never, options, () => 0);
  }

  const problems = async () => checkInvariants(await admin.snapshot((session) => dumpPostgres(session)));

  it(`R-04: ${RECOVERERS} recoverers of ${ORPHANS} orphans, ${ITERATIONS} times: each is given back and run once`, {
    timeout: 60_000 + ITERATIONS * 20_000,
  }, async () => {
    const worlds = await open(RECOVERERS);
    const [first] = worlds as [World];
    for (let iteration = 0; iteration < ITERATIONS; iteration++) {
      const run = await first.start(Array.from({ length: ORPHANS }, (_, n) => `j${n}`).join(" "));
      const victim = await bootOn(first);
      // What a machine knows of the queue is out of date until it has noticed what the others have written.
      await patiently(first, async () => (await first.claim(victim.seq, ORPHANS)).length, ORPHANS);
      await Promise.all(worlds.map((world) => sweeper(world, new Set([victim.pid])).checkBoots()));
      const jobs = await first.ledger.jobs(run.seq);
      expect(new Set(jobs.map((job) => `${job.state} ${job.crashes}`))).toEqual(new Set(["ready 1"]));
      // Each machine takes what it can get, all at once, and carries it out.
      const boots = await Promise.all(worlds.map((world) => bootOn(world)));
      const claimed: number[] = [];
      const work = async (world: World, boot: number) => {
        const held = await world.claim(boot, 40);
        claimed.push(...held.map((one) => one.job));
        for (const one of held) await world.complete(one);
        return claimed.length;
      };
      await Promise.all(
        worlds.map((world, at) => patiently(world, () => work(world, (boots[at] as Boot).seq), ORPHANS, "reached")),
      );
      expect([...claimed].sort((x, y) => x - y)).toEqual(jobs.map((job) => job.seq));
      expect((await first.run(run.seq)).state).toBe("completed");
      for (const boot of boots) await first.ledger.endBoot(boot.seq, "stopped");
    }
    expect(await problems()).toEqual([]);
  });

  it(`R-11: ten orphans behind ${RUNNING} jobs of living workers are found at once`, {
    timeout: 60_000 + RUNNING * 10,
  }, async () => {
    const [world] = (await open(1)) as [World];
    const { seq: alive } = await bootOn(world);
    for (let left = RUNNING; left > 0; left -= 1_000) {
      await world.start(Array.from({ length: Math.min(1_000, left) }, (_, n) => `j${n}`).join(" "));
      await world.claim(alive, 1_000);
    }
    const doomed = await bootOn(world);
    const run = await world.start(Array.from({ length: 10 }, (_, n) => `d${n}`).join(" "));
    expect(await world.claim(doomed.seq, 10)).toHaveLength(10);
    await sweeper(world, new Set([doomed.pid])).checkBoots();
    const jobs = await world.ledger.jobs(run.seq);
    expect(new Set(jobs.map((job) => `${job.state} ${job.crashes}`))).toEqual(new Set(["ready 1"]));
    expect((await world.ledger.leasesOf(alive, RUNNING + 1)).jobs).toHaveLength(RUNNING);
    expect(await problems()).toEqual([]);
  });
});

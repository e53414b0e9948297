/**
 * Several ledgers on one PostgreSQL database, as several processes would have them: each decides on what it knows, and none of
 * them may lose or repeat what another one has committed. Answers that are lost on the way do not make a commit twice.
 */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import * as changes from "../../src/core/changes.ts";
import { checkInvariants } from "../../src/core/invariants.ts";
import { type Database, openDatabase } from "../../src/ledger/postgres/connection.ts";
import { openPostgresLedger, type PostgresLedger } from "../../src/ledger/postgres/index.ts";
import { migrate } from "../../src/ledger/postgres/migrate.ts";
import { startOf } from "../../src/testing/builders.ts";
import { FakeClock } from "../../src/testing/clock.ts";
import { type Random, seededEntropy } from "../../src/testing/entropy.ts";
import { dumpPostgres } from "../../src/testing/postgres-dump.ts";
import { codeOf, type Held, World } from "../../src/testing/world.ts";
import { createDatabase, emptyTables, sharedServer, type TestDatabase } from "./shared.ts";

const LEDGERS = 3;
const LONG = process.env["LONG"] === "1";
const SEEDS = LONG ? 60 : 3;
const server = await sharedServer();

let test: TestDatabase;
let admin: Database;
beforeAll(async () => {
  if (server === null) return;
  test = await createDatabase(server);
  admin = openDatabase({ url: test.url, writers: 1, readers: 1 });
  await migrate(admin);
}, 120_000);
afterAll(async () => {
  await admin?.close();
  await test?.drop();
});
beforeEach(async () => {
  if (server !== null) await emptyTables(admin);
}, 60_000);

const dump = () => admin.snapshot((session) => dumpPostgres(session));

/** The queue holds what is claimable, as it is, and nothing else. */
async function queueFaults(): Promise<unknown[]> {
  return await admin.query(
    `SELECT j.seq, q.job FROM (SELECT * FROM job WHERE claimable = 1) j FULL JOIN queue q ON q.job = j.seq
     WHERE j.seq IS NULL OR q.job IS NULL OR j.rank <> q.rank OR j.state <> q.state OR j.crashes <> q.crashes OR j.agent <> q.agent`,
  );
}

/** What one worker does with what it holds; notes each end that was acknowledged. */
class Hand {
  readonly world: World;
  private readonly random: Random;
  private readonly ends: string[];
  boot = 0;

  constructor(world: World, random: Random, ends: string[]) {
    this.world = world;
    this.random = random;
    this.ends = ends;
  }

  async begin(): Promise<void> {
    // A boot is named after its time.
    this.world.clock.advance(1);
    this.boot = await this.world.boot();
  }

  /** Claims once and works off what it got. */
  async round(): Promise<number> {
    const held = await this.world.claim(this.boot, 1 + this.random.below(6), { itemSlots: 1 + this.random.below(3) });
    await Promise.all(held.map((one) => this.workOff(one)));
    return held.length;
  }

  private async workOff(held: Held): Promise<void> {
    const { world, random } = this;
    if (held.window !== null) {
      if (random.chance(0.2)) return void (await world.release(held));
      await world.settleAll(held);
      for (let n = held.window.start; n < held.window.stop; n++) this.ends.push(`${held.job}:${n}`);
      return;
    }
    const job = await world.ledger.job(held.job);
    const fanout = job?.kind === "fanout" ? await world.ledger.fanout(held.job) : null;
    if (job?.kind === "fanout" && fanout === null)
      return void (await world.expand(held, 5 + random.below(30), { window: 3, concurrency: 6, errorRate: 1 }));
    if (random.chance(0.1)) return void (await world.giveBack(held));
    if (random.chance(0.1)) {
      await world.fail(held, { category: "permanent", code: "no", message: "no" });
      this.ends.push(`${held.job}`);
      return;
    }
    await world.complete(held);
    this.ends.push(`${held.job}`);
  }
}

const SHAPES = ["a b(a) c(a) | d e", "a* | b c", "a b c d e f | g", "a! b(a:always) | c*"];

async function together(seed: number): Promise<void> {
  const random = seededEntropy(seed);
  const clock = new FakeClock();
  const { url } = test;
  const ledgers: PostgresLedger[] = [];
  for (let n = 0; n < LEDGERS; n++) ledgers.push(await openPostgresLedger({ url, clock, ahead: n === 0 ? 32 : 1 }));
  const ends: string[] = [];
  const hands = ledgers.map((ledger, n) => new Hand(new World(ledger, clock), seededEntropy(seed * 7 + n), ends));
  for (const hand of hands) await hand.begin();
  try {
    for (let round = 0; round < 12; round++)
      await Promise.all(
        hands.map(async (hand, n) => {
          if (round < 6 && random.chance(0.7)) await hand.world.start(random.pick(SHAPES));
          if (random.chance(0.05)) await hand.world.cancel(1 + random.below(6)).catch(() => {});
          clock.advance(n);
          await hand.round();
        }),
      );
    // Until nobody finds anything any more, whatever the others do.
    for (let idle = 0; idle < 3; ) {
      const counts = await Promise.all(hands.map((hand) => hand.round()));
      idle = counts.every((count) => count === 0) ? idle + 1 : 0;
    }
    const after = await dump();
    expect(checkInvariants(after)).toEqual([]);
    expect(await queueFaults()).toEqual([]);
    expect(ends.length, "something was acknowledged twice").toBe(new Set(ends).size);
    expect(after.runs.filter((run) => run.endedAt === null)).toEqual([]);
    expect(new Set(after.runs.map((run) => run.seq)).size).toBe(after.runs.length);
    const completed = after.jobs.filter((job) => job.kind === "single" && job.state === "completed");
    for (const job of completed) expect(ends).toContain(`${job.seq}`);
  } finally {
    for (const ledger of ledgers) await ledger.close();
  }
}

describe.skipIf(server === null)(`PostgreSQL: ${LEDGERS} writers at once`, () => {
  for (let seed = 1; seed <= SEEDS; seed++)
    it(`each job and each item ends once (seed ${seed})`, { timeout: 120_000 }, () => together(seed));

  it("of decisions of one approval in several processes one is taken", { timeout: 60_000 }, async () => {
    const clock = new FakeClock();
    const ledgers = await Promise.all([1, 2, 3].map(() => openPostgresLedger({ url: test.url, clock, ahead: 1 })));
    const world = new World(ledgers[0] as PostgresLedger, clock);
    const boot = await world.boot();
    for (let n = 0; n < 10; n++) {
      const run = await world.start("a");
      const held = await world.claimJob(boot, run.seq, "a");
      const request = { id: `${run.id}:a:k`, run: run.seq, job: held.job, key: "k", title: "?", shown: "1" };
      const row = await world.ledger.apply(
        changes.openApproval(held.job, held.lease, {
          ...request,
          hash: "a".repeat(64),
          editable: 0,
          createdAt: 1,
          expiresAt: null,
        }),
      );
      const decide = (ledger: PostgresLedger, approve: boolean, by: string) =>
        codeOf(ledger.apply(changes.decideApproval(row, { approve, hash: null, by, reason: null, edited: null })));
      const codes = await Promise.all(
        ledgers.flatMap((one, at) => [decide(one, true, `${at}`), decide(one, false, `${at}!`)]),
      );
      expect(codes.filter((code) => code === null).length).toBe(1);
      expect(codes.filter((code) => code === "approval_decided").length).toBe(codes.length - 1);
      await world.complete(held);
    }
    for (const ledger of ledgers) await ledger.close();
  });

  it("a step is recorded by who holds the job, not by who has lost it to another process", {
    timeout: 60_000,
  }, async () => {
    const clock = new FakeClock();
    const [first, second] = await Promise.all([1, 2].map(() => openPostgresLedger({ url: test.url, clock, ahead: 1 })));
    const [one, other] = [new World(first as PostgresLedger, clock), new World(second as PostgresLedger, clock)];
    const firstBoot = await one.boot();
    clock.advance(1);
    const boots = [firstBoot, await other.boot()] as const;
    const run = await one.start("a");
    const held = await one.claimJob(boots[0], run.seq, "a");
    const step = (key: string) => ({
      job: held.job,
      item: -1,
      key,
      inputHash: null,
      output: "1",
      startedAt: 1,
      endedAt: 1,
    });
    await one.ledger.apply(changes.recordStep(held.lease, step("early")));
    await other.bury(boots[0]);
    const [taken] = await other.claim(boots[1]);
    expect(taken?.job).toBe(held.job);
    expect(await codeOf(one.ledger.apply(changes.recordStep(held.lease, step("late"))))).toBe("lease_lost");
    expect(await codeOf(one.complete(held))).toBe("lease_lost");
    expect((await one.ledger.steps(held.job)).map((row) => row.key)).toEqual(["early"]);
    await other.complete(taken as Held);
    for (const ledger of [first, second]) await ledger?.close();
  });

  it("starts with one idempotency key in several processes are one run; numbers have no gaps", {
    timeout: 60_000,
  }, async () => {
    const clock = new FakeClock();
    const ledgers = await Promise.all([1, 2, 3].map(() => openPostgresLedger({ url: test.url, clock, ahead: 1 })));
    await (ledgers[0] as PostgresLedger).putDefinition("v1", "test", "{}");
    for (let n = 0; n < 10; n++) {
      const request = () => startOf("a", { idempotencyKey: `k${n}`, requestHash: "h" });
      const started = await Promise.all(ledgers.map((ledger) => ledger.apply(changes.startRun(request()))));
      expect(new Set(started.map(({ seq }) => seq)).size).toBe(1);
      expect(started.filter(({ created }) => created).length).toBe(1);
    }
    const { runs } = await dump();
    expect(runs.map((run) => run.seq)).toEqual(Array.from({ length: 10 }, (_, n) => n + 1));
    for (const ledger of ledgers) await ledger.close();
  });

  it("runs of one concurrency key, started everywhere: one after the other", { timeout: 60_000 }, async () => {
    const clock = new FakeClock();
    const ledgers = await Promise.all([1, 2, 3].map(() => openPostgresLedger({ url: test.url, clock, ahead: 1 })));
    const worlds = ledgers.map((ledger) => new World(ledger, clock));
    const concurrency = { key: "test/k", onConflict: "queue" as const };
    await Promise.all(worlds.flatMap((world) => [1, 2, 3].map(() => world.start("a", { concurrency }))));
    const boots: number[] = [];
    for (const world of worlds) {
      clock.advance(1);
      boots.push(await world.boot());
    }
    for (let left = 9; left > 0; left--) {
      expect((await dump()).runs.filter((run) => run.state === "running").length).toBe(1);
      const held = await Promise.all(worlds.map((world, n) => world.claim(boots[n] as number)));
      expect(held.flat().length).toBe(1);
      const at = held.findIndex((found) => found.length === 1);
      await (worlds[at] as World).complete(held[at]?.[0] as Held);
    }
    expect((await dump()).runs.every((run) => run.state === "completed")).toBe(true);
    for (const ledger of ledgers) await ledger.close();
  });
});

describe.skipIf(server === null)("PostgreSQL: two commits under way", () => {
  it("a commit that fails takes along what was decided on top of it, and both are decided again", async () => {
    const clock = new FakeClock();
    const ledgers = await Promise.all([1, 2].map(() => openPostgresLedger({ url: test.url, clock, ahead: 1 })));
    const [one, other] = ledgers.map((ledger) => new World(ledger, clock)) as [World, World];
    const boot = await one.boot();
    for (let n = 0; n < 20; n++) {
      const runs = await Promise.all(Array.from({ length: 8 }, () => one.start("a b(a)")));
      const held = await one.claim(boot, 8);
      // The other one changes a run that the first one believes to know: of eight ends those of the first half fail.
      const { seq } = runs[n % 8] as { seq: number };
      expect(await other.cancel(seq)).toBe(true);
      await Promise.all(held.map((job) => one.complete(job)));
      expect(await one.states(seq)).toBe("a:completed b:cancelled(run_cancelled)");
      for (const run of runs) if (run.seq !== seq) expect(await one.states(run.seq)).toBe("a:completed b:ready");
      await Promise.all((await one.claim(boot, 8)).map((job) => one.complete(job)));
    }
    await one.finish(boot);
    const after = await dump();
    expect(after.runs.filter((run) => run.state === "completed")).toHaveLength(140);
    expect(after.runs.filter((run) => run.state === "cancelled")).toHaveLength(20);
    expect(checkInvariants(after)).toEqual([]);
    for (const ledger of ledgers) await ledger.close();
  }, 60_000);
});

/** Between a ledger and the server; swallows the next answer, with the connection, when it is told to. */
class Swallower {
  private readonly listener = createServer((near) => this.join(near));
  private readonly target: URL;
  swallowing = false;
  swallowed = 0;

  constructor(url: string) {
    this.target = new URL(url);
  }

  private join(near: Socket): void {
    const far = connect(Number(this.target.port), this.target.hostname);
    const end = () => {
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) socket.on("error", end).on("close", end);
    near.on("data", (chunk) => far.write(chunk));
    far.on("data", (chunk) => {
      // What COMMIT and the end of an implicit transaction are answered with ends in "ready, idle".
      if (!this.swallowing || chunk.at(-1) !== 0x49) return void near.write(chunk);
      this.swallowing = false;
      this.swallowed += 1;
      end();
    });
  }

  async url(): Promise<string> {
    this.listener.listen(0, "127.0.0.1");
    await once(this.listener, "listening");
    const url = new URL(this.target);
    url.port = String((this.listener.address() as { port: number }).port);
    return url.href;
  }

  close(): void {
    this.listener.close();
  }
}

describe.skipIf(server === null)("PostgreSQL: lost answers", () => {
  it("a commit whose answer is lost counts once", { timeout: 60_000 }, async () => {
    const clock = new FakeClock();
    const swallower = new Swallower(test.url);
    const ledger = await openPostgresLedger({ url: await swallower.url(), clock, writers: 1, readers: 1, ahead: 1 });
    const world = new World(ledger, clock);
    await ledger.putDefinition("v1", "test", "{}");
    const boot = await world.boot();
    await ledger.apply(changes.startRun(startOf("a")));
    for (let n = 0; n < 10; n++) {
      swallower.swallowing = true;
      const [started] = await Promise.all([ledger.apply(changes.startRun(startOf("a b(a)"))), ledger.run(1)]);
      expect(started.created).toBe(true);
      swallower.swallowing = true;
      const held = await world.claim(boot);
      swallower.swallowing = true;
      await Promise.all(held.map((one) => world.complete(one)));
    }
    // Several at once go as two commits: the first, the second or both may have happened.
    for (let n = 0; n < 10; n++) {
      swallower.swallowing = true;
      await Promise.all(Array.from({ length: 6 }, () => world.start("a")));
      const held = await world.claim(boot);
      swallower.swallowing = true;
      await Promise.all(held.map((one) => world.complete(one)));
    }
    await world.finish(boot);
    swallower.swallowing = false;
    expect(swallower.swallowed).toBeGreaterThan(30);
    const after = await dump();
    expect(after.runs.map((run) => run.state)).toEqual(Array(71).fill("completed"));
    expect(after.jobs.filter((job) => job.attempt !== 1)).toEqual([]);
    expect(checkInvariants(after)).toEqual([]);
    await ledger.close();
    swallower.close();
  });
});

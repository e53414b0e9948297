/** Topic: limiters, their holders, spawn caps. Slots never leak, whatever becomes of their holders. */
import assert from "node:assert/strict";
import * as changes from "../../core/changes.ts";
import type { LimiterSpec } from "../../core/document.ts";
import { confirmPass, passLimiter, releaseHolder, spendBudget, tellBreaker } from "../../core/limiting.ts";
import { errorOf } from "../builders.ts";
import { codeOf, type Held, type World } from "../world.ts";
import type { Case, Topic } from "./suite.ts";

const named = (spec: Partial<LimiterSpec>, name = "db") => ({ name, key: "", spec: spec as LimiterSpec });
const one = named({ concurrency: 1 });
const holder = (held: Held, item = -1) => ({
  job: held.job,
  lease: held.lease,
  item,
  ...(held.window === null ? {} : { window: held.window.start }),
});

async function pass(world: World, held: Held, limiter = one, item = -1): Promise<boolean> {
  return (await world.ledger.apply(passLimiter(limiter, holder(held, item), false))).go;
}

/** What may become of a job that holds a slot; afterwards another one gets it. */
const FATES: Record<string, (on: Case, held: Held) => Promise<unknown>> = {
  completes: ({ world }, held) => world.complete(held),
  fails: ({ world }, held) => world.fail(held, errorOf("permanent")),
  "is skipped": ({ world }, held) => world.skip(held),
  "is tried again later": ({ world }, held) =>
    world.fail(held, errorOf("retryable"), { maxRetries: 3, delayMs: 60_000 }),
  "is given back": ({ world }, held) => world.giveBack(held),
  sleeps: ({ world }, held) => world.park(held, 60_000),
  "sleeps and wakes": async ({ world, clock }, held) => {
    await world.park(held, 1_000);
    clock.advance(1_000);
    await world.due();
  },
  "dies with its worker": ({ world }, held) => world.bury(held.lease.boot),
  "dies with its worker for good": ({ world }, held) => world.bury(held.lease.boot, 1),
  "halts its run": ({ world }, held) => world.fail(held, errorOf("critical")),
};

export const limits: Topic = {
  name: "limiters and caps",
  cases: {
    ...Object.fromEntries(
      Object.entries(FATES).map(([text, fate]) => [
        `a slot is free again when its job ${text}`,
        async (on: Case) => {
          const { world } = on;
          await world.start("a", { priority: "high" });
          await world.start("b");
          const first = (await world.claim(await world.boot(), 1))[0] as Held;
          const second = (await world.claim(await world.boot(), 1))[0] as Held;
          assert.deepEqual([await pass(world, first), await pass(world, second)], [true, false]);
          await fate(on, first);
          assert.deepEqual((await on.dump()).holds, []);
          assert.equal(await pass(world, second), true);
          await world.complete(second);
        },
      ]),
    ),
    "a slot that an item holds is free when the window is lost or given back": async ({ world, dump }) => {
      const boots = [await world.boot(), await world.boot()] as const;
      const run = await world.start("a*");
      const job = await world.claimJob(boots[0], run.seq, "a");
      await world.expand(job, 8);
      let held = (await world.leaseWindow(job.job, boots[0], null, 1)) as Held;
      assert.equal(await pass(world, held, one, 1), true);
      await world.bury(boots[0]);
      assert.deepEqual((await dump()).holds, []);
      held = (await world.leaseWindow(job.job, boots[1], null, 1)) as Held;
      assert.equal(await pass(world, held, one, 2), true);
      await world.release(held);
      assert.deepEqual((await dump()).holds, []);
    },
    "a slot that an item holds is free with its window, though the job has failed meanwhile": async (on) => {
      const { world, ledger } = on;
      const boot = await world.boot();
      await world.start("a");
      const parent = (await world.claim(boot))[0] as Held;
      const child = await world.spawn(parent, "m", { kind: "map", allowFailure: true });
      await ledger.apply(changes.claimChild(child.seq, boot));
      const map: Held = { job: child.seq, id: "m", lease: { epoch: 1, boot }, window: null };
      await world.expand(map, 8);
      const held = (await world.leaseWindow(map.job, boot)) as Held;
      assert.equal(await pass(world, held, one, 1), true);
      await world.fail(map, errorOf("retryable"), { maxRetries: 3, delayMs: 60_000 });
      assert.equal((await on.dump()).holds.length, 1);
      await world.settleAll(held);
      assert.deepEqual((await on.dump()).holds, []);
    },
    "an item gives its own slot back, not its neighbour's": async ({ world, ledger, dump }) => {
      const boot = await world.boot();
      const run = await world.start("a*");
      const job = await world.claimJob(boot, run.seq, "a");
      await world.expand(job, 8);
      const held = (await world.leaseWindow(job.job, boot)) as Held;
      const two = named({ concurrency: 2 });
      assert.deepEqual(
        [await pass(world, held, two, 0), await pass(world, held, two, 1), await pass(world, held, two, 2)],
        [true, true, false],
      );
      await ledger.apply(releaseHolder(held.job, held.lease.epoch, 0));
      assert.deepEqual(
        (await dump()).holds.map((row) => row.item),
        [1],
      );
      await world.settleAll(held);
      await ledger.apply(releaseHolder(held.job, held.lease.epoch, 1));
    },
    "a limiter that is asked twice by one holder counts it once": async ({ world, dump }) => {
      await world.start("a b");
      const [a, b] = (await world.claim(await world.boot())) as [Held, Held];
      const two = named({ concurrency: 2 });
      await pass(world, a, two);
      await pass(world, a, two);
      assert.equal((await dump()).holds.length, 1);
      assert.equal(await pass(world, b, two), true);
    },
    "two that ask in one batch do not get the same last slot": async ({ world }) => {
      await world.start("a b c");
      const held = (await world.claim(await world.boot())) as Held[];
      const answers = await Promise.all(held.map((each) => pass(world, each)));
      assert.deepEqual(answers, [true, false, false]);
    },
    "rates, budgets and breakers survive": async ({ world, ledger, clock }) => {
      await world.start("a");
      const [held] = (await world.claim(await world.boot())) as [Held];
      const limiter = named({ rate: { count: 1, perSeconds: 1, burst: 2 } }, "rate");
      const answers = [
        await pass(world, held, limiter),
        await pass(world, held, limiter),
        await pass(world, held, limiter),
      ];
      assert.equal(answers[0], true);
      assert.equal(answers[2], false);
      clock.advance(60_000);
      assert.equal(await pass(world, held, limiter), true);
      const budget = named({ budget: { day: 1 } }, "money");
      await ledger.apply(spendBudget(budget, holder(held), 0.5)).catch(() => {});
      const breaker = named({ breaker: { failures: 2, openSeconds: 60 } }, "breaker");
      for (let n = 0; n < 2; n++) await ledger.apply(tellBreaker(breaker, holder(held), false));
      const open = await ledger.apply(passLimiter(breaker, holder(held), false));
      assert.equal(open.go, false);
      await ledger.apply(confirmPass(limiter, holder(held), { goAt: clock.now(), trial: false }));
      assert.equal((await ledger.limiters()).length >= 2, true);
    },
    "spawn caps: depth 32": async ({ world }) => {
      const boot = await world.boot();
      const run = await world.start("j");
      let held = await world.claimJob(boot, run.seq, "j");
      for (let depth = 1; depth <= 32; depth++) {
        await world.spawn(held, "k");
        const next = (await world.claim(boot))[0] as Held;
        await world.complete(held);
        held = next;
      }
      assert.equal(await codeOf(world.spawn(held, "k")), "spawn_limit");
      await world.complete(held);
      assert.equal((await world.run(run.seq)).state, "completed");
    },
    "spawn caps: 1,000 children of a job, 10,000 of a run": async ({ world, sound }) => {
      const boot = await world.boot();
      const run = await world.start(Array.from({ length: 11 }, (_, n) => `p${n}`).join(" "));
      const parents = (await world.claim(boot)) as Held[];
      for (const parent of parents.slice(0, 10)) {
        const codes = await Promise.all(Array.from({ length: 1_001 }, (_, n) => codeOf(world.spawn(parent, `k${n}`))));
        assert.deepEqual([codes.filter((code) => code === null).length, codes[1_000]], [1_000, "spawn_limit"]);
      }
      assert.equal(await codeOf(world.spawn(parents[10] as Held, "one")), "spawn_limit");
      assert.equal((await world.run(run.seq)).spawnedJobs, 10_000);
      assert.equal((await world.spawn(parents[0] as Held, "k7")).created, false);
      await sound();
    },
    "two spawns of one key are one child": async ({ world }) => {
      const boot = await world.boot();
      const run = await world.start("a");
      const held = await world.claimJob(boot, run.seq, "a");
      const both = await Promise.all([world.spawn(held, "k"), world.spawn(held, "k")]);
      assert.deepEqual(
        both.map((spawned) => spawned.created),
        [true, false],
      );
      assert.equal(both[0]?.seq, both[1]?.seq);
      assert.equal((await world.spawn(held, "k")).created, false);
    },
    "a parent that parks after its child ended is told to look again": async ({ world }) => {
      const boot = await world.boot();
      const run = await world.start("a");
      const held = await world.claimJob(boot, run.seq, "a");
      await world.spawn(held, "k");
      const kid = (await world.claim(boot))[0] as Held;
      const [, answer] = await Promise.all([world.complete(kid), world.park(held, null, "children", 1)]);
      assert.equal(answer, "missed");
      await world.spawn(held, "k2");
      const kid2 = (await world.claim(boot))[0] as Held;
      const [parked] = await Promise.all([world.park(held, null, "children", 1), world.complete(kid2)]);
      assert.equal(parked, "parked");
      assert.equal((await world.job(run.seq, "a")).state, "ready");
    },
  },
};

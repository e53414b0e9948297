/** Topic: reports, and the fencing of those whose lease is gone: all of them are refused, none has an effect. */
import assert from "node:assert/strict";
import * as changes from "../../core/changes.ts";
import { confirmPass, passLimiter, spendBudget } from "../../core/limiting.ts";
import type { JobSeq } from "../../core/model.ts";
import { errorOf } from "../builders.ts";
import { codeOf, type Held, type World } from "../world.ts";
import type { Case, Topic } from "./suite.ts";

const POLICY = { maxRetries: 3, delayMs: 1, onExhausted: "fail" as const };
const limiter = { name: "db", key: "", spec: { concurrency: 5, budget: { day: 10 } } };

/** Every report that a worker can make of a job, by name. */
export function reportsOf(world: World, held: Held): Record<string, () => Promise<unknown>> {
  const { ledger, clock } = world;
  const { job, lease } = held;
  const step = { job, item: -1, key: "late", inputHash: null, output: "1", startedAt: 1, endedAt: 1 };
  const artifact = {
    run: 1,
    job,
    attempt: 1,
    name: "late",
    type: "file",
    sha256: "f".repeat(64),
    bytes: 1,
    mediaType: "text/plain",
    at: clock.now(),
  };
  return {
    complete: () => world.complete(held, '"late"'),
    reuse: () => ledger.apply(changes.reuseJob(job, lease, '"late"', "other")),
    fail: () => world.fail(held, errorOf("permanent", "permanent" as never)),
    retry: () => ledger.apply(changes.failJob(job, lease, errorOf("retryable"), POLICY)),
    halt: () => world.fail(held, errorOf("critical")),
    skip: () => world.skip(held, "late"),
    park: () => world.park(held, 1_000),
    giveBack: () => world.giveBack(held),
    cancelled: () => ledger.apply(changes.cancelledJob(job, lease)),
    spawn: () => world.spawn(held, "late"),
    spawnMap: () => world.spawn(held, "late-map", { kind: "map" }),
    expand: () => world.expand(held, 3),
    step: () => ledger.apply(changes.whileLeased(job, lease, [changes.stepEffect(step)])),
    artifact: () => ledger.apply(changes.whileLeased(job, lease, [{ type: "artifact", row: artifact }])),
    itemKeys: () =>
      ledger.apply(changes.claimItemKeys(job, lease, 1, [{ ordinal: 0, hash: new Uint8Array([1, 2, 3]) }])),
    progress: () => ledger.apply(changes.reportProgress(job, lease, { done: 1 })),
    limiter: () => ledger.apply(passLimiter(limiter, { job, lease, item: -1 }, false)),
    confirm: () => ledger.apply(confirmPass(limiter, { job, lease, item: -1 }, { goAt: clock.now(), trial: false })),
    spend: () => ledger.apply(spendBudget(limiter, { job, lease, item: -1 }, 1)),
  };
}

/** Every report that a worker can make of a window. */
export function windowReportsOf(world: World, held: Held): Record<string, () => Promise<unknown>> {
  const { ledger, clock } = world;
  const { job, lease } = held;
  const { start } = held.window as NonNullable<Held["window"]>;
  const step = { job, item: start, key: "late", inputHash: null, output: "1", startedAt: 1, endedAt: clock.now() };
  return {
    settle: () => world.settle(held, [world.item(job, start, "completed")]),
    settleFailed: () => world.settle(held, [world.item(job, start, "failed")]),
    retryItem: () => world.settle(held, [world.item(job, start, "pending")]),
    // A window that is gone brings no slots along: the answer is that there is nothing to lease.
    leaseNext: async () => {
      if ((await ledger.apply(changes.leaseWindow(job, lease.boot, start, 0))) === null) throw { code: "lease_lost" };
    },
    step: () => ledger.apply(changes.whileWindowHeld(job, start, lease, [changes.stepEffect(step)])),
    limiter: () => ledger.apply(passLimiter(limiter, { job, lease, item: start, window: start }, false)),
  };
}

async function allRefused(on: Case, reports: Record<string, () => Promise<unknown>>, what: string): Promise<void> {
  const before = await on.dump();
  for (const [name, report] of Object.entries(reports)) {
    const code = await codeOf(report());
    assert.equal(code, "lease_lost", `${what}: ${name} was answered with ${code}`);
  }
  assert.deepEqual(await on.dump(), before, `${what}: a refused report had an effect`);
}

async function running(on: Case, boot: number): Promise<{ held: Held; run: number; job: JobSeq }> {
  const run = await on.world.start("a | b");
  const held = await on.world.claimJob(boot, run.seq, "a");
  return { held, run: run.seq, job: held.job };
}

/** What may have become of a job since its worker fell silent. */
const SINCE: Record<string, (on: Case, held: Held, run: number) => Promise<unknown>> = {
  "taken over, running under the next epoch": async ({ world }, held) => {
    await world.bury(held.lease.boot);
    await world.claim(await world.boot());
  },
  "taken over, completed by the next": async ({ world }, held) => {
    await world.bury(held.lease.boot);
    const [next] = await world.claim(await world.boot());
    await world.complete(next as Held, '"new"');
  },
  "lost, ready again": ({ world }, held) => world.bury(held.lease.boot),
  "cancelled with its run": async ({ world }, held, run) => {
    await world.cancel(run);
    await world.bury(held.lease.boot);
  },
  "completed by itself before": ({ world }, held) => world.complete(held),
  "failed by itself before": ({ world }, held) => world.fail(held, errorOf("permanent")),
  "given back before": ({ world }, held) => world.giveBack(held),
  "parked before": ({ world }, held) => world.park(held, 1_000),
  "claimed again by the same worker": async ({ world }, held) => {
    await world.giveBack(held);
    await world.claim(held.lease.boot);
  },
};

export const fencing: Topic = {
  name: "reports and fencing (R-07)",
  cases: {
    ...Object.fromEntries(
      Object.entries(SINCE).map(([text, since]) => [
        `late reports of a job: ${text}`,
        async (on: Case) => {
          const { held, run } = await running(on, await on.world.boot());
          await since(on, held, run);
          const reports = reportsOf(on.world, held);
          // A parked job's own attempt goes on in memory and may tell its progress.
          if (text === "parked before") delete reports["progress"];
          await allRefused(on, reports, text);
        },
      ]),
    ),
    "reports with an epoch from the future or another boot": async (on) => {
      const { held } = await running(on, await on.world.boot());
      const other = await on.world.boot();
      for (const lease of [
        { ...held.lease, epoch: held.lease.epoch + 1 },
        { ...held.lease, epoch: 0 },
        { ...held.lease, boot: other },
      ])
        await allRefused(on, reportsOf(on.world, { ...held, lease }), JSON.stringify(lease));
    },
    "late reports of a window": async (on) => {
      const [first, second] = [await on.world.boot(), await on.world.boot()];
      const run = await on.world.start("a*");
      await on.world.expand(await on.world.claimJob(first, run.seq, "a"), 12, { errorRate: 1 });
      const [held] = await on.world.claim(first, 1, { itemSlots: 1 });
      await on.world.bury(first);
      await allRefused(on, windowReportsOf(on.world, held as Held), "released");
      const [next] = await on.world.claim(second, 1, { itemSlots: 1 });
      assert.equal(next?.window?.start, 0);
      await allRefused(on, windowReportsOf(on.world, held as Held), "leased by another");
      await on.world.settleAll(next as Held);
      await allRefused(on, windowReportsOf(on.world, held as Held), "done by another");
    },
    "of two reports in one batch the first counts": async ({ world, ledger }) => {
      const boot = await world.boot();
      const run = await world.start("a");
      const held = await world.claimJob(boot, run.seq, "a");
      const [first, second] = await Promise.all([codeOf(world.complete(held, "1")), codeOf(world.complete(held, "2"))]);
      assert.deepEqual([first, second], [null, "lease_lost"]);
      assert.equal((await ledger.job(held.job))?.output, "1");
    },
    "an item that ended does not end again, whatever else the report holds": async (on) => {
      const { world, ledger } = on;
      const boot = await world.boot();
      const run = await world.start("a*");
      await world.expand(await world.claimJob(boot, run.seq, "a"), 4, { errorRate: 1 });
      const [held] = (await world.claim(boot)) as [Held];
      await world.settle(held, [world.item(held.job, 0, "completed")]);
      const before = await on.dump();
      const twice = world.settle(held, [world.item(held.job, 1, "completed"), world.item(held.job, 0, "failed")]);
      assert.notEqual(await codeOf(twice), null);
      assert.deepEqual(await on.dump(), before);
      const beyond = world.settle(held, [world.item(held.job, 4, "completed")]);
      assert.equal(await codeOf(beyond), "illegal_transition");
      assert.equal((await ledger.items(held.job, { limit: 10 })).length, 1);
    },
    "a boot that lives keeps its lease, whatever others say of its windows": async ({ world }) => {
      const [boot, other] = [await world.boot(), await world.boot()];
      const run = await world.start("a");
      const held = await world.claimJob(boot, run.seq, "a");
      assert.equal(await world.ledger.apply(changes.loseLease(held.job, other, 3)), false);
      await world.complete(held);
    },
  },
};

/** Topic: fan-outs, their windows, items and keys. */
import assert from "node:assert/strict";
import * as changes from "../../core/changes.ts";
import type { Lease } from "../../core/job.ts";
import { codeOf, type Held, type World } from "../world.ts";
import { calm, type Topic } from "./suite.ts";

async function expanded(world: World, boot: number, total: number, settings: Parameters<World["expand"]>[2] = {}) {
  const run = await world.start("a*");
  const held = await world.claimJob(boot, run.seq, "a");
  await world.expand(held, total, settings);
  return { run: run.seq, job: held.job };
}

const hash = (n: number): Uint8Array => new Uint8Array([n >> 8, n & 255, 7]);

export const fanouts: Topic = {
  name: "fan-out",
  cases: {
    "windows are disjoint and cover the list": async ({ world, ledger }) => {
      const boots = [await world.boot(), await world.boot(), await world.boot()];
      const { run, job } = await expanded(world, boots[0] as number, 50, { window: 7, concurrency: 3 });
      const seen: number[] = [];
      for (let round = 0; round < 100; round++) {
        const held = (await Promise.all(boots.map((boot) => world.claim(boot, 1, { itemSlots: 1 })))).flat();
        if (held.length === 0) break;
        for (const one of held)
          if (one.window !== null) {
            for (let n = one.window.start; n < one.window.stop; n++) seen.push(n);
            await world.settleAll(one);
          } else await world.complete(one);
      }
      assert.deepEqual(
        seen.sort((a, b) => a - b),
        Array.from({ length: 50 }, (_, n) => n),
      );
      assert.equal((await world.run(run)).state, "completed");
      assert.equal((await ledger.items(job, { states: ["completed"], limit: 100 })).length, 50);
    },
    "no more items at work than the concurrency, over all workers": async ({ world, ledger }) => {
      const boots = [await world.boot(), await world.boot(), await world.boot()];
      const { job } = await expanded(world, boots[0] as number, 40, { concurrency: 5 });
      const held = (await Promise.all(boots.map((boot) => world.claim(boot, 4, { itemSlots: 2 })))).flat();
      assert.deepEqual(
        held.map((one) => one.window?.slots),
        [2, 2, 1],
      );
      assert.equal((await ledger.fanout(job))?.slotsUsed, 5);
    },
    "slots move on with the next window of their holder": async ({ world, ledger }) => {
      const boot = await world.boot();
      const { job } = await expanded(world, boot, 8, { concurrency: 2 });
      const [first] = await world.claim(boot, 1, { itemSlots: 9 });
      const second = await world.leaseWindow(job, boot, 0);
      assert.deepEqual([first?.window?.slots, second?.window?.slots, second?.window?.start], [2, 2, 4]);
      assert.equal((await ledger.fanout(job))?.slotsUsed, 2);
      assert.equal(await world.leaseWindow(job, boot, 4), null);
      await world.settleAll(first as Held);
      await world.settleAll(second as Held);
      await world.finish(boot);
    },
    "a dead worker's window goes to another, without what had ended": async ({ world, ledger }) => {
      const [first, second] = [await world.boot(), await world.boot()];
      const { run, job } = await expanded(world, first, 4, { errorRate: 1 });
      const [held] = (await world.claim(first)) as [Held];
      await world.settle(held, [world.item(job, 2, "completed"), world.item(job, 1, "pending")]);
      await world.bury(first);
      const [next] = (await world.claim(second)) as [Held];
      assert.deepEqual([next.window?.start, next.window?.stop, next.window?.hasRows], [0, 4, true]);
      assert.equal((await ledger.windows(job))[0]?.open, 3);
      await world.settleAll(next);
      await world.finish(second);
      assert.equal((await world.run(run)).state, "completed");
    },
    "releases and leases of one batch": async ({ world }) => {
      const boot = await world.boot();
      const { job } = await expanded(world, boot, 16, { concurrency: 8 });
      const windows = [];
      for (let n = 0; n < 4; n++) windows.push((await world.leaseWindow(job, boot, null, 2)) as Held);
      await Promise.all(windows.map((held) => world.release(held)));
      const again = await Promise.all(windows.map(() => world.leaseWindow(job, boot, null, 2)));
      assert.deepEqual(
        again.map((held) => held?.window?.start),
        [0, 4, 8, 12],
      );
      const [freed, taken] = await Promise.all([
        world.release(again[0] as Held),
        world.leaseWindow(job, boot, null, 2),
      ]);
      assert.deepEqual([freed, taken?.window?.start], [true, 0]);
      for (const held of [taken, again[1], again[2], again[3]]) await world.settleAll(held as Held);
      await world.finish(boot);
    },
    "slots that a holder yields are another worker's, and can be claimed by those only who want them": async (on) => {
      const { world, ledger } = on;
      const [first, second] = [await world.boot(), await world.boot()];
      const { job } = await expanded(world, first, 16, { concurrency: 8 });
      const [held] = (await world.claim(first)) as [Held];
      assert.equal(held.window?.slots, 8);
      assert.deepEqual(await world.claim(second), []);
      const yieldSlots = (lease: Lease, slots: number) =>
        ledger.apply(changes.yieldSlots(job, held.window?.start as number, lease, slots));
      const stranger = { ...held.lease, boot: second };
      assert.equal(await codeOf(yieldSlots(stranger, 2)), "lease_lost");
      for (const none of [0, 8, 9]) assert.equal(await yieldSlots(held.lease, none), false);
      assert.equal(await yieldSlots(held.lease, 5), true);
      const request = { boot: first, slots: 5, itemSlots: 99, offersVersion: 1, run: null, suspects: true };
      const asks = { ...request, offers: () => true };
      assert.deepEqual(await ledger.claim({ ...asks, leaves: (seq) => seq === job }), []);
      const [taken] = (await world.claim(second)) as [Held];
      assert.equal(taken.window?.slots, 5);
      assert.deepEqual(await ledger.claim(asks), []);
      const rest = (await ledger.windows(job)).map((window) => window.slots);
      assert.deepEqual(rest.sort(), [3, 5]);
      await calm(on);
      assert.equal((await ledger.fanout(job))?.slotsUsed, 8);
    },
    "an empty list is settled at once": async ({ world, ledger }) => {
      const boot = await world.boot();
      const run = await world.start("a* | b");
      const held = await world.claimJob(boot, run.seq, "a");
      await world.expand(held, 0);
      assert.equal((await ledger.job(held.job))?.state, "running");
      await world.complete(held);
      assert.equal(await world.states(run.seq), "a:completed b:ready");
    },
    "the list is fixed once": async ({ world }) => {
      const boot = await world.boot();
      const run = await world.start("a*");
      const held = await world.claimJob(boot, run.seq, "a");
      await world.expand(held, 0);
      assert.equal(await codeOf(world.expand(held, 5)), "illegal_transition");
    },
    "too many failures stop it: no new windows, the rest is left": async ({ world, ledger }) => {
      const boot = await world.boot();
      const { job } = await expanded(world, boot, 20, { errorRate: 0.1, window: 4 });
      const [held] = (await world.claim(boot)) as [Held];
      const settled = await world.settleAll(held, "failed");
      assert.deepEqual([settled.stop, settled.settled], [true, false]);
      const row = await ledger.job(job);
      assert.equal(row?.state, "ready");
      assert.equal(await world.leaseWindow(job, boot), null);
    },
    "keys: repeated ones are skipped from the start": async ({ world, ledger }) => {
      const boot = await world.boot();
      const run = await world.start("a*");
      const held = await world.claimJob(boot, run.seq, "a");
      const keys = [1, 2, 1, 3, 2].map((n, ordinal) => ({ ordinal, hash: hash(n) }));
      const duplicates = await ledger.apply(changes.claimItemKeys(held.job, held.lease, 5, keys));
      assert.equal(duplicates, 2);
      await world.expand(held, 5, { duplicates, window: 3 });
      await world.finish(boot);
      const fanout = await ledger.fanout(held.job);
      assert.deepEqual([fanout?.completed, fanout?.skipped, fanout?.duplicates], [3, 2, 2]);
      assert.deepEqual(await ledger.itemsByKey(5, hash(2), 10), [{ job: held.job, ordinal: 1 }]);
      assert.equal((await world.run(run.seq)).state, "completed");
    },
    "keys: a crash between keys and list is survived": async ({ world, ledger }) => {
      const [first, second] = [await world.boot(), await world.boot()];
      const run = await world.start("a*");
      const keys = [1, 2, 1].map((n, ordinal) => ({ ordinal, hash: hash(n) }));
      let held = await world.claimJob(first, run.seq, "a");
      const store = async () => {
        await ledger.apply(
          changes.whileLeased(held.job, held.lease, [{ type: "clearItemKeys", job: held.job, scope: 5 }]),
        );
        return await ledger.apply(changes.claimItemKeys(held.job, held.lease, 5, keys));
      };
      assert.equal(await store(), 1);
      await world.bury(first);
      held = await world.claimJob(second, run.seq, "a");
      assert.equal(await store(), 1);
      await world.expand(held, 3, { duplicates: 1 });
      await world.finish(second);
      assert.equal((await world.run(run.seq)).state, "completed");
    },
    "keys: the same key in another run is no duplicate": async ({ world, ledger }) => {
      const boot = await world.boot();
      for (let n = 0; n < 2; n++) {
        const run = await world.start("a*");
        const held = await world.claimJob(boot, run.seq, "a");
        assert.equal(
          await ledger.apply(changes.claimItemKeys(held.job, held.lease, 5, [{ ordinal: 0, hash: hash(9) }])),
          0,
        );
        await world.expand(held, 1);
        await world.finish(boot);
      }
      assert.equal((await ledger.itemsByKey(5, hash(9), 10)).length, 2);
    },
    "a map works under its parent's boot only": async ({ world, ledger }) => {
      const [boot, other] = [await world.boot(), await world.boot()];
      const run = await world.start("a");
      const held = await world.claimJob(boot, run.seq, "a");
      const child = await world.spawn(held, "m", { kind: "map", allowFailure: true });
      assert.deepEqual(await world.claim(other), []);
      await ledger.apply(changes.claimChild(child.seq, boot));
      const map: Held = { job: child.seq, id: child.id, lease: { epoch: 1, boot }, window: null };
      await world.expand(map, 6, { window: 3 });
      assert.equal(await world.leaseWindow(child.seq, other), null);
      const first = (await world.leaseWindow(child.seq, boot)) as Held;
      const second = (await world.leaseWindow(child.seq, boot, 0)) as Held;
      await world.settleAll(first);
      await world.settleAll(second);
      await world.complete(map);
      await world.complete(held);
      assert.equal((await world.run(run.seq)).state, "completed");
    },
    "a map does not outlive its parent": async ({ world, ledger, sound }) => {
      for (const end of ["completed", "failed", "crashed"] as const) {
        const boot = await world.boot();
        const run = await world.start("a!");
        const held = await world.claimJob(boot, run.seq, "a");
        const child = await world.spawn(held, "m", { kind: "map", allowFailure: true });
        await ledger.apply(changes.claimChild(child.seq, boot));
        const map: Held = { job: child.seq, id: child.id, lease: { epoch: 1, boot }, window: null };
        await world.expand(map, 4);
        await world.leaseWindow(child.seq, boot);
        if (end === "crashed") await world.bury(boot, 1);
        else {
          await world.release({ ...map, window: { start: 0 } as never });
          await world.giveBack(map);
          if (end === "completed") await world.complete(held);
          else await world.fail(held, { category: "permanent", code: "no", message: "no" });
        }
        await sound();
        assert.notEqual((await world.run(run.seq)).endedAt, null, `${end}: ${await world.states(run.seq)}`);
      }
    },
  },
};

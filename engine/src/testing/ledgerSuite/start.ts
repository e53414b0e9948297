/** Topic: starting runs, keys of idempotency and of concurrency. */
import assert from "node:assert/strict";
import * as changes from "../../core/changes.ts";
import { startOf } from "../builders.ts";
import { codeOf } from "../world.ts";
import { calm, type Topic } from "./suite.ts";

const key = (onConflict: "queue" | "refuse" | "replace") => ({ key: "test/k", onConflict });

export const start: Topic = {
  name: "start",
  cases: {
    "jobs without dependencies are ready, the others wait": async ({ world }) => {
      const run = await world.start("a b() c(a) | d e(a)");
      assert.equal(await world.states(run.seq), "a:ready b:ready c:pending d:pending e:pending");
      assert.equal(run.state, "running");
    },
    "two starts with one idempotency key are one run": async ({ world, ledger }) => {
      const request = () => startOf("a", { idempotencyKey: "k", requestHash: "h" });
      await ledger.putDefinition("v1", "test", "{}");
      const [first, second] = await Promise.all([
        ledger.apply(changes.startRun(request())),
        ledger.apply(changes.startRun(request())),
      ]);
      const third = await ledger.apply(changes.startRun(request()));
      assert.equal(first.created, true);
      assert.deepEqual([second.created, second.seq, third.created, third.seq], [false, first.seq, false, first.seq]);
      assert.equal((await ledger.runs({ limit: 10 })).length, 1);
      assert.equal(world.clock.pending, 0);
    },
    "an idempotency key used for something else is refused": async ({ world, ledger }) => {
      await world.start("a", { idempotencyKey: "k", requestHash: "h" });
      const other = ledger.apply(changes.startRun(startOf("a", { idempotencyKey: "k", requestHash: "other" })));
      assert.equal(await codeOf(other), "idempotency_mismatch");
    },
    "a start without its definition is refused and leaves nothing": async ({ ledger, dump }) => {
      assert.notEqual(await codeOf(ledger.apply(changes.startRun(startOf("a", { version: "missing" })))), null);
      const after = await dump();
      assert.deepEqual([after.runs.length, after.jobs.length, after.events.length], [0, 0, 0]);
    },
    "a bad start does not take the good ones of its batch with it": async ({ world, ledger }) => {
      await ledger.putDefinition("v1", "test", "{}");
      const all = await Promise.allSettled([
        ledger.apply(changes.startRun(startOf("a"))),
        ledger.apply(changes.startRun(startOf("a", { version: "missing" }))),
        ledger.apply(changes.startRun(startOf("a"))),
      ]);
      assert.deepEqual(
        all.map((one) => one.status),
        ["fulfilled", "rejected", "fulfilled"],
      );
      await world.finish(await world.boot());
      assert.equal((await ledger.runStates()).completed, 2);
    },
    "queue: runs of one key go one after the other, in order": async ({ world, ledger }) => {
      const boot = await world.boot();
      const runs = [];
      for (let n = 0; n < 4; n++) runs.push(await world.start("a b", { concurrency: key("queue") }));
      assert.deepEqual(
        runs.map((run) => run.state),
        ["running", "pending", "pending", "pending"],
      );
      for (const run of runs) {
        assert.equal((await world.run(run.seq)).state, "running");
        for (const held of await world.claim(boot)) await world.complete(held);
      }
      assert.equal((await ledger.runStates()).completed, 4);
    },
    "queue: a cancelled run in the queue is passed over": async ({ world }) => {
      const boot = await world.boot();
      const [first, second, third] = [
        await world.start("a", { concurrency: key("queue") }),
        await world.start("a", { concurrency: key("queue") }),
        await world.start("a", { concurrency: key("queue") }),
      ];
      await world.cancel(second.seq);
      assert.equal((await world.run(second.seq)).state, "cancelled");
      assert.equal((await world.run(third.seq)).state, "pending");
      for (const held of await world.claim(boot)) await world.complete(held);
      assert.equal((await world.run(first.seq)).state, "completed");
      assert.equal((await world.run(third.seq)).state, "running");
    },
    "refuse: a second run of the key is refused, naming the first": async ({ world, ledger }) => {
      await world.start("a", { concurrency: key("refuse"), id: "first" });
      const second = ledger.apply(changes.startRun(startOf("a", { concurrency: key("refuse") })));
      await assert.rejects(second, /run first already holds/);
      assert.equal((await ledger.runs({ limit: 10 })).length, 1);
    },
    "replace: the last start wins, all before it are cancelled": async ({ world }) => {
      const boot = await world.boot();
      const first = await world.start("a", { concurrency: key("replace") });
      const held = await world.claimJob(boot, first.seq, "a");
      const second = await world.start("a", { concurrency: key("replace") });
      const third = await world.start("a", { concurrency: key("replace") });
      assert.notEqual((await world.run(first.seq)).cancelRequestedAt, null);
      assert.equal((await world.run(second.seq)).state, "cancelled");
      assert.equal((await world.run(third.seq)).state, "pending");
      await world.ledger.apply(changes.cancelledJob(held.job, held.lease));
      assert.equal((await world.run(first.seq)).state, "cancelled");
      assert.equal((await world.run(third.seq)).state, "running");
    },
    "replace in one batch: one run is left": async ({ world, ledger }) => {
      await ledger.putDefinition("v1", "test", "{}");
      const starts = await Promise.all(
        [1, 2, 3, 4].map(() => ledger.apply(changes.startRun(startOf("a", { concurrency: key("replace") })))),
      );
      const states = await Promise.all(starts.map(async (one) => (await world.run(one.seq)).state));
      assert.deepEqual(states, ["cancelled", "cancelled", "cancelled", "running"]);
    },
    "a retried run does not join another run of its key": async ({ world }) => {
      const boot = await world.boot();
      const first = await world.start("a", { concurrency: key("queue") });
      await world.cancel(first.seq);
      const second = await world.start("a", { concurrency: key("queue") });
      assert.equal(second.state, "running");
      assert.equal(await codeOf(world.retry(first.seq)), "concurrency_refused");
      await world.finish(boot);
      assert.equal(await codeOf(world.retry(first.seq)), null);
      await world.finish(boot);
      assert.equal((await world.run(first.seq)).state, "completed");
    },
    "ten thousand jobs start in one transaction": async (on) => {
      const wide = Array.from({ length: 5_000 }, (_, n) => `a${n}`).join(" ");
      const run = await on.world.start(`${wide} | ${wide.replaceAll("a", "b")}`);
      assert.deepEqual([run.jobCount, run.liveJobs], [10_000, 5_000]);
      await calm(on);
    },
  },
};

/** Topic: cancel and halt, against everything that can happen at the same time. */
import assert from "node:assert/strict";
import * as changes from "../../core/changes.ts";
import { errorOf } from "../builders.ts";
import { codeOf, type Held } from "../world.ts";
import { calm, type Topic } from "./suite.ts";

export const cancel: Topic = {
  name: "cancel and halt",
  cases: {
    "a run of 10,000 jobs is swept in batches, its siblings are left alone": async (on) => {
      const { world, ledger } = on;
      const siblings = [];
      for (let n = 0; n < 9; n++) siblings.push((await world.start("a | b")).seq);
      const wide = Array.from({ length: 5_000 }, (_, n) => `j${n}`).join(" ");
      const run = await world.start(`${wide} | ${wide.replaceAll("j", "k")}`);
      await world.cancel(run.seq);
      assert.equal(await codeOf(world.cancel(run.seq)), null);
      await calm(on);
      assert.equal((await world.run(run.seq)).state, "cancelled");
      assert.equal((await ledger.jobs(run.seq, { states: ["cancelled"] })).length, 10_000);
      for (const sibling of siblings) assert.equal((await world.run(sibling)).state, "running");
    },
    "whoever works on many runs finds those that are to be stopped with one question": async ({ world, ledger }) => {
      const boot = await world.boot();
      const runs = [];
      for (let n = 0; n < 4; n++) runs.push((await world.start("a")).seq);
      await world.claim(boot);
      assert.deepEqual(await ledger.runsToStop(runs), []);
      await world.cancel(runs[1] as number);
      await ledger.apply(changes.haltRun(runs[2] as number, errorOf("critical")));
      await world.cancel(runs[3] as number);
      const found = await ledger.runsToStop(runs.slice(0, 3));
      assert.deepEqual(found.map((run) => [run.seq, run.cancelRequestedAt !== null]).sort(), [
        [runs[1], true],
        [runs[2], false],
      ]);
      assert.deepEqual(await ledger.runsToStop([]), []);
    },
    "twice, and after the end": async ({ world }) => {
      const boot = await world.boot();
      const run = await world.start("a");
      const held = await world.claimJob(boot, run.seq, "a");
      assert.deepEqual([await world.cancel(run.seq), await world.cancel(run.seq)], [true, false]);
      await world.ledger.apply(changes.cancelledJob(held.job, held.lease));
      assert.equal(await codeOf(world.cancel(run.seq)), "illegal_transition");
    },
    "in every state of a job": async ({ world, clock }) => {
      const boot = await world.boot();
      const run = await world.start("ready running sleeping retrying parent pending(ready) done failed!");
      const held = Object.fromEntries((await world.claim(boot)).map((one) => [one.id, one])) as Record<string, Held>;
      await world.giveBack(held["ready"] as Held);
      await world.park(held["sleeping"] as Held, 3_600_000);
      await world.fail(held["retrying"] as Held, errorOf("retryable"), { maxRetries: 1, delayMs: 3_600_000 });
      await world.spawn(held["parent"] as Held, "kid");
      await world.park(held["parent"] as Held, null, "children", 1);
      await world.complete(held["done"] as Held);
      await world.fail(held["failed"] as Held, errorOf("permanent"));
      await world.cancel(run.seq);
      assert.equal(
        (await world.states(run.seq)).replaceAll("(run_cancelled)", ""),
        "ready:cancelled running:running sleeping:cancelled retrying:cancelled parent:cancelled pending:cancelled done:completed failed:failed parent/kid:cancelled",
      );
      assert.equal((await world.run(run.seq)).state, "running");
      clock.advance(10_000);
      await world.ledger.apply(changes.cancelledJob((held["running"] as Held).job, (held["running"] as Held).lease));
      assert.equal((await world.run(run.seq)).state, "cancelled");
      assert.deepEqual(await world.claim(boot), []);
    },
    "a park in the same batch": async ({ world }) => {
      const boot = await world.boot();
      for (const cancelFirst of [false, true]) {
        const run = await world.start("a");
        const held = await world.claimJob(boot, run.seq, "a");
        const both = [() => world.park(held, 3_600_000), () => world.cancel(run.seq)];
        await Promise.all((cancelFirst ? both.toReversed() : both).map((one) => one()));
        assert.equal((await world.run(run.seq)).state, "cancelled");
      }
    },
    "a retry of the job in the same batch": async ({ world }) => {
      const boot = await world.boot();
      const run = await world.start("a");
      const held = await world.claimJob(boot, run.seq, "a");
      await Promise.all([
        world.fail(held, errorOf("retryable"), { maxRetries: 5, delayMs: 3_600_000 }),
        world.cancel(run.seq),
      ]);
      assert.equal((await world.run(run.seq)).state, "cancelled");
    },
    "a spawn in the same batch": async ({ world }) => {
      const boot = await world.boot();
      for (const cancelFirst of [false, true]) {
        const run = await world.start("a");
        const held = await world.claimJob(boot, run.seq, "a");
        const both = [() => codeOf(world.spawn(held, "kid")), () => world.cancel(run.seq)];
        const [answer] = await Promise.all((cancelFirst ? both.toReversed() : both).map((one) => one()));
        if (cancelFirst) assert.equal(answer, true);
        await world.ledger.apply(changes.cancelledJob(held.job, held.lease));
        assert.equal((await world.run(run.seq)).state, "cancelled", await world.states(run.seq));
      }
    },
    "a fan-out at work: its windows are given back, then it is cancelled": async ({ world }) => {
      const [boot, other] = [await world.boot(), await world.boot()];
      const run = await world.start("a* | b");
      const job = await world.claimJob(boot, run.seq, "a");
      await world.expand(job, 12, { concurrency: 4 });
      const first = (await world.leaseWindow(job.job, boot, null, 2)) as Held;
      const second = (await world.leaseWindow(job.job, other, null, 2)) as Held;
      await world.cancel(run.seq);
      assert.equal(await world.leaseWindow(job.job, boot, null, 2), null);
      const settled = await world.settle(first, [world.item(job.job, 0, "completed")]);
      assert.equal(settled.stop, true);
      await world.release(first);
      assert.equal((await world.run(run.seq)).state, "running");
      await world.release(second);
      assert.equal((await world.run(run.seq)).state, "cancelled");
    },
    "halt: running jobs may end, the rest is skipped, retry goes on": async ({ world }) => {
      const boot = await world.boot();
      const run = await world.start("a b c(b) | d");
      const held = Object.fromEntries((await world.claim(boot)).map((one) => [one.id, one])) as Record<string, Held>;
      await world.fail(held["a"] as Held, errorOf("critical"));
      assert.equal(await world.states(run.seq), "a:failed b:running c:skipped(halted) d:skipped(halted)");
      assert.equal(await codeOf(world.spawn(held["b"] as Held, "kid")), "run_cancelled");
      await world.giveBack(held["b"] as Held);
      assert.equal((await world.run(run.seq)).state, "failed");
      await world.retry(run.seq);
      await world.finish(boot);
      assert.equal((await world.run(run.seq)).state, "completed");
    },
    "halt: a job that goes to sleep afterwards does not hold the run": async ({ world }) => {
      const boot = await world.boot();
      const run = await world.start("a b c*");
      const held = Object.fromEntries((await world.claim(boot)).map((one) => [one.id, one])) as Record<string, Held>;
      await world.fail(held["a"] as Held, errorOf("critical"));
      await world.park(held["b"] as Held, 3_600_000);
      await world.expand(held["c"] as Held, 5);
      assert.equal((await world.run(run.seq)).state, "failed", await world.states(run.seq));
    },
    "deadlock: jobs that wait for each other are named, the run fails": async ({ world, ledger }) => {
      const boot = await world.boot();
      const run = await world.start("a b(c) c(b)");
      await world.complete(await world.claimJob(boot, run.seq, "a"));
      assert.equal((await world.run(run.seq)).state, "failed");
      const event = (await ledger.events(run.seq, 0, 100)).find((one) => one.name === "run.deadlocked");
      assert.deepEqual(event?.data, { jobs: ["b", "c"], open: 2 });
      assert.equal(await world.states(run.seq), "a:completed b:skipped(deadlock) c:skipped(deadlock)");
    },
  },
};

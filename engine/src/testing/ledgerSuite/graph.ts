/** Topic: dependencies of all types, stage barriers, cascades in batches. */
import assert from "node:assert/strict";
import { errorOf } from "../builders.ts";
import type { Held } from "../world.ts";
import { calm, type Topic } from "./suite.ts";

const names = (prefix: string, count: number): string =>
  Array.from({ length: count }, (_, n) => `${prefix}${n}`).join(" ");

const MANY = 1_200;

export const graphs: Topic = {
  name: "dependencies and barriers",
  cases: {
    "a join of many starts once": async ({ world, ledger }) => {
      const boot = await world.boot();
      const needs = Array.from({ length: 300 }, (_, n) => `a${n}`).join(",");
      const run = await world.start(`${names("a", 300)} join(${needs})`);
      const held = await world.claim(boot, 1_000);
      await Promise.all(held.map((one) => world.complete(one)));
      await world.finish(boot);
      assert.equal((await world.run(run.seq)).state, "completed");
      assert.equal((await ledger.attempts((await world.job(run.seq, "join")).seq)).length, 1);
    },
    "a chain of a thousand, one by one": async ({ world }) => {
      const boot = await world.boot();
      const chain = Array.from({ length: 1_000 }, (_, n) => (n === 0 ? "j0" : `j${n}(j${n - 1})`)).join(" ");
      const run = await world.start(chain);
      await world.finish(boot);
      assert.equal((await world.run(run.seq)).state, "completed");
    },
    "a stage opens wholly, however many jobs it has and whatever else becomes ready": async (on) => {
      const { world } = on;
      const boot = await world.boot();
      const run = await world.start(`a | first(a) ${names("b", MANY)} last(a)`);
      await world.complete(await world.claimJob(boot, run.seq, "a"));
      await calm(on);
      assert.equal((await world.run(run.seq)).liveJobs, MANY + 2);
      await world.finish(boot);
      assert.equal((await world.run(run.seq)).state, "completed");
    },
    "more dependents than one transaction takes are no deadlock": async (on) => {
      const { world } = on;
      const boot = await world.boot();
      const waiting = Array.from({ length: MANY }, (_, n) => `b${n}(a,z)`).join(" ");
      const run = await world.start(`a ${waiting} z(a)`);
      await world.complete(await world.claimJob(boot, run.seq, "a"));
      await calm(on);
      assert.equal((await world.job(run.seq, "z")).state, "ready");
      await world.finish(boot);
      assert.equal((await world.run(run.seq)).state, "completed");
    },
    "a long cascade of skips ends the run as failed, with the true reason everywhere": async (on) => {
      const { world, ledger } = on;
      const boot = await world.boot();
      const run = await world.start(`a | ${names("b", MANY)} | ${names("c", MANY)}`);
      await world.fail(await world.claimJob(boot, run.seq, "a"), errorOf("permanent"));
      await calm(on);
      assert.equal((await world.run(run.seq)).state, "failed");
      const reasons = new Set((await ledger.jobs(run.seq, { states: ["skipped"] })).map((job) => job.reason));
      assert.deepEqual([...reasons].sort(), ["stage_failed:s1", "stage_failed:s2"]);
      const events = await ledger.events(run.seq, 0, 10_000);
      assert.equal(
        events.some((event) => event.name === "run.deadlocked"),
        false,
      );
    },
    "consequences are worked off while other work goes on": async (on) => {
      const { world } = on;
      const boot = await world.boot();
      const other = await world.start(names("x", 300));
      const busy = await world.claim(boot, 1_000);
      const run = await world.start(`a | ${names("b", MANY)}`);
      await world.complete(await world.claimJob(boot, run.seq, "a"));
      for (const held of busy) await world.complete(held as Held);
      await calm(on);
      assert.equal((await world.run(other.seq)).state, "completed");
      assert.equal((await world.run(run.seq)).liveJobs, MANY);
    },
    "what another process left unfinished is worked off": async (on) => {
      const { world } = on;
      if (on.second === null) return;
      const boot = await world.boot();
      const run = await world.start(`a | ${names("b", MANY)}`);
      const held = await world.claimJob(boot, run.seq, "a");
      const off = on.ledger.onForeignWrite(() => {});
      const second = await on.second();
      const other = second.apply((await import("../../core/changes.ts")).completeJob(held.job, held.lease, null));
      await other;
      await second.close();
      const deadline = Date.now() + 5_000;
      while ((await on.dump()).propagations.length > 0 && Date.now() < deadline)
        await new Promise((next) => setImmediate(next));
      off();
      assert.equal((await world.run(run.seq)).liveJobs, MANY);
    },
    "a stage with a failed job that may fail settles well": async ({ world }) => {
      const boot = await world.boot();
      const run = await world.start("a! | b");
      await world.fail(await world.claimJob(boot, run.seq, "a"), errorOf("permanent"));
      assert.equal(await world.states(run.seq), "a:failed b:ready");
      await world.finish(boot);
      assert.equal((await world.run(run.seq)).state, "completed");
    },
    "a spawned job holds the barrier of its stage": async ({ world }) => {
      const boot = await world.boot();
      const run = await world.start("a | b");
      const held = await world.claimJob(boot, run.seq, "a");
      await world.spawn(held, "kid");
      await world.complete(held);
      assert.equal(await world.states(run.seq), "a:completed b:pending a/kid:ready");
      await world.finish(boot);
      assert.equal((await world.run(run.seq)).state, "completed");
    },
  },
};

/** Topic: who gets which job. */
import assert from "node:assert/strict";
import * as changes from "../../core/changes.ts";
import { errorOf } from "../builders.ts";
import { codeOf } from "../world.ts";
import type { Topic } from "./suite.ts";

export const claim: Topic = {
  name: "claim",
  cases: {
    "each job is claimed once, by however many workers": async ({ world }) => {
      await world.start(Array.from({ length: 50 }, (_, n) => `j${n}`).join(" "));
      const boots = await Promise.all([world.boot(), world.boot(), world.boot()]);
      const claims = await Promise.all(boots.flatMap((boot) => [world.claim(boot, 7), world.claim(boot, 7)]));
      const more = await world.claim(boots[0] as number, 100);
      const jobs = [...claims.flat(), ...more].map((held) => held.job);
      assert.equal(new Set(jobs).size, jobs.length);
      assert.equal(jobs.length, 50);
    },
    "no more than the free slots": async ({ world }) => {
      await world.start("a b c d e");
      assert.equal((await world.claim(await world.boot(), 3)).length, 3);
    },
    "high before normal before low, older first within one": async ({ world, clock }) => {
      const boot = await world.boot();
      await world.start("low1", { priority: "low" });
      await world.start("normal1");
      clock.advance(1);
      await world.start("normal2");
      await world.start("high1", { priority: "high" });
      assert.deepEqual(
        (await world.claim(boot)).map((held) => held.id),
        ["high1", "normal1", "normal2", "low1"],
      );
    },
    "waiting ages: after five minutes a low job goes before a new high one": async ({ world, clock }) => {
      const boot = await world.boot();
      await world.start("low1", { priority: "low" });
      clock.advance(299_000);
      await world.start("high1", { priority: "high" });
      clock.advance(2_000);
      await world.start("high2", { priority: "high" });
      assert.deepEqual(
        (await world.claim(boot)).map((held) => held.id),
        ["high1", "low1", "high2"],
      );
    },
    "what nobody offers stays ready and is never failed (R-12)": async ({ world, ledger, clock }) => {
      const boot = await world.boot();
      const run = await world.start("a", { agent: "rare/agent" });
      await world.start("b");
      for (let n = 0; n < 5; n++) {
        const held = await world.claim(boot, 10, { offers: (agent) => agent !== "rare/agent" });
        for (const one of held) await world.complete(one);
        clock.advance(3_600_000);
      }
      assert.equal(await world.states(run.seq), "a:ready");
      assert.deepEqual(await ledger.readyAgents(), ["rare/agent"]);
      const other = await world.boot();
      assert.equal((await world.claim(other)).length, 1);
    },
    "a worker that was declared dead claims nothing": async ({ world, ledger }) => {
      await world.start("a");
      const boot = await world.boot();
      await ledger.endBoot(boot, "dead");
      assert.equal(await codeOf(world.claim(boot)), "lease_lost");
      assert.equal((await world.claim(await world.boot())).length, 1);
    },
    "a dead worker's claim does not disturb what is committed with it": async ({ world, ledger }) => {
      const [dead, alive] = [await world.boot(), await world.boot()];
      const run = await world.start("a b");
      const held = await world.claimJob(alive, run.seq, "a");
      await ledger.endBoot(dead, "dead");
      const [code, done, claimed] = await Promise.all([
        codeOf(world.claim(dead)),
        world.complete(held),
        world.claim(alive),
      ]);
      assert.deepEqual([code, done], ["lease_lost", undefined]);
      assert.deepEqual(
        claimed.map((one) => one.id),
        ["b"],
      );
    },
    "jobs that were at work in two crashes run one at a time, the others go on": async ({ world }) => {
      const run = await world.start("a b c");
      for (let n = 0; n < 2; n++) {
        const dying = await world.boot();
        for (const held of await world.claim(dying)) if (held.id === "c") await world.giveBack(held);
        await world.bury(dying);
      }
      const boot = await world.boot();
      const claimed = await world.claim(boot);
      assert.deepEqual(claimed.map((held) => held.id).sort(), ["a", "c"]);
      assert.deepEqual(await world.claim(boot, 10, { suspects: false }), []);
      await world.complete(claimed.find((held) => held.id === "a") as never);
      assert.deepEqual(
        (await world.claim(boot)).map((held) => held.id),
        ["b"],
      );
      assert.match(await world.states(run.seq), /a:completed b:running/);
    },
    "suspects at the head do not keep the others from being claimed": async ({ world }) => {
      await world.start(Array.from({ length: 40 }, (_, n) => `bad${n}`).join(" "));
      for (let n = 0; n < 2; n++) {
        const dying = await world.boot();
        await world.claim(dying);
        await world.bury(dying);
      }
      await world.start("good1 good2");
      const boot = await world.boot();
      const held = await world.claim(boot, 2);
      const next = await world.claim(boot, 2, { suspects: false });
      assert.deepEqual(
        [...held, ...next]
          .map((one) => one.id)
          .filter((id) => id.startsWith("good"))
          .sort(),
        ["good1", "good2"],
      );
    },
    "a job is failed after it has brought down its worker three times": async ({ world, ledger }) => {
      const run = await world.start("a");
      for (let n = 0; n < 3; n++) {
        const boot = await world.boot();
        assert.equal((await world.claim(boot)).length, 1);
        await world.bury(boot);
      }
      const job = await world.job(run.seq, "a");
      assert.deepEqual([job.state, job.crashes, job.failures, job.attempt], ["failed", 3, 0, 3]);
      assert.match(String(job.error), /crashed_too_often/);
      assert.equal((await world.run(run.seq)).state, "failed");
      assert.deepEqual(
        (await ledger.attempts(job.seq)).map((row) => row.state),
        ["lost", "lost", "lost"],
      );
    },
    "a claim travels with the commit that makes its job ready": async ({ world, ledger }) => {
      const boot = await world.boot();
      const run = await world.start("a b(a)");
      const held = await world.claimJob(boot, run.seq, "a");
      const claimed: string[] = [];
      const off = ledger.onBeforeCommit(() => ({
        request: { boot, slots: 1, itemSlots: 1, offers: () => true, offersVersion: 0, run: null, suspects: true },
        done: (jobs) => void claimed.push(...jobs.map(({ job }) => job.id)),
      }));
      await world.complete(held);
      off();
      assert.deepEqual(claimed, ["b"]);
    },
    "a claim for one run takes nothing of others, and hides nothing from a later claim for all": async ({ world }) => {
      const boot = await world.boot();
      const [first, second] = [await world.start("a"), await world.start("b c")];
      const ids = async (run: number | null) => (await world.claim(boot, 10, { run })).map((held) => held.id);
      assert.deepEqual(await ids(first.seq), ["a"]);
      assert.deepEqual(await ids(first.seq), []);
      assert.deepEqual(await ids(null), ["b", "c"]);
      assert.deepEqual(await ids(second.seq), []);
    },
    "a job of a cancelled run is ended, not claimed": async ({ world, ledger }) => {
      const boot = await world.boot();
      const run = await world.start("a b");
      const [claimed] = await Promise.all([world.claim(boot), ledger.apply(changes.cancelRun(run.seq, null))]);
      assert.deepEqual(claimed, []);
      assert.equal((await world.run(run.seq)).state, "cancelled");
    },
    "a retry is claimed when its time has come, not before": async ({ world, clock }) => {
      const boot = await world.boot();
      const run = await world.start("a");
      const held = await world.claimJob(boot, run.seq, "a");
      await world.fail(held, errorOf("retryable"), { maxRetries: 3, delayMs: 5_000 });
      assert.deepEqual(await world.claim(boot), []);
      clock.advance(4_999);
      await world.due();
      assert.deepEqual(await world.claim(boot), []);
      clock.advance(1);
      await world.due();
      assert.equal((await world.claim(boot)).length, 1);
    },
  },
};

/** Topic: retry of failed and cancelled runs: only what did not complete runs again. */
import assert from "node:assert/strict";
import { reopenRun } from "../../core/changes.ts";
import { errorOf } from "../builders.ts";
import { codeOf, type Held } from "../world.ts";
import { calm, type Topic } from "./suite.ts";

export const reopen: Topic = {
  name: "retry",
  cases: {
    "completed jobs stay, the others run again": async ({ world, ledger }) => {
      const boot = await world.boot();
      const run = await world.start("a b | c");
      for (const held of await world.claim(boot))
        if (held.id === "a") await world.complete(held, '"kept"');
        else await world.fail(held, errorOf("permanent"));
      assert.equal(await world.states(run.seq), "a:completed b:failed c:skipped(stage_failed:s1)");
      assert.equal((await world.run(run.seq)).state, "failed");
      assert.deepEqual(await world.retry(run.seq), { jobs: 2 });
      assert.equal(await world.states(run.seq), "a:completed b:ready c:pending");
      await world.finish(boot);
      assert.equal((await world.run(run.seq)).state, "completed");
      const a = await world.job(run.seq, "a");
      assert.deepEqual([a.output, (await ledger.attempts(a.seq)).length], ['"kept"', 1]);
      assert.equal((await world.job(run.seq, "b")).error, null);
    },
    "only a failed or cancelled run can be retried": async ({ world }) => {
      const boot = await world.boot();
      const run = await world.start("a");
      assert.equal(await codeOf(world.retry(run.seq)), "illegal_transition");
      await world.finish(boot);
      assert.equal(await codeOf(world.retry(run.seq)), "cannot_resume");
      assert.equal(await codeOf(world.retry(999)), "not_found");
    },
    "a cancelled run goes on": async ({ world }) => {
      const boot = await world.boot();
      const run = await world.start("a | b | c");
      await world.complete(await world.claimJob(boot, run.seq, "a"));
      await world.cancel(run.seq);
      assert.equal((await world.run(run.seq)).state, "cancelled");
      await world.retry(run.seq);
      await world.finish(boot);
      assert.equal((await world.run(run.seq)).state, "completed");
    },
    "what can never run stays skipped, and what needs it too": async ({ world }) => {
      const boot = await world.boot();
      const run = await world.start("x y(x:failure) z(y) w(y:always) f");
      for (const held of await world.claim(boot))
        if (held.id === "x") await world.complete(held);
        else await world.fail(held, errorOf("permanent"));
      await world.finish(boot);
      assert.equal((await world.run(run.seq)).state, "failed");
      await world.retry(run.seq);
      await world.finish(boot);
      assert.equal((await world.run(run.seq)).state, "completed", await world.states(run.seq));
      assert.match(await world.states(run.seq), /y:skipped\S* z:skipped\S* w:completed f:completed/);
    },
    "a tainted stage whose jobs completed does not let the next one start too early": async ({ world }) => {
      const boot = await world.boot();
      const run = await world.start("a x | b() | c");
      for (const held of await world.claim(boot))
        if (held.id === "a") await world.fail(held, errorOf("permanent"));
        else if (held.id === "x") await world.complete(held);
        else await world.giveBack(held);
      await world.finish(boot);
      assert.equal(await world.states(run.seq), "a:failed x:completed b:completed c:skipped(stage_failed:s2)");
      await world.retry(run.seq);
      assert.match(await world.states(run.seq), /a:ready .*c:pending/);
      await world.fail(await world.claimJob(boot, run.seq, "a"), errorOf("permanent"));
      assert.match(await world.states(run.seq), /a:failed .*c:skipped/);
      await world.retry(run.seq);
      await world.finish(boot);
      assert.equal((await world.run(run.seq)).state, "completed", await world.states(run.seq));
    },
    "spawned jobs and their parents": async ({ world, ledger, sound }) => {
      const boot = await world.boot();
      const run = await world.start("a");
      let held = await world.claimJob(boot, run.seq, "a");
      await world.spawn(held, "kid");
      await world.spawn(held, "good");
      await world.park(held, null, "children", 2);
      await world.fail(await world.claimJob(boot, run.seq, "a/kid"), errorOf("permanent"));
      held = await world.claimJob(boot, run.seq, "a");
      await world.complete(await world.claimJob(boot, run.seq, "a/good"));
      await world.fail(held, errorOf("permanent"));
      await sound();
      await world.retry(run.seq);
      await sound();
      held = await world.claimJob(boot, run.seq, "a");
      assert.equal((await ledger.job(held.job))?.openChildren, 1);
      const twin = await world.spawn(held, "kid");
      assert.equal(twin.created, false);
      assert.equal(await world.park(held, null, "children", 1), "parked");
      await world.complete(await world.claimJob(boot, run.seq, "a/kid"));
      await world.complete(await world.claimJob(boot, run.seq, "a"));
      assert.equal((await world.run(run.seq)).state, "completed");
    },
    "a completed parent's failed child": async ({ world }) => {
      const boot = await world.boot();
      const run = await world.start("a");
      const held = await world.claimJob(boot, run.seq, "a");
      await world.spawn(held, "kid");
      await world.complete(held);
      await world.fail(await world.claimJob(boot, run.seq, "a/kid"), errorOf("permanent"));
      assert.equal((await world.run(run.seq)).state, "failed");
      await world.retry(run.seq);
      await world.finish(boot);
      assert.equal(await world.states(run.seq), "a:completed a/kid:completed");
    },
    "a fan-out: failed items run again, completed ones and duplicates do not": async ({ world, ledger, sound }) => {
      const boot = await world.boot();
      const run = await world.start("a*");
      const job = await world.claimJob(boot, run.seq, "a");
      await world.expand(job, 12, { errorRate: 0.2, window: 4, concurrency: 9 });
      const windows = [
        await world.leaseWindow(job.job, boot, null, 1),
        await world.leaseWindow(job.job, boot, null, 1),
      ] as [Held, Held];
      await world.settle(windows[0], [
        world.item(job.job, 0, "failed"),
        world.item(job.job, 1, "completed"),
        world.item(job.job, 2, "failed"),
      ]);
      await world.settle(windows[1], [
        world.item(job.job, 4, "completed"),
        world.item(job.job, 6, "failed"),
        world.item(job.job, 7, "pending"),
      ]);
      await world.release(windows[1]);
      await world.release(windows[0]);
      await world.fail(await world.claimJob(boot, run.seq, "a"), errorOf("permanent"));
      assert.equal((await world.run(run.seq)).state, "failed");
      await sound();
      await world.retry(run.seq);
      await sound();
      await world.park(await world.claimJob(boot, run.seq, "a"), null, "items");
      const seen: number[] = [];
      for (let round = 0; round < 20; round++) {
        const held = await world.leaseWindow(job.job, boot, null, 1);
        await sound();
        if (held === null) break;
        const { start, stop } = held.window as NonNullable<Held["window"]>;
        const known = (await ledger.items(job.job, { from: start, to: stop, limit: 100 })).filter(
          (row) => row.state !== "pending",
        );
        for (let n = start; n < stop; n++) if (!known.some((row) => row.ordinal === n)) seen.push(n);
        await world.settleAll(held);
        await sound();
      }
      assert.deepEqual(
        seen.sort((a, b) => a - b),
        [0, 2, 3, 5, 6, 7, 8, 9, 10, 11],
      );
      await world.finish(boot);
      assert.equal((await world.run(run.seq)).state, "completed");
      assert.equal((await ledger.fanout(job.job))?.completed, 12);
    },
    "twice and thrice": async ({ world }) => {
      const boot = await world.boot();
      const run = await world.start("a b(a:always) c(a:failure)");
      for (let n = 0; n < 3; n++) {
        await world.fail(await world.claimJob(boot, run.seq, "a"), errorOf("permanent"));
        await world.finish(boot);
        assert.equal((await world.run(run.seq)).state, "failed");
        await world.retry(run.seq);
      }
      await world.finish(boot);
      assert.equal(await world.states(run.seq), "a:completed b:completed c:completed");
      assert.equal((await world.run(run.seq)).state, "completed");
    },
    "a run of many jobs": async (on) => {
      const { world } = on;
      const boot = await world.boot();
      const wide = Array.from({ length: 1_500 }, (_, n) => `j${n}`).join(" ");
      const run = await world.start(`${wide} | ${wide.replaceAll("j", "k")}`);
      await world.cancel(run.seq);
      await calm(on);
      assert.equal((await world.run(run.seq)).state, "cancelled");
      assert.deepEqual(await world.retry(run.seq), { jobs: 3_000 });
      await calm(on);
      await world.finish(boot);
      await calm(on);
      await world.finish(boot);
      assert.equal((await world.run(run.seq)).state, "completed");
    },
    "of two retries at once one counts": async ({ world }) => {
      const run = await world.start("a");
      await world.cancel(run.seq);
      const codes = await Promise.all([codeOf(world.retry(run.seq)), codeOf(world.retry(run.seq))]);
      assert.deepEqual(codes, [null, "illegal_transition"]);
    },
    "some jobs: what was skipped because of them follows, other failures stay": async ({ world, sound }) => {
      const boot = await world.boot();
      const run = await world.start("a b c(a) d(b) e(a,b)");
      for (const held of await world.claim(boot)) await world.fail(held, errorOf("permanent"));
      assert.deepEqual(await world.retry(run.seq, { jobs: ["a"] }), { jobs: 2 });
      await sound();
      await world.finish(boot);
      assert.match(await world.states(run.seq), /^a:completed b:failed c:completed d:skipped\S* e:skipped\S*$/);
      assert.equal((await world.run(run.seq)).state, "failed");
      assert.equal(await codeOf(world.retry(run.seq, { jobs: ["e"] })), "cannot_resume");
      assert.equal(await codeOf(world.retry(run.seq, { jobs: ["a", "b"] })), "invalid_input");
      assert.deepEqual(await world.retry(run.seq, { jobs: ["e", "b"] }), { jobs: 3 });
      await world.finish(boot);
      assert.equal((await world.run(run.seq)).state, "completed");
    },
    "some jobs: the next stages are let in only once nothing before them stays failed": async ({ world, sound }) => {
      const boot = await world.boot();
      const run = await world.start("a b | c d(a) | e");
      for (const held of await world.claim(boot)) await world.fail(held, errorOf("permanent"));
      assert.equal(await codeOf(world.retry(run.seq, { jobs: ["c"] })), "cannot_resume");
      assert.deepEqual(await world.retry(run.seq, { jobs: ["a"] }), { jobs: 2 });
      await world.finish(boot);
      await sound();
      assert.match(await world.states(run.seq), /^a:completed b:failed c:skipped\S* d:completed e:skipped\S*$/);
      assert.deepEqual(await world.retry(run.seq, { jobs: ["b"] }), { jobs: 3 });
      await world.finish(boot);
      await sound();
      assert.equal((await world.run(run.seq)).state, "completed", await world.states(run.seq));
    },
    "some jobs: a stage that stays behind a failed one keeps the next from starting": async ({ world, sound }) => {
      const boot = await world.boot();
      const run = await world.start("x y | b() c | d");
      for (const held of await world.claim(boot))
        if (held.id === "y") await world.complete(held);
        else await world.fail(held, errorOf("permanent"));
      assert.match(await world.states(run.seq), /^x:failed y:completed b:failed c:skipped\S* d:skipped\S*$/);
      assert.deepEqual(await world.retry(run.seq, { jobs: ["b"] }), { jobs: 1 });
      await world.finish(boot);
      await sound();
      assert.match(await world.states(run.seq), /^x:failed y:completed b:completed c:skipped\S* d:skipped\S*$/);
    },
    "some jobs: a child brings its parent, not its siblings; a parent brings its children": async ({
      world,
      sound,
    }) => {
      const boot = await world.boot();
      const run = await world.start("a b(a)");
      const held = await world.claimJob(boot, run.seq, "a");
      for (const key of ["one", "two"]) await world.spawn(held, key);
      await world.park(held, null, "children", 2);
      for (const key of ["one", "two"])
        await world.fail(await world.claimJob(boot, run.seq, `a/${key}`), errorOf("permanent"));
      await world.fail(await world.claimJob(boot, run.seq, "a"), errorOf("permanent"));
      assert.deepEqual(await world.retry(run.seq, { jobs: ["a/one"] }), { jobs: 3 });
      await sound();
      await world.finish(boot);
      assert.equal(await world.states(run.seq), "a:completed b:completed a/one:completed a/two:failed");
    },
    "what was chosen from an older state of the run is refused": async ({ world, ledger }) => {
      const boot = await world.boot();
      const run = await world.start("a b");
      for (const held of await world.claim(boot)) await world.fail(held, errorOf("permanent"));
      const { rowVersion } = await world.run(run.seq);
      const { seq } = await world.job(run.seq, "a");
      const choice = { rowVersion: rowVersion - 1, jobs: [seq], items: [] };
      assert.equal(await codeOf(ledger.apply(reopenRun(run.seq, choice))), "conflict");
      assert.deepEqual(await ledger.apply(reopenRun(run.seq, { ...choice, rowVersion })), { jobs: 1 });
    },
    "some items: only these run again, all of them, and the others stay failed": async ({ world, ledger, sound }) => {
      const boot = await world.boot();
      const run = await world.start("a*");
      const held = await world.claimJob(boot, run.seq, "a");
      await world.expand(held, 10, { errorRate: 1, window: 5, concurrency: 1 });
      for (const states of ["failed", "skipped"] as const)
        await world.settleAll((await world.leaseWindow(held.job, boot, null, 1)) as Held, states);
      await world.fail(await world.claimJob(boot, run.seq, "a"), errorOf("permanent"));
      const choose = (...ordinals: number[]) => world.retry(run.seq, { items: [{ job: "a", ordinals }] });
      assert.equal(await codeOf(choose(10)), "invalid_input");
      assert.equal(await codeOf(choose()), "invalid_input");
      assert.deepEqual(await choose(8, 1, 1), { jobs: 1 });
      await sound();
      await world.park(await world.claimJob(boot, run.seq, "a"), null, "items");
      const window = (await world.leaseWindow(held.job, boot, null, 1)) as Held;
      await world.settleAll(window);
      await sound();
      const fanout = await ledger.fanout(held.job);
      assert.deepEqual([fanout?.completed, fanout?.failed, fanout?.skipped, fanout?.stopped], [2, 4, 4, 0]);
      const done = await ledger.items(held.job, { states: ["completed"], limit: 100 });
      assert.deepEqual(
        done.map((row) => row.ordinal),
        [1, 8],
      );
      await world.finish(boot);
      assert.equal((await world.run(run.seq)).state, "completed");
    },
  },
};

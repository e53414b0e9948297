/** Topic: boots, takeover, pruning, backup while writing, rows that were spoiled. */
import assert from "node:assert/strict";
import * as changes from "../../core/changes.ts";
import { checkInvariants } from "../../core/invariants.ts";
import { errorOf } from "../builders.ts";
import { codeOf, type Held } from "../world.ts";
import type { Topic } from "./suite.ts";

export const upkeep: Topic = {
  name: "boots, prune, backup, spoiled rows",
  cases: {
    "a dead boot's leases are listed until they are taken over": async ({ world, ledger }) => {
      const [boot, other] = [await world.boot(), await world.boot()];
      await world.start("a b c*");
      const held = await world.claim(boot);
      await world.expand(held.find((one) => one.id === "c") as Held, 8);
      await world.spawn(held.find((one) => one.id === "a") as Held, "child");
      await world.claim(boot);
      const leases = await ledger.leasesOf(boot, 100);
      assert.deepEqual([leases.jobs.length, leases.windows.length], [3, 1]);
      assert.deepEqual(await ledger.leasesOf(other, 100), { jobs: [], windows: [] });
      await world.bury(boot);
      assert.deepEqual(await ledger.leasesOf(boot, 100), { jobs: [], windows: [] });
      assert.deepEqual(
        (await ledger.boots("dead")).map((row) => row.seq),
        [boot],
      );
      assert.deepEqual(
        (await ledger.boots("alive")).map((row) => row.seq),
        [other],
      );
    },
    "a boot dies once: the stopped are not declared dead": async ({ world, ledger }) => {
      const boot = await world.boot();
      await ledger.endBoot(boot, "stopped");
      await ledger.endBoot(boot, "dead");
      assert.equal((await ledger.boots()).find((row) => row.seq === boot)?.state, "stopped");
    },
    "a boot that has been heard of since is not declared dead": async ({ world, ledger }) => {
      const boot = await world.boot();
      const [before] = await ledger.boots("alive");
      assert.equal(before?.seq, boot);
      await ledger.endBoot(boot, "dead", before.heartbeatAt - 1);
      assert.equal((await ledger.boots())[0]?.state, "alive");
      await ledger.endBoot(boot, "dead", before.heartbeatAt);
      assert.equal((await ledger.boots())[0]?.state, "dead");
    },
    "workers say what they offer, as long as they live": async ({ world, ledger }) => {
      const [boot, other] = [await world.boot(), await world.boot()];
      await ledger.putOffers(boot, ["a/one", "a/two@2"]);
      await ledger.putOffers(boot, ["a/one"]);
      assert.deepEqual(await ledger.offers(), [
        { boot, agents: ["a/one"] },
        { boot: other, agents: null },
      ]);
      await ledger.endBoot(boot, "stopped");
      await ledger.putOffers(boot, ["a/three"]);
      assert.deepEqual(await ledger.offers(), [{ boot: other, agents: null }]);
    },
    "eight recoverers of one backlog: each orphan is given back once (R-04)": async ({ world, ledger }) => {
      const boot = await world.boot();
      const run = await world.start(Array.from({ length: 60 }, (_, n) => `j${n}`).join(" "));
      await world.claim(boot);
      await Promise.all(Array.from({ length: 8 }, () => world.bury(boot)));
      const jobs = await ledger.jobs(run.seq);
      assert.deepEqual(new Set(jobs.map((job) => `${job.state} ${job.crashes}`)), new Set(["ready 1"]));
    },
    "processes are remembered until they are forgotten": async ({ world, ledger }) => {
      const boot = await world.boot();
      const run = await world.start("a");
      const identity = { pid: 4, pidStart: "9", marker: "m1", job: run.firstJob, epoch: 1 };
      await ledger.apply(changes.recordProcess({ ...identity, boot }, false));
      await ledger.apply(changes.recordProcess({ ...identity, boot }, false));
      assert.deepEqual(
        (await ledger.processesOf(boot)).map((row) => ({ ...row })),
        [identity],
      );
      await ledger.apply(changes.recordProcess({ ...identity, boot }, true));
      assert.deepEqual(await ledger.processesOf(boot), []);
      await ledger.forgetProcess("m1");
    },
    "pruning removes old ended runs wholly, and nothing else": async ({ world, ledger, clock, dump }) => {
      const boot = await world.boot();
      await world.start("a*");
      const parent = await world.start("p");
      const held = await world.claimJob(boot, parent.seq, "p");
      await world.spawn(held, "kid");
      await world.complete(held);
      await world.finish(boot);
      clock.advance(10_000);
      const cutoff = clock.now();
      const open = await world.start("x");
      clock.advance(10_000);
      const late = await world.start("y");
      await world.cancel(late.seq);
      const result = await ledger.prune(cutoff, 100);
      assert.deepEqual([result.runs, result.jobs, result.items, result.ids.length], [2, 3, 3, 2]);
      const rest = await dump();
      assert.deepEqual(
        rest.runs.map((run) => run.seq),
        [open.seq, late.seq],
      );
      assert.deepEqual([rest.jobs.length, rest.fanouts.length, rest.items.length, rest.attempts.length], [2, 0, 0, 0]);
      assert.equal(
        rest.events.every((event) => event.run === open.seq || event.run === late.seq),
        true,
      );
      assert.deepEqual((await ledger.check()).problems, []);
      await world.finish(boot);
    },
    "pruning leaves a run alone that is retried meanwhile": async ({ world, ledger, clock }) => {
      const boot = await world.boot();
      const runs = [];
      for (let n = 0; n < 3; n++) runs.push(await world.start("a*"));
      await world.finish(boot, 100).catch(() => {});
      for (const run of await ledger.runs({ limit: 10 })) assert.notEqual(run.endedAt, null);
      const failed = await world.start("z");
      await world.fail(await world.claimJob(boot, failed.seq, "z"), errorOf("permanent"));
      clock.advance(10_000);
      const [pruned, retried] = await Promise.all([ledger.prune(clock.now(), 100), codeOf(world.retry(failed.seq))]);
      if (retried === null) {
        assert.equal(pruned.runs, 3);
        await world.finish(boot);
        assert.equal((await world.run(failed.seq)).state, "completed");
      } else assert.match(String(retried), /^(not_found|conflict)$/);
    },
    "a backup made while others write is sound and holds what was committed before": async (on) => {
      const { world, ledger, backup } = on;
      if (backup === null) return;
      const boot = await world.boot();
      const first = await world.start(Array.from({ length: 200 }, (_, n) => `j${n}`).join(" "));
      const writing = (async () => {
        for (let n = 0; n < 20; n++) {
          await world.start("a | b");
          await world.finish(boot);
        }
      })();
      await ledger.backup(backup.path);
      await writing;
      const copy = await backup.dump();
      assert.deepEqual(checkInvariants(copy), []);
      assert.equal(
        copy.runs.some((run) => run.seq === first.seq),
        true,
      );
      assert.equal(await codeOf(ledger.backup(backup.path)), "conflict");
    },
    "spoiled texts: others go on, the row can be read": async (on) => {
      const { world, ledger, spoil } = on;
      if (spoil === null) return;
      const boot = await world.boot();
      await ledger.putDefinition("bad", "test", '{"name": "test", "stages": [');
      const bad = await world.start("a", { version: "bad" });
      const held = await world.claimJob(boot, bad.seq, "a");
      await world.spawn(held, "kid");
      spoil("UPDATE job_spec SET spec = '{broken'");
      spoil(`UPDATE job SET output = '{', error = 'no json' WHERE run = ${bad.seq}`);
      const good = await world.start("a | b");
      await world.finish(boot);
      assert.equal((await world.run(good.seq)).state, "completed");
      assert.equal(await ledger.definition("bad"), '{"name": "test", "stages": [');
      const kid = await world.job(bad.seq, "a/kid");
      assert.equal(await ledger.spec(kid.seq), "{broken");
      await world.complete(held);
      assert.equal((await ledger.runs({ limit: 10 })).length, 2);
    },
    "impossible rows: claims, sweeps and reads of others go on, the row is named": async (on) => {
      const { world, ledger, spoil, dump } = on;
      if (spoil === null) return;
      on.unsound();
      const boot = await world.boot();
      const bad = await world.start("a b | c");
      const good = await world.start("a b | c");
      const row = await world.job(bad.seq, "a");
      spoil(
        `PRAGMA ignore_check_constraints = ON; UPDATE job SET state = 'melted' WHERE seq = ${row.seq}; PRAGMA ignore_check_constraints = OFF`,
      );
      spoil(`INSERT INTO propagation (kind, run, subject, position) VALUES ('from the future', ${bad.seq}, 0, 0)`);
      for (let round = 0; round < 10; round++)
        for (const held of await world.claim(boot)) await world.complete(held).catch(() => {});
      assert.equal((await world.run(good.seq)).state, "completed");
      assert.equal((await world.run(bad.seq)).endedAt, null);
      assert.equal((await ledger.jobs(bad.seq)).find((job) => job.seq === row.seq)?.state, "melted");
      assert.match(checkInvariants(await dump()).join("\n"), /job a/);
    },
    "a spoiled limiter fails who asks it, nobody else": async (on) => {
      const { world, ledger, spoil } = on;
      if (spoil === null) return;
      const { passLimiter } = await import("../../core/limiting.ts");
      spoil("INSERT INTO limiter (name, key, data) VALUES ('db', '', '{broken')");
      const boot = await world.boot();
      const run = await world.start("a b");
      const [a, b] = (await world.claim(boot)) as [Held, Held];
      const asked = ledger.apply(
        passLimiter(
          { name: "db", key: "", spec: { concurrency: 1 } as never },
          { job: a.job, lease: a.lease, item: -1 },
          false,
        ),
      );
      const [first, second] = await Promise.allSettled([asked, world.complete(b)]);
      assert.deepEqual([first.status, second.status], ["rejected", "fulfilled"]);
      await world.complete(a);
      assert.equal((await world.run(run.seq)).state, "completed");
    },
  },
};

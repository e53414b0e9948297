/** Topic: artifacts registered once, offered, used and named; runs that come from runs. */
import assert from "node:assert/strict";
import * as changes from "../../core/changes.ts";
import type { ArtifactRow, Consumption } from "../../core/decision.ts";
import type { RunVariant } from "../../core/model.ts";
import { errorOf, startOf } from "../builders.ts";
import { codeOf, type Held, type World } from "../world.ts";
import type { Topic } from "./suite.ts";

const hash = (digit: string): string => digit.repeat(64);

const rowOf = (held: Held, run: number, name: string, digit: string, more: Partial<ArtifactRow> = {}): ArtifactRow => ({
  run,
  job: held.job,
  attempt: 1,
  name,
  type: "file",
  sha256: hash(digit),
  bytes: 1,
  mediaType: "text/plain",
  at: 1,
  item: -1,
  offered: 1,
  ...more,
});

const put = (world: World, held: Held, ...rows: ArtifactRow[]) =>
  world.ledger.apply(
    changes.whileLeased(
      held.job,
      held.lease,
      rows.map((row) => ({ type: "artifact" as const, row })),
    ),
  );

const use = (world: World, held: Held, ...rows: Omit<Consumption, "job" | "at">[]) =>
  world.ledger.apply(
    changes.whileLeased(held.job, held.lease, [
      { type: "consume", rows: rows.map((row) => ({ ...row, job: held.job, at: 5 })) },
    ]),
  );

const startFrom = (world: World, origin: number, variant: RunVariant) =>
  world.ledger.apply(changes.startRun({ ...startOf("undo"), origin, variant }));

export const artifacts: Topic = {
  name: "artifacts, and runs that come from runs",
  cases: {
    "the same bytes under a name are one row; other bytes take their place; items are apart": async ({
      world,
      ledger,
    }) => {
      const run = await world.start("a");
      const [a] = (await world.claim(await world.boot())) as [Held];
      await put(world, a, rowOf(a, run.seq, "x", "1"), rowOf(a, run.seq, "x", "2"), rowOf(a, run.seq, "x", "2"));
      await put(
        world,
        a,
        rowOf(a, run.seq, "x", "1", { attempt: 2 }),
        rowOf(a, run.seq, "x", "3", { item: 7, offered: 0 }),
      );
      const all = await ledger.artifactsOfRun(run.seq, true);
      assert.deepEqual(
        all.map((row) => [row.sha256[0], row.item, row.attempt, row.superseded]),
        [
          ["1", -1, 2, 0],
          ["2", -1, 1, 1],
          ["3", 7, 1, 0],
        ],
      );
      assert.deepEqual(
        (await ledger.artifactsOfRun(run.seq)).map((row) => row.sha256[0]),
        ["1", "3"],
      );
      assert.equal(await ledger.referenced(hash("2")), true);
    },
    "what is offered is found with all that is below, in order, up to a limit": async ({ world, ledger }) => {
      const run = await world.start("p q");
      const boot = await world.boot();
      const p = await world.claimJob(boot, run.seq, "p");
      assert.equal(await ledger.anyOffered(run.seq), false);
      await world.spawn(p, "kid");
      const kid = await world.claimJob(boot, run.seq, "p/kid");
      await put(world, p, rowOf(p, run.seq, "own", "1"), rowOf(p, run.seq, "quiet", "2", { offered: 0 }));
      await put(world, kid, rowOf(kid, run.seq, "of the kid", "3"));
      assert.equal(await ledger.anyOffered(run.seq), true);
      const names = async (jobs: number[], limit: number, below?: boolean) =>
        (await ledger.offeredOf(jobs, limit, below)).map((row) => `${row.jobId} ${row.name}`);
      assert.deepEqual(await names([p.job], 10), ["p own", "p/kid of the kid"]);
      assert.deepEqual(await names([p.job, kid.job], 10), ["p own", "p/kid of the kid"]);
      assert.deepEqual(await names([p.job], 10, false), ["p own"]);
      assert.deepEqual(await names([p.job], 1), ["p own"]);
      assert.deepEqual(await names([(await world.job(run.seq, "q")).seq], 10), []);
    },
    "each use is one row, under a lease only, and both ends find it": async ({ world, ledger }) => {
      const run = await world.start("a b");
      const boot = await world.boot();
      const [a, b] = (await world.claim(boot)) as [Held, Held];
      await put(world, a, rowOf(a, run.seq, "x", "1"), rowOf(a, run.seq, "y", "2"));
      const [x, y] = (await ledger.artifactsOfRun(run.seq)).map((row) => row.id) as [number, number];
      await use(world, b, { artifact: x, how: "offered" }, { artifact: y, how: "input" });
      await use(world, b, { artifact: x, how: "read" });
      assert.deepEqual(
        (await ledger.consumedBy(b.job)).map((row) => `${row.how} ${row.record?.name} ${row.at}`),
        ["offered x 5", "input y 5"],
      );
      assert.deepEqual(
        (await ledger.consumersOf([x, y])).map((row) => `${row.artifact === x ? "x" : "y"} ${row.runId}/${row.jobId}`),
        [`x ${run.id}/b`, `y ${run.id}/b`],
      );
      const old = { ...b };
      await world.bury(boot);
      assert.equal(await codeOf(use(world, old, { artifact: x, how: "read" })), "lease_lost");
      assert.equal(await codeOf(put(world, old, rowOf(b, run.seq, "late", "4"))), "lease_lost");
    },
    "artifacts come with the end of a job, or not at all": async ({ world, ledger }) => {
      const run = await world.start("a");
      const boot = await world.boot();
      const [a] = (await world.claim(boot)) as [Held];
      const more = [{ type: "artifact" as const, row: rowOf(a, run.seq, "x", "1") }];
      await world.bury(boot);
      assert.equal(await codeOf(ledger.apply(changes.completeJob(a.job, a.lease, null, more))), "lease_lost");
      assert.deepEqual(await ledger.artifactsOfRun(run.seq), []);
      const again = await world.claimJob(await world.boot(), run.seq, "a");
      await ledger.apply(changes.completeJob(again.job, again.lease, null, more));
      assert.equal((await ledger.artifactsOfRun(run.seq)).length, 1);
    },
    "an object is named by any value that holds it": async ({ world, ledger }) => {
      const boot = await world.boot();
      const ref = (digit: string) => JSON.stringify({ ref: { $artifact: `sha256:${hash(digit)}` } });
      await world.start("p", { params: ref("1") });
      await world.start("p", { params: JSON.stringify({ long: "x".repeat(2_000), ref: `sha256:${hash("2")}` }) });
      const [a, b] = (await world.claim(boot)) as [Held, Held];
      await world.complete(a, ref("3"));
      const row = { job: b.job, item: -1, key: "k", inputHash: null, output: ref("4"), startedAt: 1, endedAt: 1 };
      await ledger.apply(changes.whileLeased(b.job, b.lease, [changes.stepEffect(row)]));
      const wanted = new Set(["1", "2", "3", "4", "5"].map(hash));
      const named = await ledger.namedAnywhere(wanted);
      assert.deepEqual([...named].map((sha256) => sha256[0]).sort(), ["1", "2", "3", "4"]);
    },
    "pruning takes artifacts and uses with their run, and leaves those of others": async ({ world, ledger, clock }) => {
      const boot = await world.boot();
      const first = await world.start("a");
      const [a] = (await world.claim(boot)) as [Held];
      await put(world, a, rowOf(a, first.seq, "x", "1"));
      const [x] = await ledger.artifactsOfRun(first.seq);
      await world.complete(a);
      clock.advance(10_000);
      const cutoff = clock.now();
      const second = await world.start("b");
      const [b] = (await world.claim(boot)) as [Held];
      await use(world, b, { artifact: x?.id as number, how: "read" });
      await put(world, b, rowOf(b, second.seq, "x", "1", { source: x?.id as number }));
      assert.deepEqual(
        (await ledger.takenOverFrom([x?.id as number])).map((row) => row.runId),
        [second.id],
      );
      assert.deepEqual((await ledger.prune(cutoff, 10)).ids, [first.id]);
      assert.equal(await ledger.referenced(hash("1")), true);
      assert.deepEqual(
        (await ledger.consumedBy(b.job)).map((row) => row.record),
        [null],
      );
      assert.deepEqual((await ledger.check()).problems, []);
    },
    "one rollback per run; a run that is rolled back is not retried": async ({ world, ledger }) => {
      const boot = await world.boot();
      const run = await world.start("a");
      assert.equal(await codeOf(startFrom(world, run.seq, { relation: "rollback" })), "illegal_transition");
      await world.fail(await world.claimJob(boot, run.seq, "a"), errorOf("permanent"));
      assert.equal(await codeOf(startFrom(world, 4_711, { relation: "rollback" })), "not_found");
      const results = await Promise.all([
        codeOf(startFrom(world, run.seq, { relation: "rollback" })),
        codeOf(startFrom(world, run.seq, { relation: "rollback" })),
        codeOf(world.retry(run.seq)),
      ]);
      assert.deepEqual(results, [null, "conflict", "cannot_resume"]);
      const rollback = await ledger.rollbackOf(run.seq);
      assert.equal(rollback?.state, "running");
      assert.equal(
        await codeOf(startFrom(world, rollback?.seq as number, { relation: "rollback" })),
        "illegal_transition",
      );
      assert.equal(await codeOf(startFrom(world, run.seq, { relation: "rerun" })), null);
      assert.deepEqual(
        (await ledger.successors(run.seq)).map((row) => JSON.parse(row.variant ?? "{}").relation),
        ["rerun", "rollback"],
      );
      await world.finish(boot);
      assert.equal((await ledger.rollbackOf(run.seq))?.state, "completed");
    },
    "specs given to a start take the place of the plan's": async ({ world, ledger }) => {
      const request = { ...startOf("a b"), specs: new Map([[1, '{"id":"b"}']]) };
      await ledger.putDefinition("v1", "test", "{}");
      const started = await ledger.apply(changes.startRun(request));
      const jobs = await ledger.jobs(started.seq);
      assert.deepEqual(await Promise.all(jobs.map((job) => ledger.spec(job.seq))), [null, '{"id":"b"}']);
      await world.finish(await world.boot());
    },
  },
};

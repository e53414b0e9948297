/** Topic: steps, events, caches, and that texts come back as they went in. */
import assert from "node:assert/strict";
import * as changes from "../../core/changes.ts";
import type { StepRow } from "../../core/decision.ts";
import { checkPayload } from "../../core/payload.ts";
import type { Topic } from "./suite.ts";

const stepOf = (job: number, key: string, output: string, item = -1): StepRow => ({
  job,
  item,
  key,
  inputHash: null,
  output,
  startedAt: 1,
  endedAt: 2,
});

const VALUES: readonly unknown[] = [
  null,
  "",
  "\u0000 in the middle \u0000",
  "\ud800",
  "\udfff and \ud83d\ude00",
  "\u2028\u2029\u007f\u001b[31m",
  -0.5,
  2 ** 53 - 1,
  1e308,
  5e-324,
  [[[[]]]],
  { "": 1, "\u0000": 2, "a.b": { c: [] }, constructor: "x" },
  "x".repeat(200_000),
  Array.from({ length: 5_000 }, (_, n) => n),
  "ä漢🙂\r\n\t\\\"'",
];

/** JSON of a value, null if it is refused before anything is written. */
function storable(value: unknown): { json: string | null } {
  try {
    return checkPayload(value, "a value");
  } catch (error) {
    assert.equal((error as { code?: string }).code, "unsupported_value");
    return { json: null };
  }
}

export const records: Topic = {
  name: "steps, events, caches, payloads",
  cases: {
    "steps are found by job, item and key": async ({ world, ledger }) => {
      const boot = await world.boot();
      const run = await world.start("a b");
      const [a, b] = await world.claim(boot);
      const put = (held: typeof a, row: StepRow) =>
        ledger.apply(changes.whileLeased(held?.job as number, held?.lease as never, [changes.stepEffect(row)]));
      await put(a, stepOf(a?.job as number, "k", '"a"'));
      await put(a, stepOf(a?.job as number, "k", '"item"', 3));
      await put(b, stepOf(b?.job as number, "k", '"b"'));
      await put(a, stepOf(a?.job as number, "k", '"again"'));
      assert.equal((await ledger.step(a?.job as number, -1, "k"))?.output, '"again"');
      assert.equal((await ledger.step(a?.job as number, 3, "k"))?.output, '"item"');
      assert.equal((await ledger.step(b?.job as number, -1, "k"))?.output, '"b"');
      assert.equal(await ledger.step(b?.job as number, -1, "other"), null);
      assert.equal((await ledger.steps(a?.job as number)).length, 2);
      assert.equal((await ledger.steps(a?.job as number, 3)).length, 1);
      const [times, ...more] = await ledger.stepTimes(a?.job as number, 1);
      assert.deepEqual(Object.keys(times as object).sort(), ["endedAt", "item", "key", "startedAt"]);
      assert.equal(more.length, 0);
      assert.equal((await world.run(run.seq)).state, "running");
    },
    "keys of steps are exact: case, NUL, blanks, length": async ({ world, ledger }) => {
      const boot = await world.boot();
      await world.start("a");
      const [held] = await world.claim(boot);
      const job = held?.job as number;
      const keys = ["a", "A", "a ", "a\u0000", "a\u0000b", "ä", "a\u0308", "🙂", "x".repeat(10_000)];
      for (const [n, key] of keys.entries())
        await ledger.apply(
          changes.whileLeased(job, held?.lease as never, [changes.stepEffect(stepOf(job, key, String(n)))]),
        );
      for (const [n, key] of keys.entries())
        assert.equal((await ledger.step(job, -1, key))?.output, String(n), key.slice(0, 20));
      assert.deepEqual((await ledger.steps(job)).map((row) => row.key).sort(), keys.toSorted());
    },
    "events of a run are numbered from 1 without gaps, pages join without loss": async ({ world, ledger }) => {
      const boot = await world.boot();
      const runs = await Promise.all([world.start("a b | c"), world.start("a b | c")]);
      await world.finish(boot);
      for (const run of runs) {
        const all = await ledger.events(run.seq, 0, 1_000);
        assert.deepEqual(
          all.map((event) => event.seq),
          all.map((_, n) => n + 1),
        );
        assert.deepEqual([all[0]?.name, all.at(-1)?.name], ["run.created", "run.completed"]);
        const pages = [];
        for (let after = 0; ; after += 2) {
          const page = await ledger.events(run.seq, after, 2);
          if (page.length === 0) break;
          pages.push(...page);
        }
        assert.deepEqual(pages, all);
        assert.equal(
          all.every((event) => event.run === run.seq),
          true,
        );
      }
      assert.deepEqual(await ledger.events(999, 0, 10), []);
    },
    "an event tells which jobs it made ready": async ({ world, ledger }) => {
      const boot = await world.boot();
      const run = await world.start("a b(a) c(a)");
      await world.complete(await world.claimJob(boot, run.seq, "a"));
      const last = (await ledger.events(run.seq, 0, 100)).at(-1);
      assert.deepEqual([last?.name, last?.job, last?.data], ["job.completed", "a", { ready: ["b", "c"] }]);
    },
    "caches are found by pipeline and key, the newest counts": async ({ world, ledger, clock }) => {
      const boot = await world.boot();
      await world.start("a b");
      for (const held of await world.claim(boot)) {
        clock.advance(10);
        await ledger.apply(
          changes.whileLeased(held.job, held.lease, [
            { type: "cachePut", pipeline: "test", key: "k", job: held.job, at: clock.now(), output: `"${held.id}"` },
          ]),
        );
      }
      assert.equal((await ledger.cached("test", "k"))?.output, '"b"');
      assert.equal(await ledger.cached("test", "other"), null);
      assert.equal(await ledger.cached("other", "k"), null);
    },
    "outputs, errors, params and events come back as they went in, or are refused before": async ({
      world,
      ledger,
    }) => {
      const boot = await world.boot();
      for (const value of VALUES) {
        const { json } = storable(value);
        if (json === null) continue;
        const run = await world.start("a b", { params: json });
        for (const held of await world.claim(boot))
          if (held.id === "a") await world.complete(held, json);
          else
            await world.fail(held, {
              category: "permanent",
              code: "x",
              message: String(json).slice(0, 1_000),
              details: { value },
            });
        const record = await ledger.run(run.seq);
        assert.deepEqual(JSON.parse(String(record?.params)), value);
        assert.deepEqual(JSON.parse(String((await world.job(run.seq, "a")).output)), value);
        assert.deepEqual(JSON.parse(String((await world.job(run.seq, "b")).error)).details, { value });
        assert.equal((await ledger.events(run.seq, 0, 100)).length, (await world.run(run.seq)).eventSeq);
      }
    },
    "a change that cannot be stored is refused alone": async ({ world, ledger }) => {
      const boot = await world.boot();
      const run = await world.start("a b c");
      const [a, b, c] = await world.claim(boot);
      const results = await Promise.allSettled([
        world.complete(a as never),
        ledger.apply(changes.completeJob(b?.job as number, b?.lease as never, { not: "text" } as never)),
        world.complete(c as never),
      ]);
      assert.deepEqual(
        results.map((one) => one.status),
        ["fulfilled", "rejected", "fulfilled"],
      );
      assert.equal(await world.states(run.seq), "a:completed b:running c:completed");
    },
    "a change that breaks a rule of the database is refused alone, as the engine's fault": async ({
      world,
      ledger,
    }) => {
      const boot = await world.boot();
      const run = await world.start("a b");
      const [a, b] = await world.claim(boot);
      const bad = ledger.apply({
        select: { kind: "job", job: a?.job as number },
        decide: () => ({ ok: true, job: { crashes: -1 } }),
      });
      const [first, second] = await Promise.allSettled([bad, world.complete(b as never)]);
      assert.deepEqual([first.status, second.status], ["rejected", "fulfilled"]);
      assert.equal((first as PromiseRejectedResult).reason.code, "internal");
      assert.equal(await world.states(run.seq), "a:running b:completed");
    },
    "a rule that throws, rejects or finds nothing leaves no trace": async ({ world, ledger, dump }) => {
      const boot = await world.boot();
      await world.start("a b");
      const [a, b] = await world.claim(boot);
      const before = await dump();
      const results = await Promise.allSettled([
        ledger.apply({
          select: { kind: "job", job: a?.job as number },
          decide: () => {
            throw new Error("a fault");
          },
        }),
        ledger.apply(changes.completeJob(a?.job as number, { epoch: 99, boot }, null)),
        ledger.apply(changes.completeJob(4_711, { epoch: 1, boot }, null)),
        ledger.apply(changes.cancelRun(4_711, null)),
      ]);
      assert.deepEqual(
        results.map((one) => one.status),
        Array(4).fill("rejected"),
      );
      assert.deepEqual(await dump(), before);
      await world.complete(b as never);
    },
  },
};

/** Templates, schedules and deliveries: rows of their own, decided by compare-and-set. */
import assert from "node:assert/strict";
import { startRun } from "../../core/changes.ts";
import {
  claimDelivery,
  DELIVERY_CLAIM_MS,
  DELIVERY_DELAYS_MS,
  keepNotifier,
  recordDelivery,
  settleDelivery,
} from "../../core/delivery.ts";
import {
  addSchedule,
  disableSchedule,
  enableSchedule,
  removeSchedule,
  type ScheduleSettings,
  scheduleKey,
  settleSchedule,
} from "../../core/scheduling.ts";
import { type Push, pushTemplate, removeTemplate } from "../../core/templates.ts";
import { startOf } from "../builders.ts";
import { codeOf } from "../world.ts";
import type { Case, Topic } from "./suite.ts";

const push = (version: string, name = "nightly"): Push => ({
  name,
  version,
  document: `{"name":"${name}","version":"${version}"}`,
  description: null,
  stages: 1,
  jobs: 2,
  note: null,
});

const settings = (id: string, pipeline = "nightly", template: 0 | 1 = 1): ScheduleSettings => ({
  id,
  pipeline,
  template,
  cron: "0 2 * * *",
  zone: "UTC",
  params: "{}",
  excluded: null,
  priority: null,
  missed: "last",
  cap: 100,
  enabled: 1,
});

const message = (id: string) => ({ id, notifier: "team", run: 1, occasion: "completed" as const, message: "{}" });

async function addTwo({ ledger, clock }: Case): Promise<void> {
  await ledger.apply(pushTemplate(push("v1")));
  await ledger.apply(addSchedule(settings("early"), clock.now() + 1_000));
  await ledger.apply(addSchedule(settings("late"), clock.now() + 5_000));
}

export const schedules: Topic = {
  name: "templates, schedules, deliveries",
  cases: {
    "a template gets a version only when it changed": async ({ ledger, clock }) => {
      const first = await ledger.apply(pushTemplate(push("v1")));
      assert.deepEqual(first, { name: "nightly", number: 1, version: "v1", changed: true });
      assert.equal((await ledger.apply(pushTemplate(push("v1")))).changed, false);
      clock.advance(1_000);
      assert.equal((await ledger.apply(pushTemplate(push("v2")))).number, 2);
      assert.equal((await ledger.apply(pushTemplate(push("v1")))).number, 3);
      assert.deepEqual(
        (await ledger.templateVersions("nightly")).map(({ number, version }) => `${number}:${version}`),
        ["3:v1", "2:v2", "1:v1"],
      );
      assert.equal((await ledger.templateVersion("nightly", 2))?.document, push("v2").document);
      assert.equal(await ledger.templateVersion("nightly", 9), null);
      assert.deepEqual(
        (await ledger.templates()).map(({ id, number, jobs }) => [id, number, jobs]),
        [["nightly", 3, 2]],
      );
    },
    "pushes at once make each version once": async ({ ledger }) => {
      const pushed = await Promise.all(
        ["a", "a", "b", "b", "c"].map((version) => ledger.apply(pushTemplate(push(version)))),
      );
      assert.deepEqual(
        pushed.map(({ number, changed }) => `${number}${changed ? "!" : ""}`),
        ["1!", "1", "2!", "2", "3!"],
      );
    },
    "a template with schedules can't be removed, a removed one can't be scheduled": async (on) => {
      const { ledger } = on;
      await addTwo(on);
      assert.equal((await ledger.template("nightly"))?.schedules, 2);
      assert.equal(await codeOf(ledger.apply(removeTemplate("nightly"))), "conflict");
      await ledger.apply(removeSchedule("early", "nightly"));
      assert.equal(await codeOf(ledger.apply(removeTemplate("nightly"))), "conflict");
      await ledger.apply(removeSchedule("late", "nightly"));
      await ledger.apply(removeTemplate("nightly"));
      assert.deepEqual(await ledger.templates(), []);
      assert.equal(await codeOf(ledger.apply(removeTemplate("nightly"))), "not_found");
      assert.equal(await codeOf(ledger.apply(addSchedule(settings("again"), on.clock.now() + 1))), "not_found");
      // The name goes on counting, and what it was stays readable.
      assert.equal((await ledger.apply(pushTemplate(push("v1")))).number, 2);
      assert.equal((await ledger.templateVersion("nightly", 1))?.version, "v1");
    },
    "removal and a new schedule at once: one of them": async ({ ledger, clock }) => {
      await ledger.apply(pushTemplate(push("v1")));
      const results = await Promise.all([
        codeOf(ledger.apply(removeTemplate("nightly"))),
        codeOf(ledger.apply(addSchedule(settings("s"), clock.now() + 1))),
      ]);
      assert.deepEqual(results, [null, "not_found"]);
    },
    "a schedule of a pipeline that is no template": async ({ ledger, clock }) => {
      await ledger.apply(addSchedule(settings("plain", "elsewhere", 0), clock.now() + 1));
      assert.equal(
        await codeOf(ledger.apply(addSchedule(settings("plain", "elsewhere", 0), clock.now() + 1))),
        "conflict",
      );
      assert.deepEqual(
        (await ledger.schedules({ pipeline: "elsewhere" })).map((row) => row.id),
        ["plain"],
      );
      assert.equal(await codeOf(ledger.apply(removeSchedule("plain", "other"))), "conflict");
      await ledger.apply(removeSchedule("plain", "elsewhere"));
      assert.equal(await codeOf(ledger.apply(removeSchedule("plain", "elsewhere"))), "not_found");
    },
    "due schedules, and when the next one is": async (on) => {
      const { ledger, clock } = on;
      await addTwo(on);
      const start = clock.now();
      assert.deepEqual(await ledger.dueSchedules(start), { due: [], nextAt: start + 1_000 });
      const { due, nextAt } = await ledger.dueSchedules(start + 1_000);
      assert.deepEqual([due.map((row) => row.id), nextAt], [["early"], start + 5_000]);
      await ledger.apply(disableSchedule("early"));
      assert.deepEqual((await ledger.dueSchedules(start + 1_000)).due, []);
      clock.advance(10_000);
      await ledger.apply(enableSchedule("early", clock.now() + 60_000));
      const row = await ledger.scheduleNamed("early");
      assert.deepEqual([row?.enabled, row?.cursor, row?.nextAt], [1, clock.now(), clock.now() + 60_000]);
    },
    "a nominal time is settled once": async (on) => {
      const { ledger, clock } = on;
      await addTwo(on);
      const { cursor, nextAt } = (await ledger.scheduleNamed("early"))!;
      const to = nextAt!;
      clock.advance(2_000);
      const settled = { from: cursor, to, nextAt: to + 1_000, passed: 0, run: "run-1", error: null };
      const both = await Promise.all([1, 2].map(() => ledger.apply(settleSchedule("early", settled))));
      assert.deepEqual(both, [true, false]);
      const row = (await ledger.scheduleNamed("early"))!;
      assert.deepEqual([row.cursor, row.fired, row.lastAt, row.lastRun], [to, 1, to, "run-1"]);
      await ledger.apply(
        settleSchedule("early", {
          from: to,
          to: to + 3_000,
          nextAt: null,
          passed: 2,
          run: null,
          error: '{"code":"x"}',
        }),
      );
      const later = (await ledger.scheduleNamed("early"))!;
      assert.deepEqual([later.fired, later.passed, later.lastRun, later.lastError], [1, 2, "run-1", '{"code":"x"}']);
      await ledger.apply(disableSchedule("early"));
      assert.equal(
        await ledger.apply(settleSchedule("early", { ...settled, from: to + 3_000, to: to + 4_000 })),
        false,
      );
    },
    "runs of a schedule are found by their keys": async ({ ledger, world }) => {
      await world.start("a");
      for (const [name, at] of [
        ["nightly", 1_000],
        ["nightly", 2_000],
        ["nightly2", 1_000],
        ["nightl", 1_000],
      ] as const)
        await ledger.apply(startRun(startOf("a", { id: `${name}-${at}`, idempotencyKey: scheduleKey(name, at) })));
      const runs = await ledger.scheduledRuns("nightly", 10);
      assert.deepEqual(
        runs.map((run) => [run.id, run.nominal, run.state]),
        [
          ["nightly-2000", new Date(2_000).toISOString(), "running"],
          ["nightly-1000", new Date(1_000).toISOString(), "running"],
        ],
      );
      assert.equal((await ledger.scheduledRuns("nightly", 1)).length, 1);
    },
    "a delivery is recorded once and has one sender": async ({ ledger }) => {
      const recorded = await Promise.all([1, 2, 3].map(() => ledger.apply(recordDelivery(message("d")))));
      assert.deepEqual(recorded, [true, false, false]);
      const claims = await Promise.all([1, 2, 3].map(() => ledger.apply(claimDelivery("d"))));
      assert.deepEqual(
        claims.map((row) => row?.attempts ?? null),
        [1, null, null],
      );
      assert.equal((await ledger.apply(settleDelivery(claims[0]!, null, false))).state, "delivered");
      assert.equal(await codeOf(ledger.apply(settleDelivery(claims[0]!, "late", false))), "lease_lost");
      assert.deepEqual(await ledger.dueDeliveries(["team"], Number.MAX_SAFE_INTEGER, 10), { due: [], nextAt: null });
    },
    "a sender that died is succeeded, and can't report any more": async ({ ledger, clock }) => {
      await ledger.apply(recordDelivery(message("d")));
      const first = (await ledger.apply(claimDelivery("d")))!;
      clock.advance(DELIVERY_CLAIM_MS - 1);
      assert.equal(await ledger.apply(claimDelivery("d")), null);
      clock.advance(1);
      const second = (await ledger.apply(claimDelivery("d")))!;
      assert.equal(second.attempts, 2);
      assert.equal(await codeOf(ledger.apply(settleDelivery(first, null, false))), "lease_lost");
      assert.equal((await ledger.apply(settleDelivery(second, null, false))).attempts, 2);
    },
    "attempts end after a day, or at once where they are of no use": async ({ ledger, clock }) => {
      const start = clock.now();
      await ledger.apply(recordDelivery(message("d")));
      for (const [i, delay] of DELIVERY_DELAYS_MS.entries()) {
        const claimed = (await ledger.apply(claimDelivery("d")))!;
        assert.equal(claimed.attempts, i + 1);
        const row = await ledger.apply(settleDelivery(claimed, "refused", false));
        assert.deepEqual([row.state, row.dueAt], ["pending", clock.now() + delay]);
        assert.equal((await ledger.dueDeliveries(["team"], clock.now(), 10)).nextAt, row.dueAt);
        clock.advance(delay);
      }
      const last = (await ledger.apply(claimDelivery("d")))!;
      assert.equal((await ledger.apply(settleDelivery(last, "refused", false))).state, "failed");
      assert.ok(clock.now() - start < 86_400_000);
      await ledger.apply(recordDelivery(message("e")));
      const row = (await ledger.apply(claimDelivery("e")))!;
      assert.equal((await ledger.apply(settleDelivery(row, "404", true))).state, "failed");
      await ledger.apply(recordDelivery(message("f")));
      const asked = (await ledger.apply(claimDelivery("f")))!;
      assert.equal((await ledger.apply(settleDelivery(asked, "429", false, 90_000))).dueAt, clock.now() + 90_000);
      assert.deepEqual((await ledger.deliveries({ state: "failed" })).map((one) => one.id).sort(), ["d", "e"]);
    },
    "what a notifier has been told of only moves forward": async ({ ledger, clock }) => {
      const start = clock.now();
      assert.equal((await ledger.apply(keepNotifier("team", null))).since, start);
      clock.advance(10_000);
      assert.equal((await ledger.apply(keepNotifier("team", null))).since, start);
      assert.equal((await ledger.apply(keepNotifier("team", start + 5_000))).since, start + 5_000);
      assert.equal((await ledger.apply(keepNotifier("team", start))).since, start + 5_000);
    },
    "runs that ended, and those that did not": async ({ ledger, world, clock }) => {
      const boot = await world.boot();
      const first = await world.start("a");
      const second = await world.start("b");
      clock.advance(1_000);
      const [held] = await world.claim(boot, 1);
      await world.complete(held!);
      const ended = held!.id === "a" ? first : second;
      const open = held!.id === "a" ? second : first;
      assert.deepEqual(
        (await ledger.endedRuns(0, clock.now(), 10)).map((run) => run.seq),
        [ended.seq],
      );
      assert.deepEqual(await ledger.endedRuns(0, clock.now() + 1, 10), []);
      assert.deepEqual(await ledger.endedRuns(ended.seq, 0, 10), []);
      assert.deepEqual(
        (await ledger.openRuns(0, 10)).map((run) => run.seq),
        [open.seq],
      );
      assert.deepEqual(
        (await ledger.runsAfter(first.seq, 10)).map((run) => run.seq),
        [second.seq],
      );
      assert.deepEqual(
        (await ledger.runsNumbered([second.seq, 999, first.seq])).map((run) => run.seq).sort(),
        [first.seq, second.seq].sort(),
      );
    },
  },
};

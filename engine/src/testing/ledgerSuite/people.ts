/** Topic: approvals, against decisions at the same time, parks, crashes, cancels and retries; and records within a batch. */
import assert from "node:assert/strict";
import type { ApprovalRequest } from "../../core/approval.ts";
import * as changes from "../../core/changes.ts";
import type { ApprovalRow } from "../../core/records.ts";
import { codeOf, type Held, type World } from "../world.ts";
import type { Topic } from "./suite.ts";

function requestOf(held: Held, run: number, key = "k", more: Partial<ApprovalRequest> = {}): ApprovalRequest {
  return {
    id: `${run}:${held.id}:${key}`,
    run,
    job: held.job,
    key,
    title: "May it?",
    shown: '{"rows":1}',
    hash: "a".repeat(64),
    editable: 0,
    createdAt: 1,
    expiresAt: null,
    ...more,
  };
}

const yes = { approve: true, hash: null, by: "ann", reason: null, edited: null };

async function parkedForApproval(world: World, more: Partial<ApprovalRequest> = {}) {
  const boot = await world.boot();
  const run = await world.start("a");
  const held = await world.claimJob(boot, run.seq, "a");
  const row = await world.ledger.apply(changes.openApproval(held.job, held.lease, requestOf(held, run.seq, "k", more)));
  await world.ledger.apply(
    changes.parkJob(held.job, held.lease, { dueAt: row.expiresAt, reason: "approval", knownApprovals: 1 }),
  );
  return { boot, run, held, row };
}

async function open(world: World, row: ApprovalRow) {
  return (await world.ledger.approval(row.id)) as ApprovalRow;
}

export const people: Topic = {
  name: "people",
  cases: {
    "of many decisions in one batch one is taken, and wakes the job": async ({ world, ledger }) => {
      const { run, row } = await parkedForApproval(world);
      assert.equal((await world.run(run.seq)).state, "waiting");
      const codes = await Promise.all(
        Array.from({ length: 20 }, (_, n) =>
          codeOf(ledger.apply(changes.decideApproval(row, { ...yes, by: `p${n}` }))),
        ),
      );
      assert.deepEqual(
        [codes.filter((code) => code === null).length, codes.filter((code) => code === "approval_decided").length],
        [1, 19],
      );
      assert.equal(await world.states(run.seq), "a:ready");
      assert.equal((await open(world, row)).state, "approved");
      assert.equal((await world.run(run.seq)).state, "running");
    },
    "opened twice under one id it is one, also in one batch": async ({ world, ledger }) => {
      const boot = await world.boot();
      const run = await world.start("a");
      const held = await world.claimJob(boot, run.seq, "a");
      const rows = await Promise.all(
        [1, 2, 3].map((createdAt) =>
          ledger.apply(changes.openApproval(held.job, held.lease, requestOf(held, run.seq, "k", { createdAt }))),
        ),
      );
      assert.deepEqual(
        rows.map((row) => row.createdAt),
        [1, 1, 1],
      );
      assert.equal((await world.job(run.seq, "a")).approvals, 1);
      assert.equal((await ledger.approvals({ job: held.job })).length, 1);
    },
    "a park that does not know of a decision looks again": async ({ world, ledger }) => {
      const boot = await world.boot();
      const run = await world.start("a");
      const held = await world.claimJob(boot, run.seq, "a");
      const row = await ledger.apply(changes.openApproval(held.job, held.lease, requestOf(held, run.seq)));
      await ledger.apply(changes.decideApproval(row, yes));
      const parked = await ledger.apply(
        changes.parkJob(held.job, held.lease, { dueAt: null, reason: "approval", knownApprovals: 1 }),
      );
      assert.equal(parked, "missed");
      await world.complete(held);
    },
    "a decision names what was shown, and edits only what can be edited": async ({ world, ledger }) => {
      const { row } = await parkedForApproval(world);
      const other = { ...yes, hash: "b".repeat(64) };
      assert.equal(await codeOf(ledger.apply(changes.decideApproval(row, other))), "approval_changed");
      assert.equal(await codeOf(ledger.apply(changes.decideApproval(row, { ...yes, edited: "1" }))), "invalid_input");
      assert.equal((await open(world, row)).state, "open");
      await ledger.apply(changes.decideApproval(row, { ...yes, approve: false, hash: row.hash, reason: "no" }));
      const { state, reason, decidedBy } = await open(world, row);
      assert.deepEqual({ state, reason, decidedBy }, { state: "rejected", reason: "no", decidedBy: "ann" });
    },
    "it expires at its time and not before": async ({ world, ledger, clock }) => {
      const { run, row, held } = await parkedForApproval(world, { expiresAt: clock.now() + 1_000 });
      assert.equal(await ledger.apply(changes.expireApproval(held.job, row.id)), false);
      clock.advance(1_000);
      assert.equal(await codeOf(ledger.apply(changes.decideApproval(row, yes))), "approval_decided");
      await world.due();
      assert.equal(await world.states(run.seq), "a:ready");
      assert.equal(await ledger.apply(changes.expireApproval(held.job, row.id)), true);
      assert.equal((await open(world, row)).state, "expired");
      assert.equal((await world.job(run.seq, "a")).approvals, 0);
    },
    "a cancel, a halt or the job's own end cancels what is open": async ({ world, ledger }) => {
      const first = await parkedForApproval(world);
      await world.cancel(first.run.seq);
      assert.equal((await open(world, first.row)).state, "cancelled");
      assert.equal(await codeOf(ledger.apply(changes.decideApproval(first.row, yes))), "approval_decided");
      const boot = await world.boot();
      const run = await world.start("b");
      const held = await world.claimJob(boot, run.seq, "b");
      const row = await ledger.apply(changes.openApproval(held.job, held.lease, requestOf(held, run.seq)));
      await Promise.all([world.complete(held), codeOf(ledger.apply(changes.decideApproval(row, yes)))]);
      assert.equal((await open(world, row)).state, "cancelled");
    },
    "it survives the death of its worker, and a retry of the run makes a refusal void": async ({ world, ledger }) => {
      const boot = await world.boot();
      const run = await world.start("a");
      const held = await world.claimJob(boot, run.seq, "a");
      const row = await ledger.apply(changes.openApproval(held.job, held.lease, requestOf(held, run.seq)));
      await world.bury(boot);
      assert.equal((await open(world, row)).state, "open");
      assert.equal(
        await codeOf(ledger.apply(changes.openApproval(held.job, held.lease, requestOf(held, run.seq, "late")))),
        "lease_lost",
      );
      await ledger.apply(changes.decideApproval(row, { ...yes, approve: false }));
      const next = await world.claimJob(await world.boot(), run.seq, "a");
      await world.fail(next, { category: "permanent", code: "approval_rejected", message: "no" });
      await world.retry(run.seq);
      assert.equal((await open(world, row)).voided, 1);
    },
    "a record that is put and read in one batch is seen, and one whose change is rejected is not": async (on) => {
      const { world, ledger } = on;
      const boot = await world.boot();
      const run = await world.start("a");
      const held = await world.claimJob(boot, run.seq, "a");
      const request = requestOf(held, run.seq);
      const [opened, decided, again] = await Promise.all([
        ledger.apply(changes.openApproval(held.job, held.lease, request)),
        ledger.apply(changes.decideApproval(request as ApprovalRow, yes)),
        ledger.apply(changes.openApproval(held.job, held.lease, request)),
      ]);
      assert.deepEqual([opened.state, decided.state, again.state], ["open", "approved", "approved"]);
      const stale = { ...held.lease, epoch: held.lease.epoch + 1 };
      const late = requestOf(held, run.seq, "other");
      assert.equal(await codeOf(ledger.apply(changes.openApproval(held.job, stale, late))), "lease_lost");
      assert.equal(await ledger.approval(late.id), null);
    },
  },
};

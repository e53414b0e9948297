/**
 * Rules of approvals: opened by a job under its lease, decided once by a person, expired by time, cancelled with the job.
 *
 * Invariants: (1) of any number of decisions at once one is taken, the others are told who was first; (2) a decision that
 * names another hash than that of what is shown is refused; (3) `approvals` of a job is the number of its open ones, so a
 * job that is about to wait sees a decision that came in between.
 */
import type { Effect, Slice, Verdict } from "./decision.ts";
import { leaseLost, reject } from "./decision.ts";
import { type Lease, wakeJob } from "./job.ts";
import { isJobEnd, type JobRow } from "./model.ts";
import type { ApprovalRow } from "./records.ts";

export type ApprovalRequest = Omit<ApprovalRow, "state" | "edited" | "decidedBy" | "reason" | "decidedAt" | "voided">;

export interface ApprovalDecision {
  approve: boolean;
  /** Of what the person saw; null trusts the caller to have shown what is stored. */
  hash: string | null;
  by: string;
  reason: string | null;
  /** JSON that takes the place of what was shown. */
  edited: string | null;
}

type ApprovalSlice = Slice & { records: (ApprovalRow | null)[] };

/** Opens the approval, or gives the one that is there. */
export function openApproval(slice: ApprovalSlice, lease: Lease, request: ApprovalRequest): Verdict<ApprovalRow> {
  const { job } = slice;
  if (job.state !== "running" || job.epoch !== lease.epoch || job.boot !== lease.boot)
    return leaseLost(job, lease.epoch);
  const twin = slice.records[0];
  if (twin != null) return { ok: true, result: twin };
  const row: ApprovalRow = {
    ...request,
    state: "open",
    edited: null,
    decidedBy: null,
    reason: null,
    decidedAt: null,
    voided: 0,
  };
  return {
    ok: true,
    job: { approvals: job.approvals + 1 },
    effects: [
      { type: "put", table: "approval", row },
      { type: "event", name: "approval.opened", job: job.id, data: { approval: row.id, title: row.title } },
    ],
    result: row,
  };
}

/** Exactly one decision is taken. */
export function decideApproval(slice: ApprovalSlice, decision: ApprovalDecision, at: number): Verdict<ApprovalRow> {
  const row = slice.records[0];
  if (row == null) return reject("not_found", "there is no such approval");
  const refused = refusal(slice, row, decision, at);
  if (refused !== null) return refused;
  return settle(
    slice,
    {
      ...row,
      state: decision.approve ? "approved" : "rejected",
      edited: decision.approve ? decision.edited : null,
      decidedBy: decision.by,
      reason: decision.reason,
      decidedAt: at,
    },
    at,
  );
}

function refusal(slice: ApprovalSlice, row: ApprovalRow, decision: ApprovalDecision, at: number) {
  const details = { approval: row.id, state: row.state };
  if (row.state !== "open" || row.voided === 1)
    return reject(
      "approval_decided",
      `approval ${row.id} is ${row.state}${row.decidedBy === null ? "" : ` by ${row.decidedBy}`} already`,
      details,
    );
  if (isJobEnd(slice.job.state) || slice.run.cancelRequestedAt !== null)
    return reject("approval_decided", `approval ${row.id} is void: its job is ending or has ended`, details);
  if (row.expiresAt !== null && row.expiresAt <= at)
    return reject("approval_decided", `approval ${row.id} has expired`, details);
  if (decision.hash !== null && decision.hash !== row.hash)
    return reject("approval_changed", `approval ${row.id} shows something else than what was decided on`, {
      ...details,
      hash: row.hash,
      given: decision.hash,
    });
  if (decision.edited !== null && row.editable === 0)
    return reject("invalid_input", `approval ${row.id} can't be edited`, details);
  return null;
}

/** The time of an open approval has passed. False if it was decided or has time left. */
export function expireApproval(slice: ApprovalSlice, at: number): Verdict<boolean> {
  const row = slice.records[0];
  if (row == null || row.state !== "open" || row.expiresAt === null || row.expiresAt > at)
    return { ok: true, result: false };
  const settled = settle(slice, { ...row, state: "expired", decidedAt: at }, at);
  return settled.ok ? { ...settled, result: true } : settled;
}

function settle(slice: ApprovalSlice, row: ApprovalRow, at: number): Verdict<ApprovalRow> {
  const { job } = slice;
  const effects: Effect[] = [
    { type: "put", table: "approval", row },
    {
      type: "event",
      name: `approval.${row.state}`,
      job: job.id,
      data: {
        approval: row.id,
        ...(row.decidedBy === null ? {} : { by: row.decidedBy }),
        ...(row.reason === null ? {} : { reason: row.reason }),
        ...(row.edited === null ? {} : { edited: true }),
      },
    },
  ];
  const counted = { approvals: job.approvals - 1 };
  const woken = wakeJob(slice, at);
  if (!woken.ok) return woken;
  return {
    ...woken,
    job: { ...woken.job, ...counted },
    effects: [...effects, ...(woken.effects ?? [])],
    result: row,
  };
}

/** What a job's end means for approvals that nobody has decided. */
export function closingApprovals(job: JobRow): Effect[] {
  return job.approvals === 0 ? [] : [{ type: "closeApprovals", job: job.seq }];
}

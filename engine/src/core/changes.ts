/**
 * Every change that the engine makes, by name: the selector and the rule that decides. Runtime code applies these and
 * nothing else, so this page is the list of all writes.
 */
import * as approval from "./approval.ts";
import * as budget from "./budget.ts";
import type { Effect, ItemRow, ProcessRow, Slice, StepRow, Verdict } from "./decision.ts";
import { errorJson, leaseLost } from "./decision.ts";
import type { StoredError } from "./errors.ts";
import * as fanout from "./fanout.ts";
import type { ImportRequest } from "./import.ts";
import * as imports from "./import.ts";
import type { FailurePolicy, Lease, Wait } from "./job.ts";
import * as job from "./job.ts";
import type { BootSeq, JobRow, JobSeq, Json, RunRow, RunSeq } from "./model.ts";
import { isJobEnd, isRunEnd } from "./model.ts";
import type { ApprovalRow } from "./records.ts";
import { type Reopened, type ReopenSlice, reopen } from "./reopen.ts";
import type { RetryChoice } from "./reopen-choice.ts";
import type { Numbers, SpawnRequest, StartRequest, StartSlice } from "./run.ts";
import * as run from "./run.ts";

type ApprovalSlice = Slice & { records: (ApprovalRow | null)[] };

export const startRun = (request: StartRequest) => ({
  select: {
    kind: "start" as const,
    idempotencyKey: request.facts.idempotencyKey,
    concurrencyKey: request.concurrency?.key ?? null,
    origin: request.origin ?? null,
  },
  decide: (slice: StartSlice, at: number, numbers: Numbers) => run.startRun(slice, request, numbers, at),
});

export const importRun = (request: ImportRequest) => ({
  select: { kind: "start" as const, idempotencyKey: request.facts.idempotencyKey, concurrencyKey: null, origin: null },
  decide: (slice: StartSlice, _at: number, numbers: Numbers) => imports.importRun(slice, request, numbers),
});

export const cancelRun = (seq: RunSeq, reason: string | null) => ({
  select: { kind: "run" as const, run: seq },
  decide: (slice: { run: RunRow }, at: number) => run.requestCancel(slice.run, reason, at),
});

const ofJob = <R>(seq: JobSeq, rule: (slice: Slice, at: number) => Verdict<R>) => ({
  select: { kind: "job" as const, job: seq },
  decide: rule,
});

/** `more` is written in the same commit: what belongs to the end, such as artifacts. */
export const completeJob = (seq: JobSeq, lease: Lease, output: string | null, more: readonly Effect[] = []) =>
  ofJob(seq, (slice, at) => withMore(job.completeJob(slice, lease, output, at), more));
export const reuseJob = (
  seq: JobSeq,
  lease: Lease,
  output: string | null,
  from: string,
  more: readonly Effect[] = [],
) => ofJob(seq, (slice, at) => withMore(job.reuseJob(slice, lease, output, from, at), more));
/** A dry run ends the job with what it would have done. */
export const planJob = (seq: JobSeq, lease: Lease, output: string) =>
  ofJob(seq, (slice, at) => job.planJob(slice, lease, output, at));
/** An event of a running job, without any other change. */
export const noteOfJob = (seq: JobSeq, lease: Lease, name: string, data: { [key: string]: Json }) =>
  ofJob(
    seq,
    (slice): Verdict<void> =>
      slice.job.state === "running" && slice.job.epoch === lease.epoch && slice.job.boot === lease.boot
        ? { ok: true, effects: [{ type: "event", name, job: slice.job.id, data }] }
        : leaseLost(slice.job, lease.epoch),
  );
export const skipJob = (seq: JobSeq, lease: Lease, reason: string, error: StoredError | null) =>
  ofJob(seq, (slice, at) => job.skipJob(slice, lease, reason, error, at));
/** `more` comes with the report, `atEnd` only if the job is not tried again. */
export const failJob = (
  seq: JobSeq,
  lease: Lease,
  error: StoredError,
  policy: FailurePolicy,
  more: readonly Effect[] = [],
  atEnd: readonly Effect[] = [],
) =>
  ofJob(seq, (slice, at) => {
    const verdict = withMore(job.failJob(slice, lease, error, policy, at), more);
    const state = verdict.ok ? verdict.job?.state : undefined;
    return state !== undefined && isJobEnd(state) ? withMore(verdict, atEnd) : verdict;
  });
export const parkJob = (seq: JobSeq, lease: Lease, wait: Wait) =>
  ofJob(seq, (slice, at) => job.parkJob(slice, lease, wait, at));
export const wakeJob = (seq: JobSeq) => ofJob(seq, (slice, at) => job.wakeJob(slice, at));
export const timerDue = (seq: JobSeq) => ofJob(seq, (slice, at) => job.timerDue(slice, at));
export const giveBack = (seq: JobSeq, lease: Lease, waitMs: number | null, reason: string) =>
  ofJob(seq, (slice, at) => job.giveBack(slice, lease, waitMs === null ? null : at + waitMs, reason, at));
/** Nothing of the job is left running. Without a cancel of its run that is a graceful stop. */
export const cancelledJob = (seq: JobSeq, lease: Lease) =>
  ofJob(seq, (slice, at) =>
    slice.run.cancelRequestedAt === null
      ? job.giveBack(slice, lease, null, "stopped", at)
      : job.cancelReport(slice, lease, at),
  );
export const loseLease = (seq: JobSeq, boot: BootSeq, maxCrashes: number) =>
  ofJob(seq, (slice, at) => job.loseLease(slice, boot, maxCrashes, at));

function withMore<R>(verdict: Verdict<R>, more: readonly Effect[]): Verdict<R> {
  if (!verdict.ok || more.length === 0) return verdict;
  return { ...verdict, effects: [...more, ...(verdict.effects ?? [])] };
}

/** Takes one known job, for a `map` child that only the holder of its parent may run. */
export const claimChild = (seq: JobSeq, boot: BootSeq) => ({
  select: { kind: "child" as const, job: seq },
  decide: (slice: Slice & { parent: JobRow | null }, at: number): Verdict<"claimed" | "ended"> => {
    const { parent } = slice;
    if (parent !== null && (parent.state !== "running" || parent.boot !== boot)) return leaseLost(parent, parent.epoch);
    return job.claimJob(slice, boot, at);
  },
});

export const spawnJob = (
  parent: JobSeq,
  lease: Lease,
  stage: number | null,
  request: SpawnRequest,
  childId: string,
) => ({
  select: { kind: "spawn" as const, job: parent, stage, childId },
  decide: (slice: Slice & { twin: JobRow | null }, at: number, numbers: Numbers) =>
    run.spawnJob(slice, lease, request, slice.twin, numbers, at),
});

export const expandFanout = (seq: JobSeq, lease: Lease, expansion: fanout.Expansion) =>
  ofJob(seq, (slice, at) => fanout.expandFanout(slice, lease, expansion, at));

export const leaseWindow = (seq: JobSeq, boot: BootSeq, held: number | null, wantSlots: number) => ({
  select: { kind: "nextWindow" as const, job: seq, held },
  decide: (slice: Slice & { choice: fanout.WindowChoice }, at: number) =>
    fanout.leaseWindow(slice, slice.choice, boot, wantSlots, at),
});

export const settleItems = (seq: JobSeq, start: number, lease: Lease, rows: readonly ItemRow[], keep: boolean) => ({
  select: { kind: "window" as const, job: seq, start },
  decide: (slice: Slice, at: number) => fanout.settleItems(slice, lease, rows, keep, at),
});

export const yieldSlots = (seq: JobSeq, start: number, lease: Lease, slots: number) => ({
  select: { kind: "window" as const, job: seq, start },
  decide: (slice: Slice) => fanout.yieldSlots(slice, lease, slots),
});

export const releaseWindow = (seq: JobSeq, start: number, lease: Lease) => ({
  select: { kind: "window" as const, job: seq, start },
  decide: (slice: Slice, at: number) => fanout.releaseWindow(slice, lease, at),
});

const approvalOf = (job: JobSeq, id: string) => ({
  kind: "jobRecords" as const,
  job,
  of: [{ table: "approval" as const, id }],
});

export const openApproval = (seq: JobSeq, lease: Lease, request: approval.ApprovalRequest) => ({
  select: approvalOf(seq, request.id),
  decide: (slice: ApprovalSlice) => approval.openApproval(slice, lease, request),
});
export const decideApproval = (row: ApprovalRow, decision: approval.ApprovalDecision) => ({
  select: approvalOf(row.job, row.id),
  decide: (slice: ApprovalSlice, at: number) => approval.decideApproval(slice, decision, at),
});
export const expireApproval = (seq: JobSeq, id: string) => ({
  select: approvalOf(seq, id),
  decide: (slice: ApprovalSlice, at: number) => approval.expireApproval(slice, at),
});

/** Effects of a running job that change no state: steps, artifacts, item keys. */
export const whileLeased = (seq: JobSeq, lease: Lease, effects: readonly Effect[]) => ({
  select: { kind: "lease" as const, job: seq },
  decide: (slice: { job: JobRow }): Verdict<void> =>
    slice.job.state === "running" && slice.job.epoch === lease.epoch && slice.job.boot === lease.boot
      ? { ok: true, effects }
      : leaseLost(slice.job, lease.epoch),
});

/** One step of a running job. A ledger may save it by one statement that is guarded by the lease itself. */
export const recordStep = (lease: Lease, row: StepRow) => ({
  ...whileLeased(row.job, lease, [{ type: "step", row }]),
  guardedStep: { lease, row },
});

/** The same for an item, whose lease is its window. */
export const whileWindowHeld = (seq: JobSeq, start: number, lease: Lease, effects: readonly Effect[]) => ({
  select: { kind: "window" as const, job: seq, start },
  decide: (slice: Slice): Verdict<void> =>
    slice.window !== null && slice.window.boot === lease.boot && slice.window.epoch === lease.epoch
      ? { ok: true, effects }
      : leaseLost(slice.job, lease.epoch),
});

/** Takes the keys of some items; those whose key an earlier item has are skipped from the start. Gives how many. */
export const claimItemKeys = (
  seq: JobSeq,
  lease: Lease,
  scope: number,
  keys: readonly { ordinal: number; hash: Uint8Array }[],
) => ({
  select: { kind: "itemKeys" as const, job: seq, scope, hashes: keys.map((key) => key.hash) },
  decide: (slice: { job: JobRow; owners: (number | null)[] }, at: number): Verdict<number> => {
    if (slice.job.state !== "running" || slice.job.epoch !== lease.epoch || slice.job.boot !== lease.boot)
      return leaseLost(slice.job, lease.epoch);
    const seen = new Map<string, number>();
    const fresh: { ordinal: number; hash: Uint8Array }[] = [];
    const repeated: ItemRow[] = [];
    for (const [index, key] of keys.entries()) {
      const text = key.hash.join();
      const owner = slice.owners[index] ?? seen.get(text) ?? null;
      if (owner === null) {
        seen.set(text, key.ordinal);
        fresh.push(key);
      } else if (owner !== key.ordinal) {
        const error = errorJson({
          category: "skippable",
          code: "duplicate_key",
          message: `item ${owner} has the same key`,
        });
        repeated.push({
          job: seq,
          ordinal: key.ordinal,
          state: "skipped",
          attempts: 0,
          result: null,
          error,
          dueAt: null,
          endedAt: at,
        });
      }
    }
    return {
      ok: true,
      effects: [
        { type: "itemKeys", job: seq, scope, keys: fresh },
        { type: "items", job: seq, rows: repeated },
      ],
      result: repeated.length,
    };
  },
});

/** Progress that code reports: an event, without any other change. */
export const reportProgress = (seq: JobSeq, lease: Lease, data: { [key: string]: Json }) =>
  ofJob(seq, (slice): Verdict<void> => {
    const held =
      slice.job.state === "running"
        ? slice.job.epoch === lease.epoch && slice.job.boot === lease.boot
        : slice.job.state === "waiting";
    return held
      ? { ok: true, effects: [{ type: "event", name: "job.progress", job: slice.job.id, data }] }
      : leaseLost(slice.job, lease.epoch);
  });

/** Ends a run in which every open job waits for another one. */
export const breakDeadlock = (seq: RunSeq) => ({
  select: { kind: "run" as const, run: seq },
  decide: (slice: { run: RunRow }): Verdict<void> =>
    slice.run.state === "waiting" && slice.run.liveJobs === 0
      ? { ok: true, effects: [{ type: "propagate", row: { kind: "deadlock", run: seq, subject: 1, cursor: 0 } }] }
      : { ok: true },
});

/** A program was started; with null it and all that it started is dead. No lease is asked for: facts are recorded in any case. */
export const recordProcess = (row: ProcessRow, ended: boolean) => ({
  select: { kind: "lease" as const, job: row.job },
  decide: (): Verdict<void> => ({
    ok: true,
    effects: [ended ? { type: "processEnded", marker: row.marker } : { type: "process", row }],
  }),
});

/** A job that a limiter sent back looks again now. */
export const lookAgain = (seq: JobSeq) => ofJob(seq, (slice): Verdict<boolean> => job.lookAgain(slice));

/** A critical error outside of any job's own report stops the run. */
export const haltRun = (seq: RunSeq, error: StoredError) => ({
  select: { kind: "run" as const, run: seq },
  decide: (slice: { run: RunRow }, at: number): Verdict<void> =>
    isRunEnd(slice.run.state) ? { ok: true } : { ok: true, ...job.haltPatch(slice.run, error, at) },
});

export function stepEffect(row: StepRow): Effect {
  return { type: "step", row };
}

/**
 * Reopens a run that failed or was cancelled: what did not complete is pending again, with its dependencies counted anew.
 * With a choice, only that and what hangs on it.
 */
export const reopenRun = (seq: RunSeq, choice: RetryChoice | null = null) => ({
  select: { kind: "reopen" as const, run: seq },
  decide: (slice: ReopenSlice, at: number): Verdict<Reopened> => reopen(slice, at, choice),
});

const usageOf = (plan: budget.CallPlan) => ({
  kind: "jobRecords" as const,
  job: plan.job,
  of: [
    { table: "run_usage" as const, id: String(plan.run) },
    { table: "usage" as const, id: budget.usageId(plan) },
  ],
});

/** Takes what a model call may cost at most, before it is made. @throws budget_exhausted */
export const reserveCall = (plan: budget.CallPlan, lease: Lease | null) => ({
  select: usageOf(plan),
  decide: (slice: Slice & budget.UsageSlice, at: number): Verdict<budget.Grant> =>
    lease !== null && !holds(slice.job, lease)
      ? leaseLost(slice.job, lease.epoch)
      : budget.reserveCall(slice, plan, at),
});

/**
 * Books what a model call took, and its answer as a step, together. Without the lease only the booking is made: the call
 * has been paid all the same. Gives whether the step was recorded.
 */
export const settleCall = (
  plan: budget.CallPlan,
  outcome: budget.CallUsage | "refused" | null,
  answer: { lease: Lease; row: StepRow } | null,
) => ({
  select: usageOf(plan),
  decide: (slice: Slice & budget.UsageSlice, at: number): Verdict<boolean> => {
    const booked = budget.settleCall(slice, plan, outcome, at);
    const held = answer !== null && holds(slice.job, answer.lease);
    return {
      ...booked,
      effects: held ? [...(booked.effects ?? []), { type: "step", row: answer.row }] : (booked.effects ?? []),
      result: held,
    };
  },
});

function holds(job: JobRow, lease: Lease): boolean {
  return job.state === "running" && job.epoch === lease.epoch && job.boot === lease.boot;
}

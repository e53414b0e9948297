/**
 * Rules of one job: claim, report, wait, wake, retry, loss, skip, cancel.
 *
 * Invariants: (1) every report carries the epoch and boot of its claim, any other is `lease_lost`; (2) a job has one end
 * until a person reopens it; (3) attempt, failures and crashes are three counters, a wait or a graceful stop changes only
 * the first; (4) the counters of run and stage change in the same decision as the job.
 */
import type { Effect, Slice, Verdict } from "./decision.ts";
import { errorJson, leaseLost } from "./decision.ts";
import type { StoredError } from "./errors.ts";
import {
  barredByRun,
  closing,
  countRun,
  endJob,
  holdingAfter,
  illegal,
  type JobEnd,
  readyPatch,
  releasing,
} from "./job-end.ts";
import type { BootSeq, FanoutRow, JobRow, RunRow } from "./model.ts";
import { isRunEnd } from "./model.ts";
import { PLANNED } from "./rerun.ts";
import { rankInRun } from "./schedule.ts";

export interface Lease {
  epoch: number;
  boot: BootSeq;
}

/** What the runtime has resolved for this job and a failure needs to know. */
export interface FailurePolicy {
  maxRetries: number;
  /** Delay before the next attempt, with jitter already applied. */
  delayMs: number;
  onExhausted: "fail" | "skip";
}

function holds(job: JobRow, lease: Lease): boolean {
  return job.state === "running" && job.epoch === lease.epoch && job.boot === lease.boot;
}

/** A worker takes the job. A run under cancel or halt ends the job instead; the result says so. */
export function claimJob(slice: Slice, boot: BootSeq, at: number): Verdict<"claimed" | "ended"> {
  const { run, job } = slice;
  if (job.state !== "ready" || job.dueAt !== null) return illegal(job, "running");
  const barred = barredByRun(slice, at);
  if (barred !== null) return barred.ok ? { ...barred, result: "ended" } : barred;
  return {
    ok: true,
    run: run.startedAt === null ? { startedAt: at } : {},
    job: {
      state: "running",
      claimable: 0,
      boot,
      attemptBoot: boot,
      epoch: job.epoch + 1,
      attempt: job.attempt + 1,
      startedAt: at,
      firstStartedAt: job.firstStartedAt ?? at,
    },
    effects: [started(job)],
    result: "claimed",
  };
}

/** A first attempt is what is expected; only later ones are numbered. */
function started(job: JobRow): Effect {
  const event = { type: "event" as const, name: "job.started", job: job.id };
  return job.attempt === 0 ? event : { ...event, data: { attempt: job.attempt + 1 } };
}

export function completeJob(slice: Slice, lease: Lease, output: string | null, at: number): Verdict {
  if (!holds(slice.job, lease)) return leaseLost(slice.job, lease.epoch);
  return endJob(slice, { state: "completed", at, output, effects: releasing(slice.job) });
}

/** The job is answered from an earlier result without an attempt's work. */
export function reuseJob(slice: Slice, lease: Lease, output: string | null, from: string, at: number): Verdict {
  if (!holds(slice.job, lease)) return leaseLost(slice.job, lease.epoch);
  return endJob(slice, {
    state: "completed",
    at,
    output,
    reason: `reused:${from}`,
    effects: releasing(slice.job),
  });
}

/** The job of a dry run ends with what it would have done. */
export function planJob(slice: Slice, lease: Lease, output: string, at: number): Verdict {
  if (!holds(slice.job, lease)) return leaseLost(slice.job, lease.epoch);
  return endJob(slice, { state: "completed", at, output, reason: PLANNED, effects: releasing(slice.job) });
}

export function skipJob(slice: Slice, lease: Lease, reason: string, error: StoredError | null, at: number): Verdict {
  if (!holds(slice.job, lease)) return leaseLost(slice.job, lease.epoch);
  const effects = error === null ? releasing(slice.job) : closing(slice.job, "failed", at, error);
  return endJob(slice, { state: "skipped", at, reason, error, effects });
}

/** A failed attempt: tried again, skipped, failed, or the whole run halted, by the error's category. */
export function failJob(slice: Slice, lease: Lease, error: StoredError, policy: FailurePolicy, at: number): Verdict {
  const { run, job } = slice;
  if (!holds(job, lease)) return leaseLost(job, lease.epoch);
  const effects = closing(job, "failed", at, error);
  if (error.category === "critical") {
    const halted = haltPatch(run, error, at);
    const end = endJob(
      { ...slice, run: { ...run, ...halted.run } },
      { state: "failed", at, error, effects: [...effects, ...halted.effects] },
    );
    return end.ok ? { ...end, run: { ...halted.run, ...end.run } } : end;
  }
  if (run.cancelRequestedAt !== null)
    return endJob(slice, { state: "cancelled", at, reason: "run_cancelled", error, effects });
  if (error.category === "skippable")
    return endJob(slice, { state: "skipped", at, reason: error.code, error, effects });
  const failures = job.failures + 1;
  if (error.category === "retryable" && failures <= policy.maxRetries && run.haltedAt === null) {
    effects.push({
      type: "event",
      name: "job.retrying",
      job: job.id,
      data: { failures, delayMs: policy.delayMs, code: error.code, message: error.message },
    });
    effects.push({ type: "payload", job: job.seq, output: null, error: errorJson(error) });
    effects.push({ type: "ready", job });
    return { ok: true, job: { ...readyPatch(run, job, at, at + policy.delayMs), failures, reason: "retry" }, effects };
  }
  const end: JobEnd =
    error.category === "retryable" && policy.onExhausted === "skip"
      ? { state: "skipped", at, reason: "retries_exhausted", error, effects }
      : { state: "failed", at, error, effects };
  const decided = endJob(slice, end);
  return decided.ok ? { ...decided, job: { ...decided.job, failures } } : decided;
}

/** Patch and effects that halt a run: no new claims, what has not started is skipped. */
export function haltPatch(run: RunRow, error: StoredError, at: number): { run: Partial<RunRow>; effects: Effect[] } {
  if (run.haltedAt !== null) return { run: {}, effects: [] };
  return {
    run: { haltedAt: at },
    effects: [
      { type: "event", name: "run.halted", job: null, data: { code: error.code, message: error.message } },
      { type: "propagate", row: { kind: "halt", run: run.seq, subject: 0, cursor: 0 } },
    ],
  };
}

export interface Wait {
  /** Wake at this time at the latest; null waits for children or windows only. */
  dueAt: number | null;
  reason: string;
  /** Children whose end the worker already knows; if another has ended since, the job does not park. */
  knownOpenChildren?: number;
  /** The same for approvals. */
  knownApprovals?: number;
}

/** No item is left that a worker holds or may take; nobody would wake the job. */
function nothingOpen(fanout: FanoutRow): boolean {
  const ended = fanout.completed + fanout.failed + fanout.skipped >= fanout.total;
  return fanout.leased === 0 && (ended || fanout.stopped === 1);
}

/** `running → waiting`: gives slot and lease back. Result `missed` if a child ended in the meantime: look again. */
export function parkJob(slice: Slice, lease: Lease, wait: Wait, at: number): Verdict<"parked" | "missed"> {
  const { run, job } = slice;
  if (!holds(job, lease)) return leaseLost(job, lease.epoch);
  if (wait.knownOpenChildren !== undefined && job.openChildren !== wait.knownOpenChildren)
    return { ok: true, result: "missed" };
  if (wait.knownApprovals !== undefined && job.approvals !== wait.knownApprovals) return { ok: true, result: "missed" };
  if (job.kind !== "fanout" && wait.dueAt === null && job.openChildren === 0 && job.approvals === 0)
    return { ok: true, result: "missed" };
  if (run.cancelRequestedAt !== null) {
    const ended = cancelReport(slice, lease, at);
    return ended.ok ? { ...ended, result: "parked" } : ended;
  }
  const effects = closing(job, "completed", at, null);
  if (run.haltedAt !== null) {
    const ended = endJob(slice, { state: "skipped", at, reason: "halted", effects });
    return ended.ok ? { ...ended, result: "parked" } : ended;
  }
  const { fanout } = slice;
  effects.push({ type: "event", name: "job.waiting", job: job.id, data: { reason: wait.reason } });
  if (fanout !== null && nothingOpen(fanout)) {
    effects.push({ type: "ready", job });
    return { ok: true, job: readyPatch(run, job, at, null), effects, result: "parked" };
  }
  return {
    ok: true,
    run: countRun(run, job, "running", "waiting"),
    job: {
      state: "waiting",
      boot: null,
      holding: holdingAfter(job),
      attemptBoot: null,
      dueAt: wait.dueAt,
      reason: wait.reason,
      claimable: job.kind === "fanout" && fanout !== null ? 1 : 0,
      rank: rankInRun(job.priority, at, run.createdAt),
    },
    effects,
    result: "parked",
  };
}

/** `waiting → ready`. Waking a job that does not wait is no fault: the wake came late. */
export function wakeJob(slice: Slice, at: number): Verdict<boolean> {
  const { run, job } = slice;
  if (job.state !== "waiting") return { ok: true, result: false };
  return {
    ok: true,
    run: countRun(run, job, "waiting", "ready"),
    job: readyPatch(run, job, at, null),
    effects: [{ type: "ready", job }],
    result: true,
  };
}

/** The time of a `ready` or `waiting` job has come. */
export function timerDue(slice: Slice, at: number): Verdict<boolean> {
  const { job } = slice;
  if (job.dueAt === null || job.dueAt > at) return { ok: true, result: false };
  if (job.state === "ready") {
    return {
      ok: true,
      job: { dueAt: null, claimable: job.kind === "map" ? 0 : 1, reason: null },
      effects: [{ type: "ready", job }],
      result: true,
    };
  }
  if (job.state === "waiting") return wakeJob(slice, at);
  return { ok: true, job: { dueAt: null }, result: false };
}

/** A graceful stop, or a limiter that lets the job go only later: neither failure nor crash. */
export function giveBack(slice: Slice, lease: Lease, dueAt: number | null, reason: string, at: number): Verdict {
  const { run, job } = slice;
  if (!holds(job, lease)) return leaseLost(job, lease.epoch);
  const effects = closing(job, "stopped", at, null);
  const barred =
    slice.run.cancelRequestedAt !== null
      ? { state: "cancelled" as const, reason: "run_cancelled" }
      : slice.run.haltedAt !== null
        ? { state: "skipped" as const, reason: "halted" }
        : null;
  if (barred !== null) return endJob(slice, { ...barred, at, effects });
  effects.push({ type: "event", name: "job.stopped", job: job.id, data: { reason } }, { type: "ready", job });
  return { ok: true, job: { ...readyPatch(run, job, at, dueAt), reason: dueAt === null ? null : reason }, effects };
}

/** The worker confirms that nothing of a cancelled job is left running. */
export function cancelReport(slice: Slice, lease: Lease, at: number): Verdict {
  const { job } = slice;
  if (!holds(job, lease)) return leaseLost(job, lease.epoch);
  return endJob(slice, { state: "cancelled", at, reason: "run_cancelled", effects: closing(job, "stopped", at, null) });
}

/** The boot that held the lease is dead. The job runs again, unless it has brought down its worker too often. */
export function loseLease(slice: Slice, boot: BootSeq, maxCrashes: number, at: number): Verdict<boolean> {
  const { run, job } = slice;
  if (job.state !== "running" || job.boot !== boot) return { ok: true, result: false };
  const crashes = job.crashes + 1;
  const error: StoredError = {
    category: "permanent",
    code: "crashed_too_often",
    message: `the worker died ${crashes} times while this job ran`,
  };
  const effects = closing(job, "lost", at, null);
  const finish = (verdict: Verdict): Verdict<boolean> =>
    verdict.ok ? { ...verdict, job: { ...verdict.job, crashes }, result: true } : verdict;
  if (run.cancelRequestedAt !== null)
    return finish(endJob(slice, { state: "cancelled", at, reason: "run_cancelled", effects }));
  if (crashes >= maxCrashes) {
    error.hint = "Look at its log and at the memory of the worker, then `tenuto runs retry`.";
    return finish(endJob(slice, { state: "failed", at, error, effects }));
  }
  if (run.haltedAt !== null) return finish(endJob(slice, { state: "skipped", at, reason: "halted", effects }));
  effects.push({ type: "event", name: "job.lost", job: job.id, data: { crashes } }, { type: "ready", job });
  return { ok: true, job: { ...readyPatch(run, job, at, null), crashes }, effects, result: true };
}

/** Whether reports about this run's jobs still matter. */
export function isOver(run: RunRow): boolean {
  return isRunEnd(run.state);
}

/** A job that waits for a limiter need not wait for its time when there may be room. Anything else stays as it is. */
export function lookAgain(slice: Slice): Verdict<boolean> {
  const { job } = slice;
  const waits = job.state === "ready" && job.dueAt !== null && job.reason?.startsWith("limiter:") === true;
  if (!waits) return { ok: true, result: false };
  return {
    ok: true,
    job: { dueAt: null, claimable: 1, reason: null },
    effects: [{ type: "ready", job }],
    result: true,
  };
}

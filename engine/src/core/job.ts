/**
 * Rules of one job: claim, report, wait, wake, retry, loss, skip, cancel.
 *
 * Invariants: (1) every report carries the epoch and boot of its claim, any other is `lease_lost`; (2) a job has one end
 * until a person reopens it; (3) attempt, failures and crashes are three counters, a wait or a graceful stop changes only
 * the first; (4) the counters of run and stage change in the same decision as the job.
 */
import type { Decision, Effect, Slice, Verdict } from "./decision.ts";
import { errorJson, leaseLost, reject } from "./decision.ts";
import type { StoredError } from "./errors.ts";
import { mayMoveJob } from "./lifecycle.ts";
import type {
  AttemptState,
  BootSeq,
  DependencyType,
  FanoutRow,
  JobRow,
  JobState,
  Json,
  RunRow,
  StageRow,
} from "./model.ts";
import { isJobEnd, isRunEnd } from "./model.ts";
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

function illegal(job: JobRow, to: JobState) {
  return reject("illegal_transition", `job ${job.id} is ${job.state} and cannot become ${to}`, {
    job: job.id,
    from: job.state,
    to,
  });
}

function isLive(state: JobState): boolean {
  return state === "ready" || state === "running";
}

/** Patch of the run's counters when a job goes from one state to another. */
function countRun(run: RunRow, from: JobState, to: JobState): Partial<RunRow> {
  const live = (isLive(to) ? 1 : 0) - (isLive(from) ? 1 : 0);
  const waiting = (to === "waiting" ? 1 : 0) - (from === "waiting" ? 1 : 0);
  const patch: Partial<RunRow> = {};
  if (live !== 0) patch.liveJobs = run.liveJobs + live;
  if (waiting !== 0) patch.waitingJobs = run.waitingJobs + waiting;
  return patch;
}

function attemptEnd(job: JobRow, state: AttemptState, at: number, error: StoredError | null): Effect {
  return {
    type: "attempt",
    row: {
      job: job.seq,
      number: job.attempt,
      epoch: job.epoch,
      boot: job.attemptBoot,
      state,
      startedAt: job.startedAt ?? at,
      endedAt: at,
      error: error === null ? null : errorJson(error),
    },
  };
}

export interface JobEnd {
  state: "completed" | "failed" | "skipped" | "cancelled";
  at: number;
  reason?: string | null;
  output?: string | null;
  error?: StoredError | null;
  /** Effects that belong before the end, such as the attempt's own end. */
  effects?: Effect[];
}

/** The one place where a job ends, whatever the cause. */
export function endJob(slice: Slice, end: JobEnd): Verdict {
  const { run, stage, job } = slice;
  if (!mayMoveJob(job.state, end.state)) return illegal(job, end.state);
  const counts = end.state === "failed" && job.allowFailure === 0;
  const stagePatch: Partial<StageRow> = { settled: stage.settled + 1 };
  if (end.state === "completed") stagePatch.completed = stage.completed + 1;
  else if (end.state === "skipped") stagePatch.skipped = stage.skipped + 1;
  else if (end.state === "cancelled") stagePatch.cancelled = stage.cancelled + 1;
  else if (counts) stagePatch.failed = stage.failed + 1;
  const runPatch = countRun(run, job.state, end.state);
  runPatch.openJobs = run.openJobs - 1;
  if (counts) runPatch.failedJobs = run.failedJobs + 1;
  const effects: Effect[] = end.effects ?? [];
  if (end.output != null || end.error != null) {
    effects.push({
      type: "payload",
      job: job.seq,
      output: end.output ?? null,
      error: end.error ? errorJson(end.error) : null,
    });
  }
  const data: { [key: string]: Json } | undefined = end.error
    ? { code: end.error.code, message: end.error.message }
    : end.reason
      ? { reason: end.reason }
      : undefined;
  effects.push(
    data === undefined
      ? { type: "event", name: `job.${end.state}`, job: job.id }
      : { type: "event", name: `job.${end.state}`, job: job.id, data },
  );
  effects.push({ type: "ended", job, state: end.state });
  return {
    ok: true,
    run: runPatch,
    stage: stagePatch,
    job: {
      state: end.state,
      claimable: 0,
      boot: null,
      dueAt: null,
      holding: 0,
      attemptBoot: end.effects?.some((effect) => effect.type === "attempt") ? null : job.attemptBoot,
      endedAt: end.at,
      reason: end.reason ?? null,
    },
    effects,
  };
}

/** `pending → ready`. */
export function makeReady(slice: Slice, at: number): Verdict {
  const { run, job } = slice;
  if (!mayMoveJob(job.state, "ready")) return illegal(job, "ready");
  return {
    ok: true,
    run: countRun(run, job.state, "ready"),
    job: readyPatch(run, job, at, null),
    effects: [{ type: "ready", job }],
  };
}

function readyPatch(run: RunRow, job: JobRow, at: number, dueAt: number | null): Partial<JobRow> {
  return {
    state: "ready",
    boot: null,
    attemptBoot: null,
    holding: 0,
    claimable: dueAt === null && job.kind !== "map" ? 1 : 0,
    dueAt,
    rank: rankInRun(job.priority, dueAt ?? at, run.createdAt),
    readyAt: at,
    reason: null,
  };
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

/** The end of a job that has not started because its run is being cancelled or was halted; null if neither. */
export function barredByRun(slice: Slice, at: number): Verdict | null {
  const { run } = slice;
  if (run.cancelRequestedAt !== null) return endJob(slice, { state: "cancelled", at, reason: "run_cancelled" });
  if (run.haltedAt !== null) return endJob(slice, { state: "skipped", at, reason: "halted" });
  return null;
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

export function skipJob(slice: Slice, lease: Lease, reason: string, error: StoredError | null, at: number): Verdict {
  if (!holds(slice.job, lease)) return leaseLost(slice.job, lease.epoch);
  const effects = error === null ? releasing(slice.job) : closing(slice.job, "failed", at, error);
  return endJob(slice, { state: "skipped", at, reason, error, effects });
}

/** The end of an attempt with a row of its own, and of the limiters that it held. */
function closing(job: JobRow, state: AttemptState, at: number, error: StoredError | null): Effect[] {
  return [attemptEnd(job, state, at, error), ...releasing(job)];
}

/** A good attempt that ends the job is described by the job's own row; only limiters are to be given back. */
function releasing(job: JobRow): Effect[] {
  const effects: Effect[] = [];
  if (job.holding === 1)
    effects.push({ type: "release", limiter: null, key: null, job: job.seq, epoch: job.epoch, item: null });
  return effects;
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
  if (job.kind !== "fanout" && wait.dueAt === null && job.openChildren === 0) return { ok: true, result: "missed" };
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
    run: countRun(run, "running", "waiting"),
    job: {
      state: "waiting",
      boot: null,
      holding: 0,
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
    run: countRun(run, "waiting", "ready"),
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

/** One dependency of a pending job has ended in `state`. */
export function dependencyEnded(
  slice: Slice,
  on: DependencyType,
  source: string,
  state: JobState,
  at: number,
): Verdict {
  const { job, run } = slice;
  if (job.state !== "pending") return { ok: true };
  const satisfied = on === "always" || (on === "success" ? state === "completed" : state === "failed");
  if (!satisfied || (on === "always" && state === "cancelled" && run.cancelRequestedAt !== null)) {
    return endJob(slice, { state: "skipped", at, reason: `dependency_${state}:${source}` });
  }
  return unblock(slice, at);
}

/** The stage before has settled; well or not. */
export function barrierOpened(slice: Slice, well: boolean, stageName: string, at: number): Verdict {
  if (slice.job.state !== "pending" || slice.job.blockers === 0) return { ok: true };
  if (!well) return endJob(slice, { state: "skipped", at, reason: `stage_failed:${stageName}` });
  return unblock(slice, at);
}

function unblock(slice: Slice, at: number): Verdict {
  const blockers = slice.job.blockers - 1;
  if (blockers > 0 || slice.run.state === "pending") return { ok: true, job: { blockers } };
  const barred = barredByRun(slice, at);
  if (barred !== null) return barred;
  const ready = makeReady(slice, at);
  return ready.ok ? { ...ready, job: { ...ready.job, blockers } } : ready;
}

/** A child has ended: the parent, if it waits, looks again. */
export function childEnded(slice: Slice, at: number): Verdict {
  const { job } = slice;
  const openChildren = job.openChildren - 1;
  if (job.state !== "waiting" || job.kind !== "single") return { ok: true, job: { openChildren } };
  const woken = wakeJob(slice, at);
  return woken.ok ? { ...woken, job: { ...woken.job, openChildren } } : woken;
}

/** Ends a job that has no attempt under way; used by cancel, halt and deadlock sweeps. */
export function endIdle(
  slice: Slice,
  state: "cancelled" | "skipped" | "failed",
  reason: string,
  error: StoredError | null,
  at: number,
): Verdict<boolean> {
  const { job } = slice;
  if (isJobEnd(job.state) || job.state === "running") return { ok: true, result: false };
  if (job.state === "waiting" && job.kind === "fanout" && slice.fanout !== null && slice.fanout.leased > 0)
    return { ok: true, job: { claimable: 0 }, result: false };
  const end = endJob(slice, { state, at, reason, error });
  return end.ok ? { ...end, result: true } : end;
}

/** `failed | skipped | cancelled → pending`, with its dependencies and open children counted anew. */
export function reopenJob(slice: Slice, blockers: number, openChildren: number, at: number): Verdict {
  const { run, stage, job } = slice;
  if (!mayMoveJob(job.state, "pending")) return illegal(job, "pending");
  const failed = job.state === "failed" && job.allowFailure === 0;
  const stagePatch: Partial<StageRow> = { settled: stage.settled - 1, tainted: 0 };
  if (failed) stagePatch.failed = stage.failed - 1;
  else if (job.state === "skipped") stagePatch.skipped = stage.skipped - 1;
  else if (job.state === "cancelled") stagePatch.cancelled = stage.cancelled - 1;
  const effects: Effect[] = [{ type: "payload", job: job.seq, output: null, error: null }];
  if (job.attemptBoot !== null) effects.push(attemptEnd(job, "completed", job.endedAt ?? at, null));
  if (job.kind !== "single") effects.push({ type: "reopenItems", job: job.seq });
  const decision: Decision = {
    ok: true,
    run: { openJobs: run.openJobs + 1, ...(failed ? { failedJobs: run.failedJobs - 1 } : {}) },
    stage: stagePatch,
    job: {
      state: "pending",
      blockers,
      openChildren,
      failures: 0,
      crashes: 0,
      endedAt: null,
      dueAt: null,
      reason: null,
      firstStartedAt: null,
      cancelRequestedAt: null,
      attemptBoot: null,
      readyAt: at,
    },
    effects,
  };
  return decision;
}

/** Whether reports about this run's jobs still matter. */
export function isOver(run: RunRow): boolean {
  return isRunEnd(run.state);
}

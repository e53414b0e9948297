/**
 * How a job ends and how it becomes ready: the patches and counters that all rules of a job share.
 *
 * Invariants: (1) the counters of run and stage change in the same decision as the job; (2) a good attempt that ends the job
 * is described by the job's own row, any other attempt gets a row of its own.
 */
import type { Effect, Slice, Verdict } from "./decision.ts";
import { errorJson, reject } from "./decision.ts";
import type { StoredError } from "./errors.ts";
import { mayMoveJob } from "./lifecycle.ts";
import type { AttemptState, JobKind, JobRow, JobState, Json, RunRow, StageRow } from "./model.ts";
import { rankInRun } from "./schedule.ts";

export function illegal(job: JobRow, to: JobState) {
  return reject("illegal_transition", `job ${job.id} is ${job.state} and cannot become ${to}`, {
    job: job.id,
    from: job.state,
    to,
  });
}

/** Jobs that are, or could be, worked on now. A fan-out whose items are worked on is `waiting` itself, but not idle. */
export function isLive(kind: JobKind, state: JobState): boolean {
  return state === "ready" || state === "running" || (state === "waiting" && kind === "fanout");
}

/** Jobs that wait for a time, a child or a person. */
export function isIdle(kind: JobKind, state: JobState): boolean {
  return state === "waiting" && kind !== "fanout";
}

/** Patch of the run's counters when a job goes from one state to another. */
export function countRun(run: RunRow, { kind }: JobRow, from: JobState, to: JobState): Partial<RunRow> {
  const live = (isLive(kind, to) ? 1 : 0) - (isLive(kind, from) ? 1 : 0);
  const waiting = (isIdle(kind, to) ? 1 : 0) - (isIdle(kind, from) ? 1 : 0);
  const patch: Partial<RunRow> = {};
  if (live !== 0) patch.liveJobs = run.liveJobs + live;
  if (waiting !== 0) patch.waitingJobs = run.waitingJobs + waiting;
  return patch;
}

export function attemptEnd(job: JobRow, state: AttemptState, at: number, error: StoredError | null): Effect {
  return {
    type: "attempt",
    row: {
      job: job.seq,
      number: job.attempt,
      epoch: job.epoch,
      boot: job.attemptBoot,
      state,
      startedAt: job.startedAt ?? at,
      endedAt: Math.max(at, job.startedAt ?? at),
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
  const runPatch = countRun(run, job, job.state, end.state);
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
  if (job.approvals > 0) effects.push({ type: "closeApprovals", job: job.seq });
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
      holding: holdingAfter(job),
      approvals: 0,
      attemptBoot: end.effects?.some((effect) => effect.type === "attempt") ? null : job.attemptBoot,
      // A clock that was set back must not make an end before its start.
      endedAt: Math.max(end.at, job.startedAt ?? end.at),
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
    run: countRun(run, job, job.state, "ready"),
    job: readyPatch(run, job, at, null),
    effects: [{ type: "ready", job }],
  };
}

export function readyPatch(run: RunRow, job: JobRow, at: number, dueAt: number | null): Partial<JobRow> {
  return {
    state: "ready",
    boot: null,
    attemptBoot: null,
    holding: holdingAfter(job),
    claimable: dueAt === null && job.kind !== "map" ? 1 : 0,
    dueAt,
    rank: rankInRun(job.priority, dueAt ?? at, run.createdAt),
    readyAt: at,
    reason: null,
  };
}

/** The end of a job that has not started because its run is being cancelled or was halted; null if neither. */
export function barredByRun(slice: Slice, at: number): Verdict | null {
  const { run } = slice;
  if (run.cancelRequestedAt !== null) return endJob(slice, { state: "cancelled", at, reason: "run_cancelled" });
  if (run.haltedAt !== null) return endJob(slice, { state: "skipped", at, reason: "halted" });
  return null;
}

/** The end of an attempt with a row of its own, and of the limiters that it held. */
export function closing(job: JobRow, state: AttemptState, at: number, error: StoredError | null): Effect[] {
  return [attemptEnd(job, state, at, error), ...releasing(job)];
}

/** Items at work hold limiters whatever becomes of their fan-out's job; their windows give them back. */
export function holdingAfter(job: JobRow): 0 | 1 {
  return job.kind === "single" ? 0 : job.holding;
}

/** A good attempt that ends the job is described by the job's own row; only limiters are to be given back. */
export function releasing(job: JobRow): Effect[] {
  const effects: Effect[] = [];
  if (job.holding === 1)
    effects.push({ type: "release", limiter: null, key: null, job: job.seq, epoch: job.epoch, item: -1 });
  return effects;
}

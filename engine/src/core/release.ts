/**
 * Rules of jobs that have no attempt under way: what the end of others means for them, sweeps, and reopening.
 */
import type { Decision, Effect, Slice, Verdict } from "./decision.ts";
import type { StoredError } from "./errors.ts";
import { wakeJob } from "./job.ts";
import { attemptEnd, barredByRun, endJob, illegal, makeReady } from "./job-end.ts";
import { mayMoveJob } from "./lifecycle.ts";
import type { DependencyType, JobState, StageRow } from "./model.ts";
import { isJobEnd } from "./model.ts";

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

export interface ReopenTerms {
  blockers: number;
  openChildren: number;
  /** The stage stays behind one that failed. */
  keepsTaint: boolean;
  /** Only these items of a fan-out; null: all that did not complete. */
  items: readonly number[] | null;
}

/** `failed | skipped | cancelled → pending`, with its dependencies and open children counted anew. */
export function reopenJob(slice: Slice, terms: ReopenTerms, at: number): Verdict {
  const { run, stage, job } = slice;
  const { blockers, openChildren, keepsTaint, items } = terms;
  if (!mayMoveJob(job.state, "pending")) return illegal(job, "pending");
  const failed = job.state === "failed" && job.allowFailure === 0;
  const stagePatch: Partial<StageRow> = { settled: stage.settled - 1, tainted: keepsTaint ? 1 : 0 };
  if (failed) stagePatch.failed = stage.failed - 1;
  else if (job.state === "skipped") stagePatch.skipped = stage.skipped - 1;
  else if (job.state === "cancelled") stagePatch.cancelled = stage.cancelled - 1;
  const effects: Effect[] = [{ type: "payload", job: job.seq, output: null, error: null }];
  if (job.attemptBoot !== null) effects.push(attemptEnd(job, "completed", job.endedAt ?? at, null));
  if (job.kind !== "single") effects.push({ type: "reopenItems", job: job.seq, ordinals: items });
  if (job.attempt > 0) effects.push({ type: "voidApprovals", job: job.seq });
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

/**
 * Which state may follow which, as data. Everything else is a rejection value, never silence.
 *
 * Owner: core. Beside DESIGN.md's arrows the job table names three ends that need no attempt: a job that never started
 * can be skipped or cancelled, and a waiting job can be cancelled or run out of time.
 */
import type { AttemptState, ItemState, JobState, RunState } from "./model.ts";

type Moves<S extends string> = Readonly<Record<S, readonly S[]>>;

export const RUN_MOVES: Moves<RunState> = {
  pending: ["running", "cancelled"],
  running: ["waiting", "completed", "failed", "cancelled"],
  waiting: ["running", "completed", "failed", "cancelled"],
  completed: [],
  failed: ["running"],
  cancelled: ["running"],
};

export const JOB_MOVES: Moves<JobState> = {
  pending: ["ready", "skipped", "cancelled"],
  ready: ["running", "skipped", "cancelled"],
  running: ["completed", "failed", "skipped", "cancelled", "waiting", "ready"],
  waiting: ["ready", "failed", "skipped", "cancelled"],
  completed: [],
  failed: ["pending"],
  skipped: ["pending"],
  cancelled: ["pending"],
};

export const ITEM_MOVES: Moves<ItemState> = {
  pending: ["running", "skipped", "cancelled"],
  running: ["completed", "failed", "skipped", "cancelled", "pending"],
  completed: [],
  failed: ["pending"],
  skipped: ["pending"],
  cancelled: ["pending"],
};

export const ATTEMPT_MOVES: Moves<AttemptState> = {
  running: ["completed", "failed", "lost", "stopped"],
  completed: [],
  failed: [],
  lost: [],
  stopped: [],
};

export function mayMoveRun(from: RunState, to: RunState): boolean {
  return RUN_MOVES[from].includes(to);
}

export function mayMoveJob(from: JobState, to: JobState): boolean {
  return JOB_MOVES[from].includes(to);
}

export function mayMoveItem(from: ItemState, to: ItemState): boolean {
  return ITEM_MOVES[from].includes(to);
}

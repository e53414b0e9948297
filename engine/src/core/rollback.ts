/**
 * Rollback: what a run has done outside is undone by a run of its own, one compensation after the other, in the reverse order
 * in which the jobs completed.
 *
 * Owner: core. Invariants:
 * 1. Only a run that has ended is rolled back, and once: from then on it is not retried. Both are decided in the transaction
 *    that starts the rollback, or reopens the run.
 * 2. The chain stops at the first compensation that does not complete; what comes after waits for a retry of the rollback.
 * 3. A run is rolled back when every compensation has completed. Anything less has another name.
 */
import type { Rejection } from "./decision.ts";
import { reject } from "./decision.ts";
import type { JobSpec, PipelineDocument, WorkPolicy } from "./document.ts";
import type { StoredError } from "./errors.ts";
import type { JobSeq, RunRow, RunSeq, RunState } from "./model.ts";
import { isRunEnd, variantOf } from "./model.ts";

/** What a start that comes from another run finds of that one. */
export interface OriginSlice {
  run: RunRow;
  /** Its rollback, whatever became of it. */
  rollback: { seq: RunSeq; id: string; state: RunState } | null;
}

/** Why a run can't be the origin of a new one of this kind; null if it can. */
export function originRefusal(origin: OriginSlice, relation: "rollback" | "rerun"): Rejection | null {
  const { run, rollback } = origin;
  const what = relation === "rollback" ? "rolled back" : "run again from a job";
  if (!isRunEnd(run.state))
    return reject(
      "illegal_transition",
      `run ${run.id} is ${run.state} and can't be ${what}: only a run that has ended can`,
      {
        run: run.id,
        from: run.state,
      },
    );
  if (run.propagating > 0)
    return reject("conflict", `run ${run.id} has only just ended and is still being tidied up; try again`, {
      run: run.id,
    });
  if (relation === "rerun") return null;
  if (rollback !== null) {
    const how =
      isRunEnd(rollback.state) && rollback.state !== "completed"
        ? `; go on with it: tenuto runs retry ${rollback.id}`
        : "";
    return reject(
      "conflict",
      `run ${run.id} has the rollback ${rollback.id} already, which is ${rollback.state}${how}`,
      {
        run: run.id,
        rollback: rollback.id,
      },
    );
  }
  const { relation: own, dryRun } = variantOf(run);
  if (own === "rollback")
    return reject("illegal_transition", `run ${run.id} is a rollback itself and can't be rolled back`, { run: run.id });
  if (dryRun === true)
    return reject("illegal_transition", `run ${run.id} was a dry run: it has done nothing outside`, { run: run.id });
  return null;
}

/** A completed job whose effects can be undone. */
export interface Undoable {
  seq: JobSeq;
  id: string;
  spec: JobSpec;
}

/** Jobs to undo in the order in which that is to be done, from the names of events in the order in which they happened. */
export function undoOrder(completed: readonly string[], undoable: ReadonlyMap<string, Undoable>): Undoable[] {
  const order: Undoable[] = [];
  const seen = new Set<string>();
  for (const id of completed.toReversed()) {
    const job = undoable.get(id);
    if (job === undefined || seen.has(id)) continue;
    seen.add(id);
    order.push(job);
  }
  return order;
}

/** Whether a job that completed has something of its own to undo. What was reused or only planned was not done by this run. */
export function isUndoable(spec: JobSpec, reason: string | null): boolean {
  if (spec.compensate === undefined || spec.multiply !== undefined) return false;
  return reason === null || !(reason.startsWith("reused:") || reason === "planned");
}

const POLICY: readonly (keyof WorkPolicy)[] = ["retry", "timeoutSeconds", "jobTimeoutSeconds", "errors", "maxCrashes"];

/** The rollback as a pipeline: one job per compensation, each after the one before. */
export function rollbackDocument(document: PipelineDocument, order: readonly Undoable[]): PipelineDocument {
  const jobs = order.map((undone, at): JobSpec => {
    const { compensate } = undone.spec;
    const spec: JobSpec = {
      id: undoId(at, undone.id),
      agent: compensate?.agent ?? "command/inline",
      needs: at === 0 ? [] : [{ job: undoId(at - 1, order[at - 1]!.id), on: "success" }],
      onExhausted: "fail",
      summary: `undo ${undone.id.replaceAll("{{", "{ {")}`,
      compensates: { job: undone.id, seq: undone.seq },
    };
    if (compensate?.command !== undefined) spec.command = compensate.command;
    if (compensate?.input !== undefined) spec.input = compensate.input;
    for (const key of POLICY) if (compensate?.[key] !== undefined) Object.assign(spec, { [key]: compensate[key] });
    return spec;
  });
  const { name, description, params, priority, limiters, defaults, agents } = document;
  const kept = { name, description, params, priority, limiters, defaults, agents };
  const present = Object.entries(kept).filter(([, value]) => value !== undefined);
  return {
    ...(Object.fromEntries(present) as typeof kept),
    kind: "graph",
    stages: [{ name: "undo", jobs }],
  } as PipelineDocument;
}

/** `undo-03-publish`; ids of spawned jobs lose their slashes. */
function undoId(at: number, job: string): string {
  const number = String(at + 1).padStart(2, "0");
  return `undo-${number}-${job.replaceAll(/[^A-Za-z0-9._-]/g, ".")}`.slice(0, 100);
}

/** A compensation that skips, or fails in a way that would skip, has not undone anything: that must stop the chain. */
export function notUndone(job: string, reason: string, error: StoredError | null): StoredError {
  return {
    ...(error ?? {}),
    category: "permanent",
    code: error?.code ?? "not_undone",
    message: error?.message ?? `the compensation of job ${job} was skipped: ${reason}`,
    hint: error?.hint ?? "A compensation that finds nothing to undo must complete. Mend it, then retry the rollback.",
  };
}

export type RollbackState = "rolling back" | "rolled back" | "partially rolled back";

/** What a rollback has made of its origin, by how many of its compensations have completed. */
export function rollbackState(state: RunState, done: number, of: number): RollbackState {
  if (!isRunEnd(state)) return "rolling back";
  return state === "completed" && done === of ? "rolled back" : "partially rolled back";
}

/**
 * Consequences of a change, decided step by step: dependents of an ended job, the barrier of the next stage, the parent,
 * sweeps of cancel and halt. Ledgers load what a step names and call `propagate` until the unit has nothing left to do.
 */
import type { EdgeRow, Propagation, Slice, Verdict } from "./decision.ts";
import { makeReady } from "./job-end.ts";
import type { JobRow, JobSeq, RunRow, RunSeq, StageRow } from "./model.ts";
import { isJobEnd, isRunEnd } from "./model.ts";
import { barrierOpened, childEnded, dependencyEnded, endIdle } from "./release.ts";
import { beginRun, requestCancel } from "./run.ts";
import type { Unit } from "./unit.ts";

/** What a ledger must be able to load for a step, already through the unit's shared rows. */
export interface PropagationSource {
  run(seq: RunSeq): RunRow | undefined;
  stage(run: RunSeq, ordinal: number): StageRow | undefined;
  job(seq: JobSeq): JobRow | undefined;
  slice(job: JobSeq): Slice | undefined;
  edges(from: JobSeq, after: JobSeq, limit: number): EdgeRow[];
  /** Jobs of the run with a seq in (after, before) in one of the states, in order. */
  jobs(run: RunSeq, states: readonly JobRow["state"][], after: JobSeq, before: JobSeq, limit: number): JobSeq[];
  /** The oldest pending run with this concurrency key, unless another run of that key is active. */
  nextOfKey(key: string): RunSeq | undefined;
  /** The next run of the key in (after, before) that has not ended. */
  openOfKey(key: string, after: RunSeq, before: RunSeq): RunSeq | undefined;
  /** Jobs of kind `map` below this one that may be open. */
  maps(parent: JobSeq): JobSeq[];
}

const IDLE: readonly JobRow["state"][] = ["pending", "ready", "waiting"];

/** Works off one step, at most `limit` jobs; what remains of it goes back to the unit's list. Returns the jobs decided. */
export function propagate(unit: Unit, source: PropagationSource, step: Propagation, limit: number): number {
  const run = source.run(step.run);
  if (run === undefined) return 1;
  switch (step.kind) {
    case "dependents":
      return dependents(unit, source, step, limit);
    case "barrier":
      return barrier(unit, source, step, limit);
    case "child":
      return decide(unit, source, step.subject, (slice) => childEnded(slice, unit.at));
    case "begin":
      return sweep(unit, source, step, ["pending"], limit, (slice) =>
        slice.job.blockers === 0 ? makeReady(slice, unit.at) : { ok: true },
      );
    case "cancel":
      // The run may have ended and been reopened since.
      if (run.cancelRequestedAt === null) return 1;
      return sweep(unit, source, step, IDLE, limit, (slice) =>
        endIdle(slice, "cancelled", "run_cancelled", null, unit.at),
      );
    case "halt":
      if (run.haltedAt === null) return 1;
      return sweep(unit, source, step, IDLE, limit, (slice) => endIdle(slice, "skipped", "halted", null, unit.at));
    case "deadlock":
      return deadlock(unit, source, step, run, limit);
    case "replace":
      return replace(unit, source, step, run);
    case "keyFreed":
      return keyFreed(unit, source, run);
    case "orphans":
      return orphans(unit, source, step.subject);
    default:
      // A row that a newer or damaged ledger holds: nothing follows from it here.
      return 1;
  }
}

/** A new run takes the place of all runs of its key before it, queued ones included. */
function replace(unit: Unit, source: PropagationSource, step: Propagation, run: RunRow): number {
  mergeRun(unit, run, requestCancel(run, "replaced", unit.at));
  if (run.concurrencyKey === null) return 1;
  const next = source.openOfKey(run.concurrencyKey, run.seq, step.subject);
  if (next !== undefined) unit.todo.push({ ...step, run: next });
  return 1;
}

/** A `map` has its closure in its parent's process; when the parent has ended, nobody can run it any more. */
function orphans(unit: Unit, source: PropagationSource, seq: JobSeq): number {
  const parent = source.job(seq);
  if (parent === undefined || !isJobEnd(parent.state)) return 1;
  const maps = source.maps(seq);
  for (const map of maps)
    decide(unit, source, map, (slice) => endIdle(slice, "skipped", "parent_ended", null, unit.at));
  return maps.length;
}

function mergeRun(unit: Unit, run: RunRow, verdict: Verdict): number {
  if (verdict.ok) unit.merge({ run }, verdict);
  return 1;
}

function decide(unit: Unit, source: PropagationSource, job: JobSeq, rule: (slice: Slice) => Verdict): number {
  const slice = source.slice(job);
  if (slice === undefined) return 1;
  const verdict = rule(slice);
  if (verdict.ok) unit.merge(slice, verdict);
  return 1;
}

function dependents(unit: Unit, source: PropagationSource, step: Propagation, limit: number): number {
  const ended = source.job(step.subject);
  if (ended === undefined || !isJobEnd(ended.state)) return 1;
  const edges = source.edges(step.subject, step.cursor, limit);
  for (const edge of edges)
    decide(unit, source, edge.to, (slice) => dependencyEnded(slice, edge.on, ended.id, ended.state, unit.at));
  const last = edges.at(-1);
  if (edges.length === limit && last !== undefined) unit.todo.unshift({ ...step, cursor: last.to });
  return edges.length;
}

function barrier(unit: Unit, source: PropagationSource, step: Propagation, limit: number): number {
  const stage = source.stage(step.run, step.subject);
  const before = source.stage(step.run, step.subject - 1);
  if (stage === undefined || before === undefined || before.settled < before.total) return 1;
  const well = before.failed === 0 && before.tainted === 0;
  if (stage.tainted !== (well ? 0 : 1)) {
    stage.tainted = well ? 0 : 1;
    unit.dirtyStages.add(stage);
  }
  const from = Math.max(step.cursor, stage.firstJob - 1);
  const jobs = source.jobs(step.run, ["pending"], from, stage.firstJob + stage.declared, limit);
  for (const job of jobs)
    decide(unit, source, job, (slice) =>
      slice.job.barrier === 1 ? barrierOpened(slice, well, before.name, unit.at) : { ok: true },
    );
  const last = jobs.at(-1);
  if (jobs.length === limit && last !== undefined) unit.todo.unshift({ ...step, cursor: last });
  // A stage whose jobs had all ended before does not settle once more; the next one still hears whether it did well.
  else if (stage.settled === stage.total && stage.ordinal + 1 < (source.run(step.run)?.stageCount ?? 0))
    unit.todo.push({ ...step, subject: stage.ordinal + 1, cursor: 0 });
  return jobs.length;
}

function sweep(
  unit: Unit,
  source: PropagationSource,
  step: Propagation,
  states: readonly JobRow["state"][],
  limit: number,
  rule: (slice: Slice) => Verdict,
): number {
  const jobs = source.jobs(step.run, states, step.cursor, Number.MAX_SAFE_INTEGER, limit);
  for (const job of jobs) decide(unit, source, job, rule);
  const last = jobs.at(-1);
  if (jobs.length === limit && last !== undefined) unit.todo.push({ ...step, cursor: last });
  return jobs.length;
}

/**
 * Nothing runs, nothing waits, yet jobs are open: they are named and skipped, and the run fails. With subject 1 jobs do
 * wait, for each other. Looked at again here, because other consequences may have come between.
 */
function deadlock(unit: Unit, source: PropagationSource, step: Propagation, run: RunRow, limit: number): number {
  if (step.cursor === 0) {
    const stands = run.liveJobs === 0 && run.openJobs > 0 && (run.waitingJobs === 0 || step.subject === 1);
    const ending = isRunEnd(run.state) || run.cancelRequestedAt !== null || run.haltedAt !== null;
    if (!stands || ending || run.propagating > 0 || unit.todo.some((other) => other.run === run.seq)) {
      unit.patchRun(run, {});
      return 1;
    }
    const names = source
      .jobs(run.seq, IDLE, 0, Number.MAX_SAFE_INTEGER, 20)
      .map((seq) => source.job(seq)?.id ?? String(seq));
    unit.event(run, "run.deadlocked", null, { jobs: names, open: run.openJobs });
    unit.patchRun(run, { haltedAt: unit.at });
  }
  return sweep(unit, source, step, IDLE, limit, (slice) => endIdle(slice, "skipped", "deadlock", null, unit.at));
}

function keyFreed(unit: Unit, source: PropagationSource, run: RunRow): number {
  if (run.concurrencyKey === null) return 1;
  const next = source.nextOfKey(run.concurrencyKey);
  const row = next === undefined ? undefined : source.run(next);
  return row === undefined ? 1 : mergeRun(unit, row, beginRun(row));
}

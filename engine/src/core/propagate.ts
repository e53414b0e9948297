/**
 * Consequences of a change, decided step by step: dependents of an ended job, the barrier of the next stage, the parent,
 * sweeps of cancel and halt. Ledgers load what a step names and call `propagate` until the unit has nothing left to do.
 */
import type { EdgeRow, Propagation, Slice, Verdict } from "./decision.ts";
import { barrierOpened, childEnded, dependencyEnded, endIdle, makeReady } from "./job.ts";
import type { JobRow, JobSeq, RunRow, RunSeq, StageRow } from "./model.ts";
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
      return sweep(unit, source, step, IDLE, limit, (slice) =>
        endIdle(slice, "cancelled", "run_cancelled", null, unit.at),
      );
    case "halt":
      return sweep(unit, source, step, IDLE, limit, (slice) => endIdle(slice, "skipped", "halted", null, unit.at));
    case "deadlock":
      return deadlock(unit, source, step, run, limit);
    case "replace":
      return mergeRun(unit, run, requestCancel(run, "replaced", unit.at));
    case "keyFreed":
      return keyFreed(unit, source, run);
  }
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
  if (ended === undefined) return 1;
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
  if (!well && stage.tainted === 0) {
    stage.tainted = 1;
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

/** Nothing runs, nothing waits, yet jobs are open: they are named and skipped, and the run fails. */
function deadlock(unit: Unit, source: PropagationSource, step: Propagation, run: RunRow, limit: number): number {
  if (run.haltedAt === null) {
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

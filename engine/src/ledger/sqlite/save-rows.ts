/**
 * Saves of runs and jobs, the rows that change most: each change by the narrowest statement that covers it, each guarded by
 * the row's version.
 */
import { invariant } from "../../core/errors.ts";
import type { JobRow, RunRow } from "../../core/model.ts";
import { SQL } from "./sql.ts";
import type { Statements } from "./statements.ts";

/** Columns that most changes of a run are about. */
const RUN_COUNTERS: ReadonlySet<string> = new Set(["eventSeq", "openJobs", "liveJobs"]);
/** Columns that change when a job is claimed, made ready in the same transaction or not. */
const JOB_START: ReadonlySet<string> = new Set([
  "state",
  "claimable",
  "boot",
  "epoch",
  "attempt",
  "startedAt",
  "firstStartedAt",
  "blockers",
  "readyAt",
  "rank",
  "attemptBoot",
]);
/** Columns that change when a running job ends. */
const JOB_END: ReadonlySet<string> = new Set(["state", "boot", "endedAt", "reason"]);

function isWithin(columns: ReadonlySet<string>, allowed: ReadonlySet<string>): boolean {
  for (const column of columns) if (!allowed.has(column)) return false;
  return true;
}

export function updateRun(statements: Statements, row: RunRow, columns: ReadonlySet<string>): void {
  const { changes } = isWithin(columns, RUN_COUNTERS)
    ? statements.of(SQL.updateRunCounters).run(row.openJobs, row.liveJobs, row.eventSeq, row.seq, row.rowVersion)
    : statements
        .of(SQL.updateRun)
        .run(
          row.state,
          row.jobCount,
          row.openJobs,
          row.liveJobs,
          row.waitingJobs,
          row.failedJobs,
          row.spawnedJobs,
          row.propagating,
          row.eventSeq,
          row.startedAt,
          row.endedAt,
          row.cancelRequestedAt,
          row.haltedAt,
          row.seq,
          row.rowVersion,
        );
  invariant(changes === 1, `run ${row.id} changed between load and save`);
  row.rowVersion += 1;
}

interface Payload {
  output: string | null;
  error: string | null;
}

export function updateJob(
  statements: Statements,
  row: JobRow,
  columns: ReadonlySet<string>,
  payload: Payload | undefined,
): void {
  const { changes } = changeJob(statements, row, columns, payload);
  invariant(changes === 1, `job ${row.id} changed between load and save`);
  row.rowVersion += 1;
}

/** The narrowest statement that covers the change: fewer indexes to look after and fewer values to hand over. */
function changeJob(statements: Statements, row: JobRow, columns: ReadonlySet<string>, payload: Payload | undefined) {
  if (payload === undefined && isWithin(columns, JOB_START)) {
    return statements
      .of(SQL.startJob)
      .run(
        row.state,
        row.claimable,
        row.boot,
        row.attemptBoot,
        row.epoch,
        row.attempt,
        row.startedAt,
        row.firstStartedAt,
        row.blockers,
        row.readyAt,
        row.rank,
        row.seq,
        row.rowVersion,
      );
  }
  if (isWithin(columns, JOB_END)) {
    const { output = null, error = null } = payload ?? {};
    return statements
      .of(payload === undefined ? SQL.endJob : SQL.endJobWithPayload)
      .run(
        row.state,
        row.boot,
        row.endedAt,
        row.reason,
        ...(payload === undefined ? [] : [output, error]),
        row.seq,
        row.rowVersion,
      );
  }
  return statements
    .of(payload === undefined ? SQL.updateJob : SQL.updateJobWithPayload)
    .run(...jobValues(row), ...(payload === undefined ? [] : [payload.output, payload.error]), row.seq, row.rowVersion);
}

function jobValues(row: JobRow): unknown[] {
  return [
    row.state,
    row.blockers,
    row.children,
    row.openChildren,
    row.approvals,
    row.claimable,
    row.rank,
    row.dueAt,
    row.attempt,
    row.failures,
    row.crashes,
    row.holding,
    row.epoch,
    row.boot,
    row.attemptBoot,
    row.readyAt,
    row.firstStartedAt,
    row.startedAt,
    row.endedAt,
    row.cancelRequestedAt,
    row.reason,
  ];
}

export function insertJob(statements: Statements, row: JobRow): void {
  if (row.attempt === 0 && row.parent === null && row.endedAt === null) return insertPlainJob(statements, row);
  statements
    .of(SQL.insertJob)
    .run(
      row.seq,
      row.run,
      row.id,
      row.stage,
      row.kind,
      row.agent,
      row.state,
      row.priority,
      row.allowFailure,
      row.blockers,
      row.barrier,
      row.hasDependents,
      row.parent,
      row.depth,
      row.children,
      row.openChildren,
      row.approvals,
      row.claimable,
      row.rank,
      row.dueAt,
      row.attempt,
      row.failures,
      row.crashes,
      row.holding,
      row.epoch,
      row.boot,
      row.attemptBoot,
      row.readyAt,
      row.firstStartedAt,
      row.startedAt,
      row.endedAt,
      row.cancelRequestedAt,
      row.reason,
      row.rowVersion,
    );
}

/** A declared job that has not started: all other columns have their defaults. */
function insertPlainJob(statements: Statements, row: JobRow): void {
  statements
    .of(SQL.insertPlainJob)
    .run(
      row.seq,
      row.run,
      row.id,
      row.stage,
      row.kind,
      row.agent,
      row.state,
      row.priority,
      row.allowFailure,
      row.blockers,
      row.barrier,
      row.hasDependents,
      row.claimable,
      row.rank,
      row.readyAt,
    );
}

export function runValues(row: RunRow): unknown[] {
  return [
    row.seq,
    row.id,
    row.pipeline,
    row.version,
    row.state,
    row.priority,
    row.stageCount,
    row.jobCount,
    row.openJobs,
    row.liveJobs,
    row.waitingJobs,
    row.failedJobs,
    row.spawnedJobs,
    row.firstJob,
    row.propagating,
    row.eventSeq,
    row.concurrencyKey,
    row.createdAt,
    row.startedAt,
    row.endedAt,
    row.cancelRequestedAt,
    row.haltedAt,
    row.origin,
    row.variant,
    row.rowVersion,
  ];
}

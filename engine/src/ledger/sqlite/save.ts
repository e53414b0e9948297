/**
 * Writes what a unit of work holds: new rows first, then changed rows by compare-and-set, then what refers to them.
 *
 * Invariant: an update that changes no row means that somebody else wrote between load and save; the transaction fails and
 * is decided again.
 */

import type { Effect, ItemRow } from "../../core/decision.ts";
import { invariant } from "../../core/errors.ts";
import type { FanoutRow, JobRow, RunRow, StageRow, WindowRow } from "../../core/model.ts";
import type { Unit } from "../../core/unit.ts";
import type { Statements } from "./load.ts";
import { SQL } from "./sql.ts";

/** An event's id is its run's number times this, plus its own number. */
export const EVENTS_PER_RUN = 16_777_216;

/** Longer params have a table of their own: the run's row is written with each change of its counters. */
const INLINE_PARAMS = 1_000;

export function save(statements: Statements, unit: Unit): void {
  const writes = unit.writes;
  for (const { row, facts } of writes.runs) {
    unit.dirtyRuns.delete(row);
    const inline = facts.params.length <= INLINE_PARAMS ? facts.params : null;
    statements.of(SQL.insertRun).run(...runValues(row), inline, facts.idempotencyKey, facts.requestHash, facts.labels);
    if (inline === null) statements.of(SQL.insertParams).run(row.seq, facts.params);
  }
  for (const row of writes.stages) {
    unit.dirtyStages.delete(row);
    statements.of(SQL.insertStage).run(...stageValues(row));
  }
  for (const { row, spec } of writes.jobs) {
    unit.dirtyJobs.delete(row);
    insertJob(statements, row);
    if (spec !== null) statements.of(SQL.insertSpec).run(row.seq, spec);
  }
  for (const edge of writes.edges) statements.of(SQL.insertEdge).run(edge.from, edge.to, edge.on);
  for (const [row, columns] of unit.dirtyRuns) updateRun(statements, row, columns);
  for (const row of unit.dirtyStages)
    statements
      .of(SQL.updateStage)
      .run(
        row.total,
        row.settled,
        row.completed,
        row.failed,
        row.skipped,
        row.cancelled,
        row.tainted,
        row.run,
        row.ordinal,
      );
  const payloads = new Map(writes.payloads.map((payload) => [payload.job, payload]));
  for (const [row, columns] of unit.dirtyJobs) {
    updateJob(statements, row, columns, payloads.get(row.seq));
    payloads.delete(row.seq);
  }
  for (const { job, output, error } of payloads.values()) statements.of(SQL.payload).run(output, error, job);
  saveFanouts(statements, unit);
  for (const row of writes.attempts)
    statements
      .of(SQL.insertAttempt)
      .run(row.job, row.number, row.epoch, row.boot, row.state, row.startedAt, row.endedAt, row.error);
  for (const row of writes.steps)
    statements.of(SQL.putStep).run(row.job, row.item, row.key, row.inputHash, row.output, row.startedAt, row.endedAt);
  for (const row of writes.events)
    statements
      .of(SQL.insertEvent)
      .run(
        row.run * EVENTS_PER_RUN + row.seq,
        row.run,
        row.at,
        row.name,
        row.job,
        row.data === null ? null : JSON.stringify(row.data),
      );
  for (const row of writes.propagations)
    statements.of(SQL.insertPropagation).run(row.kind, row.run, row.subject, row.cursor);
  for (const effect of writes.others) saveOther(statements, effect, unit.at);
  unit.written();
}

function saveFanouts(statements: Statements, unit: Unit): void {
  const writes = unit.writes;
  for (const row of writes.fanouts) {
    unit.dirtyFanouts.delete(row);
    statements.of(SQL.insertFanout).run(...fanoutValues(row));
  }
  for (const row of unit.dirtyFanouts) {
    statements
      .of(SQL.updateFanout)
      .run(
        row.cursor,
        row.slotsUsed,
        row.leased,
        row.retryCursor,
        row.released,
        row.windowEpoch,
        row.completed,
        row.failed,
        row.skipped,
        row.stopped,
        row.lastOrdinal,
        row.progressAt,
        row.job,
      );
  }
  for (const { job, start } of writes.droppedWindows) statements.of(SQL.dropWindow).run(job, start);
  for (const row of writes.windows) {
    unit.dirtyWindows.delete(row);
    statements.of(SQL.putWindow).run(row.job, row.start, row.stop, row.open, row.epoch, row.boot, row.slots);
  }
  for (const row of unit.dirtyWindows) updateWindow(statements, row);
  for (const { job, rows } of writes.items) saveItems(statements, job, rows);
}

function saveItems(statements: Statements, job: number, rows: readonly ItemRow[]): void {
  const put = statements.of(SQL.putItem);
  for (const row of rows) {
    const { changes } = put.run(
      job,
      row.ordinal,
      row.state,
      row.attempts,
      row.result,
      row.error,
      row.dueAt,
      row.endedAt,
    );
    invariant(changes === 1, `item ${row.ordinal} of job ${job} has ended already`);
  }
}

function updateWindow(statements: Statements, row: WindowRow): void {
  const { changes } = statements.of(SQL.updateWindow).run(row.open, row.boot, row.slots, row.job, row.start, row.epoch);
  invariant(changes === 1, `window ${row.start} of job ${row.job} changed under epoch ${row.epoch}`);
}

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

function updateRun(statements: Statements, row: RunRow, columns: ReadonlySet<string>): void {
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

function updateJob(
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

function insertJob(statements: Statements, row: JobRow): void {
  if (row.attempt === 0 && row.parent === null) return insertPlainJob(statements, row);
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

function runValues(row: RunRow): unknown[] {
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
    row.rowVersion,
  ];
}

function stageValues(row: StageRow): unknown[] {
  return [
    row.run,
    row.ordinal,
    row.name,
    row.firstJob,
    row.declared,
    row.total,
    row.settled,
    row.completed,
    row.failed,
    row.skipped,
    row.cancelled,
    row.tainted,
  ];
}

function fanoutValues(row: FanoutRow): unknown[] {
  return [
    row.job,
    row.source,
    row.total,
    row.cursor,
    row.concurrency,
    row.slotsUsed,
    row.leased,
    row.retryCursor,
    row.released,
    row.windowEpoch,
    row.windowSize,
    row.completed,
    row.failed,
    row.skipped,
    row.duplicates,
    row.errorRate,
    row.stopped,
    row.lastOrdinal,
    row.progressAt,
  ];
}

function saveOther(statements: Statements, effect: Effect, at: number): void {
  switch (effect.type) {
    case "reopenItems":
      statements.of(SQL.uncoverItems).run(effect.job, effect.job);
      statements.of(SQL.dropWindows).run(effect.job);
      statements.of(SQL.reopenItems).run(effect.job);
      return;
    case "itemKeys":
      for (const { ordinal, hash } of effect.keys)
        statements.of(SQL.putItemKey).run(effect.scope, hash, effect.job, ordinal);
      return;
    case "clearItemKeys":
      statements.of(SQL.clearItemKeys).run(effect.scope, effect.job);
      statements.of(SQL.dropLooseItems).run(effect.job, effect.job);
      return;
    case "putLimiter":
      statements.of(SQL.putLimiter).run(effect.row.name, effect.row.key, effect.row.data);
      return;
    case "hold":
      statements.of(SQL.hold).run(effect.limiter, effect.key, effect.job, effect.epoch, effect.item);
      return;
    case "release":
      statements.of(SQL.release).run(effect.job, effect.epoch, effect.limiter, effect.key, effect.item);
      return;
    case "cachePut":
      statements.of(SQL.putCache).run(effect.pipeline, effect.key, effect.job, effect.at, effect.output);
      return;
    case "process":
      statements
        .of(SQL.insertProcess)
        .run(effect.row.marker, effect.row.boot, effect.row.pid, effect.row.pidStart, effect.row.job, effect.row.epoch);
      return;
    case "processEnded":
      statements.of(SQL.dropProcess).run(effect.marker);
      return;
    case "artifact": {
      const row = effect.row;
      statements
        .of(SQL.insertArtifact)
        .run(row.run, row.job, row.attempt, row.name, row.type, row.sha256, row.bytes, row.mediaType, row.at);
      return;
    }
    case "dataset":
      statements.of(SQL.putDataset).run(effect.sha256, effect.count, effect.bytes, effect.stride, effect.offsets, at);
      return;
    default:
      invariant(false, `effect ${effect.type} has no row`);
  }
}

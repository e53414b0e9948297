/**
 * Writes what a unit of work holds: new rows first, then changed rows by compare-and-set, then what refers to them.
 *
 * Invariant: an update that changes no row means that somebody else wrote between load and save; the transaction fails and
 * is decided again.
 */

import type { ArtifactRow, Effect, ItemRow } from "../../core/decision.ts";
import { invariant } from "../../core/errors.ts";
import type { FanoutRow, StageRow, WindowRow } from "../../core/model.ts";
import type { Unit } from "../../core/unit.ts";
import { EVENTS_PER_RUN, FEED_KEPT } from "../events.ts";
import { CLOSE_APPROVALS, RECORD_SQL, recordValues, VOID_APPROVALS } from "./records.ts";
import { insertJob, runValues, updateJob, updateRun } from "./save-rows.ts";
import { SQL } from "./sql.ts";
import type { Statements } from "./statements.ts";

const FEED_TRIM_EVERY = 1_024;

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
  saveEvents(statements, unit);
  for (const row of writes.propagations)
    statements.of(SQL.insertPropagation).run(row.kind, row.run, row.subject, row.cursor);
  for (const effect of writes.others) saveOther(statements, effect, unit);
  unit.written();
}

/** Each commit with events is one entry of the feed, once somebody has asked for it: it costs a page in each commit. */
function saveEvents(statements: Statements, { writes: { events }, at, cache }: Unit): void {
  if (events.length === 0) return;
  const insert = statements.of(SQL.insertEvent);
  const ranges = new Map<number, { first: number; last: number }>();
  for (const row of events) {
    const data = row.data === null ? null : JSON.stringify(row.data);
    insert.run(row.run * EVENTS_PER_RUN + row.seq, row.run, row.at, row.name, row.job, data);
    const range = ranges.get(row.run);
    if (range === undefined) ranges.set(row.run, { first: row.seq, last: row.seq });
    else range.last = row.seq;
  }
  cache.feed ??= statements.of(SQL.feedWanted).get() !== undefined;
  if (!cache.feed) return;
  let entries = "";
  for (const [run, { first, last }] of ranges) entries += `${entries === "" ? "" : ","}${run}:${first}-${last}`;
  const { lastInsertRowid } = statements.of(SQL.insertFeed).run(at, entries);
  const seq = Number(lastInsertRowid);
  if (seq % FEED_TRIM_EVERY === 0) statements.of(SQL.trimFeed).run(seq - FEED_KEPT);
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
        row.errorRate,
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

function saveOther(statements: Statements, effect: Effect, { at, cache }: Unit): void {
  switch (effect.type) {
    case "reopenItems":
      statements.of(SQL.uncoverItems).run(effect.job, effect.job);
      statements.of(SQL.dropWindows).run(effect.job);
      if (effect.ordinals === null) statements.of(SQL.reopenItems).run(effect.job);
      else statements.of(SQL.reopenTheseItems).run(effect.job, JSON.stringify(effect.ordinals));
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
    case "put":
      if (effect.table === "mark") cache.feed = null;
      statements.of(RECORD_SQL[effect.table].put).run(...recordValues(effect.table, effect.row));
      return;
    case "drop":
      statements.of(RECORD_SQL[effect.table].drop).run(effect.id);
      return;
    case "closeApprovals":
      statements.of(CLOSE_APPROVALS).run(at, effect.job);
      return;
    case "voidApprovals":
      statements.of(VOID_APPROVALS).run(effect.job);
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
    case "artifact":
      putArtifact(statements, effect.row);
      return;
    case "consume":
      for (const row of effect.rows) statements.of(SQL.consume).run(row.job, row.artifact, row.how, row.at);
      return;
    case "dataset":
      statements.of(SQL.putDataset).run(effect.sha256, effect.count, effect.bytes, effect.stride, effect.offsets, at);
      return;
    default:
      invariant(false, `effect ${effect.type} has no row`);
  }
}

/** The same bytes under the same name are one row, whatever the number of attempts; other bytes take their place. */
function putArtifact(statements: Statements, row: ArtifactRow): void {
  const item = row.item ?? -1;
  statements.of(SQL.supersedeArtifacts).run(row.job, row.name, item, row.sha256);
  statements
    .of(SQL.putArtifact)
    .run(
      row.run,
      row.job,
      row.attempt,
      row.name,
      row.type,
      row.sha256,
      row.bytes,
      row.mediaType,
      row.at,
      item,
      row.offered ?? 0,
      row.source ?? null,
    );
}

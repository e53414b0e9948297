/**
 * What a unit of work holds, as statements: all of one kind in one statement, so that a commit is one round trip.
 *
 * Invariant: the order is that of locks: the writer's token, runs, then rows below them; the feed comes last.
 */
import type { AttemptRow, EdgeRow, ItemRow, Propagation, StepRow } from "../../core/decision.ts";
import { invariant } from "../../core/errors.ts";
import type { FanoutRow, StageRow, WindowRow } from "../../core/model.ts";
import { type EventRow, type Unit, windowKey } from "../../core/unit.ts";
import { FANOUT_COLUMNS, ITEM_COLUMNS, STAGE_COLUMNS, WINDOW_COLUMNS } from "../columns.ts";
import type { Decided } from "../decide.ts";
import { EVENTS_PER_RUN } from "../events.ts";
import type { Statement } from "./connection.ts";
import type { KnownRows } from "./known.ts";
import { saveOthers } from "./save-others.ts";
import { insertedJobs, insertedRuns, queued, updatedJobs, updatedRuns } from "./save-rows.ts";
import { type Columns, columnsOf, inserter, strictInserter, updater } from "./statements.ts";

/** What a statement fails with if an item has ended that is reported once more. */
const ENDED = "tenuto:ended";

const stages = columnsOf<StageRow>(STAGE_COLUMNS, ["name"]);
const fanouts = columnsOf<FanoutRow>(FANOUT_COLUMNS, ["source"]);
const windows = columnsOf<WindowRow>(WINDOW_COLUMNS, []);
const items = columnsOf<ItemRow>(ITEM_COLUMNS, ["state", "result", "error"]);
const except = <T>(columns: Columns<T>, ...names: string[]): Columns<T> =>
  columns.filter(({ name }) => !names.includes(name));
const only = <T>(columns: Columns<T>, ...names: string[]): Columns<T> =>
  columns.filter(({ name }) => names.includes(name));

const insertStages = inserter<StageRow>("stage", stages);
const updateStages = updater<StageRow>({
  name: "stage_all",
  table: "stage",
  keys: only(stages, "run", "ordinal"),
  set: except(stages, "run", "ordinal", "name", "first_job", "declared"),
});
const insertEdges = inserter<EdgeRow>("dependency", columnsOf({ from: "source", to: "target", on: "type" }, ["on"]));
const insertFanouts = inserter<FanoutRow>("fanout", fanouts);
const updateFanouts = updater<FanoutRow>({
  name: "fanout_all",
  table: "fanout",
  keys: only(fanouts, "job"),
  set: except(fanouts, "job", "source", "total", "concurrency", "window_size", "duplicates"),
});
const putWindows = inserter<WindowRow>(
  "item_window",
  windows,
  " ON CONFLICT (job, start) DO UPDATE SET open = excluded.open, epoch = excluded.epoch, boot = excluded.boot, slots = excluded.slots",
);
const updateWindows = updater<WindowRow>({
  name: "window_all",
  table: "item_window",
  keys: only(windows, "job", "start", "epoch"),
  set: only(windows, "open", "boot", "slots"),
});
const putItems = strictInserter<ItemRow>({
  table: "item",
  columns: items,
  more: `ON CONFLICT (job, ordinal) DO UPDATE SET state = excluded.state, attempts = excluded.attempts, result = excluded.result, error = excluded.error,
    due_at = excluded.due_at, ended_at = excluded.ended_at WHERE item.state = 'pending'`,
  mark: ENDED,
});
const insertAttempts = inserter<AttemptRow>(
  "attempt",
  columnsOf(
    {
      job: "job",
      number: "number",
      epoch: "epoch",
      boot: "boot",
      state: "state",
      startedAt: "started_at",
      endedAt: "ended_at",
      error: "error",
    },
    ["state", "error"],
  ),
);
const STEP_COLUMNS = {
  job: "job",
  item: "item",
  key: "key",
  inputHash: "input_hash",
  output: "output",
  startedAt: "started_at",
  endedAt: "ended_at",
};
const REPLACE_STEP =
  " ON CONFLICT (job, item, key) DO UPDATE SET input_hash = excluded.input_hash, output = excluded.output, started_at = excluded.started_at, ended_at = excluded.ended_at";
const putSteps = inserter<StepRow>("step", columnsOf(STEP_COLUMNS, ["key", "inputHash", "output"]), REPLACE_STEP);
const insertPropagations = inserter<Propagation>(
  "propagation",
  columnsOf({ kind: "kind", run: "run", subject: "subject", cursor: "position" }, ["kind"]),
);
const insertEvents = inserter<EventRow>("event", [
  { name: "id", type: "bigint", of: ({ run, seq }) => run * EVENTS_PER_RUN + seq },
  { name: "run", type: "bigint", of: ({ run }) => run },
  { name: "at", type: "bigint", of: ({ at }) => at },
  { name: "name", type: "text", of: ({ name }) => name },
  { name: "job", type: "text", of: ({ job }) => job },
  { name: "data", type: "text", of: ({ data }) => (data === null ? null : JSON.stringify(data)) },
]);

/**
 * One step under its lease, outside of any transaction; says whether the lease was held. The job's row is locked against
 * change meanwhile: who has just lost the lease to another worker writes nothing.
 */
export const PUT_STEP_GUARDED = `INSERT INTO step (job, item, key, input_hash, output, started_at, ended_at) SELECT $1::bigint, $2::integer, $3, $4, $5, $6::bigint, $7::bigint
  FROM (SELECT 1 FROM job WHERE seq = $1::bigint AND state = 'running' AND epoch = $8::integer AND boot = $9::bigint FOR SHARE) held${REPLACE_STEP} RETURNING 1 AS put`;

export interface Saved {
  unit: Unit;
  decided: Decided;
  known: KnownRows;
  /** Runs that were looked at without a lock. */
  used: ReadonlySet<number>;
}

/** All that the unit holds. Raises the versions of its rows. */
export function saveStatements({ unit, decided, known, used }: Saved): Statement[] {
  const { writes } = unit;
  const statements = [...updatedRuns(unit, known, used), ...insertedRuns(writes)];
  const add = <T>(write: (rows: readonly T[]) => Statement, rows: readonly T[]) => {
    if (rows.length > 0) statements.push(write(rows));
  };
  const freshStages = new Set(writes.stages);
  add(insertStages, writes.stages);
  add(
    updateStages,
    [...unit.dirtyStages].filter((row) => !freshStages.has(row)),
  );
  statements.push(...queued(unit, known), ...insertedJobs(writes), ...updatedJobs(unit));
  add(insertEdges, writes.edges);
  saveFanouts(unit, add, statements);
  add(insertAttempts, writes.attempts);
  add(putSteps, [...new Map(writes.steps.map((row) => [`${row.job}/${row.item}/${row.key}`, row])).values()]);
  add(insertEvents, writes.events);
  add(insertPropagations, writes.propagations);
  if (decided.resumed.length > 0)
    statements.push({
      name: "drop_propagation",
      sql: "DELETE FROM propagation WHERE seq = ANY ($1::bigint[])",
      values: [decided.resumed],
    });
  statements.push(...saveOthers(writes.others, unit.at));
  if (writes.events.length > 0) statements.push(feedEntry(writes.events, unit.at));
  return statements;
}

type Add = <T>(write: (rows: readonly T[]) => Statement, rows: readonly T[]) => void;

function saveFanouts(unit: Unit, add: Add, statements: Statement[]): void {
  const { writes } = unit;
  const fresh = new Set(writes.fanouts);
  add(insertFanouts, writes.fanouts);
  add(
    updateFanouts,
    [...unit.dirtyFanouts].filter((row) => !fresh.has(row)),
  );
  if (writes.droppedWindows.length > 0)
    statements.push({
      name: "drop_windows",
      sql: "DELETE FROM item_window w USING unnest($1::bigint[], $2::bigint[]) v (job, start) WHERE w.job = v.job AND w.start = v.start",
      values: [writes.droppedWindows.map(({ job }) => job), writes.droppedWindows.map(({ start }) => start)],
    });
  const put = new Map(writes.windows.map((row) => [windowKey(row.job, row.start), row]));
  add(putWindows, [...put.values()]);
  const putRows = new Set(writes.windows);
  add(
    updateWindows,
    [...unit.dirtyWindows].filter((row) => !putRows.has(row)),
  );
  add(putItems, itemsOf(writes));
}

/** Each item once: what is reported after a failed try takes its place, what is reported after an end is a fault. */
function itemsOf(writes: Unit["writes"]): ItemRow[] {
  if (writes.items.length === 1 && writes.items[0]!.rows.length === 1) return [...writes.items[0]!.rows];
  const found = new Map<string, ItemRow>();
  for (const { job, rows } of writes.items)
    for (const row of rows) {
      const key = `${job}:${row.ordinal}`;
      const before = found.get(key);
      invariant(
        before === undefined || before.state === "pending",
        `item ${row.ordinal} of job ${job} has ended already`,
      );
      found.set(key, row.job === job ? row : { ...row, job });
    }
  return [...found.values()];
}

/**
 * Commits tell what they hold without an order; who reads the feed gives numbers to what has been committed. So no commit
 * waits for another one's.
 */
function feedEntry(events: readonly EventRow[], at: number): Statement {
  const ranges = new Map<number, { first: number; last: number }>();
  for (const { run, seq } of events) {
    const range = ranges.get(run);
    if (range === undefined) ranges.set(run, { first: seq, last: seq });
    else range.last = seq;
  }
  const entries = [...ranges].map(([run, { first, last }]) => `${run}:${first}-${last}`).join(",");
  return { name: "feed", sql: "INSERT INTO feed_inbox (at, entries) VALUES ($1, $2)", values: [at, entries] };
}

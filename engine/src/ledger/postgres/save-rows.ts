/**
 * Saves of runs and jobs, the rows that change most: each change by the narrowest statement that covers it.
 *
 * Invariants: (1) each run of which anything changed gets a new version, by compare-and-set; (2) the queue has a row for
 * each claimable job, and no other.
 */
import type { RunFacts } from "../../core/decision.ts";
import type { JobRow, RunRow } from "../../core/model.ts";
import type { Unit } from "../../core/unit.ts";
import { JOB_COLUMNS, RUN_COLUMNS } from "../columns.ts";
import type { Statement } from "./connection.ts";
import type { KnownRows } from "./known.ts";
import { asserter, type Columns, columnsOf, inserter, updater } from "./statements.ts";

/** What a statement fails with if a run is not as it was when it was decided about. */
export const CHANGED = "tenuto:changed";

const RUN_TEXTS = ["id", "pipeline", "version", "state", "priority", "concurrencyKey", "variant"];
const JOB_TEXTS = ["id", "kind", "agent", "state", "priority", "reason"];
const runs = columnsOf<RunRow>(RUN_COLUMNS, RUN_TEXTS);
const jobs = columnsOf<JobRow>(JOB_COLUMNS, JOB_TEXTS);
const pick = <T>(columns: Columns<T>, names: Record<string, string>, keys: readonly string[]): Columns<T> =>
  keys.map((key) => columns.find(({ name }) => name === names[key])!);
const ofRun = (...keys: (keyof RunRow)[]) => pick(runs, RUN_COLUMNS, keys);
const ofJob = (...keys: (keyof JobRow)[]) => pick(jobs, JOB_COLUMNS, keys);

const RUN_COUNTERS = ["openJobs", "liveJobs", "eventSeq"] as const;
const RUN_CHANGES = [
  "state",
  "jobCount",
  "openJobs",
  "liveJobs",
  "waitingJobs",
  "failedJobs",
  "spawnedJobs",
  "propagating",
  "eventSeq",
  "startedAt",
  "endedAt",
  "cancelRequestedAt",
  "haltedAt",
] as const;
const run = { table: "run", keys: ofRun("seq", "rowVersion"), also: "row_version = t.row_version + 1", mark: CHANGED };
/**
 * A generated column makes PostgreSQL read its expression anew for each row of an update that does not touch what it is made
 * of, and once for the statement if it does.
 */
const counters = { ...run, also: `${run.also}, state = t.state` };
const updateCounters = updater<RunRow>({ ...counters, name: "run_counters", set: ofRun(...RUN_COUNTERS) });
const updateRuns = updater<RunRow>({ ...run, name: "run_all", set: ofRun(...RUN_CHANGES) });
const touchRuns = updater<RunRow>({ ...counters, name: "run_touch", set: [] });
const assertRuns = asserter<RunRow>("run_assert", "run", run.keys, CHANGED);

interface NewRun {
  row: RunRow;
  facts: RunFacts;
}

/** Longer params have a table of their own: the run's row is written with each change of its counters. */
const INLINE_PARAMS = 1_000;
const isLong = ({ facts }: NewRun): boolean => facts.params.length > INLINE_PARAMS;
const text = <T>(name: string, of: (row: T) => unknown) => ({ name, type: "text" as const, of });
const insertRuns = inserter<NewRun>("run", [
  ...runs.map((column) => ({ ...column, of: (entry: NewRun) => column.of(entry.row) })),
  text("params", (entry) => (isLong(entry) ? null : entry.facts.params)),
  text("idempotency_key", ({ facts }) => facts.idempotencyKey),
  text("request_hash", ({ facts }) => facts.requestHash),
  text("labels", ({ facts }) => facts.labels),
]);
const insertParams = inserter<NewRun>("run_params", [
  { name: "run", type: "bigint", of: ({ row }) => row.seq },
  text("params", ({ facts }) => facts.params),
]);

export function insertedRuns(writes: Unit["writes"]): Statement[] {
  if (writes.runs.length === 0) return [];
  const long = writes.runs.filter(isLong);
  return [insertRuns(writes.runs), ...(long.length > 0 ? [insertParams(long)] : [])];
}

/** Runs that were decided about, changed or not. `used` are those that were looked at without a lock. */
export function updatedRuns(unit: Unit, known: KnownRows, used: ReadonlySet<number>): Statement[] {
  const counters: RunRow[] = [];
  const whole: RunRow[] = [];
  const touched: RunRow[] = [];
  const asserted: RunRow[] = [];
  const fresh = new Set(unit.writes.runs.map(({ row }) => row));
  const seen = new Set<number>();
  for (const { seq } of fresh) seen.add(seq);
  for (const [row, columns] of unit.dirtyRuns) {
    if (fresh.has(row)) continue;
    seen.add(row.seq);
    (isWithin(columns, RUN_COUNTERS) ? counters : whole).push(row);
  }
  for (const seq of runsWithChanges(unit)) {
    if (seen.has(seq)) continue;
    seen.add(seq);
    touched.push(unit.runs.get(seq) ?? { ...known.run(seq)!.row });
  }
  for (const seq of used) if (!seen.has(seq)) asserted.push(known.run(seq)!.row);
  const statements: Statement[] = [];
  if (counters.length > 0) statements.push(updateCounters(sorted(counters)));
  if (whole.length > 0) statements.push(updateRuns(sorted(whole)));
  if (touched.length > 0) statements.push(touchRuns(sorted(touched)));
  if (asserted.length > 0) statements.push(assertRuns(sorted(asserted)));
  for (const row of [...counters, ...whole, ...touched]) {
    row.rowVersion += 1;
    unit.runs.set(row.seq, row);
  }
  return statements;
}

const sorted = (rows: RunRow[]): RunRow[] => rows.sort((a, b) => a.seq - b.seq);

function isWithin(columns: ReadonlySet<string>, allowed: readonly string[]): boolean {
  for (const column of columns) if (!allowed.includes(column)) return false;
  return true;
}

/** Runs with changes in rows other than their own. */
function runsWithChanges(unit: Unit): Set<number> {
  const found = new Set<number>();
  const ofJobs = (job: number) => {
    const row = unit.jobs.get(job);
    if (row !== undefined) found.add(row.run);
  };
  for (const row of unit.dirtyJobs.keys()) found.add(row.run);
  for (const row of unit.dirtyStages) found.add(row.run);
  for (const { row } of unit.writes.jobs) found.add(row.run);
  for (const row of unit.dirtyFanouts) ofJobs(row.job);
  for (const row of unit.dirtyWindows) ofJobs(row.job);
  for (const row of unit.writes.fanouts) ofJobs(row.job);
  for (const row of unit.writes.windows) ofJobs(row.job);
  for (const row of unit.writes.droppedWindows) ofJobs(row.job);
  return found;
}

interface Payload {
  output: string | null;
  error: string | null;
}
interface JobChange {
  row: JobRow;
  payload: Payload | undefined;
}

const change = (columns: Columns<JobRow>): Columns<JobChange> =>
  columns.map((column) => ({ ...column, of: (entry: JobChange) => column.of(entry.row) }));
const PAYLOAD: Columns<JobChange> = [
  { name: "has_payload", type: "bigint", of: ({ payload }) => (payload === undefined ? 0 : 1) },
  text("new_output", ({ payload }) => payload?.output ?? null),
  text("new_error", ({ payload }) => payload?.error ?? null),
];
const WITH_PAYLOAD = `row_version = t.row_version + 1, output = CASE WHEN v.has_payload = 1 THEN v.new_output ELSE t.output END,
    error = CASE WHEN v.has_payload = 1 THEN v.new_error ELSE t.error END`;
const START = [
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
] as const;
const END = ["state", "boot", "endedAt", "reason"] as const;
const CHANGES = [
  ...START,
  "children",
  "openChildren",
  "approvals",
  "dueAt",
  "failures",
  "crashes",
  "holding",
  "endedAt",
  "cancelRequestedAt",
  "reason",
] as const;
const startJobs = updater<JobRow>({
  name: "job_start",
  table: "job",
  keys: ofJob("seq"),
  set: ofJob(...START),
  also: "row_version = t.row_version + 1",
});
const job = { table: "job", keys: change(ofJob("seq")), extra: PAYLOAD, also: WITH_PAYLOAD };
const endJobs = updater<JobChange>({ ...job, name: "job_end", set: change(ofJob(...END)) });
const updateJobs = updater<JobChange>({ ...job, name: "job_all", set: change(ofJob(...CHANGES)) });
const payloads = updater<Payload & { job: number }>({
  name: "job_payload",
  table: "job",
  keys: [{ name: "seq", type: "bigint", of: (row) => row.job }],
  set: [text("output", (row) => row.output), text("error", (row) => row.error)],
});

export function updatedJobs(unit: Unit): Statement[] {
  const start: JobRow[] = [];
  const end: JobChange[] = [];
  const all: JobChange[] = [];
  const left = new Map(unit.writes.payloads.map((payload) => [payload.job, payload]));
  const fresh = new Set(unit.writes.jobs.map(({ row }) => row));
  for (const [row, columns] of unit.dirtyJobs) {
    if (fresh.has(row)) continue;
    const payload = left.get(row.seq);
    left.delete(row.seq);
    if (payload === undefined && isWithin(columns, START)) start.push(row);
    else (isWithin(columns, END) ? end : all).push({ row, payload });
    row.rowVersion += 1;
  }
  const statements: Statement[] = [];
  if (start.length > 0) statements.push(startJobs(start));
  if (end.length > 0) statements.push(endJobs(end));
  if (all.length > 0) statements.push(updateJobs(all));
  if (left.size > 0) statements.push(payloads([...left.values()]));
  return statements;
}

const insertJobs = inserter<JobRow>("job", jobs);
/** Columns of a declared job that has not started; all others have their defaults. */
const insertPlainJobs = inserter<JobRow>(
  "job",
  ofJob(
    "seq",
    "run",
    "id",
    "stage",
    "kind",
    "agent",
    "state",
    "priority",
    "allowFailure",
    "blockers",
    "barrier",
    "hasDependents",
    "claimable",
    "rank",
    "readyAt",
  ),
  "",
  "add_plain_job",
);
const insertSpecs = inserter<Unit["writes"]["jobs"][number]>("job_spec", [
  { name: "job", type: "bigint", of: ({ row }) => row.seq },
  text("spec", ({ spec }) => spec),
]);

export function insertedJobs({ jobs: fresh }: Unit["writes"]): Statement[] {
  if (fresh.length === 0) return [];
  const plain: JobRow[] = [];
  const others: JobRow[] = [];
  for (const { row } of fresh)
    (row.attempt === 0 && row.parent === null && row.endedAt === null ? plain : others).push(row);
  const specs = fresh.filter(({ spec }) => spec !== null);
  return [
    ...(plain.length > 0 ? [insertPlainJobs(plain)] : []),
    ...(others.length > 0 ? [insertJobs(others)] : []),
    ...(specs.length > 0 ? [insertSpecs(specs)] : []),
  ];
}

const enqueue = inserter<JobRow>(
  "queue",
  [{ name: "job", type: "bigint", of: (row) => row.seq }, ...ofJob("run", "agent", "rank", "state", "crashes")],
  " ON CONFLICT (job) DO UPDATE SET rank = excluded.rank, state = excluded.state, crashes = excluded.crashes",
);

/** Brings the queue to what the unit has made of its jobs. */
export function queued(unit: Unit, known: KnownRows): Statement[] {
  const put: JobRow[] = [];
  const gone: number[] = [];
  for (const { row } of unit.writes.jobs) if (row.claimable === 1) put.push(row);
  const fresh = new Set(unit.writes.jobs.map(({ row }) => row));
  for (const [row] of unit.dirtyJobs) {
    if (fresh.has(row)) continue;
    const before = known.run(row.run)?.jobs.get(row.seq);
    if (row.claimable === 0) {
      if (before?.claimable !== 0) gone.push(row.seq);
    } else if (
      before?.claimable !== 1 ||
      before.rank !== row.rank ||
      before.state !== row.state ||
      before.crashes !== row.crashes
    )
      put.push(row);
  }
  const statements: Statement[] = [];
  if (gone.length > 0)
    statements.push({ name: "dequeue", sql: "DELETE FROM queue WHERE job = ANY ($1::bigint[])", values: [gone] });
  if (put.length > 0) statements.push(enqueue(put));
  return statements;
}

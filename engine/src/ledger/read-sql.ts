/** SQL of what people, the runtime and reports ask: the same for all ledgers, see rows.ts. Never for decisions. */
import {
  BOOT_COLUMNS,
  FANOUT_COLUMNS,
  ITEM_COLUMNS,
  JOB_COLUMNS,
  RUN_COLUMNS,
  STAGE_COLUMNS,
  WINDOW_COLUMNS,
} from "./columns.ts";

const list = (columns: Record<string, string>, table = ""): string =>
  Object.entries(columns)
    .map(([name, column]) => `${table}${column}${name === column && table === "" ? "" : ` AS ${name}`}`)
    .join(", ");

const runs = list(RUN_COLUMNS);
const jobs = list(JOB_COLUMNS);
const items = list(ITEM_COLUMNS);
const steps = "job, item, key, input_hash AS inputHash, output, started_at AS startedAt, ended_at AS endedAt";
const record = `${runs}, coalesce(params, (SELECT p.params FROM run_params p WHERE p.run = run.seq)) AS params, idempotency_key AS idempotencyKey`;

/** Stands for no limit. */
export const ALL = Number.MAX_SAFE_INTEGER;
export const marks = (count: number): string => Array(count).fill("?").join(", ");
/** What statements about all jobs of a run take: for the declared ones and for the spawned ones. */
export const twice = (...values: unknown[]): unknown[] => [...values, ...values];

/**
 * Jobs of a run, ordered: declared ones are a range of numbers, spawned ones have an index. Takes the run's number and what
 * `more` asks for, twice.
 */
const jobsOfRun = (columns: string, more = ""): string =>
  `SELECT ${columns} FROM run r CROSS JOIN job WHERE job.seq >= r.first_job AND job.seq < r.first_job + r.job_count - r.spawned_jobs AND r.seq = ?${more}
   UNION ALL SELECT ${columns} FROM job WHERE job.run = ? AND job.parent IS NOT NULL${more} ORDER BY 1`;
const among = (states: number): string => (states > 0 ? ` AND job.state IN (${marks(states)})` : "");
const WAITS = "(job.due_at IS NOT NULL OR (job.state = 'waiting' AND job.reason <> 'children'))";

export const READ = {
  run: `SELECT ${runs} FROM run WHERE seq = ?`,
  stages: `SELECT ${list(STAGE_COLUMNS)} FROM stage WHERE run = ? ORDER BY ordinal`,
  job: `SELECT ${jobs} FROM job WHERE seq = ?`,
  fanout: `SELECT ${list(FANOUT_COLUMNS)} FROM fanout WHERE job = ?`,
  due: "SELECT seq FROM job WHERE due_at IS NOT NULL AND due_at <= ? ORDER BY due_at, seq LIMIT ?",
  nextDue: "SELECT min(due_at) AS at FROM job WHERE due_at IS NOT NULL",
  rollbackOf: `SELECT ${runs} FROM run WHERE origin = ? AND json_extract(variant, '$.relation') = 'rollback' LIMIT 1`,
  endedRuns: `SELECT ${runs} FROM run WHERE seq > ? AND ended_at >= ? ORDER BY seq LIMIT ?`,
  openRuns: `SELECT ${runs} FROM run WHERE seq > ? AND ended_at IS NULL ORDER BY seq LIMIT ?`,
  runsAfter: `SELECT ${runs} FROM run WHERE seq > ? ORDER BY seq LIMIT ?`,
  runsToStop: `SELECT seq, cancel_requested_at AS cancelRequestedAt FROM run WHERE seq IN (SELECT value FROM json_each(?) wanted)
    AND (cancel_requested_at IS NOT NULL OR halted_at IS NOT NULL)`,
  runsNumbered: `SELECT ${runs} FROM run WHERE seq IN (SELECT value FROM json_each(?) wanted)`,

  boots: `SELECT ${list(BOOT_COLUMNS)} FROM boot WHERE coalesce(state = ?, true) ORDER BY seq`,
  offers: "SELECT seq AS boot, offers FROM boot WHERE state = 'alive' ORDER BY seq",
  abandoned: (
    leased: string,
  ) => `SELECT ${list(BOOT_COLUMNS)} FROM boot WHERE state <> 'alive' AND seq IN (SELECT boot FROM (${leased}) leased
    UNION SELECT boot FROM item_window WHERE boot IS NOT NULL UNION SELECT boot FROM process) ORDER BY seq`,
  jobsOfBoot: (leased: string) => `SELECT seq FROM (${leased}) leased WHERE boot = ? ORDER BY seq LIMIT ?`,
  windowsOfBoot: `SELECT ${list(WINDOW_COLUMNS)} FROM item_window WHERE boot = ? ORDER BY job, start LIMIT ?`,
  processesOf: "SELECT marker, pid, pid_start AS pidStart, job, epoch FROM process WHERE boot = ?",

  definition: "SELECT document FROM definition WHERE version = ?",
  runRecord: `SELECT ${record} FROM run WHERE seq = ?`,
  successors: `SELECT ${record} FROM run WHERE origin = ? ORDER BY seq DESC`,
  runRecordById: `SELECT ${record} FROM run WHERE id = ?`,
  runList: (states: number, pipeline: boolean): string =>
    `SELECT ${record} FROM run WHERE seq < ?${states > 0 ? ` AND state IN (${marks(states)})` : ""}${pipeline ? " AND pipeline = ?" : ""} ORDER BY seq DESC LIMIT ?`,
  runCounts: "SELECT state, count(*) AS n FROM run WHERE state <> 'completed' GROUP BY state",
  runTotal: "SELECT count(*) AS n FROM run",
  runStates: "SELECT state, count(*) AS n FROM run GROUP BY state",
  jobRecord: `SELECT ${jobs}, output, error FROM job WHERE seq = ?`,
  outcome: "SELECT state, output, error FROM job WHERE seq = ?",
  jobList: (states: number): string =>
    `${jobsOfRun(`${list(JOB_COLUMNS, "job.")}, job.output, job.error`, ` AND job.seq > ?${among(states)}`)} LIMIT ?`,
  childRecord: `SELECT ${jobs}, output, error FROM job WHERE parent = ? AND id = ?`,
  childRecords: `SELECT ${jobs}, output, error FROM job WHERE parent = ? ORDER BY seq`,
  spec: "SELECT spec FROM job_spec WHERE job = ?",
  attempts:
    "SELECT job, number, epoch, boot, state, started_at AS startedAt, ended_at AS endedAt, error FROM attempt WHERE job = ? ORDER BY number",
  itemsAll: `SELECT ${items} FROM item WHERE job = ? AND ordinal >= CAST(? AS bigint) AND ordinal < CAST(? AS bigint) ORDER BY ordinal LIMIT ?`,
  itemsInState: (states: number): string =>
    `SELECT ${items} FROM item WHERE job = ? AND ordinal >= CAST(? AS bigint) AND ordinal < CAST(? AS bigint) AND state IN (${marks(states)}) ORDER BY ordinal LIMIT ?`,
  windows: `SELECT ${list(WINDOW_COLUMNS)} FROM item_window WHERE job = ? ORDER BY start`,
  step: `SELECT ${steps} FROM step WHERE job = ? AND item = ? AND key = ?`,
  stepsOf: `SELECT ${steps} FROM step WHERE job = ? AND coalesce(item = ?, true) ORDER BY started_at, key`,
  stepTimes:
    "SELECT item, key, started_at AS startedAt, ended_at AS endedAt FROM step WHERE job = ? ORDER BY started_at, key LIMIT ?",
  events:
    "SELECT run, id - run * 16777216 AS seq, at, name, job, data FROM event WHERE id > ? AND id < ? ORDER BY id LIMIT ?",
  limiters: "SELECT name, key, data FROM limiter ORDER BY name, key",
  artifacts:
    "SELECT run, job, attempt, name, type, sha256, bytes, media_type AS mediaType, at FROM artifact WHERE run = ? ORDER BY id",
  dataset: "SELECT count, bytes, stride, offsets FROM dataset WHERE sha256 = ?",
  cached: "SELECT job, at, output FROM cache WHERE pipeline = ? AND key = ?",
  // From job to job of the scope, each by one look-up.
  itemsByKey: `WITH RECURSIVE j (scope, job) AS (SELECT CAST(? AS bigint), (SELECT max(job) FROM item_key WHERE scope = ?) UNION ALL
    SELECT scope, (SELECT max(k.job) FROM item_key k WHERE k.scope = j.scope AND k.job < j.job) FROM j WHERE j.job IS NOT NULL)
    SELECT k.job, k.ordinal FROM j JOIN item_key k ON k.scope = j.scope AND k.job = j.job AND k.hash = ? ORDER BY k.job DESC LIMIT ?`,
  standing: `SELECT seq FROM run WHERE state = 'waiting' AND state <> 'completed' AND ended_at IS NULL AND propagating = 0 AND cancel_requested_at IS NULL AND halted_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM job WHERE job.seq >= run.first_job AND job.seq < run.first_job + run.job_count - run.spawned_jobs AND ${WAITS})
    AND NOT EXISTS (SELECT 1 FROM job WHERE job.run = run.seq AND job.parent IS NOT NULL AND ${WAITS}) LIMIT ?`,
  summaryColumns: `${list(RUN_COLUMNS, "r.")}, r.labels, (SELECT o.id FROM run o WHERE o.seq = r.origin) AS originId`,
  jobSummaries: (states: number): string =>
    `${jobsOfRun(`${list(JOB_COLUMNS, "job.")}, job.error`, ` AND job.seq > ?${among(states)}`)} LIMIT ?`,
  referenced: "SELECT 1 AS n FROM artifact WHERE sha256 = ? UNION ALL SELECT 1 FROM fanout WHERE source = ? LIMIT 1",
} as const;

/** SQL of the SQLite ledger: constants named after what they load or save. Column names are the core's, in snake case. */

import { SUSPECT_CRASHES } from "../../core/limits.ts";
import { FANOUT_COLUMNS, JOB_COLUMNS, RUN_COLUMNS, STAGE_COLUMNS, WINDOW_COLUMNS } from "../columns.ts";

const list = (columns: Record<string, string>, table = ""): string =>
  Object.entries(columns)
    .map(([name, column]) => `${table}${column}${name === column && table === "" ? "" : ` AS ${name}`}`)
    .join(", ");
const insert = (table: string, columns: Record<string, string>, more: string[] = []): string => {
  const names = [...Object.values(columns), ...more];
  return `INSERT INTO ${table} (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")})`;
};

const runs = list(RUN_COLUMNS);
const jobs = list(JOB_COLUMNS);

/**
 * Jobs of a run, ordered: declared ones are a range of numbers, spawned ones have an index. Takes the run's number and what
 * `more` asks for, twice.
 */
const jobsOfRun = (columns: string, more = ""): string =>
  `SELECT ${columns} FROM run r CROSS JOIN job ON job.seq >= r.first_job AND job.seq < r.first_job + r.job_count - r.spawned_jobs WHERE r.seq = ?${more}
   UNION ALL SELECT ${columns} FROM job WHERE job.run = ? AND job.parent IS NOT NULL${more} ORDER BY 1`;
const among = (states: number): string =>
  states > 0 ? ` AND job.state IN (${Array(states).fill("?").join(", ")})` : "";

export const SQL = {
  begin: "BEGIN IMMEDIATE",
  commit: "COMMIT",
  rollback: "ROLLBACK",
  dataVersion: "PRAGMA data_version",

  // loads for decisions
  run: `SELECT ${runs} FROM run WHERE seq = ?`,
  stage: `SELECT ${list(STAGE_COLUMNS)} FROM stage WHERE run = ? AND ordinal = ?`,
  stages: `SELECT ${list(STAGE_COLUMNS)} FROM stage WHERE run = ? ORDER BY ordinal`,
  job: `SELECT ${jobs} FROM job WHERE seq = ?`,
  fanout: `SELECT ${list(FANOUT_COLUMNS)} FROM fanout WHERE job = ?`,
  window: `SELECT ${list(WINDOW_COLUMNS)} FROM item_window WHERE job = ? AND start = ?`,
  releasedWindow: `SELECT ${list(WINDOW_COLUMNS)} FROM item_window WHERE job = ? AND start > ? AND boot IS NULL ORDER BY start LIMIT 1`,
  reopenedItems:
    "SELECT ordinal FROM item WHERE job = ? AND state = 'pending' AND ordinal >= ? ORDER BY ordinal LIMIT ?",
  rowsInRange: "SELECT count(*) FROM item WHERE job = ? AND ordinal >= ? AND ordinal < ? AND state <> 'pending'",
  child: `SELECT ${jobs} FROM job WHERE parent = ? AND id = ?`,
  edges:
    'SELECT source AS "from", target AS "to", type AS "on" FROM dependency WHERE source = ? AND target > ? ORDER BY target LIMIT ?',
  jobsInState: (states: number): string =>
    `${jobsOfRun("job.seq AS seq", ` AND job.seq > ? AND job.seq < ?${among(states)}`)} LIMIT ?`,
  jobsInRange: (states: number): string =>
    `SELECT seq FROM job WHERE seq > ? AND seq < ? AND run = ?${among(states)} ORDER BY seq LIMIT ?`,
  // Only declared jobs have edges.
  edgesOfRun: `SELECT d.source AS "from", d.target AS "to", d.type AS "on" FROM run r
    CROSS JOIN dependency d ON d.source >= r.first_job AND d.source < r.first_job + r.job_count - r.spawned_jobs WHERE r.seq = ?`,
  jobsOf: jobsOfRun("job.seq AS seq"),
  manifoldJobs: jobsOfRun("job.seq AS seq", " AND job.kind <> 'single'"),
  statesOfRun: jobsOfRun("job.seq AS seq, job.state AS state, job.children AS children"),
  twin: "SELECT seq, id, request_hash AS requestHash FROM run WHERE idempotency_key = ?",
  rollbackOf: `SELECT ${runs} FROM run WHERE origin = ? AND json_extract(variant, '$.relation') = 'rollback' LIMIT 1`,
  openOfKey: `SELECT ${runs} FROM run WHERE concurrency_key = ? AND ended_at IS NULL AND seq > ? AND seq < ? ORDER BY seq LIMIT ?`,
  activeOfKey: `SELECT ${runs} FROM run WHERE concurrency_key = ? AND ended_at IS NULL AND seq > ? AND seq < ? AND state <> 'pending' ORDER BY seq LIMIT ?`,
  waitingOfKey: `SELECT ${runs} FROM run WHERE concurrency_key = ? AND ended_at IS NULL AND seq > ? AND seq < ? AND state = 'pending' AND cancel_requested_at IS NULL ORDER BY seq LIMIT ?`,
  openMaps: "SELECT seq FROM job WHERE parent = ? AND kind = 'map' AND ended_at IS NULL",
  keyOwner: "SELECT ordinal FROM item_key WHERE scope = ? AND job = ? AND hash = ?",
  limiter: "SELECT name, key, data FROM limiter WHERE name = ? AND key = ?",
  holders: "SELECT count(*) FROM hold WHERE limiter = ? AND key = ?",
  holdersOf: "SELECT job, epoch, item FROM hold WHERE limiter = ? AND key = ?",
  takeNumbers: "UPDATE number SET next = next + ? WHERE name = ? RETURNING next - ?",
  nextRun:
    "SELECT max((SELECT next FROM number WHERE name = 'run'), ifnull((SELECT max(seq) FROM run), 0) + 1) AS next",
  keepRunNumber: "UPDATE number SET next = max(next, ? + 1) WHERE name = 'run'",
  agentsReady: `WITH RECURSIVE a (agent) AS (SELECT min(agent) FROM job WHERE claimable = 1 UNION ALL
    SELECT (SELECT min(agent) FROM job WHERE claimable = 1 AND agent > a.agent) FROM a WHERE a.agent IS NOT NULL) SELECT agent FROM a WHERE agent IS NOT NULL`,
  candidates: (ofRun: boolean): string =>
    `SELECT seq, rank, state, crashes FROM job WHERE claimable = 1 AND agent = ?${ofRun ? " AND run = ?" : ""} ORDER BY rank, seq LIMIT ?`,
  calmCandidates: (ofRun: boolean): string =>
    `SELECT seq, rank, state, crashes FROM job WHERE claimable = 1 AND agent = ?${ofRun ? " AND run = ?" : ""} AND crashes < ${SUSPECT_CRASHES} ORDER BY rank, seq LIMIT ?`,
  pendingPropagations: "SELECT seq, kind, run, subject, position AS cursor FROM propagation ORDER BY seq LIMIT ?",
  dropPropagation: "DELETE FROM propagation WHERE seq = ?",
  bootState: "SELECT state FROM boot WHERE seq = ?",

  // saves
  insertRun: insert("run", RUN_COLUMNS, ["params", "idempotency_key", "request_hash", "labels"]),
  updateRun: `UPDATE run SET state = ?, job_count = ?, open_jobs = ?, live_jobs = ?, waiting_jobs = ?, failed_jobs = ?, spawned_jobs = ?, propagating = ?,
    event_seq = ?, started_at = ?, ended_at = ?, cancel_requested_at = ?, halted_at = ?, row_version = row_version + 1 WHERE seq = ? AND row_version = ?`,
  insertParams: "INSERT INTO run_params (run, params) VALUES (?, ?)",
  insertStage: insert("stage", STAGE_COLUMNS),
  updateStage:
    "UPDATE stage SET total = ?, settled = ?, completed = ?, failed = ?, skipped = ?, cancelled = ?, tainted = ? WHERE run = ? AND ordinal = ?",
  insertJob: insert("job", JOB_COLUMNS),
  insertSpec: "INSERT INTO job_spec (job, spec) VALUES (?, ?)",
  updateJob: `UPDATE job SET state = ?, blockers = ?, children = ?, open_children = ?, approvals = ?, claimable = ?, rank = ?, due_at = ?, attempt = ?, failures = ?, crashes = ?,
    holding = ?, epoch = ?, boot = ?, attempt_boot = ?, ready_at = ?, first_started_at = ?, started_at = ?, ended_at = ?, cancel_requested_at = ?, reason = ?,
    row_version = row_version + 1 WHERE seq = ? AND row_version = ?`,
  updateRunCounters:
    "UPDATE run SET open_jobs = ?, live_jobs = ?, event_seq = ?, row_version = row_version + 1 WHERE seq = ? AND row_version = ?",
  startJob: `UPDATE job SET state = ?, claimable = ?, boot = ?, attempt_boot = ?, epoch = ?, attempt = ?, started_at = ?, first_started_at = ?, blockers = ?, ready_at = ?, rank = ?,
    row_version = row_version + 1 WHERE seq = ? AND row_version = ?`,
  endJob:
    "UPDATE job SET state = ?, boot = ?, ended_at = ?, reason = ?, row_version = row_version + 1 WHERE seq = ? AND row_version = ?",
  endJobWithPayload:
    "UPDATE job SET state = ?, boot = ?, ended_at = ?, reason = ?, output = ?, error = ?, row_version = row_version + 1 WHERE seq = ? AND row_version = ?",
  insertPlainJob: `INSERT INTO job (seq, run, id, stage, kind, agent, state, priority, allow_failure, blockers, barrier, has_dependents, claimable, rank, ready_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  updateJobWithPayload: `UPDATE job SET state = ?, blockers = ?, children = ?, open_children = ?, approvals = ?, claimable = ?, rank = ?, due_at = ?, attempt = ?, failures = ?, crashes = ?,
    holding = ?, epoch = ?, boot = ?, attempt_boot = ?, ready_at = ?, first_started_at = ?, started_at = ?, ended_at = ?, cancel_requested_at = ?, reason = ?, output = ?, error = ?,
    row_version = row_version + 1 WHERE seq = ? AND row_version = ?`,
  payload: "UPDATE job SET output = ?, error = ? WHERE seq = ?",
  insertEdge: "INSERT INTO dependency (source, target, type) VALUES (?, ?, ?)",
  insertPropagation: "INSERT INTO propagation (kind, run, subject, position) VALUES (?, ?, ?, ?)",
  insertEvent: "INSERT INTO event (id, run, at, name, job, data) VALUES (?, ?, ?, ?, ?, ?)",
  feedWanted: "SELECT 1 FROM mark WHERE id = 'feed'",
  insertFeed: "INSERT INTO feed (at, entries) VALUES (?, ?)",
  trimFeed: "DELETE FROM feed WHERE seq <= ?",
  insertAttempt:
    "INSERT INTO attempt (job, number, epoch, boot, state, started_at, ended_at, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
  insertFanout: insert("fanout", FANOUT_COLUMNS),
  updateFanout: `UPDATE fanout SET cursor = ?, slots_used = ?, leased = ?, retry_cursor = ?, released = ?, window_epoch = ?, completed = ?, failed = ?, skipped = ?,
    stopped = ?, error_rate = ?, last_ordinal = ?, progress_at = ? WHERE job = ?`,
  putWindow:
    "INSERT INTO item_window (job, start, stop, open, epoch, boot, slots) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job, start) DO UPDATE SET open = excluded.open, epoch = excluded.epoch, boot = excluded.boot, slots = excluded.slots",
  updateWindow: "UPDATE item_window SET open = ?, boot = ?, slots = ? WHERE job = ? AND start = ? AND epoch = ?",
  dropWindow: "DELETE FROM item_window WHERE job = ? AND start = ?",
  putItem: `INSERT INTO item (job, ordinal, state, attempts, result, error, due_at, ended_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (job, ordinal) DO UPDATE SET state = excluded.state, attempts = excluded.attempts, result = excluded.result, error = excluded.error,
    due_at = excluded.due_at, ended_at = excluded.ended_at WHERE item.state = 'pending'`,
  reopenItems:
    "UPDATE item SET state = 'pending', attempts = 0, error = NULL, due_at = NULL, ended_at = NULL WHERE job = ? AND state IN ('failed', 'skipped', 'cancelled') AND attempts > 0",
  reopenTheseItems:
    "UPDATE item SET state = 'pending', attempts = 0, error = NULL, due_at = NULL, ended_at = NULL WHERE job = ? AND ordinal IN (SELECT value FROM json_each(?)) AND state IN ('failed', 'skipped', 'cancelled') AND attempts > 0",
  // Items of windows that nobody finished get rows, so that the retry cursor finds them.
  uncoverItems: `WITH RECURSIVE open (ordinal, stop) AS (
      SELECT start, stop FROM item_window WHERE job = ?
      UNION ALL SELECT ordinal + 1, stop FROM open WHERE ordinal + 1 < stop
    ) INSERT INTO item (job, ordinal, state, attempts) SELECT ?, ordinal, 'pending', 0 FROM open WHERE true ON CONFLICT DO NOTHING`,
  dropWindows: "DELETE FROM item_window WHERE job = ?",
  dropLooseItems: "DELETE FROM item WHERE job = ? AND NOT EXISTS (SELECT 1 FROM fanout WHERE job = ?)",
  putItemKey: "INSERT INTO item_key (scope, hash, job, ordinal) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
  clearItemKeys: "DELETE FROM item_key WHERE scope = ? AND job = ?",
  putStep:
    "INSERT INTO step (job, item, key, input_hash, output, started_at, ended_at) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job, item, key) DO UPDATE SET input_hash = excluded.input_hash, output = excluded.output, started_at = excluded.started_at, ended_at = excluded.ended_at",
  putStepGuarded: `INSERT INTO step (job, item, key, input_hash, output, started_at, ended_at) SELECT ?, ?, ?, ?, ?, ?, ?
    WHERE EXISTS (SELECT 1 FROM job WHERE seq = ? AND state = 'running' AND epoch = ? AND boot = ?)
    ON CONFLICT (job, item, key) DO UPDATE SET input_hash = excluded.input_hash, output = excluded.output, started_at = excluded.started_at, ended_at = excluded.ended_at`,
  putLimiter:
    "INSERT INTO limiter (name, key, data) VALUES (?, ?, ?) ON CONFLICT (name, key) DO UPDATE SET data = excluded.data",
  hold: "INSERT INTO hold (limiter, key, job, epoch, item) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
  release:
    "DELETE FROM hold WHERE job = ? AND ifnull(epoch = ?, 1) AND ifnull(limiter = ?, 1) AND ifnull(key = ?, 1) AND ifnull(item = ?, 1)",
  putCache:
    "INSERT INTO cache (pipeline, key, job, at, output) VALUES (?, ?, ?, ?, ?) ON CONFLICT (pipeline, key) DO UPDATE SET job = excluded.job, at = excluded.at, output = excluded.output",
  supersedeArtifacts:
    "UPDATE artifact SET superseded = 1 WHERE job = ? AND name = ? AND item = ? AND sha256 <> ? AND superseded = 0",
  putArtifact: `INSERT INTO artifact (run, job, attempt, name, type, sha256, bytes, media_type, at, item, offered, source) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (job, name, item, sha256) DO UPDATE SET superseded = 0, attempt = excluded.attempt, type = excluded.type, media_type = excluded.media_type, at = excluded.at, offered = excluded.offered`,
  consume: "INSERT INTO consumption (job, artifact, how, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
  putDataset:
    "INSERT INTO dataset (sha256, count, bytes, stride, offsets, created_at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",

  // boots and processes
  insertBoot:
    "INSERT INTO boot (id, host, machine, pid, pid_start, started_at, heartbeat_at, state) VALUES (?, ?, ?, ?, ?, ?, ?, 'alive')",
  heartbeat: "UPDATE boot SET heartbeat_at = ? WHERE seq = ? AND state = 'alive'",
  endBoot: "UPDATE boot SET state = ? WHERE seq = ? AND state = 'alive' AND heartbeat_at = coalesce(?, heartbeat_at)",
  putOffers: "UPDATE boot SET offers = ? WHERE seq = ? AND state = 'alive'",
  insertProcess:
    "INSERT INTO process (marker, boot, pid, pid_start, job, epoch) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
  dropProcess: "DELETE FROM process WHERE marker = ?",

  // reads
  putDefinition:
    "INSERT INTO definition (version, name, document, created_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
  windows: `SELECT ${list(WINDOW_COLUMNS)} FROM item_window WHERE job = ? ORDER BY start`,
  keyScopes: `WITH RECURSIVE s (scope) AS (SELECT min(scope) FROM item_key UNION ALL
    SELECT (SELECT min(k.scope) FROM item_key k WHERE k.scope > s.scope) FROM s WHERE s.scope IS NOT NULL) SELECT scope FROM s WHERE scope IS NOT NULL`,
} as const;

/**
 * SQL that the PostgreSQL ledger decides and claims with: constants named after what they load. Rows come under the core's
 * names. Whatever locks takes rows in the order of their numbers.
 */
import { SUSPECT_CRASHES } from "../../core/limits.ts";
import { FANOUT_COLUMNS, JOB_COLUMNS, RUN_COLUMNS, STAGE_COLUMNS, WINDOW_COLUMNS } from "../columns.ts";

/** Columns under the names of the core's rows. */
export const list = (columns: Record<string, string>, table = ""): string =>
  Object.entries(columns)
    .map(([name, column]) => `${table}${column}${name === column ? "" : ` AS "${name}"`}`)
    .join(", ");

const runs = list(RUN_COLUMNS);
const jobs = list(JOB_COLUMNS);
const windows = list(WINDOW_COLUMNS);

/** Jobs of run `$1`: declared ones are a range of numbers, spawned ones have an index. */
const jobsOfRun = (columns: string, more = ""): string =>
  `SELECT ${columns} FROM run r JOIN job ON job.seq >= r.first_job AND job.seq < r.first_job + r.job_count - r.spawned_jobs WHERE r.seq = $1${more}
   UNION ALL SELECT ${columns} FROM job WHERE job.run = $1 AND job.parent IS NOT NULL${more}`;

/** Jobs that boots hold. Only runs at work have any, and no index tells them: a claim would have to write it. */
export const LEASED = `SELECT j.seq, j.boot FROM run r CROSS JOIN LATERAL
    (SELECT seq, boot FROM job WHERE seq >= r.first_job AND seq < r.first_job + r.job_count - r.spawned_jobs AND boot IS NOT NULL
     UNION ALL SELECT seq, boot FROM job WHERE run = r.seq AND parent IS NOT NULL AND boot IS NOT NULL) j
  WHERE r.ended_at IS NULL AND r.started_at IS NOT NULL`;

/** Runs by their numbers `$1` and by numbers of their jobs `$2`. */
const NAMED_RUNS = `seq = ANY (ARRAY(SELECT unnest($1::bigint[]) UNION SELECT run FROM job WHERE seq = ANY ($2::bigint[]))) ORDER BY seq`;

const OF_KEY = `SELECT ${runs} FROM run WHERE concurrency_key = $1 AND ended_at IS NULL AND seq > $2 AND seq < $3`;

export const SQL = {
  // Locks. The order by which rows are locked is that of the inner query; concurrent deciders wait, they do not deadlock.
  lockNames: "SELECT pg_advisory_xact_lock(name) FROM (SELECT unnest($1::bigint[]) AS name ORDER BY 1) names",
  lockRuns: `SELECT ${runs} FROM run WHERE ${NAMED_RUNS} FOR NO KEY UPDATE`,
  lockFreeRuns: `SELECT ${runs} FROM run WHERE ${NAMED_RUNS} FOR NO KEY UPDATE SKIP LOCKED`,

  jobs: `SELECT ${jobs} FROM job WHERE seq = ANY ($1::bigint[])`,
  /** The stages of jobs and the ones after them, which open when these have settled. */
  stagesOfJobs: `SELECT ${list(STAGE_COLUMNS, "s.")} FROM stage s JOIN (SELECT DISTINCT run, stage FROM job WHERE seq = ANY ($1::bigint[])) j
    ON s.run = j.run AND (s.ordinal = j.stage OR s.ordinal = j.stage + 1)`,
  stages: `SELECT ${list(STAGE_COLUMNS, "s.")} FROM stage s JOIN unnest($1::bigint[], $2::bigint[]) w (run, ordinal) ON s.run = w.run AND s.ordinal = w.ordinal`,
  fanouts: `SELECT ${list(FANOUT_COLUMNS)} FROM fanout WHERE job = ANY ($1::bigint[])`,
  windows: `SELECT ${list(WINDOW_COLUMNS, "i.")} FROM item_window i JOIN unnest($1::bigint[], $2::bigint[]) w (job, start) ON i.job = w.job AND i.start = w.start`,

  edges:
    'SELECT source AS "from", target AS "to", type AS "on" FROM dependency WHERE source = $1 AND target > $2 ORDER BY target LIMIT $3',
  edgesOfRun: `SELECT d.source AS "from", d.target AS "to", d.type AS "on" FROM run r
    JOIN dependency d ON d.source >= r.first_job AND d.source < r.first_job + r.job_count - r.spawned_jobs WHERE r.seq = $1 ORDER BY 1, 2`,
  jobsInState: `${jobsOfRun("job.seq", " AND job.seq > $2 AND job.seq < $3 AND job.state = ANY ($4::text[])")} ORDER BY 1 LIMIT $5`,
  statesOfRun: `${jobsOfRun("job.seq, job.state, job.children")} ORDER BY 1`,
  child: `SELECT ${jobs} FROM job WHERE parent = $1 AND id = $2`,
  openMaps: "SELECT seq FROM job WHERE parent = $1 AND kind = 'map' AND ended_at IS NULL ORDER BY seq",
  openOfKey: `${OF_KEY} ORDER BY seq LIMIT $4`,
  activeOfKey: `${OF_KEY} AND state <> 'pending' ORDER BY seq LIMIT $4`,
  waitingOfKey: `${OF_KEY} AND state = 'pending' AND cancel_requested_at IS NULL ORDER BY seq LIMIT $4`,
  twin: 'SELECT seq, id, request_hash AS "requestHash" FROM run WHERE idempotency_key = $1',
  rollbackOf: `SELECT ${runs} FROM run WHERE origin = $1 AND variant::json ->> 'relation' = 'rollback' LIMIT 1`,
  releasedWindow: `SELECT ${windows} FROM item_window WHERE job = $1 AND start > $2 AND boot IS NULL ORDER BY start LIMIT 1`,
  reopenedItems:
    "SELECT ordinal FROM item WHERE job = $1 AND state = 'pending' AND ordinal >= $2 ORDER BY ordinal LIMIT $3",
  endedItems: "SELECT count(*) AS n FROM item WHERE job = $1 AND ordinal >= $2 AND ordinal < $3 AND state <> 'pending'",
  keyOwners: `SELECT h.at, k.ordinal FROM unnest($3::bytea[]) WITH ORDINALITY h (hash, at)
    JOIN item_key k ON k.scope = $1 AND k.job = $2 AND k.hash = h.hash`,
  limiter: "SELECT name, key, data FROM limiter WHERE name = $1 AND key = $2",
  holderCount: "SELECT count(*) AS n FROM hold WHERE limiter = $1 AND key = $2",
  holders: "SELECT job, epoch, item FROM hold WHERE limiter = $1 AND key = $2",
  /** Whoever takes these up works them off; what another process has just taken is passed over. */
  propagations:
    "SELECT seq, kind, run, subject, position AS cursor FROM propagation ORDER BY seq LIMIT $1 FOR UPDATE SKIP LOCKED",
  aliveBoots: `SELECT CASE WHEN (SELECT count(*) FROM boot WHERE seq = ANY ($1::bigint[]) AND state = 'alive') = $2::bigint THEN 1 ELSE (SELECT ('tenuto:boot ' || count(*))::integer FROM boot WHERE seq = ANY ($1::bigint[])) END AS met`,
  pendingPropagation: "SELECT 1 AS n FROM propagation LIMIT 1",
  bootState: "SELECT state FROM boot WHERE seq = $1",

  // Claims: the first of each agent, by a walk from agent to agent.
  queue: (ofRun: boolean, calm: boolean): string => {
    const more = `${ofRun ? " AND run = $2" : ""}${calm ? ` AND crashes < ${SUSPECT_CRASHES}` : ""}`;
    return `WITH RECURSIVE a (agent) AS (SELECT min(agent) FROM queue UNION ALL
      SELECT (SELECT min(agent) FROM queue WHERE agent > a.agent) FROM a WHERE a.agent IS NOT NULL)
      SELECT q.job AS seq, q.run, q.agent, q.rank, q.state, q.crashes FROM a CROSS JOIN LATERAL
      (SELECT * FROM queue WHERE agent = a.agent${more} ORDER BY rank, job LIMIT $1) q WHERE a.agent IS NOT NULL`;
  },

  // Numbers. Runs are numbered in the order of their commits: whoever takes a number changes the row, or the commit fails.
  nextRun: "SELECT next FROM number WHERE name = 'run'",
  lockRunNumber: "SELECT next FROM number WHERE name = 'run' FOR NO KEY UPDATE",
  takeRuns:
    "WITH met AS (UPDATE number SET next = $1 WHERE name = 'run' AND next = $2 RETURNING 1) SELECT CASE WHEN count(*) = 1 THEN 1 ELSE ('tenuto:number ' || count(*))::integer END AS met FROM met",
  takeJobs: "UPDATE number SET next = next + $1 WHERE name = 'job' RETURNING next - $1 AS first",

  // Whether a commit happened whose answer was lost
  addWriter: "INSERT INTO writer (id, token, at) VALUES ($1, 0, $2) ON CONFLICT DO NOTHING",
  /** What the last commit has written, and no commit that is still on its way can happen any more. */
  fence: "UPDATE writer SET fence = fence + 1, at = $2 WHERE id = $1 RETURNING token, fence",
  setToken:
    "WITH met AS (UPDATE writer SET token = $2, at = $3 WHERE id = $1 AND token = $4 AND fence = $5 RETURNING 1) SELECT CASE WHEN count(*) = 1 THEN 1 ELSE ('tenuto:writer ' || count(*))::integer END AS met FROM met",
  /** Its token goes to the row without a name: a process that came, wrote and went between two looks of another one has been there. */
  dropWriter:
    "WITH gone AS (DELETE FROM writer WHERE id = $1 RETURNING token) INSERT INTO writer (id, token, at) SELECT '', token, $2::bigint FROM gone ON CONFLICT (id) DO UPDATE SET token = writer.token + excluded.token, at = excluded.at",
  dropOldWriters: "DELETE FROM writer WHERE at < $1",
  /** Changes with each commit of any other process. */
  foreignTokens:
    "SELECT coalesce(sum(token), 0) AS tokens, count(CASE WHEN id <> '' THEN 1 END) AS writers FROM writer WHERE id <> $1",
} as const;

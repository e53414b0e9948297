/** SQL of boots, definitions and checks of the PostgreSQL ledger. */

/** Milliseconds since the Unix epoch by the database's clock. */
export const CLOCK = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

export const HEARTBEAT = `UPDATE boot SET heartbeat_at = ${CLOCK} WHERE seq = $1 AND state = 'alive'`;

export const UPKEEP = {
  insertBoot: `INSERT INTO boot (id, host, machine, pid, pid_start, started_at, heartbeat_at, state)
    VALUES ($1, $2, $3, $4, $5, $6, $7, 'alive') ON CONFLICT (id) DO UPDATE SET heartbeat_at = excluded.heartbeat_at RETURNING seq`,
  endBoot:
    "UPDATE boot SET state = $1 WHERE seq = $2 AND state = 'alive' AND heartbeat_at = coalesce($3::bigint, heartbeat_at)",
  putOffers: "UPDATE boot SET offers = $1 WHERE seq = $2 AND state = 'alive'",
  dropProcess: "DELETE FROM process WHERE marker = $1",
  putDefinition:
    "INSERT INTO definition (version, name, document, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
  forgetDataset: `DELETE FROM dataset WHERE sha256 = $1 AND NOT EXISTS (SELECT 1 FROM artifact WHERE sha256 = dataset.sha256)
    AND NOT EXISTS (SELECT 1 FROM fanout WHERE source = dataset.sha256)`,
  schema: "SELECT max(number) AS schema FROM schema_migration",
  size: `SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint AS bytes FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relkind = 'r'`,
  version: "SELECT current_setting('server_version') AS version",
} as const;

const OF_JOB = [
  "job_spec",
  "attempt",
  "fanout",
  "item_window",
  "item",
  "step",
  "hold",
  "queue",
  "artifact",
  "consumption",
  "approval",
  "gate",
  "usage",
] as const;
const OF_RUN = [
  "run_params",
  "stage",
  "job",
  "propagation",
  "event",
  "artifact",
  "approval",
  "gate",
  "run_usage",
  "usage",
] as const;

/** What foreign keys would refuse, and what two tables say of the same; each gives `problem`. */
export const CHECKS: readonly string[] = [
  ...OF_JOB.map(
    (table) =>
      `SELECT DISTINCT '${table} of job ' || job || ', which is not there' AS problem FROM ${table} WHERE NOT EXISTS (SELECT 1 FROM job j WHERE j.seq = ${table}.job) LIMIT 20`,
  ),
  ...OF_RUN.map(
    (table) =>
      `SELECT DISTINCT '${table} of run ' || run || ', which is not there' AS problem FROM ${table} WHERE NOT EXISTS (SELECT 1 FROM run r WHERE r.seq = ${table}.run) LIMIT 20`,
  ),
  `SELECT 'dependency of ' || target || ' on ' || source || ', not both of which are there' AS problem FROM dependency
    WHERE NOT EXISTS (SELECT 1 FROM job WHERE seq = source) OR NOT EXISTS (SELECT 1 FROM job WHERE seq = target) LIMIT 20`,
  `SELECT 'job ' || seq || ' is held by boot ' || boot || ', which is not there' AS problem FROM job
    WHERE boot IS NOT NULL AND NOT EXISTS (SELECT 1 FROM boot b WHERE b.seq = job.boot) LIMIT 20`,
  `SELECT 'job ' || seq || ' can be claimed and is not in the queue' AS problem FROM job
    WHERE claimable = 1 AND NOT EXISTS (SELECT 1 FROM queue q WHERE q.job = job.seq) LIMIT 20`,
  `SELECT 'job ' || q.job || ' is in the queue and cannot be claimed' AS problem FROM queue q JOIN job j ON j.seq = q.job
    WHERE j.claimable = 0 LIMIT 20`,
];

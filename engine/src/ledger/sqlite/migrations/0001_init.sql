-- The first schema. Released migrations are never edited. Times are milliseconds since the Unix epoch.
-- CHECKs restate the invariants of engine/src/core; a violation is a fault of the engine and fails its transaction.
-- They are written as comparisons: a list of IN with more than two values costs more than the rest of an update.
-- Each index is a page more in a commit, so there is none that only people's lists would use. Rows that are written with
-- every job name their run without a foreign key: each insert would look the run up, and pruning would search all children
-- of each row that goes. `check` of the ledger and the auditor look for orphans instead (decision 0011).

-- The lowest number not given away yet: of jobs, which processes take in blocks; of runs, the next one is past the last row,
-- and what is here counts only where pruning has taken the last rows.
CREATE TABLE number (
  name TEXT PRIMARY KEY,
  next INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO number (name, next) VALUES ('run', 1), ('job', 1);

CREATE TABLE definition (
  version TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  document TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE boot (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  host TEXT NOT NULL,
  machine TEXT NOT NULL,
  pid INTEGER NOT NULL,
  pid_start TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  heartbeat_at INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state = 'alive' OR state = 'stopped' OR state = 'dead')
) STRICT;

CREATE TABLE run (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  pipeline TEXT NOT NULL,
  version TEXT NOT NULL REFERENCES definition (version),
  state TEXT NOT NULL CHECK (state = 'pending' OR state = 'running' OR state = 'waiting' OR state = 'completed' OR state = 'failed' OR state = 'cancelled'),
  priority TEXT NOT NULL CHECK (priority = 'high' OR priority = 'normal' OR priority = 'low'),
  stage_count INTEGER NOT NULL,
  job_count INTEGER NOT NULL,
  open_jobs INTEGER NOT NULL CHECK (open_jobs >= 0 AND open_jobs <= job_count),
  live_jobs INTEGER NOT NULL CHECK (live_jobs >= 0 AND live_jobs + waiting_jobs <= open_jobs),
  waiting_jobs INTEGER NOT NULL CHECK (waiting_jobs >= 0),
  failed_jobs INTEGER NOT NULL CHECK (failed_jobs >= 0),
  spawned_jobs INTEGER NOT NULL CHECK (spawned_jobs >= 0 AND spawned_jobs <= 10000),
  first_job INTEGER NOT NULL,
  propagating INTEGER NOT NULL CHECK (propagating >= 0),
  event_seq INTEGER NOT NULL,
  concurrency_key TEXT,
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  ended_at INTEGER,
  cancel_requested_at INTEGER,
  halted_at INTEGER,
  params TEXT,
  idempotency_key TEXT,
  request_hash TEXT,
  labels TEXT,
  row_version INTEGER NOT NULL,
  CHECK ((state = 'completed' OR state = 'failed' OR state = 'cancelled') = (ended_at IS NOT NULL)),
  CHECK (NOT (state = 'completed' OR state = 'failed' OR state = 'cancelled') OR open_jobs = 0),
  CHECK (state <> 'completed' OR failed_jobs = 0)
) STRICT;
-- Params above 1,000 characters, which would otherwise be written anew with each change of the run's counters.
CREATE TABLE run_params (
  run INTEGER PRIMARY KEY REFERENCES run (seq),
  params TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX run_idempotency ON run (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX run_concurrency ON run (concurrency_key, seq) WHERE concurrency_key IS NOT NULL AND ended_at IS NULL;

CREATE TABLE stage (
  run INTEGER NOT NULL REFERENCES run (seq),
  ordinal INTEGER NOT NULL,
  name TEXT NOT NULL,
  first_job INTEGER NOT NULL,
  declared INTEGER NOT NULL,
  total INTEGER NOT NULL CHECK (total >= declared),
  settled INTEGER NOT NULL CHECK (settled >= 0 AND settled <= total),
  completed INTEGER NOT NULL CHECK (completed >= 0),
  failed INTEGER NOT NULL CHECK (failed >= 0),
  skipped INTEGER NOT NULL CHECK (skipped >= 0),
  cancelled INTEGER NOT NULL CHECK (cancelled >= 0),
  tainted INTEGER NOT NULL CHECK (tainted = 0 OR tainted = 1),
  PRIMARY KEY (run, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE job (
  seq INTEGER PRIMARY KEY,
  run INTEGER NOT NULL,
  id TEXT NOT NULL,
  stage INTEGER NOT NULL,
  kind TEXT NOT NULL CHECK (kind = 'single' OR kind = 'fanout' OR kind = 'map'),
  agent TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state = 'pending' OR state = 'ready' OR state = 'running' OR state = 'waiting' OR state = 'completed' OR state = 'failed' OR state = 'skipped' OR state = 'cancelled'),
  priority TEXT NOT NULL CHECK (priority = 'high' OR priority = 'normal' OR priority = 'low'),
  allow_failure INTEGER NOT NULL CHECK (allow_failure = 0 OR allow_failure = 1),
  blockers INTEGER NOT NULL CHECK (blockers >= 0),
  barrier INTEGER NOT NULL CHECK (barrier = 0 OR barrier = 1),
  has_dependents INTEGER NOT NULL CHECK (has_dependents = 0 OR has_dependents = 1),
  parent INTEGER REFERENCES job (seq),
  depth INTEGER NOT NULL DEFAULT 0 CHECK (depth >= 0 AND depth <= 32),
  children INTEGER NOT NULL DEFAULT 0 CHECK (children >= 0 AND children <= 1000),
  open_children INTEGER NOT NULL DEFAULT 0 CHECK (open_children >= 0 AND open_children <= children),
  claimable INTEGER NOT NULL CHECK (claimable = 0 OR claimable = 1),
  rank INTEGER NOT NULL,
  due_at INTEGER,
  attempt INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
  failures INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),
  crashes INTEGER NOT NULL DEFAULT 0 CHECK (crashes >= 0),
  holding INTEGER NOT NULL DEFAULT 0 CHECK (holding = 0 OR holding = 1),
  epoch INTEGER NOT NULL DEFAULT 0 CHECK (epoch >= 0),
  boot INTEGER REFERENCES boot (seq),
  attempt_boot INTEGER,
  ready_at INTEGER,
  first_started_at INTEGER,
  started_at INTEGER,
  ended_at INTEGER,
  cancel_requested_at INTEGER,
  reason TEXT,
  output TEXT,
  error TEXT,
  row_version INTEGER NOT NULL DEFAULT 0,
  CHECK ((state = 'running') = (boot IS NOT NULL)),
  CHECK (state <> 'running' OR attempt_boot = boot),
  CHECK ((state = 'completed' OR state = 'failed' OR state = 'skipped' OR state = 'cancelled') = (ended_at IS NOT NULL)),
  CHECK (claimable = 0 OR (state = 'ready' AND due_at IS NULL) OR (state = 'waiting' AND kind = 'fanout')),
  CHECK (due_at IS NULL OR (state = 'ready' OR state = 'waiting'))
) STRICT;
-- Declared jobs of a run are numbered without a gap from its first_job on.
CREATE INDEX job_spawned ON job (run) WHERE parent IS NOT NULL;
CREATE UNIQUE INDEX job_child ON job (parent, id) WHERE parent IS NOT NULL;
CREATE INDEX job_claimable ON job (agent, rank, seq) WHERE claimable = 1;
CREATE INDEX job_due ON job (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX job_boot ON job (boot) WHERE boot IS NOT NULL;

CREATE TABLE job_spec (
  job INTEGER PRIMARY KEY REFERENCES job (seq),
  spec TEXT NOT NULL
) STRICT;

CREATE TABLE dependency (
  source INTEGER NOT NULL,
  target INTEGER NOT NULL,
  type TEXT NOT NULL CHECK (type = 'success' OR type = 'failure' OR type = 'always'),
  PRIMARY KEY (source, target)
) STRICT, WITHOUT ROWID;

CREATE TABLE propagation (
  seq INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  run INTEGER NOT NULL REFERENCES run (seq),
  subject INTEGER NOT NULL,
  position INTEGER NOT NULL
) STRICT;

CREATE TABLE attempt (
  job INTEGER NOT NULL REFERENCES job (seq),
  number INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  boot INTEGER,
  state TEXT NOT NULL CHECK (state = 'completed' OR state = 'failed' OR state = 'lost' OR state = 'stopped'),
  started_at INTEGER NOT NULL,
  ended_at INTEGER NOT NULL,
  error TEXT,
  PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE fanout (
  job INTEGER PRIMARY KEY REFERENCES job (seq),
  source TEXT NOT NULL,
  total INTEGER NOT NULL CHECK (total >= 0 AND total <= 1000000),
  cursor INTEGER NOT NULL CHECK (cursor >= 0 AND cursor <= total),
  concurrency INTEGER NOT NULL CHECK (concurrency > 0),
  slots_used INTEGER NOT NULL CHECK (slots_used >= 0 AND slots_used <= concurrency),
  leased INTEGER NOT NULL CHECK (leased >= 0),
  retry_cursor INTEGER,
  released INTEGER NOT NULL CHECK (released >= 0),
  window_epoch INTEGER NOT NULL,
  window_size INTEGER NOT NULL CHECK (window_size > 0),
  completed INTEGER NOT NULL CHECK (completed >= 0),
  failed INTEGER NOT NULL CHECK (failed >= 0),
  skipped INTEGER NOT NULL CHECK (skipped >= duplicates),
  duplicates INTEGER NOT NULL CHECK (duplicates >= 0),
  error_rate REAL NOT NULL CHECK (error_rate >= 0 AND error_rate <= 1),
  stopped INTEGER NOT NULL CHECK (stopped = 0 OR stopped = 1),
  last_ordinal INTEGER,
  progress_at INTEGER NOT NULL,
  CHECK (completed + failed + skipped <= total)
) STRICT;

CREATE TABLE item_window (
  job INTEGER NOT NULL REFERENCES fanout (job),
  start INTEGER NOT NULL,
  stop INTEGER NOT NULL CHECK (stop > start),
  open INTEGER NOT NULL CHECK (open >= 0 AND open <= stop - start),
  epoch INTEGER NOT NULL,
  boot INTEGER REFERENCES boot (seq),
  slots INTEGER NOT NULL CHECK (slots >= 0),
  PRIMARY KEY (job, start)
) STRICT, WITHOUT ROWID;
CREATE INDEX item_window_boot ON item_window (boot) WHERE boot IS NOT NULL;

CREATE TABLE item (
  job INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state = 'pending' OR state = 'completed' OR state = 'failed' OR state = 'skipped' OR state = 'cancelled'),
  attempts INTEGER NOT NULL,
  result TEXT,
  error TEXT,
  due_at INTEGER,
  ended_at INTEGER,
  PRIMARY KEY (job, ordinal)
) STRICT, WITHOUT ROWID;
CREATE INDEX item_unfinished ON item (job, state, ordinal) WHERE state <> 'completed';

CREATE TABLE item_key (
  scope INTEGER NOT NULL,
  hash BLOB NOT NULL,
  job INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  PRIMARY KEY (scope, job, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE step (
  job INTEGER NOT NULL REFERENCES job (seq),
  item INTEGER NOT NULL,
  key TEXT NOT NULL,
  input_hash TEXT,
  output TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  ended_at INTEGER NOT NULL,
  PRIMARY KEY (job, item, key)
) STRICT, WITHOUT ROWID;

-- Numbered per run: id is run * 2^24 + seq, which makes one tree serve as table and as index.
CREATE TABLE event (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL,
  at INTEGER NOT NULL,
  name TEXT NOT NULL,
  job TEXT,
  data TEXT
) STRICT;

CREATE TABLE limiter (
  name TEXT NOT NULL,
  key TEXT NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY (name, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE hold (
  limiter TEXT NOT NULL,
  key TEXT NOT NULL,
  job INTEGER NOT NULL REFERENCES job (seq),
  epoch INTEGER NOT NULL,
  item INTEGER NOT NULL,
  PRIMARY KEY (limiter, key, job, epoch, item)
) STRICT, WITHOUT ROWID;
CREATE INDEX hold_job ON hold (job);

CREATE TABLE cache (
  pipeline TEXT NOT NULL,
  key TEXT NOT NULL,
  job INTEGER NOT NULL,
  at INTEGER NOT NULL,
  output TEXT NOT NULL,
  PRIMARY KEY (pipeline, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE artifact (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run (seq),
  job INTEGER NOT NULL REFERENCES job (seq),
  attempt INTEGER NOT NULL,
  name TEXT NOT NULL,
  type TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  media_type TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT;
CREATE INDEX artifact_run ON artifact (run);
CREATE INDEX artifact_sha256 ON artifact (sha256);

CREATE TABLE dataset (
  sha256 TEXT PRIMARY KEY,
  count INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  stride INTEGER NOT NULL,
  offsets BLOB NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE process (
  marker TEXT PRIMARY KEY,
  boot INTEGER NOT NULL REFERENCES boot (seq),
  pid INTEGER NOT NULL,
  pid_start TEXT NOT NULL,
  job INTEGER NOT NULL,
  epoch INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX process_boot ON process (boot);

-- Who may use the server, what was done through it, webhooks, and the order in which everything was committed.

-- Secrets are not here: a token is kept as its SHA-256, a webhook's key is derived from a file in the home.
CREATE TABLE token (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind = 'token' OR kind = 'login' OR kind = 'session'),
  hash TEXT NOT NULL,
  name TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role = 'viewer' OR role = 'operator' OR role = 'admin'),
  parent TEXT,
  run TEXT,
  job INTEGER,
  epoch INTEGER,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  used_at INTEGER,
  revoked_at INTEGER,
  CHECK ((job IS NULL) = (epoch IS NULL)),
  CHECK (job IS NULL OR run IS NOT NULL)
) STRICT, WITHOUT ROWID;

-- A chain: each row's hash covers the one before.
CREATE TABLE audit (
  id TEXT PRIMARY KEY,
  number INTEGER NOT NULL UNIQUE CHECK (number >= 1),
  at INTEGER NOT NULL,
  phase TEXT NOT NULL CHECK (phase = 'asked' OR phase = 'answered' OR phase = 'refused'),
  token TEXT NOT NULL,
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  address TEXT NOT NULL,
  operation TEXT NOT NULL,
  target TEXT NOT NULL,
  request TEXT NOT NULL,
  status INTEGER,
  previous TEXT NOT NULL,
  hash TEXT NOT NULL
) STRICT;

CREATE TABLE webhook (
  id TEXT PRIMARY KEY,
  url TEXT NOT NULL,
  occasions TEXT NOT NULL,
  pipeline TEXT,
  interval_ms INTEGER NOT NULL CHECK (interval_ms > 0),
  enabled INTEGER NOT NULL CHECK (enabled = 0 OR enabled = 1),
  secret_version INTEGER NOT NULL CHECK (secret_version >= 1),
  rotated_at INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE hook (
  id TEXT PRIMARY KEY,
  pipeline TEXT NOT NULL,
  params TEXT NOT NULL,
  enabled INTEGER NOT NULL CHECK (enabled = 0 OR enabled = 1),
  secret_version INTEGER NOT NULL CHECK (secret_version >= 1),
  rotated_at INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Single values: the end of the audit chain, how far webhooks have read, the probe of readiness.
CREATE TABLE mark (
  id TEXT PRIMARY KEY,
  value INTEGER NOT NULL,
  text TEXT,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row a commit that has events: `run:first-last` for each run, with commas between. Numbers are given inside the write
-- transaction, of which SQLite has one at a time: whoever has read number n has read all before it.
CREATE TABLE feed (
  seq INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  entries TEXT NOT NULL
) STRICT;

-- Lists of what is open or went wrong, and how many there are; what completed is the rest. Counters of states would be a page
-- more in each commit that begins or ends a run.
CREATE INDEX run_not_completed ON run (state, seq) WHERE state <> 'completed';

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

-- How many runs are in each state, kept by the database itself.
CREATE TABLE run_count (
  state TEXT PRIMARY KEY,
  n INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO run_count (state, n) VALUES ('pending', 0), ('running', 0), ('waiting', 0), ('completed', 0), ('failed', 0), ('cancelled', 0);
UPDATE run_count SET n = (SELECT count(*) FROM run WHERE run.state = run_count.state);
CREATE TRIGGER run_counted_in AFTER INSERT ON run BEGIN
  UPDATE run_count SET n = n + 1 WHERE state = new.state;
END;
CREATE TRIGGER run_counted_on AFTER UPDATE OF state ON run WHEN new.state <> old.state BEGIN
  UPDATE run_count SET n = n + (state = new.state) - (state = old.state) WHERE state = new.state OR state = old.state;
END;
CREATE TRIGGER run_counted_out AFTER DELETE ON run BEGIN
  UPDATE run_count SET n = n - 1 WHERE state = old.state;
END;
CREATE INDEX run_not_completed ON run (state, seq) WHERE state <> 'completed';

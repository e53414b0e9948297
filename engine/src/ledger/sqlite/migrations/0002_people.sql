-- Approvals, gates, and runs that come from other runs.

ALTER TABLE job ADD COLUMN approvals INTEGER NOT NULL DEFAULT 0 CHECK (approvals >= 0);
ALTER TABLE run ADD COLUMN origin INTEGER;
ALTER TABLE run ADD COLUMN variant TEXT;
CREATE INDEX run_origin ON run (origin) WHERE origin IS NOT NULL;

CREATE TABLE approval (
  id TEXT PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run (seq),
  job INTEGER NOT NULL REFERENCES job (seq),
  key TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state = 'open' OR state = 'approved' OR state = 'rejected' OR state = 'expired' OR state = 'cancelled'),
  title TEXT NOT NULL,
  shown TEXT NOT NULL,
  hash TEXT NOT NULL,
  editable INTEGER NOT NULL CHECK (editable = 0 OR editable = 1),
  edited TEXT,
  decided_by TEXT,
  reason TEXT,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  decided_at INTEGER,
  voided INTEGER NOT NULL CHECK (voided = 0 OR voided = 1),
  CHECK ((state = 'open') = (decided_at IS NULL)),
  CHECK (edited IS NULL OR (editable = 1 AND state = 'approved'))
) STRICT, WITHOUT ROWID;
CREATE INDEX approval_job ON approval (job);
CREATE INDEX approval_run ON approval (run);
CREATE INDEX approval_open ON approval (created_at) WHERE state = 'open';

CREATE TABLE gate (
  id TEXT PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run (seq),
  job INTEGER NOT NULL REFERENCES job (seq),
  attempt INTEGER NOT NULL,
  verdict TEXT NOT NULL CHECK (verdict = 'PASSED' OR verdict = 'PASSED_WITH_WARNINGS' OR verdict = 'FAILED'),
  findings TEXT NOT NULL,
  warnings INTEGER NOT NULL CHECK (warnings >= 0),
  errors INTEGER NOT NULL CHECK (errors >= 0),
  action TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX gate_run ON gate (run);

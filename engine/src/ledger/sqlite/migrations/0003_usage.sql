-- What models were asked and what it cost: totals of each run, and one row a call.

CREATE TABLE run_usage (
  id TEXT PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run (seq),
  calls INTEGER NOT NULL CHECK (calls >= 0),
  lost_calls INTEGER NOT NULL CHECK (lost_calls >= 0 AND lost_calls <= calls),
  input_tokens INTEGER NOT NULL CHECK (input_tokens >= 0),
  output_tokens INTEGER NOT NULL CHECK (output_tokens >= 0),
  cost INTEGER NOT NULL CHECK (cost >= 0),
  open_calls INTEGER NOT NULL CHECK (open_calls >= 0),
  open_tokens INTEGER NOT NULL CHECK (open_tokens >= 0),
  open_cost INTEGER NOT NULL CHECK (open_cost >= 0),
  first_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX run_usage_run ON run_usage (run);

CREATE TABLE usage (
  id TEXT PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run (seq),
  job INTEGER NOT NULL REFERENCES job (seq),
  item INTEGER NOT NULL,
  key TEXT NOT NULL,
  model TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state = 'open' OR state = 'answered' OR state = 'refused' OR state = 'lost'),
  tries INTEGER NOT NULL CHECK (tries >= 1),
  reserved_tokens INTEGER NOT NULL CHECK (reserved_tokens >= 0),
  reserved_cost INTEGER NOT NULL CHECK (reserved_cost >= 0),
  input_tokens INTEGER NOT NULL CHECK (input_tokens >= 0),
  output_tokens INTEGER NOT NULL CHECK (output_tokens >= 0),
  cache_read_tokens INTEGER NOT NULL CHECK (cache_read_tokens >= 0),
  cache_write_tokens INTEGER NOT NULL CHECK (cache_write_tokens >= 0),
  cost INTEGER NOT NULL CHECK (cost >= 0),
  started_at INTEGER NOT NULL,
  ended_at INTEGER,
  CHECK ((state = 'open') = (ended_at IS NULL)),
  CHECK (state = 'open' OR (reserved_tokens = 0 AND reserved_cost = 0))
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_run ON usage (run);
CREATE INDEX usage_job ON usage (job);

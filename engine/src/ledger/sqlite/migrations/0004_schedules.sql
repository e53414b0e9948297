-- Templates with their versions, schedules, and deliveries to people.

CREATE TABLE template (
  id TEXT PRIMARY KEY,
  number INTEGER NOT NULL CHECK (number >= 1),
  version TEXT NOT NULL,
  description TEXT,
  stages INTEGER NOT NULL CHECK (stages >= 1),
  jobs INTEGER NOT NULL CHECK (jobs >= 1),
  schedules INTEGER NOT NULL CHECK (schedules >= 0),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  removed_at INTEGER,
  CHECK (removed_at IS NULL OR schedules = 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE template_version (
  id TEXT PRIMARY KEY,
  template TEXT NOT NULL REFERENCES template (id),
  number INTEGER NOT NULL CHECK (number >= 1),
  version TEXT NOT NULL,
  document TEXT NOT NULL,
  note TEXT,
  at INTEGER NOT NULL,
  UNIQUE (template, number)
) STRICT;

CREATE TABLE schedule (
  id TEXT PRIMARY KEY,
  pipeline TEXT NOT NULL,
  template INTEGER NOT NULL CHECK (template = 0 OR template = 1),
  cron TEXT NOT NULL,
  zone TEXT NOT NULL,
  params TEXT NOT NULL,
  excluded TEXT,
  priority TEXT CHECK (priority IS NULL OR priority = 'high' OR priority = 'normal' OR priority = 'low'),
  missed TEXT NOT NULL CHECK (missed = 'skip' OR missed = 'last' OR missed = 'all'),
  cap INTEGER NOT NULL CHECK (cap >= 1),
  enabled INTEGER NOT NULL CHECK (enabled = 0 OR enabled = 1),
  cursor INTEGER NOT NULL,
  next_at INTEGER,
  fired INTEGER NOT NULL CHECK (fired >= 0),
  passed INTEGER NOT NULL CHECK (passed >= 0),
  last_at INTEGER,
  last_run TEXT,
  last_error TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  CHECK (enabled = 1 OR next_at IS NULL),
  CHECK (next_at IS NULL OR next_at > cursor),
  CHECK ((last_at IS NULL) = (last_run IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX schedule_next ON schedule (next_at) WHERE next_at IS NOT NULL;

CREATE TABLE notifier (
  id TEXT PRIMARY KEY,
  since INTEGER NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Without a reference to the run: a delivery outlives what it was about.
CREATE TABLE delivery (
  id TEXT PRIMARY KEY,
  notifier TEXT NOT NULL,
  run INTEGER NOT NULL,
  occasion TEXT NOT NULL CHECK (occasion = 'completed' OR occasion = 'failed' OR occasion = 'cancelled' OR occasion = 'approval' OR occasion = 'progress'),
  state TEXT NOT NULL CHECK (state = 'pending' OR state = 'sending' OR state = 'delivered' OR state = 'failed'),
  message TEXT NOT NULL,
  attempts INTEGER NOT NULL CHECK (attempts >= 0),
  due_at INTEGER,
  error TEXT,
  created_at INTEGER NOT NULL,
  ended_at INTEGER,
  CHECK ((ended_at IS NULL) = (state = 'pending' OR state = 'sending')),
  CHECK ((due_at IS NULL) = (ended_at IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_due ON delivery (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX delivery_run ON delivery (run);

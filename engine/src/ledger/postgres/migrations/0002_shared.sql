-- What machines share beside the ledger: bytes of artifacts, lines of logs, raw output of programs. No decision looks at these.

-- An object stands here only when all of its bytes are durable, in chunks or at `place`. `stored_at` is the database's clock.
CREATE TABLE object (
  sha256 text COLLATE "C" PRIMARY KEY,
  bytes bigint NOT NULL CHECK (bytes >= 0),
  upload text COLLATE "C" NOT NULL,
  place text COLLATE "C" NOT NULL,
  stored_at bigint NOT NULL,
  damaged int NOT NULL DEFAULT 0 CHECK (damaged = 0 OR damaged = 1)
);

-- Written before the first byte of an upload and removed when the object is listed; `ended` ones are to be swept.
CREATE TABLE object_upload (
  id text COLLATE "C" PRIMARY KEY,
  sha256 text COLLATE "C" NOT NULL,
  place text COLLATE "C" NOT NULL,
  started_at bigint NOT NULL,
  ended int NOT NULL CHECK (ended = 0 OR ended = 1)
);

CREATE TABLE object_chunk (
  upload text COLLATE "C" NOT NULL,
  number int NOT NULL,
  bytes bytea NOT NULL,
  PRIMARY KEY (upload, number)
);

-- How many lines and characters a run's log has had: whoever adds some takes the row, so that numbers appear in order.
CREATE TABLE log_head (
  run text COLLATE "C" PRIMARY KEY,
  lines bigint NOT NULL,
  chars bigint NOT NULL,
  written_at bigint NOT NULL
);

-- Lines `first` to `first + lines - 1` of a run, each as JSON.
CREATE TABLE log_chunk (
  run text COLLATE "C" NOT NULL,
  first bigint NOT NULL,
  lines int NOT NULL CHECK (lines > 0),
  chars int NOT NULL,
  body text NOT NULL,
  batch text COLLATE "C" NOT NULL,
  PRIMARY KEY (run, first)
);

-- Raw output of one attempt: `at` is where the bytes stand in what the program wrote; `info` as beside the file, when it has ended.
CREATE TABLE output (
  run text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  bytes bigint NOT NULL,
  info text,
  written_at bigint NOT NULL,
  PRIMARY KEY (run, name)
);

CREATE TABLE output_chunk (
  run text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  at bigint NOT NULL,
  bytes bytea NOT NULL,
  PRIMARY KEY (run, name, at)
);

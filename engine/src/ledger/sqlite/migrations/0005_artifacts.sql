-- Artifacts are registered once, their consumption is recorded, and what is offered to dependants is told apart.

-- Ordinal of the item that made it, -1 for a job; null for rows from before this migration.
ALTER TABLE artifact ADD COLUMN item INTEGER;
-- 1 when the same job has registered other bytes under this name since.
ALTER TABLE artifact ADD COLUMN superseded INTEGER NOT NULL DEFAULT 0 CHECK (superseded = 0 OR superseded = 1);
-- 1 when jobs that depend on its producer get it into their workspace.
ALTER TABLE artifact ADD COLUMN offered INTEGER NOT NULL DEFAULT 0 CHECK (offered = 0 OR offered = 1);
-- The artifact of another run that it was taken over from.
ALTER TABLE artifact ADD COLUMN source INTEGER;
CREATE UNIQUE INDEX artifact_once ON artifact (job, name, item, sha256);
CREATE INDEX artifact_offered ON artifact (run) WHERE offered = 1 AND superseded = 0;

-- `artifact` may have been pruned with its run, which is another one after a reuse.
CREATE TABLE consumption (
  job INTEGER NOT NULL REFERENCES job (seq),
  artifact INTEGER NOT NULL,
  how TEXT NOT NULL CHECK (how = 'offered' OR how = 'input' OR how = 'read'),
  at INTEGER NOT NULL,
  PRIMARY KEY (job, artifact)
) STRICT, WITHOUT ROWID;
CREATE INDEX consumption_artifact ON consumption (artifact);

-- Attempts that workers elsewhere carry out, and those workers; `schema.sql` explains.

CREATE TABLE task (
  id TEXT PRIMARY KEY NOT NULL,
  run TEXT NOT NULL,
  operation TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  step TEXT NOT NULL,
  runtime TEXT NOT NULL,
  queue TEXT NOT NULL,
  at INTEGER NOT NULL,
  worker TEXT,
  token TEXT,
  claimed_at INTEGER,
  beat_at INTEGER,
  lease_until INTEGER,
  work TEXT NOT NULL,
  outcome TEXT
) STRICT;

CREATE INDEX task_of_run ON task (run);
CREATE INDEX task_reported ON task (id) WHERE outcome IS NOT NULL;

CREATE TABLE worker (
  name TEXT PRIMARY KEY NOT NULL,
  runtime TEXT NOT NULL,
  about TEXT NOT NULL,
  since INTEGER NOT NULL,
  beat_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

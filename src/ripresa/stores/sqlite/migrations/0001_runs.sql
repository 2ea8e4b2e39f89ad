-- Runs and their journal, what wakes them, and who owns them; `schema.sql` explains.

CREATE TABLE run (
  id TEXT PRIMARY KEY NOT NULL,
  key TEXT,
  definition TEXT NOT NULL,
  version TEXT NOT NULL,
  status TEXT NOT NULL,
  priority INTEGER NOT NULL,
  parent TEXT,
  parent_operation TEXT,
  correlation_id TEXT NOT NULL,
  owner INTEGER,
  base_seq INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  finished_at INTEGER,
  updated_at INTEGER,
  memo TEXT,
  input TEXT NOT NULL,
  output TEXT,
  error TEXT
) STRICT;
CREATE UNIQUE INDEX run_by_key ON run (key) WHERE key IS NOT NULL;
CREATE INDEX run_by_status ON run (status, id, owner);
CREATE INDEX run_by_definition ON run (definition, id);
CREATE INDEX run_by_parent ON run (parent, id) WHERE parent IS NOT NULL;

CREATE TABLE history (
  run TEXT NOT NULL,
  seq INTEGER NOT NULL,
  kind TEXT NOT NULL,
  at INTEGER NOT NULL,
  operation TEXT,
  name TEXT,
  fingerprint INTEGER,
  attempt INTEGER,
  started_at INTEGER,
  data TEXT,
  error TEXT,
  PRIMARY KEY (run, seq)
) STRICT;

CREATE TABLE attempt (
  run TEXT NOT NULL,
  operation TEXT NOT NULL,
  number INTEGER NOT NULL,
  name TEXT NOT NULL,
  engine INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  status TEXT NOT NULL,
  finished_at INTEGER,
  error TEXT,
  due INTEGER,
  PRIMARY KEY (run, operation, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE ready (
  run TEXT PRIMARY KEY NOT NULL,
  due INTEGER NOT NULL,
  priority INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX ready_by_due ON ready (priority, due);

CREATE TABLE inbox (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  run TEXT NOT NULL,
  kind TEXT NOT NULL,
  name TEXT,
  at INTEGER NOT NULL,
  taken INTEGER NOT NULL DEFAULT 0,
  data TEXT
) STRICT;

CREATE INDEX inbox_open ON inbox (run) WHERE taken = 0;

CREATE TABLE outbox (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  run TEXT NOT NULL,
  type TEXT NOT NULL,
  at INTEGER NOT NULL,
  data TEXT NOT NULL
) STRICT;

CREATE TABLE log (
  number INTEGER PRIMARY KEY,
  run TEXT NOT NULL,
  operation TEXT,
  attempt INTEGER,
  at INTEGER NOT NULL,
  stream TEXT NOT NULL,
  level TEXT,
  text TEXT NOT NULL
) STRICT;

CREATE INDEX log_by_run ON log (run);

CREATE TABLE blob (
  id TEXT PRIMARY KEY NOT NULL,
  data TEXT NOT NULL
) STRICT;

CREATE TABLE tag (
  run TEXT NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (run, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX tag_by_value ON tag (name, value, run);

CREATE TABLE definition (
  name TEXT NOT NULL,
  version TEXT NOT NULL,
  label TEXT,
  kind TEXT NOT NULL,
  body TEXT NOT NULL,
  input_schema TEXT,
  output_schema TEXT,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (name, version)
) STRICT;

CREATE TABLE engine (
  slot INTEGER PRIMARY KEY CHECK (slot = 1),
  epoch INTEGER NOT NULL,
  last_batch INTEGER NOT NULL,
  lease_until INTEGER NOT NULL,
  since INTEGER NOT NULL,
  who TEXT NOT NULL,
  instance TEXT NOT NULL,
  host TEXT NOT NULL,
  boot TEXT NOT NULL,
  namespace TEXT NOT NULL,
  pid INTEGER NOT NULL,
  started INTEGER NOT NULL
) STRICT;

-- What is to happen once over all runs; `schema.sql` explains.

CREATE TABLE effect (
  id TEXT NOT NULL,
  run TEXT NOT NULL,
  holder TEXT NOT NULL,
  fingerprint INTEGER NOT NULL,
  at INTEGER NOT NULL,
  output TEXT,
  PRIMARY KEY (id)
) STRICT;

CREATE INDEX effect_by_run ON effect (run);

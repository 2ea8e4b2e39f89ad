-- What steps measured of their data; `schema.sql` explains.

CREATE TABLE quality (
  run TEXT NOT NULL,
  seq INTEGER NOT NULL,
  definition TEXT NOT NULL,
  step TEXT NOT NULL,
  operation TEXT NOT NULL,
  at INTEGER NOT NULL,
  status TEXT NOT NULL,
  metrics TEXT NOT NULL,
  PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX quality_by_definition ON quality (definition, at, run, seq);
CREATE INDEX quality_by_step ON quality (definition, step, at, run, seq);

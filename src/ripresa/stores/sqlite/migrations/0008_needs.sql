-- Steps that wait for an engine with labels, and what an engine tells of itself; `schema.sql` explains.

CREATE TABLE need (
  run TEXT NOT NULL,
  operation TEXT NOT NULL,
  step TEXT NOT NULL,
  labels TEXT NOT NULL,
  priority INTEGER NOT NULL,
  since INTEGER NOT NULL,
  PRIMARY KEY (run, operation)
) STRICT, WITHOUT ROWID;

CREATE INDEX need_by_labels ON need (labels, priority DESC, since, run);

ALTER TABLE engine ADD COLUMN about TEXT;

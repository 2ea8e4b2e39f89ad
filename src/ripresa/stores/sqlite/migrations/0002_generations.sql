-- An attempt says in which generation of its run it was made; what was taken from the inbox leaves its id alone.

ALTER TABLE attempt RENAME TO attempt_before;

CREATE TABLE attempt (
  run TEXT NOT NULL,
  generation INTEGER NOT NULL,
  operation TEXT NOT NULL,
  number INTEGER NOT NULL,
  name TEXT NOT NULL,
  engine INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  status TEXT NOT NULL,
  finished_at INTEGER,
  error TEXT,
  due INTEGER,
  PRIMARY KEY (run, generation, operation, number)
) STRICT, WITHOUT ROWID;

-- Of a run that has continued as new, only the time tells which attempts came before.
INSERT INTO attempt
SELECT old.run, CASE WHEN old.started_at >= continued.at THEN run.base_seq ELSE 0 END, old.operation, old.number, old.name,
  old.engine, old.started_at, old.status, old.finished_at, old.error, old.due
FROM attempt_before AS old
LEFT JOIN run ON run.id = old.run AND run.base_seq > 0
LEFT JOIN history AS continued ON continued.run = run.id AND continued.seq = run.base_seq + 1;

DROP TABLE attempt_before;

CREATE TABLE seen (
  run TEXT NOT NULL,
  id TEXT NOT NULL,
  PRIMARY KEY (run, id)
) STRICT, WITHOUT ROWID;

INSERT INTO seen SELECT run, id FROM inbox WHERE taken = 1;

DROP INDEX inbox_open;

ALTER TABLE inbox RENAME TO inbox_before;

CREATE TABLE inbox (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  run TEXT NOT NULL,
  kind TEXT NOT NULL,
  name TEXT,
  at INTEGER NOT NULL,
  data TEXT
) STRICT;

INSERT INTO inbox
SELECT number, id, run, kind, name, at,
  CASE WHEN data GLOB '@blob:*' THEN (SELECT blob.data FROM blob WHERE blob.id = substr(inbox_before.data, 7)) ELSE data END
FROM inbox_before WHERE taken = 0;

DROP TABLE inbox_before;

CREATE INDEX inbox_by_run ON inbox (run);

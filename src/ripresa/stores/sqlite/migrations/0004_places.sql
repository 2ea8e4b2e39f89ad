-- Runs of which only so many go on at a time; `schema.sql` explains.

CREATE TABLE place (
  run TEXT NOT NULL,
  line TEXT NOT NULL,
  places INTEGER NOT NULL,
  held INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  since INTEGER NOT NULL,
  PRIMARY KEY (run)
) STRICT, WITHOUT ROWID;

CREATE INDEX place_in_line ON place (line, held, priority DESC, since, run);

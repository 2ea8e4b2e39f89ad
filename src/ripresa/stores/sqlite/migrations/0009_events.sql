-- Events that nobody could take, and what became of events, for people who watch; `schema.sql` explains.

CREATE TABLE dead_letter (
  id TEXT PRIMARY KEY NOT NULL,
  way TEXT NOT NULL,
  place TEXT NOT NULL,
  code TEXT NOT NULL,
  reason TEXT NOT NULL,
  type TEXT,
  event TEXT,
  subject TEXT,
  body BLOB NOT NULL,
  since INTEGER NOT NULL,
  at INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  due INTEGER
) STRICT;

CREATE INDEX dead_letter_by_time ON dead_letter (at);
CREATE INDEX dead_letter_due ON dead_letter (place, due) WHERE due IS NOT NULL;

CREATE TABLE event_log (
  number INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  at INTEGER NOT NULL,
  way TEXT NOT NULL,
  what TEXT NOT NULL,
  place TEXT NOT NULL,
  event TEXT,
  type TEXT,
  subject TEXT,
  data TEXT,
  why TEXT
) STRICT;

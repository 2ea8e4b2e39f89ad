-- Events that nobody could take, and what became of events, for people who watch; only added to.

CREATE TABLE dead_letter (
  id text COLLATE "C" PRIMARY KEY,
  way text NOT NULL,
  place text NOT NULL,
  code text NOT NULL,
  reason text NOT NULL,
  type text,
  event text,
  subject text,
  body bytea NOT NULL,
  since bigint NOT NULL,
  at bigint NOT NULL,
  attempts bigint NOT NULL,
  due bigint
);

CREATE INDEX dead_letter_by_time ON dead_letter (at);
CREATE INDEX dead_letter_due ON dead_letter (place, due) WHERE due IS NOT NULL;

CREATE TABLE event_log (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at bigint NOT NULL,
  way text NOT NULL,
  what text NOT NULL,
  place text NOT NULL,
  event text,
  type text,
  subject text,
  data text,
  why text
);

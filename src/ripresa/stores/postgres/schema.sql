-- The tables as they stand after all migrations; a test shows that they add up to it.
--
--   run ──< history      what has happened, append-only
--       ──< attempt      tries of a step that the journal does not tell
--       ──< inbox        what was sent to it and the journal has not taken yet
--       ──< seen         ids of what the journal took
--       ──< outbox       what it wants published
--       ──< log, tag, quality, effect
--       ──1 ready        it needs an engine, now or at a time
--       ──1 place        it goes on, or waits, with others of which only so many do
--       ──< need         steps that wait for an engine with labels
--   delivery             how often one in the outbox was tried in vain, and where
--   dead_letter          an event that nobody could take, with the reason
--   event_log            what became of events, for a while, for people who watch
--   engine ──< written   who may write, and the last thing that each wrote
--          ──< answer    what a call took, until the next one
--   line, desk           rows to lock: whoever counts places or slots has locked one
--   blob                 payloads too large for a row; the row holds `@blob:<run>/<sha256>`
--
-- Times are microseconds since 1970 in UTC, payloads JSON, ids UUIDv7, whose order is that of time: hence `COLLATE "C"`.
-- There are no foreign keys: only batches write, and each row would cost one more search.
--
-- No row is changed by each commit: with an old snapshot about, each of its versions would have to be stepped over.

CREATE TABLE version (
  number bigint PRIMARY KEY,            -- of the last migration that was taken
  since timestamptz NOT NULL
);

CREATE TABLE run (
  id text COLLATE "C" PRIMARY KEY,
  key text COLLATE "C",
  definition text COLLATE "C" NOT NULL,
  version text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL,
  priority bigint NOT NULL,
  parent text COLLATE "C",
  parent_operation text,
  correlation_id text NOT NULL,
  owner bigint,                         -- engine that holds it in memory
  base_seq bigint NOT NULL DEFAULT 0,
  created_at bigint NOT NULL,
  started_at bigint,
  finished_at bigint,
  updated_at bigint,                    -- none: not since it was created
  memo text,
  input text NOT NULL,
  output text,
  error text
);

CREATE UNIQUE INDEX run_by_key ON run (key) WHERE key IS NOT NULL;
CREATE INDEX run_by_status ON run (status, id);
CREATE INDEX run_by_definition ON run (definition, id);

CREATE INDEX run_by_parent ON run (parent, id) WHERE parent IS NOT NULL;
-- What is to be adopted of an engine that is gone.
CREATE INDEX run_by_owner ON run (owner, id) WHERE owner IS NOT NULL;
CREATE INDEX run_unowned ON run (id) WHERE status = 'queued' AND owner IS NULL;

CREATE TABLE history (
  run text COLLATE "C" NOT NULL,
  seq bigint NOT NULL,
  kind text NOT NULL,
  at bigint NOT NULL,
  operation text,
  name text,
  fingerprint bigint,
  attempt bigint,
  started_at bigint,
  data text,
  error text,
  PRIMARY KEY (run, seq)
);

CREATE TABLE attempt (
  run text COLLATE "C" NOT NULL,
  generation bigint NOT NULL,
  operation text COLLATE "C" NOT NULL,
  number bigint NOT NULL,
  name text NOT NULL,
  engine bigint NOT NULL,
  started_at bigint NOT NULL,
  status text NOT NULL,
  finished_at bigint,
  error text,
  due bigint,
  PRIMARY KEY (run, generation, operation, number)
);

CREATE TABLE ready (
  run text COLLATE "C" PRIMARY KEY,
  due bigint NOT NULL,
  priority bigint NOT NULL,
  owner bigint                          -- whose the run was when it was sent something; none: ask `run`
);

CREATE INDEX ready_by_due ON ready (priority, due, run);

CREATE TABLE level (
  priority bigint PRIMARY KEY,
  low bigint NOT NULL                   -- no ready row of this priority is due earlier
);

CREATE TABLE inbox (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text COLLATE "C" NOT NULL UNIQUE,
  run text COLLATE "C" NOT NULL,
  kind text NOT NULL,
  name text,
  at bigint NOT NULL,
  data text
);

CREATE INDEX inbox_by_run ON inbox (run, number);
CREATE INDEX inbox_retries ON inbox (run) WHERE kind = 'retry';

CREATE TABLE seen (
  run text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  PRIMARY KEY (run, id)
);

CREATE TABLE outbox (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text COLLATE "C" NOT NULL UNIQUE,
  run text COLLATE "C" NOT NULL,
  type text NOT NULL,
  at bigint NOT NULL,
  data text NOT NULL
);

CREATE TABLE log (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run text COLLATE "C" NOT NULL,
  operation text,
  attempt bigint,
  at bigint NOT NULL,
  stream text NOT NULL,
  level text,
  text text NOT NULL
);

CREATE INDEX log_by_run ON log (run, number);

CREATE TABLE blob (
  id text COLLATE "C" PRIMARY KEY,
  data text NOT NULL
);

CREATE TABLE tag (
  run text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  value text COLLATE "C" NOT NULL,
  PRIMARY KEY (run, name)
);

CREATE INDEX tag_by_value ON tag (name, value, run);

CREATE TABLE quality (
  run text COLLATE "C" NOT NULL,
  seq bigint NOT NULL,
  definition text COLLATE "C" NOT NULL,
  step text COLLATE "C" NOT NULL,
  operation text NOT NULL,
  at bigint NOT NULL,
  status text NOT NULL,
  metrics text NOT NULL,
  PRIMARY KEY (run, seq)
);

CREATE INDEX quality_by_definition ON quality (definition, at, run, seq);
CREATE INDEX quality_by_step ON quality (definition, step, at, run, seq);

CREATE TABLE need (
  run text COLLATE "C" NOT NULL,
  operation text COLLATE "C" NOT NULL,
  step text NOT NULL,
  labels text COLLATE "C" NOT NULL,     -- JSON array, in order
  priority bigint NOT NULL,
  since bigint NOT NULL,
  PRIMARY KEY (run, operation)
);

-- Each kind of need is searched for alone, and there are few.
CREATE INDEX need_by_labels ON need (labels, priority DESC, since, run);

CREATE TABLE need_level (
  labels text COLLATE "C" NOT NULL,
  priority bigint NOT NULL,
  low bigint NOT NULL,                  -- nothing that needs these has waited since earlier
  PRIMARY KEY (labels, priority)
);

CREATE TABLE line (
  name text COLLATE "C" PRIMARY KEY
);

CREATE TABLE place (
  run text COLLATE "C" PRIMARY KEY,
  line text COLLATE "C" NOT NULL,
  places bigint NOT NULL,
  held boolean NOT NULL,
  priority bigint NOT NULL,
  since bigint NOT NULL
);

CREATE INDEX place_in_line ON place (line, held, priority DESC, since, run);

CREATE TABLE effect (
  id text COLLATE "C" PRIMARY KEY,
  run text COLLATE "C" NOT NULL,
  holder text NOT NULL,
  fingerprint bigint NOT NULL,
  at bigint NOT NULL,
  output text
);

CREATE INDEX effect_by_run ON effect (run);

CREATE TABLE pool (
  name text COLLATE "C" PRIMARY KEY,
  settings text NOT NULL,
  declared text,
  free_at bigint NOT NULL
);

CREATE TABLE desk (
  pool text COLLATE "C" PRIMARY KEY
);

CREATE TABLE ticket (
  run text COLLATE "C" NOT NULL,
  operation text COLLATE "C" NOT NULL,
  pool text COLLATE "C" NOT NULL,
  step text COLLATE "C" NOT NULL,
  workflow text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  priority bigint NOT NULL,
  since bigint NOT NULL,
  keeps boolean NOT NULL,
  engine bigint,
  turn bigint NOT NULL,
  granted_at bigint,
  told boolean NOT NULL,
  probe boolean NOT NULL,
  PRIMARY KEY (run, operation)
);

CREATE INDEX ticket_in_line ON ticket (pool, priority DESC, turn, since, run, operation) WHERE granted_at IS NULL;
CREATE INDEX ticket_of_key ON ticket (pool, priority, key, turn) WHERE granted_at IS NULL;
CREATE INDEX ticket_of_engine ON ticket (engine, pool) WHERE granted_at IS NULL;
CREATE INDEX ticket_held ON ticket (pool, engine, workflow, step, probe) WHERE granted_at IS NOT NULL;
CREATE INDEX ticket_holder ON ticket (engine, told) WHERE granted_at IS NOT NULL;
CREATE INDEX ticket_bereaved ON ticket (run) WHERE engine IS NULL;

CREATE TABLE pool_served (
  pool text COLLATE "C" NOT NULL,
  priority bigint NOT NULL,
  key text COLLATE "C" NOT NULL,
  turn bigint NOT NULL,
  PRIMARY KEY (pool, priority, key)
);

CREATE TABLE pool_outcome (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  pool text COLLATE "C" NOT NULL,
  step text NOT NULL,
  at bigint NOT NULL,
  good boolean NOT NULL,
  probe boolean NOT NULL
);

CREATE INDEX pool_outcome_of ON pool_outcome (pool, id);

CREATE TABLE breaker (
  pool text COLLATE "C" NOT NULL,
  target text COLLATE "C" NOT NULL,
  circuit text NOT NULL,
  PRIMARY KEY (pool, target)
);

CREATE TABLE cooldown (
  pool text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  until bigint NOT NULL,
  why text NOT NULL,
  PRIMARY KEY (pool, key)
);

CREATE INDEX cooldown_until ON cooldown (until);

CREATE TABLE definition (
  name text COLLATE "C" NOT NULL,
  version text COLLATE "C" NOT NULL,
  label text,
  kind text NOT NULL,
  body text NOT NULL,
  input_schema text,
  output_schema text,
  created_at bigint NOT NULL,
  PRIMARY KEY (name, version)
);

CREATE TABLE engine (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  lease_until bigint NOT NULL,          -- 0: it has let go, or the lease was broken
  since bigint NOT NULL,
  settled boolean NOT NULL DEFAULT false,  -- it is gone, and nothing is left of it to adopt
  draining boolean NOT NULL DEFAULT false,
  about text,
  who text NOT NULL,
  host text NOT NULL,
  boot text NOT NULL,
  namespace text NOT NULL,
  pid bigint NOT NULL,
  started bigint NOT NULL
);

CREATE TABLE answer (
  engine bigint NOT NULL,
  number bigint NOT NULL,
  runs text[] NOT NULL,
  PRIMARY KEY (engine, number)
);

CREATE TABLE written (
  writer bigint NOT NULL,               -- an engine, or less than 0: somebody from outside
  number bigint NOT NULL,
  at bigint NOT NULL,
  PRIMARY KEY (writer, number)
);

CREATE TABLE task (
  id text COLLATE "C" PRIMARY KEY,
  run text COLLATE "C" NOT NULL,
  operation text NOT NULL,
  attempt bigint NOT NULL,
  step text NOT NULL,
  runtime text NOT NULL,
  queue text NOT NULL,
  at bigint NOT NULL,
  worker text,
  token text,
  claimed_at bigint,
  beat_at bigint,
  lease_until bigint,
  work text NOT NULL,
  outcome text
);

CREATE INDEX task_of_run ON task (run);
CREATE INDEX task_reported ON task (id) WHERE outcome IS NOT NULL;

CREATE TABLE worker (
  name text COLLATE "C" PRIMARY KEY,
  runtime text NOT NULL,
  about text NOT NULL,
  since bigint NOT NULL,
  beat_at bigint NOT NULL
);

CREATE TABLE dead_letter (
  id text COLLATE "C" PRIMARY KEY,
  way text NOT NULL,                    -- in | out
  place text NOT NULL,                  -- where it came from, or was to go
  code text NOT NULL,
  reason text NOT NULL,
  type text,
  event text,
  subject text,
  body bytea NOT NULL,
  since bigint NOT NULL,
  at bigint NOT NULL,
  attempts bigint NOT NULL,
  due bigint                            -- when it is tried again; none: when a person says so
);

CREATE INDEX dead_letter_by_time ON dead_letter (at);
CREATE INDEX dead_letter_due ON dead_letter (place, due) WHERE due IS NOT NULL;

CREATE TABLE delivery (
  event text COLLATE "C" NOT NULL,      -- one in the outbox
  place text COLLATE "C" NOT NULL,
  tries bigint NOT NULL,
  given_up boolean NOT NULL,            -- it is, or was, a dead letter of this place
  PRIMARY KEY (event, place)
);

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

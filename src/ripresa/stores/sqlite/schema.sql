-- The schema as it stands after all migrations; a test shows that they add up to it.
--
--   run ──< history      what has happened, append-only
--       ──< attempt      tries of a step that the journal does not tell
--       ──< inbox        what was sent to it and the journal has not taken yet
--       ──< seen         ids of what the journal took
--       ──< outbox       what it wants published
--       ──< log, tag, quality
--       ──1 ready        it needs an engine, now or at a time
--       ──1 place        it goes on, or waits, with others of which only so many do
--       ──< need         steps that wait for an engine with labels
--       ──< effect       what it does, or did, that is to happen once over all runs
--       ──< task         attempts that workers elsewhere carry out
--   engine (one row)     who may write
--   worker               who carries out tasks
--   blob                 payloads too large for a row; the row holds `@blob:<sha256>`
--
-- Times are microseconds since 1970 in UTC, payloads JSON, ids UUIDv7, whose order is that of time.
-- There are no foreign keys: only batches write, and each row would cost one more search.

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
  owner INTEGER,                        -- engine that holds it in memory
  base_seq INTEGER NOT NULL DEFAULT 0,  -- replay starts after this event
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  finished_at INTEGER,
  updated_at INTEGER,                   -- none: not since it was created
  memo TEXT,
  -- The long ones last: what stands before them is found without reading their overflow pages.
  input TEXT NOT NULL,
  output TEXT,
  error TEXT
) STRICT;

-- Every index on `run` is written at each start, so each has to earn its place.
-- A key is given once; also lists runs by key.  Most runs have none, and then this costs nothing.
CREATE UNIQUE INDEX run_by_key ON run (key) WHERE key IS NOT NULL;
-- Lists and counts by status.  Holds `owner` so that a new engine finds the runs to adopt in here alone:
-- an index on `owner` would be one more to write at each start and end.
CREATE INDEX run_by_status ON run (status, id, owner);
-- Lists by definition.
CREATE INDEX run_by_definition ON run (definition, id);
-- A run's children.  Costs nothing for runs without a parent.
CREATE INDEX run_by_parent ON run (parent, id) WHERE parent IS NOT NULL;

-- Rows lie in the order of writing, found through the key.  Had they lain in the order of the key (WITHOUT ROWID),
-- every event of a batch would dirty a page of its own run: with 1,000 runs under way, half as many events a second.
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

-- The key's columns come first and in its order: SQLite's own check of a table WITHOUT ROWID takes others for broken.
CREATE TABLE attempt (
  run TEXT NOT NULL,
  generation INTEGER NOT NULL,          -- the run's base_seq when it began
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

CREATE TABLE ready (
  run TEXT PRIMARY KEY NOT NULL,
  due INTEGER NOT NULL,
  priority INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Claims go through it priority by priority, see `claim_due`.
CREATE INDEX ready_by_due ON ready (priority, due);

-- A message that is taken leaves it, in the batch that puts it into the journal.  Its data stand in the row however
-- large they are: in `blob` they would outlive it.
CREATE TABLE inbox (
  number INTEGER PRIMARY KEY,           -- order of arrival
  id TEXT NOT NULL UNIQUE,
  run TEXT NOT NULL,
  kind TEXT NOT NULL,
  name TEXT,
  at INTEGER NOT NULL,
  data TEXT
) STRICT;

CREATE INDEX inbox_by_run ON inbox (run);

-- A message that is sent again after it was taken is known by this, as long as its run is there.
CREATE TABLE seen (
  run TEXT NOT NULL,
  id TEXT NOT NULL,
  PRIMARY KEY (run, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
  number INTEGER PRIMARY KEY,           -- order of writing
  id TEXT NOT NULL UNIQUE,
  run TEXT NOT NULL,
  type TEXT NOT NULL,
  at INTEGER NOT NULL,
  data TEXT NOT NULL
) STRICT;

CREATE TABLE log (
  number INTEGER PRIMARY KEY,           -- order of writing
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
  id TEXT PRIMARY KEY NOT NULL,         -- SHA-256 of the data, in hexadecimal
  data TEXT NOT NULL
) STRICT;

CREATE TABLE tag (
  run TEXT NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (run, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX tag_by_value ON tag (name, value, run);

CREATE TABLE quality (
  run TEXT NOT NULL,
  seq INTEGER NOT NULL,                 -- the event that holds the outcome
  definition TEXT NOT NULL,
  step TEXT NOT NULL,
  operation TEXT NOT NULL,
  at INTEGER NOT NULL,
  status TEXT NOT NULL,                 -- what became of the step
  metrics TEXT NOT NULL,                -- JSON
  PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX quality_by_definition ON quality (definition, at, run, seq);
CREATE INDEX quality_by_step ON quality (definition, step, at, run, seq);

-- Runs of which only so many of a line go on at a time.  While a place is free and a run waits for one, the first in
-- line has a `ready` row.
CREATE TABLE place (
  run TEXT NOT NULL,
  line TEXT NOT NULL,
  places INTEGER NOT NULL,              -- how many of the line go on, as this run's definition has it
  held INTEGER NOT NULL,                -- 1: it goes on; 0: it waits
  priority INTEGER NOT NULL,
  since INTEGER NOT NULL,
  PRIMARY KEY (run)
) STRICT, WITHOUT ROWID;

CREATE INDEX place_in_line ON place (line, held, priority DESC, since, run);

-- What is to happen once over all runs.  A step's own transaction writes its row here together with the user's, so that
-- an attempt after a crash finds it done.  Output stands in the row however large it is.
CREATE TABLE effect (
  id TEXT NOT NULL,
  run TEXT NOT NULL,                    -- who does it, or did it
  holder TEXT NOT NULL,                 -- idempotency key of the step
  fingerprint INTEGER NOT NULL,         -- of what it is done with
  at INTEGER NOT NULL,
  output TEXT,                          -- JSON; none: it is under way
  PRIMARY KEY (id)
) STRICT;

CREATE INDEX effect_by_run ON effect (run);

-- Pools: named capacities that steps wait for.  A ticket waits for a slot, or holds one; the one who waits with the
-- highest priority, the lowest turn and for longest goes first.
CREATE TABLE pool (
  name TEXT NOT NULL PRIMARY KEY,
  settings TEXT NOT NULL,               -- JSON
  declared TEXT,                        -- JSON: what a program declared last
  free_at INTEGER NOT NULL              -- when the next start is due by its rate
) STRICT, WITHOUT ROWID;

CREATE TABLE ticket (
  run TEXT NOT NULL,
  operation TEXT NOT NULL,
  pool TEXT NOT NULL,
  step TEXT NOT NULL,
  workflow TEXT NOT NULL,
  key TEXT NOT NULL,                    -- keys take turns
  priority INTEGER NOT NULL,
  since INTEGER NOT NULL,
  keeps INTEGER NOT NULL,               -- 1: its work outlives its engine
  engine INTEGER,                       -- none: its engine is gone
  turn INTEGER NOT NULL,
  granted_at INTEGER,                   -- since when it holds a slot; none: it waits
  told INTEGER NOT NULL,                -- 1: its engine knows that it holds one
  probe INTEGER NOT NULL,               -- 1: it tries whether the pool works again
  PRIMARY KEY (run, operation)
) STRICT, WITHOUT ROWID;

CREATE INDEX ticket_in_line ON ticket (pool, priority DESC, turn, since, run, operation) WHERE granted_at IS NULL;
CREATE INDEX ticket_of_key ON ticket (pool, priority, key, turn) WHERE granted_at IS NULL;
CREATE INDEX ticket_of_engine ON ticket (engine, pool) WHERE granted_at IS NULL;
CREATE INDEX ticket_held ON ticket (pool, engine, workflow, step, probe) WHERE granted_at IS NOT NULL;
CREATE INDEX ticket_untold ON ticket (engine) WHERE granted_at IS NOT NULL AND told = 0;
CREATE INDEX ticket_bereaved ON ticket (run) WHERE engine IS NULL;

-- The turn of each key that was served last, while others of its priority might still come before it.
CREATE TABLE pool_served (
  pool TEXT NOT NULL,
  priority INTEGER NOT NULL,
  key TEXT NOT NULL,
  turn INTEGER NOT NULL,
  PRIMARY KEY (pool, priority, key)
) STRICT, WITHOUT ROWID;

-- How attempts ended that a breaker has not seen yet.
CREATE TABLE pool_outcome (
  id INTEGER PRIMARY KEY,
  pool TEXT NOT NULL,
  step TEXT NOT NULL,
  at INTEGER NOT NULL,
  good INTEGER NOT NULL,
  probe INTEGER NOT NULL
) STRICT;

CREATE INDEX pool_outcome_of ON pool_outcome (pool, id);

CREATE TABLE breaker (
  pool TEXT NOT NULL,
  target TEXT NOT NULL,                 -- a step's name; empty: the pool itself
  circuit TEXT NOT NULL,                -- JSON
  PRIMARY KEY (pool, target)
) STRICT, WITHOUT ROWID;

CREATE TABLE cooldown (
  pool TEXT NOT NULL,
  key TEXT NOT NULL,
  until INTEGER NOT NULL,               -- no step of this key starts before
  why TEXT NOT NULL,
  PRIMARY KEY (pool, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX cooldown_until ON cooldown (until);

-- Attempts that workers elsewhere carry out.  The row is the truth; a broker carries its id.
CREATE TABLE task (
  id TEXT PRIMARY KEY NOT NULL,
  run TEXT NOT NULL,
  operation TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  step TEXT NOT NULL,
  runtime TEXT NOT NULL,
  queue TEXT NOT NULL,
  at INTEGER NOT NULL,
  worker TEXT,                          -- who has claimed it
  token TEXT,                           -- what its worker proves itself by
  claimed_at INTEGER,
  beat_at INTEGER,
  lease_until INTEGER,                  -- until when its worker may be silent
  -- The long ones last.
  work TEXT NOT NULL,                   -- JSON: what is to be done
  outcome TEXT                          -- JSON: what was reported
) STRICT;

CREATE INDEX task_of_run ON task (run);
CREATE INDEX task_reported ON task (id) WHERE outcome IS NOT NULL;

CREATE TABLE worker (
  name TEXT PRIMARY KEY NOT NULL,
  runtime TEXT NOT NULL,
  about TEXT NOT NULL,                  -- JSON: host, process, queues, slots
  since INTEGER NOT NULL,
  beat_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE need (
  run TEXT NOT NULL,
  operation TEXT NOT NULL,
  step TEXT NOT NULL,
  labels TEXT NOT NULL,                 -- JSON array, in order
  priority INTEGER NOT NULL,
  since INTEGER NOT NULL,
  PRIMARY KEY (run, operation)
) STRICT, WITHOUT ROWID;

-- Each kind of need is searched for alone, and there are few.
CREATE INDEX need_by_labels ON need (labels, priority DESC, since, run);

CREATE TABLE dead_letter (
  id TEXT PRIMARY KEY NOT NULL,
  way TEXT NOT NULL,                    -- in | out
  place TEXT NOT NULL,                  -- where it came from, or was to go
  code TEXT NOT NULL,
  reason TEXT NOT NULL,
  type TEXT,
  event TEXT,
  subject TEXT,
  body BLOB NOT NULL,
  since INTEGER NOT NULL,
  at INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  due INTEGER                           -- when it is tried again; none: when a person says so
) STRICT;

CREATE INDEX dead_letter_by_time ON dead_letter (at);
CREATE INDEX dead_letter_due ON dead_letter (place, due) WHERE due IS NOT NULL;

CREATE TABLE delivery (
  event TEXT NOT NULL,            -- one in the outbox
  place TEXT NOT NULL,
  tries INTEGER NOT NULL,         -- in vain
  given_up INTEGER NOT NULL,      -- it is, or was, a dead letter of this place
  PRIMARY KEY (event, place)
) STRICT, WITHOUT ROWID;

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

-- The owner.  Its number is its epoch: each owner has a higher one than any before it.
CREATE TABLE engine (
  slot INTEGER PRIMARY KEY CHECK (slot = 1),
  epoch INTEGER NOT NULL,
  last_batch INTEGER NOT NULL,
  lease_until INTEGER NOT NULL,         -- 0: it has let go, or was never taken
  since INTEGER NOT NULL,
  who TEXT NOT NULL,
  instance TEXT NOT NULL,               -- told apart from another store in the same process
  host TEXT NOT NULL,
  boot TEXT NOT NULL,
  namespace TEXT NOT NULL,
  pid INTEGER NOT NULL,
  started INTEGER NOT NULL,
  about TEXT                            -- what it tells of itself: JSON
) STRICT;

-- Named capacities, who waits for them, and what they have been through; `schema.sql` explains.

CREATE TABLE pool (
  name TEXT NOT NULL PRIMARY KEY,
  settings TEXT NOT NULL,
  declared TEXT,
  free_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE ticket (
  run TEXT NOT NULL,
  operation TEXT NOT NULL,
  pool TEXT NOT NULL,
  step TEXT NOT NULL,
  workflow TEXT NOT NULL,
  key TEXT NOT NULL,
  priority INTEGER NOT NULL,
  since INTEGER NOT NULL,
  keeps INTEGER NOT NULL,
  engine INTEGER,
  turn INTEGER NOT NULL,
  granted_at INTEGER,
  told INTEGER NOT NULL,
  probe INTEGER NOT NULL,
  PRIMARY KEY (run, operation)
) STRICT, WITHOUT ROWID;

CREATE INDEX ticket_in_line ON ticket (pool, priority DESC, turn, since, run, operation) WHERE granted_at IS NULL;
CREATE INDEX ticket_of_key ON ticket (pool, priority, key, turn) WHERE granted_at IS NULL;
CREATE INDEX ticket_of_engine ON ticket (engine, pool) WHERE granted_at IS NULL;
CREATE INDEX ticket_held ON ticket (pool, engine, workflow, step, probe) WHERE granted_at IS NOT NULL;
CREATE INDEX ticket_untold ON ticket (engine) WHERE granted_at IS NOT NULL AND told = 0;
CREATE INDEX ticket_bereaved ON ticket (run) WHERE engine IS NULL;

CREATE TABLE pool_served (
  pool TEXT NOT NULL,
  priority INTEGER NOT NULL,
  key TEXT NOT NULL,
  turn INTEGER NOT NULL,
  PRIMARY KEY (pool, priority, key)
) STRICT, WITHOUT ROWID;

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
  target TEXT NOT NULL,
  circuit TEXT NOT NULL,
  PRIMARY KEY (pool, target)
) STRICT, WITHOUT ROWID;

CREATE TABLE cooldown (
  pool TEXT NOT NULL,
  key TEXT NOT NULL,
  until INTEGER NOT NULL,
  why TEXT NOT NULL,
  PRIMARY KEY (pool, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX cooldown_until ON cooldown (until);

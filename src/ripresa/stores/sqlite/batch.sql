-- What one batch writes.  Every insert names its columns in the order of the port's tuple, so that a
-- list of rows is laid flat without being looked into.

-- name: fence
-- First in the transaction: no row changes if another engine has taken over, or this one has let go.
UPDATE engine SET last_batch = ?, lease_until = ? WHERE slot = 1 AND epoch = ? AND lease_until > 0;

-- name: add_runs
-- Without a target, so that a known id is refused as a known key is.
INSERT INTO run (id, key, definition, version, status, priority, input, parent, parent_operation, correlation_id,
  owner, created_at, memo, started_at)
VALUES {(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)}
ON CONFLICT DO NOTHING;

-- name: known_runs
SELECT id FROM run WHERE id IN (SELECT value FROM json_each(?));

-- name: known_keys
SELECT key FROM run WHERE key IN (SELECT value FROM json_each(?));

-- name: change_runs
WITH new (id, status, updated_at, owner, output, error, started_at, finished_at, base_seq, input, version)
  AS (VALUES {(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)})
UPDATE run SET
  status = new.status,
  updated_at = new.updated_at,
  owner = new.owner,
  output = coalesce(new.output, run.output),
  error = CASE new.finished_at WHEN -1 THEN new.error ELSE coalesce(new.error, run.error) END,
  started_at = coalesce(new.started_at, run.started_at),
  finished_at = CASE new.finished_at WHEN -1 THEN NULL ELSE coalesce(new.finished_at, run.finished_at) END,
  base_seq = coalesce(new.base_seq, run.base_seq),
  input = coalesce(new.input, run.input),
  version = coalesce(new.version, run.version)
FROM new WHERE run.id = new.id;

-- name: add_history
INSERT INTO history (run, seq, kind, at, operation, name, fingerprint, attempt, started_at, data, error)
VALUES {(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)};

-- name: put_attempts
INSERT INTO attempt (run, operation, number, name, engine, started_at, status, finished_at, error, due, generation)
VALUES {(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)}
ON CONFLICT (run, generation, operation, number) DO UPDATE SET
  name = excluded.name, engine = excluded.engine, started_at = excluded.started_at, status = excluded.status,
  finished_at = excluded.finished_at, error = excluded.error, due = excluded.due;

-- name: remove_ready
DELETE FROM ready WHERE run IN ({?});

-- name: put_ready
-- The earlier time stays: a message from outside may have come while the engine put the run to sleep.
INSERT INTO ready (run, due, priority) VALUES {(?, ?, ?)}
ON CONFLICT (run) DO UPDATE SET due = min(due, excluded.due), priority = excluded.priority;

-- name: add_messages
INSERT INTO inbox (id, run, kind, name, data, at)
WITH new (id, run, kind, name, data, at) AS (VALUES {(?, ?, ?, ?, ?, ?)})
SELECT id, run, kind, name, data, at FROM new
WHERE NOT EXISTS (SELECT 1 FROM seen WHERE seen.run = new.run AND seen.id = new.id)
ON CONFLICT (id) DO NOTHING;

-- name: note_seen
INSERT INTO seen (run, id) SELECT run, id FROM inbox WHERE id IN ({?})
ON CONFLICT DO NOTHING;

-- name: remove_messages
DELETE FROM inbox WHERE id IN ({?});

-- name: add_outgoing
INSERT INTO outbox (id, run, type, data, at) VALUES {(?, ?, ?, ?, ?)}
ON CONFLICT (id) DO NOTHING;

-- name: add_logs
INSERT INTO log (run, operation, attempt, at, stream, level, text) VALUES {(?, ?, ?, ?, ?, ?, ?)};

-- name: put_tags
INSERT INTO tag (run, name, value) VALUES {(?, ?, ?)}
ON CONFLICT (run, name) DO UPDATE SET value = excluded.value;

-- name: add_definitions
INSERT INTO definition (name, version, label, kind, body, input_schema, output_schema, created_at)
VALUES {(?, ?, ?, ?, ?, ?, ?, ?)}
ON CONFLICT DO NOTHING;

-- name: add_quality
INSERT INTO quality (run, seq, definition, step, operation, at, status, metrics) VALUES {(?, ?, ?, ?, ?, ?, ?, ?)};

-- name: put_effects
INSERT INTO effect (id, run, holder, fingerprint, at, output) VALUES {(?, ?, ?, ?, ?, ?)}
ON CONFLICT (id) DO UPDATE SET
  run = excluded.run, holder = excluded.holder, fingerprint = excluded.fingerprint, at = excluded.at,
  output = excluded.output;

-- name: give_up_effects
DELETE FROM effect WHERE output IS NULL AND (id, holder) IN (VALUES {(?, ?)});

-- name: put_tasks
-- Whoever had an earlier task of this id has lost it.
INSERT OR REPLACE INTO task (id, run, operation, attempt, step, runtime, queue, work, at)
VALUES {(?, ?, ?, ?, ?, ?, ?, ?, ?)};

-- name: remove_tasks
DELETE FROM task WHERE id IN ({?});

-- name: published
DELETE FROM outbox WHERE id IN ({?});

-- name: forget_deliveries
DELETE FROM delivery WHERE event IN ({?});

-- name: add_blobs
INSERT INTO blob (id, data) VALUES {(?, ?)}
ON CONFLICT DO NOTHING;

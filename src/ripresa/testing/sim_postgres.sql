-- What a simulation looks at in the schema of a PostgreSQL store, and how it makes it empty.  Texts of its own: what
-- the store's own queries do wrong is not seen by them.

-- name: empty
DO $$
DECLARE
  name text;
BEGIN
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'version' LOOP
    EXECUTE format('DELETE FROM %I', name);  -- of a few rows quicker than TRUNCATE
  END LOOP;
  FOR name IN SELECT sequencename FROM pg_sequences WHERE schemaname = current_schema() LOOP
    EXECUTE format('ALTER SEQUENCE %I RESTART', name);
  END LOOP;
END $$;

-- name: run_columns
id, key, definition, version, status, priority, input, output, error, parent, parent_operation, correlation_id, owner,
  base_seq, created_at, started_at, finished_at, coalesce(updated_at, created_at), memo

-- name: history_columns
run, seq, kind, at, operation, name, fingerprint, attempt, started_at, data, error

-- name: living
SELECT number FROM engine WHERE lease_until > 0;

-- name: held
SELECT id, status, owner FROM run WHERE id = ANY ($1::text[]);

-- name: run
SELECT {run_columns} FROM run WHERE id = $1 OR key = $1;

-- name: journal
SELECT {history_columns} FROM history WHERE run = $1 ORDER BY seq;

-- name: inbox
SELECT id, run, kind, name, data, at FROM inbox WHERE run = $1 ORDER BY number;

-- name: open_keys
SELECT key FROM run WHERE status NOT IN ('succeeded', 'failed', 'cancelled') ORDER BY id;

-- name: granted
SELECT run, operation FROM ticket WHERE granted_at IS NOT NULL;

-- name: pools
SELECT name, (SELECT circuit FROM breaker WHERE breaker.pool = pool.name AND breaker.target = '')
FROM pool ORDER BY name;

-- name: slots
SELECT pool, run, operation, key, engine, granted_at, probe FROM ticket
ORDER BY pool, priority DESC, turn, since, run, operation;

-- name: runs
SELECT {run_columns} FROM run ORDER BY id;

-- name: all_history
SELECT {history_columns} FROM history ORDER BY run, seq;

-- name: all_attempts
SELECT run, operation, number, name, engine, started_at, status, finished_at, error, due, generation FROM attempt
ORDER BY run, generation, operation, number;

-- name: all_messages
SELECT id, run, kind, name, data, at FROM inbox ORDER BY number;

-- name: ready
SELECT run FROM ready;

-- name: tickets
SELECT run, operation FROM ticket
WHERE engine IS NOT NULL
   OR EXISTS (SELECT 1 FROM run WHERE id = ticket.run AND status NOT IN ('succeeded', 'failed', 'cancelled'))
ORDER BY run, operation;

-- name: needs
SELECT run, operation FROM need ORDER BY run, operation;

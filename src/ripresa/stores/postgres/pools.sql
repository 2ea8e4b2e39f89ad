-- Pools: who waits for a slot, who holds one, and what decides it.
-- Asked of nothing – all parameters null – each statement does nothing, and is no error: so the server is taught them.

-- name: open_desks
INSERT INTO desk (pool) SELECT name FROM unnest($1::text[]) AS new (name)
WHERE NOT EXISTS (SELECT 1 FROM desk WHERE desk.pool = new.name) ORDER BY name
ON CONFLICT DO NOTHING;

-- name: lock_desks
SELECT 1 FROM desk WHERE pool = ANY ($1::text[]) ORDER BY pool FOR UPDATE;

-- name: settings
SELECT settings, free_at FROM pool WHERE name = $1;

-- name: known
-- Its pool, and whether it is another engine's that has the run.
SELECT pool, engine <> $3 AND EXISTS (SELECT 1 FROM run WHERE run.id = $1 AND run.owner = ticket.engine) AS taken
FROM ticket WHERE run = $1 AND operation = $2;

-- name: retake
UPDATE ticket SET engine = $3, told = false WHERE run = $1 AND operation = $2;

-- name: forget
DELETE FROM ticket WHERE run = $1 AND operation = $2;

-- name: turns
SELECT
  coalesce((SELECT max(turn) FROM pool_served WHERE pool = $1 AND priority = $2), 0),
  (SELECT turn FROM pool_served WHERE pool = $1 AND priority = $2 AND key = $3),
  (SELECT max(turn) FROM ticket WHERE pool = $1 AND priority = $2 AND key = $3 AND granted_at IS NULL);

-- name: join
INSERT INTO ticket
  (run, operation, pool, step, workflow, key, priority, since, keeps, engine, turn, granted_at, told, probe)
SELECT $1::text, $2::text, $3::text, $4::text, $5::text, $6::text, $7::bigint, $8::bigint, $9::boolean, $10::bigint,
  $11::bigint, NULL::bigint, false, false
WHERE $1 IS NOT NULL;

-- name: pools_of
SELECT DISTINCT pool FROM ticket WHERE engine = $1 AND granted_at IS NULL ORDER BY pool;

-- name: tidy_tickets
DELETE FROM ticket WHERE (run, operation) IN (
  SELECT run, operation FROM ticket AS left_over WHERE engine IS NULL
    AND NOT EXISTS (SELECT 1 FROM run WHERE run.id = left_over.run
                    AND run.status NOT IN ('succeeded', 'failed', 'cancelled'))
  FOR UPDATE SKIP LOCKED);

-- name: tidy_cooldowns
DELETE FROM cooldown WHERE (pool, key) IN (
  SELECT pool, key FROM cooldown AS over WHERE over.until <= $1 FOR UPDATE SKIP LOCKED);

-- name: outcomes
WITH seen AS (DELETE FROM pool_outcome WHERE pool = $1 RETURNING id, step, at, good, probe)
SELECT step, at, good, probe FROM seen ORDER BY id;

-- name: outcomes_seen
DELETE FROM pool_outcome WHERE pool = $1;

-- name: circuits
SELECT target, circuit FROM breaker WHERE pool = $1;

-- name: put_circuit
INSERT INTO breaker (pool, target, circuit) SELECT $1::text, $2::text, $3::text WHERE $1 IS NOT NULL
ON CONFLICT (pool, target) DO UPDATE SET circuit = excluded.circuit;

-- name: drop_circuit
DELETE FROM breaker WHERE pool = $1 AND target = $2;

-- name: cooling
SELECT key, until, why FROM cooldown WHERE pool = $1;

-- name: put_cooldown
INSERT INTO cooldown (pool, key, until, why) SELECT $1::text, $2::text, $3::bigint, $4::text WHERE $1 IS NOT NULL
ON CONFLICT (pool, key) DO UPDATE SET until = excluded.until, why = excluded.why;

-- name: drop_cooldown
DELETE FROM cooldown WHERE pool = $1 AND key = $2;

-- name: in_use
SELECT coalesce(engine, 0), workflow, step, probe, count(*) FROM ticket
WHERE pool = $1 AND granted_at IS NOT NULL GROUP BY 1, 2, 3, 4;

-- name: first
-- Those whose engine, workflow, key or step is at a limit are passed over.
SELECT run, operation, engine, workflow, key, step, priority, turn FROM ticket
WHERE pool = $1 AND granted_at IS NULL AND engine IS NOT NULL
  AND engine <> ALL ($3::bigint[]) AND workflow <> ALL ($4::text[])
  AND key <> ALL ($5::text[]) AND step <> ALL ($6::text[])
ORDER BY priority DESC, turn, since, run, operation LIMIT $2;

-- name: grant
UPDATE ticket SET granted_at = $3, told = false, probe = $4 WHERE run = $1 AND operation = $2;

-- name: serve
INSERT INTO pool_served (pool, priority, key, turn)
SELECT $1::text, $2::bigint, $3::text, $4::bigint WHERE $1 IS NOT NULL
ON CONFLICT (pool, priority, key) DO UPDATE SET turn = greatest(pool_served.turn, excluded.turn);

-- name: served_before
-- A key whose last turn others have passed comes in like one that was never served.
DELETE FROM pool_served WHERE pool = $1 AND priority = $2
  AND turn < (SELECT max(turn) FROM pool_served WHERE pool = $1 AND priority = $2);

-- name: put_free_at
UPDATE pool SET free_at = $2 WHERE name = $1;

-- name: waiting_of
SELECT run, operation, engine, workflow, key, step, priority, turn FROM ticket
WHERE pool = $1 AND engine = $2 AND granted_at IS NULL ORDER BY priority DESC, turn, since, run, operation;

-- name: news
WITH told AS (
  UPDATE ticket SET told = true WHERE engine = $1 AND granted_at IS NOT NULL AND NOT told
  RETURNING run, operation, granted_at)
SELECT run, operation, granted_at FROM told ORDER BY granted_at, run, operation;

-- name: tell_again
UPDATE ticket SET told = false WHERE engine = $1 AND granted_at IS NOT NULL AND told;

-- name: pools
SELECT name, settings, declared, free_at,
  (SELECT count(*) FROM ticket WHERE ticket.pool = pool.name AND granted_at IS NULL)
FROM pool ORDER BY name;

-- name: standing
SELECT run, operation, pool, step, workflow, key, priority, since, keeps, engine, granted_at, probe, ahead FROM (
  SELECT *, CASE WHEN granted_at IS NULL THEN row_number() OVER line - 1 ELSE 0 END AS ahead
  FROM ticket WHERE pool = ANY ($1::text[])
  WINDOW line AS (PARTITION BY pool, granted_at IS NULL ORDER BY priority DESC, turn, since, run, operation)
) AS one
WHERE $2::text IS NULL OR run = $2
ORDER BY pool, granted_at IS NULL, granted_at, priority DESC, turn, since, run, operation
LIMIT $3::bigint;

-- name: all_pools
SELECT DISTINCT pool FROM ticket ORDER BY pool;

-- name: pools_of_run
SELECT DISTINCT pool FROM ticket WHERE run = $1 ORDER BY pool;

-- name: put_pool
INSERT INTO pool (name, settings, declared, free_at) SELECT $1::text, $2::text, NULL::text, 0 WHERE $1 IS NOT NULL
ON CONFLICT (name) DO UPDATE SET settings = excluded.settings;

-- name: declare_pool
-- What a person has set stays, as long as programs declare the same as before.
INSERT INTO pool (name, settings, declared, free_at) SELECT $1::text, $2::text, $2, 0 WHERE $1 IS NOT NULL
ON CONFLICT (name) DO UPDATE SET settings = excluded.settings, declared = excluded.declared
WHERE pool.declared IS DISTINCT FROM excluded.declared;

-- name: drop_pool
DELETE FROM pool WHERE name = $1;

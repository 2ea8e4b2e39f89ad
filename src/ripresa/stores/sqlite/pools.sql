-- Pools: who waits for a slot, who holds one, and what decides it.

-- name: settings
SELECT settings, free_at FROM pool WHERE name = :pool;

-- name: known
SELECT pool FROM ticket WHERE run = :run AND operation = :operation;

-- name: retake
UPDATE ticket SET engine = :engine, told = 0 WHERE run = :run AND operation = :operation;

-- name: forget
DELETE FROM ticket WHERE run = :run AND operation = :operation;

-- name: turns
SELECT
  coalesce((SELECT max(turn) FROM pool_served WHERE pool = :pool AND priority = :priority), 0),
  (SELECT turn FROM pool_served WHERE pool = :pool AND priority = :priority AND key = :key),
  (SELECT max(turn) FROM ticket
   WHERE pool = :pool AND priority = :priority AND key = :key AND granted_at IS NULL);

-- name: join
INSERT INTO ticket
  (run, operation, pool, step, workflow, key, priority, since, keeps, engine, turn, granted_at, told, probe)
VALUES
  (:run, :operation, :pool, :step, :workflow, :key, :priority, :since, :keeps, :engine, :turn, NULL, 0, 0);

-- name: pools_of
SELECT DISTINCT pool FROM ticket WHERE engine = :engine AND granted_at IS NULL ORDER BY pool;

-- name: tidy_tickets
DELETE FROM ticket WHERE engine IS NULL
  AND NOT EXISTS (SELECT 1 FROM run WHERE run.id = ticket.run
                  AND run.status NOT IN ('succeeded', 'failed', 'cancelled'));

-- name: tidy_cooldowns
DELETE FROM cooldown WHERE until <= :now;

-- name: outcomes
SELECT step, at, good, probe FROM pool_outcome WHERE pool = :pool ORDER BY id;

-- name: outcomes_seen
DELETE FROM pool_outcome WHERE pool = :pool;

-- name: circuits
SELECT target, circuit FROM breaker WHERE pool = :pool;

-- name: put_circuit
INSERT INTO breaker (pool, target, circuit) VALUES (:pool, :target, :circuit)
ON CONFLICT (pool, target) DO UPDATE SET circuit = excluded.circuit;

-- name: drop_circuit
DELETE FROM breaker WHERE pool = :pool AND target = :target;

-- name: cooling
SELECT key, until, why FROM cooldown WHERE pool = :pool;

-- name: put_cooldown
INSERT INTO cooldown (pool, key, until, why) VALUES (:pool, :key, :until, :why)
ON CONFLICT (pool, key) DO UPDATE SET until = excluded.until, why = excluded.why;

-- name: drop_cooldown
DELETE FROM cooldown WHERE pool = :pool AND key = :key;

-- name: in_use
SELECT coalesce(engine, 0), workflow, step, probe, count(*) FROM ticket
WHERE pool = :pool AND granted_at IS NOT NULL GROUP BY 1, 2, 3, 4;

-- name: first
-- Those whose engine, workflow, key or step is at a limit are passed over.
SELECT run, operation, engine, workflow, key, step, priority, turn FROM ticket
WHERE pool = :pool AND granted_at IS NULL AND engine IS NOT NULL
  AND engine NOT IN (SELECT value FROM json_each(:engines))
  AND workflow NOT IN (SELECT value FROM json_each(:workflows))
  AND key NOT IN (SELECT value FROM json_each(:keys))
  AND step NOT IN (SELECT value FROM json_each(:steps))
ORDER BY priority DESC, turn, since, run, operation LIMIT :limit;

-- name: grant
UPDATE ticket SET granted_at = :now, told = 0, probe = :probe WHERE run = :run AND operation = :operation;

-- name: serve
INSERT INTO pool_served (pool, priority, key, turn) VALUES (:pool, :priority, :key, :turn)
ON CONFLICT (pool, priority, key) DO UPDATE SET turn = max(turn, excluded.turn);

-- name: served_before
-- A key whose last turn others have passed comes in like one that was never served.
DELETE FROM pool_served WHERE pool = :pool AND priority = :priority
  AND turn < (SELECT max(turn) FROM pool_served WHERE pool = :pool AND priority = :priority);

-- name: put_free_at
UPDATE pool SET free_at = :at WHERE name = :pool;

-- name: waiting_of
SELECT run, operation, engine, workflow, key, step, priority, turn FROM ticket
WHERE pool = :pool AND engine = :engine AND granted_at IS NULL ORDER BY priority DESC, turn, since, run, operation;

-- name: news
SELECT run, operation FROM ticket WHERE engine = :engine AND granted_at IS NOT NULL AND told = 0
ORDER BY granted_at, run, operation;

-- name: told
UPDATE ticket SET told = 1 WHERE engine = :engine AND granted_at IS NOT NULL AND told = 0;

-- name: note_outcome
INSERT INTO pool_outcome (pool, step, at, good, probe)
SELECT pool, step, :at, :good, probe FROM ticket WHERE run = :run AND operation = :operation;

-- name: rest
INSERT INTO cooldown (pool, key, until, why)
SELECT pool, key, :rest_until, :why FROM ticket WHERE run = :run AND operation = :operation
ON CONFLICT (pool, key) DO UPDATE SET until = excluded.until, why = excluded.why WHERE excluded.until > cooldown.until;

-- name: pools
SELECT name, settings, declared, free_at,
  (SELECT count(*) FROM ticket WHERE ticket.pool = pool.name AND granted_at IS NULL)
FROM pool ORDER BY name;

-- name: standing
SELECT run, operation, pool, step, workflow, key, priority, since, keeps, engine, granted_at, probe,
  CASE WHEN granted_at IS NULL THEN row_number() OVER line - 1 ELSE 0 END AS ahead
FROM ticket WHERE pool IN (SELECT value FROM json_each(:pools))
WINDOW line AS (PARTITION BY pool, granted_at IS NULL ORDER BY priority DESC, turn, since, run, operation)
ORDER BY pool, granted_at IS NULL, granted_at, priority DESC, turn, since, run, operation;

-- name: all_pools
SELECT DISTINCT pool FROM ticket ORDER BY pool;

-- name: pools_of_run
SELECT DISTINCT pool FROM ticket WHERE run = :run ORDER BY pool;

-- name: put_pool
INSERT INTO pool (name, settings, declared, free_at) VALUES (:name, :settings, NULL, 0)
ON CONFLICT (name) DO UPDATE SET settings = excluded.settings;

-- name: declare_pool
-- What a person has set stays, as long as programs declare the same as before.
INSERT INTO pool (name, settings, declared, free_at) VALUES (:name, :settings, :settings, 0)
ON CONFLICT (name) DO UPDATE SET settings = excluded.settings, declared = excluded.declared
WHERE pool.declared IS NOT excluded.declared;

-- name: drop_pool
DELETE FROM pool WHERE name = :name;

-- Tasks: attempts that workers elsewhere carry out.

-- name: claim
-- Who asks again with its own token has not heard the answer.
UPDATE task SET worker = $2, token = $3, claimed_at = coalesce(claimed_at, $4), beat_at = $4, lease_until = $5
WHERE id = $1 AND outcome IS NULL AND (token IS NULL OR token = $3)
RETURNING id, run, operation, attempt, step, runtime, queue, work, at;

-- name: outcomes
SELECT id, outcome FROM task WHERE outcome IS NOT NULL AND id = ANY ($1::text[]);

-- name: states
SELECT id, run, operation, attempt, step, runtime, queue, at, worker, claimed_at, beat_at, lease_until, outcome
FROM task ORDER BY at, id;

-- name: states_of
SELECT id, run, operation, attempt, step, runtime, queue, at, worker, claimed_at, beat_at, lease_until, outcome
FROM task WHERE id = ANY ($1::text[]) ORDER BY at, id;

-- name: put_worker
INSERT INTO worker (name, runtime, about, since, beat_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name) DO UPDATE SET
  runtime = excluded.runtime, about = excluded.about, since = excluded.since, beat_at = excluded.beat_at;

-- name: forget_silent_workers
DELETE FROM worker WHERE name IN (SELECT name FROM worker AS silent WHERE beat_at < $1 FOR UPDATE SKIP LOCKED);

-- name: remove_worker
DELETE FROM worker WHERE name = $1;

-- name: workers
SELECT name, runtime, about, since, beat_at FROM worker ORDER BY name;

-- Tasks: attempts that workers elsewhere carry out.  A worker's proof is the token that it claimed with.

-- name: claim
-- Who asks again with its own token has not heard the answer.
UPDATE task SET worker = :worker, token = :token, claimed_at = coalesce(claimed_at, :now), beat_at = :now,
  lease_until = :until
WHERE id = :task AND outcome IS NULL AND (token IS NULL OR token = :token)
RETURNING id, run, operation, attempt, step, runtime, queue, work, at;

-- name: renew
UPDATE task SET beat_at = :now, lease_until = :until WHERE id = :task AND token = :token AND outcome IS NULL;

-- name: report
UPDATE task SET beat_at = :now, outcome = coalesce(outcome, :outcome) WHERE id = :task AND token = :token;

-- name: was_reported
SELECT 1 FROM task WHERE id = :task AND token = :token AND outcome IS NOT NULL;

-- name: lapse
DELETE FROM task WHERE id = :task AND outcome IS NULL AND lease_until <= :now;

-- name: outcomes
-- Few are reported and not yet taken in: their index is walked, and not the list that is asked for.
SELECT id, outcome FROM task WHERE outcome IS NOT NULL AND id IN (SELECT value FROM json_each(:tasks));

-- name: states
SELECT id, run, operation, attempt, step, runtime, queue, at, worker, claimed_at, beat_at, lease_until, outcome
FROM task ORDER BY at, id;

-- name: states_of
SELECT id, run, operation, attempt, step, runtime, queue, at, worker, claimed_at, beat_at, lease_until, outcome
FROM task WHERE id IN (SELECT value FROM json_each(:tasks)) ORDER BY at, id;

-- name: put_worker
INSERT INTO worker (name, runtime, about, since, beat_at) VALUES (:name, :runtime, :about, :since, :beat_at)
ON CONFLICT (name) DO UPDATE SET
  runtime = excluded.runtime, about = excluded.about, since = excluded.since, beat_at = excluded.beat_at;

-- name: forget_silent_workers
DELETE FROM worker WHERE beat_at < :before;

-- name: remove_worker
DELETE FROM worker WHERE name = :name;

-- name: workers
SELECT name, runtime, about, since, beat_at FROM worker ORDER BY name;

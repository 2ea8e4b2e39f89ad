-- What is to happen once over all runs.

-- name: claim
-- One that is under way in a run that has ended is free.
INSERT INTO effect (id, run, holder, fingerprint, at, output) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
  run = excluded.run, holder = excluded.holder, fingerprint = excluded.fingerprint, at = excluded.at
WHERE effect.output IS NULL AND NOT EXISTS (
  SELECT 1 FROM run WHERE run.id = effect.run AND run.status NOT IN ('succeeded', 'failed', 'cancelled')
);

-- name: effect
SELECT id, run, holder, fingerprint, at, output FROM effect WHERE id = ?;

-- name: done
INSERT INTO effect (id, run, holder, fingerprint, at, output) VALUES (?, ?, ?, ?, ?, ?);

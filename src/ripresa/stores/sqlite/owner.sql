-- Who owns the store, and which runs it holds.

-- name: owner
SELECT epoch, last_batch, lease_until, since, who, instance, host, boot, namespace, pid, started, about
FROM engine WHERE slot = 1;

-- name: take_over
INSERT INTO engine (slot, epoch, last_batch, lease_until, since, who, instance, host, boot, namespace, pid, started,
  about)
VALUES (1, 1, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (slot) DO UPDATE SET
  epoch = engine.epoch + 1, last_batch = 0, lease_until = excluded.lease_until, since = excluded.since,
  who = excluded.who, instance = excluded.instance, host = excluded.host, boot = excluded.boot,
  namespace = excluded.namespace, pid = excluded.pid, started = excluded.started,
  about = excluded.about
RETURNING epoch;

-- name: renew
UPDATE engine SET lease_until = ? WHERE slot = 1 AND epoch = ? AND lease_until > 0;

-- name: prolong
UPDATE engine SET lease_until = max(lease_until, ?) WHERE slot = 1 AND epoch = ? AND lease_until > 0;

-- name: release
UPDATE engine SET lease_until = 0 WHERE slot = 1 AND epoch = ?;

-- name: holds
SELECT last_batch FROM engine WHERE slot = 1 AND epoch = ? AND lease_until > 0;

-- name: orphans
-- Open runs that some engine held; those that wait for an engine – in such a status, or with a message – with nothing
-- to wake one; and ended runs whose engine died between claiming them and taking the message to retry.  Who asks again,
-- as :engine, is not given its own, nor those that only wait for their turn.
SELECT id FROM run INDEXED BY run_by_status
WHERE status IN ('queued', 'running', 'waiting', 'paused', 'quarantined', 'blocked') AND owner IS NOT NULL
  AND owner IS NOT :engine
UNION
SELECT id FROM run INDEXED BY run_by_status
WHERE status = 'queued' AND owner IS NULL AND NOT EXISTS (SELECT 1 FROM ready WHERE ready.run = run.id)
  AND (:engine IS NULL OR NOT EXISTS (
    SELECT 1 FROM place WHERE place.run = run.id AND place.held = 0 AND place.places <=
      (SELECT count(*) FROM place AS taken WHERE taken.line = place.line AND taken.held = 1)))
UNION
SELECT run.id FROM inbox CROSS JOIN run ON run.id = inbox.run
WHERE inbox.kind = 'retry' AND run.owner IS NOT NULL AND run.owner IS NOT :engine
UNION
-- Claimed for a message while its own engine was letting it go, which came after the claim; then the engine died.
SELECT run.id FROM inbox CROSS JOIN run ON run.id = inbox.run
WHERE run.owner IS NULL AND run.status NOT IN ('succeeded', 'failed', 'cancelled')
  AND NOT EXISTS (SELECT 1 FROM ready WHERE ready.run = run.id)
  AND (:engine IS NULL OR inbox.kind IN ('cancel', 'pause', 'resume', 'retry', 'release')
    OR (run.status NOT IN ('paused', 'quarantined', 'blocked') AND NOT EXISTS (
      SELECT 1 FROM place WHERE place.run = run.id AND place.held = 0 AND place.places <=
        (SELECT count(*) FROM place AS taken WHERE taken.line = place.line AND taken.held = 1))))
ORDER BY 1 LIMIT :limit;

-- name: owned
SELECT id FROM run INDEXED BY run_by_status
WHERE status IN ('queued', 'running', 'waiting', 'paused', 'quarantined', 'blocked') AND owner = :engine
UNION
SELECT run.id FROM inbox CROSS JOIN run ON run.id = inbox.run
WHERE inbox.kind = 'retry' AND run.owner = :engine
ORDER BY 1;

-- name: own_all
UPDATE run SET owner = :engine WHERE id IN (SELECT value FROM json_each(:runs));

-- name: no_longer_ready
DELETE FROM ready WHERE run IN (SELECT value FROM json_each(:runs));

-- name: lose_attempts
UPDATE attempt SET status = 'lost', finished_at = :now
WHERE status = 'running' AND run IN (SELECT value FROM json_each(:runs));

-- name: bereave_tickets
-- What work goes on without its engine goes on holding its slot.
UPDATE ticket SET engine = NULL, told = 0, granted_at = CASE keeps WHEN 1 THEN granted_at END,
  probe = CASE keeps WHEN 1 THEN probe ELSE 0 END
WHERE engine <> :engine;

-- name: due
-- One search per priority that is in use (`level`), from the highest down: the order of the index is then the
-- order asked for, and a million rows due tomorrow are not looked at.  The outer sort is over `limit` rows.
WITH RECURSIVE level (priority) AS (
  SELECT max(priority) FROM ready
  UNION ALL
  SELECT (SELECT max(ready.priority) FROM ready WHERE ready.priority < level.priority)
  FROM level WHERE level.priority IS NOT NULL
)
SELECT run FROM (
  SELECT ready.run, ready.priority, ready.due FROM level CROSS JOIN ready
  WHERE ready.priority = level.priority AND ready.due <= :now
    AND EXISTS (SELECT 1 FROM run WHERE run.id = ready.run AND coalesce(run.owner, :engine) = :engine)
  LIMIT :limit
) ORDER BY priority DESC, due, run;

-- name: next_due
WITH RECURSIVE level (priority) AS (
  SELECT max(priority) FROM ready
  UNION ALL
  SELECT (SELECT max(ready.priority) FROM ready WHERE ready.priority < level.priority)
  FROM level WHERE level.priority IS NOT NULL
)
SELECT min((SELECT min(ready.due) FROM ready WHERE ready.priority = level.priority AND ready.due > :after)) FROM level;

-- name: own
UPDATE run SET owner = :engine
WHERE id = :run AND coalesce(owner, :engine) = :engine AND (status NOT IN ('succeeded', 'failed', 'cancelled')
  OR EXISTS (SELECT 1 FROM inbox WHERE inbox.run = run.id AND inbox.kind = 'retry'));

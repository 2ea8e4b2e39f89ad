-- Runs that may go, and what is theirs.

-- name: may_go
-- Ended, held by nobody, not asked to be tried again, and descended from no run that is open.
run.status IN ('succeeded', 'failed', 'cancelled') AND run.owner IS NULL
  AND NOT EXISTS (SELECT 1 FROM inbox WHERE inbox.run = run.id AND inbox.kind = 'retry')
  AND NOT EXISTS (
    WITH RECURSIVE above (id, parent, status) AS (
      SELECT older.id, older.parent, older.status FROM run AS older WHERE older.id = run.parent
      UNION
      SELECT older.id, older.parent, older.status FROM above CROSS JOIN run AS older ON older.id = above.parent
    )
    SELECT 1 FROM above WHERE above.status NOT IN ('succeeded', 'failed', 'cancelled')
  );

-- name: ended
SELECT run.id FROM run INDEXED BY run_by_status
WHERE run.status = :status AND run.id > :after AND run.id < :made_before AND run.finished_at < :before AND {may_go}
ORDER BY run.id LIMIT :limit;

-- name: those_that_may_go
SELECT run.id FROM run WHERE run.id IN (SELECT value FROM json_each(:runs)) AND {may_go};

-- name: remove_blobs
DELETE FROM blob WHERE id >= :run || '/' AND id < :run || '0';

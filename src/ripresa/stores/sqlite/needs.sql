-- Steps that need an engine with labels.

-- name: put_needs
-- One that is known has waited since then.
INSERT INTO need (run, operation, step, labels, priority, since) VALUES {(?, ?, ?, ?, ?, ?)}
ON CONFLICT (run, operation) DO UPDATE SET
  step = excluded.step, labels = excluded.labels, priority = excluded.priority;

-- name: remove_needs
DELETE FROM need WHERE (run, operation) IN (VALUES {(?, ?)});

-- name: kinds
-- What is needed, each once: one search for each.
WITH RECURSIVE kind (labels) AS (
  SELECT min(labels) FROM need
  UNION ALL
  SELECT (SELECT min(need.labels) FROM need WHERE need.labels > kind.labels) FROM kind WHERE kind.labels IS NOT NULL
)
SELECT labels FROM kind WHERE labels IS NOT NULL;

-- name: fitting
SELECT DISTINCT need.run FROM need CROSS JOIN run ON run.id = need.run
WHERE need.labels = :labels AND run.owner IS NULL AND run.status IN ('running', 'waiting')
ORDER BY need.priority DESC, need.since, need.run LIMIT :limit;

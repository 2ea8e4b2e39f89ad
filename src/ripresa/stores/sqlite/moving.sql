-- A whole project, taken out or put in.

-- name: make_ready
INSERT INTO ready (run, due, priority)
SELECT id, :now, priority FROM run
WHERE owner IS NOT NULL AND status NOT IN ('succeeded', 'failed', 'cancelled')
ON CONFLICT (run) DO UPDATE SET due = min(due, excluded.due);

-- name: let_go
UPDATE run SET owner = NULL WHERE owner IS NOT NULL;

-- A whole project, taken out or put in.

-- name: columns
SELECT column_name::text, data_type::text FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name = $1;

-- name: make_ready
INSERT INTO ready (run, due, priority)
SELECT id, $1, priority FROM run
WHERE owner IS NOT NULL AND status NOT IN ('succeeded', 'failed', 'cancelled')
ON CONFLICT (run) DO UPDATE SET due = least(ready.due, excluded.due);

-- name: let_go
WITH released AS (UPDATE ready SET owner = NULL WHERE owner IS NOT NULL)
UPDATE run SET owner = NULL WHERE owner IS NOT NULL;

-- name: make_lines
INSERT INTO line (name) SELECT DISTINCT line FROM place ON CONFLICT DO NOTHING;

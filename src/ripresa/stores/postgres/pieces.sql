-- The long texts of a large batch.

-- name: blob
INSERT INTO blob (id, data) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: messages
UPDATE inbox SET data = $2 WHERE id = $1;

-- name: outgoing
UPDATE outbox SET data = $2 WHERE id = $1;

-- name: effects
UPDATE effect SET output = $2 WHERE id = $1;

-- name: tasks
UPDATE task SET work = $2 WHERE id = $1;

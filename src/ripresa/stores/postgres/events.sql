-- Events: those put out from outside, those that nobody could take, and what was noted.

-- name: publish
INSERT INTO outbox (id, run, type, data, at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING;

-- name: deliveries
SELECT event, place, tries, given_up FROM delivery
WHERE place = $1 AND EXISTS (SELECT 1 FROM outbox WHERE outbox.id = delivery.event) ORDER BY event;

-- name: forget_deliveries
-- What an engine of the release before has handed on.
DELETE FROM delivery WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = delivery.event);

-- name: put_delivery
INSERT INTO delivery (event, place, tries, given_up) VALUES ($1, $2, $3, $4)
ON CONFLICT (event, place) DO UPDATE SET tries = excluded.tries, given_up = excluded.given_up;

-- name: bury
INSERT INTO dead_letter (id, way, place, code, reason, type, event, subject, body, since, at, attempts, due)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (id) DO UPDATE SET
  code = excluded.code, reason = excluded.reason, body = excluded.body, at = excluded.at,
  attempts = excluded.attempts, due = excluded.due;

-- name: bury_known
UPDATE dead_letter SET code = $2, reason = $3, body = $4, at = $5, attempts = $6, due = $7 WHERE id = $1;

-- name: dead
SELECT id, way, place, code, reason, type, event, subject, body, since, at, attempts, due
FROM dead_letter
WHERE ($2::text IS NULL OR place = $2) AND ($3::text IS NULL OR code = $3)
ORDER BY at DESC, id LIMIT $1;

-- name: dead_of
SELECT id, way, place, code, reason, type, event, subject, body, since, at, attempts, due
FROM dead_letter WHERE id = ANY ($1::text[]) ORDER BY at DESC, id;

-- name: dead_due
SELECT id, way, place, code, reason, type, event, subject, body, since, at, attempts, due
FROM dead_letter WHERE place = $1 AND due BETWEEN $4 AND $2 ORDER BY due, id LIMIT $3;

-- name: retry_dead
WITH retried AS (UPDATE dead_letter SET due = $2, place = coalesce($3, place) WHERE id = ANY ($1::text[]) RETURNING 1) SELECT count(*) FROM retried;

-- name: forget_dead
WITH gone AS (DELETE FROM dead_letter WHERE id = ANY ($1::text[]) RETURNING 1) SELECT count(*) FROM gone;

-- name: note
INSERT INTO event_log (at, way, what, place, event, type, subject, data, why)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: noted
SELECT number, at, way, what, place, event, type, subject, data, why FROM event_log WHERE number > $1 ORDER BY number LIMIT $2;

-- name: last_noted
SELECT coalesce(max(number), 0) FROM event_log;

-- name: forget_noted
DELETE FROM event_log WHERE number <= $1;

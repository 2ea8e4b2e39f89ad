-- Events: those put out from outside, those that nobody could take, and what was noted.

-- name: publish
INSERT INTO outbox (id, run, type, data, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING;

-- name: deliveries
SELECT event, place, tries, given_up FROM delivery
WHERE place = :place AND EXISTS (SELECT 1 FROM outbox WHERE outbox.id = delivery.event) ORDER BY event;

-- name: forget_deliveries
-- What an engine of the release before has handed on.
DELETE FROM delivery WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = delivery.event);

-- name: put_delivery
INSERT INTO delivery (event, place, tries, given_up) VALUES (?, ?, ?, ?)
ON CONFLICT (event, place) DO UPDATE SET tries = excluded.tries, given_up = excluded.given_up;

-- name: bury
INSERT INTO dead_letter (id, way, place, code, reason, type, event, subject, body, since, at, attempts, due)
VALUES (:id, :way, :place, :code, :reason, :type, :event, :subject, :body, :since, :at, :attempts, :due)
ON CONFLICT (id) DO UPDATE SET
  code = excluded.code, reason = excluded.reason, body = excluded.body, at = excluded.at,
  attempts = excluded.attempts, due = excluded.due;

-- name: bury_known
UPDATE dead_letter SET code = :code, reason = :reason, body = :body, at = :at, attempts = :attempts, due = :due
WHERE id = :id;

-- name: dead
SELECT id, way, place, code, reason, type, event, subject, body, since, at, attempts, due
FROM dead_letter
WHERE (:place IS NULL OR place = :place) AND (:code IS NULL OR code = :code)
ORDER BY at DESC, id LIMIT :limit;

-- name: dead_of
SELECT id, way, place, code, reason, type, event, subject, body, since, at, attempts, due
FROM dead_letter WHERE id IN (SELECT value FROM json_each(:ids)) ORDER BY at DESC, id;

-- name: dead_due
SELECT id, way, place, code, reason, type, event, subject, body, since, at, attempts, due
FROM dead_letter WHERE place = :place AND due <= :now ORDER BY due, id LIMIT :limit;

-- name: retry_dead
UPDATE dead_letter SET due = :now, place = coalesce(:place, place) WHERE id IN (SELECT value FROM json_each(:ids));

-- name: forget_dead
DELETE FROM dead_letter WHERE id IN (SELECT value FROM json_each(:ids));

-- name: note
INSERT INTO event_log (at, way, what, place, event, type, subject, data, why) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: noted
SELECT number, at, way, what, place, event, type, subject, data, why FROM event_log WHERE number > :after
ORDER BY number LIMIT :limit;

-- name: last_noted
SELECT coalesce(max(number), 0) FROM event_log;

-- name: forget_noted
DELETE FROM event_log WHERE number <= :up_to;

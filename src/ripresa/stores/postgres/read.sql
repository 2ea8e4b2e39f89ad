-- What callers and engines read.  Columns stand in the order of the port's tuples.

-- name: run_columns
run.id, run.key, run.definition, run.version, run.status, run.priority, run.input, run.output, run.error, run.parent,
  run.parent_operation, run.correlation_id, run.owner, run.base_seq, run.created_at, run.started_at, run.finished_at,
  coalesce(run.updated_at, run.created_at), run.memo

-- name: history_columns
history.run, history.seq, history.kind, history.at, history.operation, history.name, history.fingerprint,
  history.attempt, history.started_at, history.data, history.error

-- name: attempt_columns
attempt.run, attempt.operation, attempt.number, attempt.name, attempt.engine, attempt.started_at, attempt.status,
  attempt.finished_at, attempt.error, attempt.due, attempt.generation

-- name: message_columns
inbox.id, inbox.run, inbox.kind, inbox.name, inbox.data, inbox.at

-- name: run_by_id
SELECT {run_columns} FROM run WHERE id = $1;

-- name: run_by_key
SELECT {run_columns} FROM run WHERE key = $1;

-- name: loaded
-- The parts of what an engine loads: in one statement, so that they show one moment.
SELECT
  ARRAY (SELECT ROW ({run_columns}) FROM unnest($1::text[]) WITH ORDINALITY AS wanted (id, turn)
    JOIN run ON run.id = wanted.id ORDER BY wanted.turn),
  ARRAY (SELECT ROW ({history_columns}) FROM unnest($1::text[]) AS wanted (id)
    JOIN run ON run.id = wanted.id
    CROSS JOIN LATERAL (SELECT * FROM history WHERE history.run = run.id AND history.seq > run.base_seq
      ORDER BY history.seq) AS history),
  ARRAY (SELECT ROW ({attempt_columns}) FROM unnest($1::text[]) AS wanted (id)
    JOIN run ON run.id = wanted.id
    JOIN attempt ON attempt.run = run.id AND attempt.generation = run.base_seq),
  ARRAY (SELECT ROW ({message_columns}) FROM unnest($1::text[]) AS wanted (id)
    CROSS JOIN LATERAL (SELECT * FROM inbox WHERE inbox.run = wanted.id ORDER BY inbox.number) AS inbox),
  ARRAY (SELECT ROW (need.run, need.operation, need.step, need.labels, need.priority, need.since)
    FROM need WHERE need.run = ANY ($1::text[]) ORDER BY need.since, need.operation);

-- The same parts, each as rows of its own, where one value cannot hold them.

-- name: runs_to_load
SELECT {run_columns} FROM run WHERE id = ANY ($1::text[]);

-- name: history_to_load
SELECT {history_columns} FROM run JOIN history ON history.run = run.id AND history.seq > run.base_seq
WHERE run.id = ANY ($1::text[]) ORDER BY history.seq;

-- name: attempts_to_load
SELECT {attempt_columns} FROM run JOIN attempt ON attempt.run = run.id AND attempt.generation = run.base_seq
WHERE run.id = ANY ($1::text[]);

-- name: messages_to_load
SELECT {message_columns} FROM inbox WHERE inbox.run = ANY ($1::text[]) ORDER BY inbox.number;

-- name: needs_to_load
SELECT need.run, need.operation, need.step, need.labels, need.priority, need.since
FROM need WHERE need.run = ANY ($1::text[]) ORDER BY need.since, need.operation;

-- name: ended
SELECT run.id FROM run
WHERE run.status = $1 AND run.id > $2 AND run.id < $3 AND run.finished_at < $4 AND may_go_1(run.id)
ORDER BY run.id LIMIT $5;

-- name: statuses
SELECT id, status FROM run WHERE id = ANY ($1::text[]);

-- name: history
SELECT {history_columns} FROM history WHERE run = $1 AND seq > $2 ORDER BY seq LIMIT $3::bigint;

-- name: attempts
SELECT {attempt_columns} FROM attempt WHERE run = $1 ORDER BY started_at, generation, operation, number;

-- name: messages
SELECT {message_columns} FROM inbox WHERE run = $1 ORDER BY number;

-- name: logs
SELECT number, run, operation, attempt, at, stream, level, text FROM log
WHERE run = $1 AND number > $2 AND ($3::text IS NULL OR operation = $3) ORDER BY number;

-- name: tags
SELECT name, value FROM tag WHERE run = $1 ORDER BY name;

-- name: children
SELECT {run_columns} FROM run WHERE parent = $1 ORDER BY id;

-- name: outgoing
SELECT number, id, run, type, data, at FROM outbox WHERE number > $2 ORDER BY number LIMIT $1;

-- name: outgoing_of
SELECT number, id, run, type, data, at FROM outbox WHERE number = ANY ($1::bigint[]);

-- name: outbox_numbered
-- Null: this user may not know.
SELECT CASE WHEN has_sequence_privilege(numbers, 'USAGE, SELECT')
  THEN coalesce(pg_sequence_last_value(numbers::regclass), 0) END
FROM pg_get_serial_sequence('outbox', 'number') AS own (numbers);

-- name: outbox_writers
-- Who has written to it and may still have to commit: the lock is taken before the first number is.
SELECT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND relation = 'outbox'::regclass AND mode = 'RowExclusiveLock'
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database());

-- name: published
WITH gone AS (DELETE FROM delivery WHERE event = ANY ($1::text[]))
DELETE FROM outbox WHERE id = ANY ($1::text[]);

-- name: quality
SELECT run, seq, definition, step, operation, at, status, metrics FROM quality
WHERE definition = $1 AND ($2::text IS NULL OR run <> $2)
ORDER BY at DESC, run DESC, seq DESC LIMIT $3;

-- name: quality_of_step
SELECT run, seq, definition, step, operation, at, status, metrics FROM quality
WHERE definition = $1 AND step = $4 AND ($2::text IS NULL OR run <> $2)
ORDER BY at DESC, run DESC, seq DESC LIMIT $3;

-- name: definitions
SELECT name, version, label, kind, body, input_schema, output_schema, created_at FROM definition
ORDER BY name, created_at, version;

-- name: blobs
SELECT id, data FROM blob WHERE id = ANY ($1::text[]);

-- name: counts
SELECT status, count(*) AS runs FROM run GROUP BY status;

-- name: counts_by_version
SELECT definition, version, status, count(*) AS runs FROM run
WHERE $1::text IS NULL OR definition = $1 GROUP BY definition, version, status;

-- name: place
SELECT run, line, places, held, priority, since FROM place WHERE run = $1;

-- name: line
SELECT run, line, places, held, priority, since FROM place WHERE line = $1
ORDER BY held DESC, CASE WHEN held THEN 0 ELSE -priority END, since, run;

-- name: next_due
-- Without what other engines' runs were sent: they see to that.
SELECT min((
  SELECT ready.due FROM ready
  WHERE ready.priority = level.priority AND ready.due > $2 AND ($1::bigint IS NULL OR ((ready.owner IS NULL OR ready.owner = $1)
    AND NOT EXISTS (SELECT 1 FROM run WHERE run.id = ready.run AND run.owner <> $1)))
  ORDER BY ready.due LIMIT 1
)) FROM level;

-- name: written
-- From the newest of each backwards: what was written before it is dead, and may have to be stepped over.
WITH RECURSIVE latest (writer, number) AS (
  (SELECT writer, number FROM written ORDER BY writer DESC, number DESC LIMIT 1)
  UNION ALL
  SELECT next.writer, next.number FROM latest CROSS JOIN LATERAL (
    SELECT writer, number FROM written WHERE writer < latest.writer ORDER BY writer DESC, number DESC LIMIT 1) AS next
)
SELECT writer, number FROM latest;

-- name: time
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;

-- Engines.

-- name: acquire
INSERT INTO engine (lease_until, since, who, about, host, boot, namespace, pid, started)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING number;

-- name: forget_engines
-- Long gone, with nothing left of theirs.
WITH gone AS (DELETE FROM engine WHERE settled AND since < $1 AND NOT EXISTS (
  SELECT 1 FROM run WHERE run.owner = engine.number) RETURNING number),
answered AS (DELETE FROM answer WHERE engine IN (SELECT number FROM gone))
DELETE FROM written WHERE at < $1 AND (writer < 0 OR writer IN (SELECT number FROM gone));

-- name: renew
UPDATE engine SET lease_until = $1 WHERE number = $2 AND lease_until > 0 RETURNING draining;

-- name: drain
UPDATE engine SET draining = true WHERE number = $1 AND lease_until > 0 RETURNING true;

-- name: prolong
UPDATE engine SET lease_until = greatest(lease_until, $1) WHERE number = $2 AND lease_until > 0;

-- name: release
-- Waits for whatever of ours still asks for slots.
UPDATE engine SET lease_until = 0 WHERE number = (SELECT number FROM engine WHERE number = $1 FOR UPDATE);

-- name: last_batch
-- Waits for a commit of ours that is under way on a connection that broke.
WITH ours AS (SELECT number FROM engine WHERE number = $1 AND lease_until > 0 FOR NO KEY UPDATE)
SELECT number FROM ours;

-- name: owned
SELECT id FROM run
WHERE owner = $1 AND (status IN ('queued', 'running', 'waiting', 'paused', 'quarantined', 'blocked')
  OR EXISTS (SELECT 1 FROM inbox WHERE inbox.run = run.id AND inbox.kind = 'retry'))
ORDER BY id;

-- name: last_written
SELECT coalesce(max(number), 0) FROM written WHERE writer = $1;

-- name: engines
SELECT number, lease_until, since, who, about, draining, host, boot, namespace, pid, started,
  (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
FROM engine ORDER BY number DESC LIMIT 100;

-- name: effect
SELECT id, run, holder, fingerprint, at, output FROM effect WHERE id = $1;

-- Lists: newest first.  Each goes along one index from the cursor down; all filters are asked of each run that is
-- met on the way, in terms that the planner cannot take for a reason to choose another index.

-- name: fits
CASE WHEN $3::text[] IS NULL THEN true ELSE run.status = ANY ($3) END
  AND CASE WHEN $4::text IS NULL THEN true ELSE run.definition = $4 END
  AND CASE WHEN $5::text IS NULL THEN true ELSE run.parent = $5 END
  AND CASE WHEN $6::text[] IS NULL THEN true ELSE NOT EXISTS (
    SELECT 1 FROM unnest($6, $7::text[]) AS wanted (name, value) WHERE NOT EXISTS (
      SELECT 1 FROM tag WHERE tag.run = run.id AND tag.name = wanted.name AND tag.value = wanted.value)) END

-- name: list_all
SELECT {run_columns} FROM run WHERE run.id < $1 AND {fits} ORDER BY run.id DESC LIMIT $2;

-- name: list_by_status
SELECT {run_columns} FROM run WHERE run.status = $8 AND run.id < $1 AND {fits} ORDER BY run.id DESC LIMIT $2;

-- name: list_by_definition
SELECT {run_columns} FROM run WHERE run.definition = $8 AND run.id < $1 AND {fits} ORDER BY run.id DESC LIMIT $2;

-- name: list_by_parent
SELECT {run_columns} FROM run WHERE run.parent = $8 AND run.id < $1 AND {fits} ORDER BY run.id DESC LIMIT $2;

-- name: list_by_tag
SELECT {run_columns} FROM tag JOIN run ON run.id = tag.run
WHERE tag.name = $8 AND tag.value = $9 AND tag.run < $1 AND {fits} ORDER BY tag.run DESC LIMIT $2;

-- name: list_by_key
-- In order of keys, the only order that an index can give here.
SELECT {run_columns} FROM run
WHERE run.key >= $8 AND run.key < $8 || U&'\+10FFFF' AND run.key > $1 AND {fits} ORDER BY run.key LIMIT $2;

-- How many runs lie on the way of a list, as far as it takes little time to count.

-- name: some_by_status
SELECT count(*) FROM (SELECT 1 FROM run WHERE status = $1 LIMIT 2000) AS few;

-- name: some_by_definition
SELECT count(*) FROM (SELECT 1 FROM run WHERE definition = $1 LIMIT 2000) AS few;

-- name: some_by_parent
SELECT count(*) FROM (SELECT 1 FROM run WHERE parent = $1 LIMIT 2000) AS few;

-- name: some_by_tag
SELECT count(*) FROM (SELECT 1 FROM tag WHERE name = $1 AND value = $2 LIMIT 2000) AS few;

-- What callers and engines read.  Columns stand in the order of the port's tuples.

-- name: run_columns
run.id, run.key, run.definition, run.version, run.status, run.priority, run.input, run.output, run.error, run.parent,
  run.parent_operation, run.correlation_id, run.owner, run.base_seq, run.created_at, run.started_at, run.finished_at,
  coalesce(run.updated_at, run.created_at) AS updated_at, run.memo

-- name: history_columns
history.run, history.seq, history.kind, history.at, history.operation, history.name, history.fingerprint,
  history.attempt, history.started_at, history.data, history.error

-- name: attempt_columns
attempt.run, attempt.operation, attempt.number, attempt.name, attempt.engine, attempt.started_at, attempt.status,
  attempt.finished_at, attempt.error, attempt.due, attempt.generation

-- name: message_columns
inbox.id, inbox.run, inbox.kind, inbox.name, inbox.data, inbox.at

-- name: run_by_id
SELECT {run_columns} FROM run WHERE id = ?;

-- name: run_by_key
SELECT {run_columns} FROM run WHERE key = ?;

-- The parts of what an engine loads: read in one statement, so that they show one moment.

-- name: loaded_runs
SELECT {run_columns} FROM json_each(:runs) AS wanted CROSS JOIN run ON run.id = wanted.value;

-- name: loaded_history
SELECT {history_columns} FROM json_each(:runs) AS wanted
CROSS JOIN run ON run.id = wanted.value
CROSS JOIN history ON history.run = run.id AND history.seq > run.base_seq AND history.seq <= run.base_seq + :span
ORDER BY wanted.key, history.seq;

-- name: loaded_attempts
SELECT {attempt_columns} FROM json_each(:runs) AS wanted
CROSS JOIN run ON run.id = wanted.value
CROSS JOIN attempt ON attempt.run = run.id AND attempt.generation = run.base_seq;

-- name: loaded_messages
SELECT {message_columns} FROM json_each(:runs) AS wanted
CROSS JOIN inbox ON inbox.run = wanted.value
ORDER BY inbox.number;

-- name: needs
SELECT run, operation, step, labels, priority, since FROM need
WHERE run IN (SELECT value FROM json_each(:runs)) ORDER BY since, run, operation;

-- name: dues
SELECT run, due FROM ready WHERE run IN (SELECT value FROM json_each(:runs));

-- name: history
SELECT {history_columns} FROM history WHERE run = :run AND seq > :after ORDER BY seq LIMIT :limit;

-- name: attempts
SELECT {attempt_columns} FROM attempt WHERE run = :run ORDER BY started_at, generation, operation, number;

-- name: messages
SELECT {message_columns} FROM inbox WHERE run = :run ORDER BY number;

-- name: logs
SELECT number, run, operation, attempt, at, stream, level, text FROM log
WHERE run = :run AND number > :after AND (:operation IS NULL OR operation = :operation) ORDER BY number;

-- name: tags
SELECT name, value FROM tag WHERE run = ? ORDER BY name;

-- name: children
SELECT {run_columns} FROM run WHERE parent = :run ORDER BY id;

-- name: outgoing
SELECT id, run, type, data, at FROM outbox ORDER BY number LIMIT :limit;

-- name: quality
SELECT run, seq, definition, step, operation, at, status, metrics FROM quality
WHERE definition = :definition AND (:not_of IS NULL OR run <> :not_of)
ORDER BY at DESC, run DESC, seq DESC LIMIT :limit;

-- name: quality_of_step
SELECT run, seq, definition, step, operation, at, status, metrics FROM quality
WHERE definition = :definition AND step = :step AND (:not_of IS NULL OR run <> :not_of)
ORDER BY at DESC, run DESC, seq DESC LIMIT :limit;

-- name: definitions
SELECT name, version, label, kind, body, input_schema, output_schema, created_at FROM definition
ORDER BY name, created_at, version;

-- name: blobs
SELECT id, data FROM blob WHERE id IN (SELECT value FROM json_each(?));

-- name: counts
SELECT status, count(*) AS runs FROM run INDEXED BY run_by_status GROUP BY status;

-- name: counts_by_version
-- Reads every run, but none of the long columns: they stand last.
SELECT definition, version, status, count(*) AS runs FROM run GROUP BY definition, version, status;

-- name: counts_by_version_of
SELECT definition, version, status, count(*) AS runs FROM run INDEXED BY run_by_definition
WHERE definition = :definition GROUP BY definition, version, status;

-- name: receiver
SELECT status, priority FROM run WHERE id = ?;

-- Lists: newest first.  Each goes along one index from the cursor down; all filters are asked of each run that is
-- met on the way, in terms that the planner cannot take for a reason to choose another index.

-- name: fits
(:statuses IS NULL OR run.status IN (SELECT value FROM json_each(:statuses)))
  AND (:definition IS NULL OR run.definition = :definition)
  AND (:parent IS NULL OR run.parent = :parent)
  AND (:tags IS NULL OR NOT EXISTS (
    SELECT 1 FROM json_each(:tags) AS wanted WHERE NOT EXISTS (
      SELECT 1 FROM tag WHERE tag.run = run.id AND tag.name = json_extract(wanted.value, '$[0]')
        AND tag.value = json_extract(wanted.value, '$[1]'))))

-- name: list_all
SELECT {run_columns} FROM run WHERE run.id < :before AND {fits} ORDER BY run.id DESC LIMIT :limit;

-- name: list_by_status
SELECT {run_columns} FROM run WHERE run.status = :status AND run.id < :before AND {fits}
ORDER BY run.id DESC LIMIT :limit;

-- name: list_by_definition
SELECT {run_columns} FROM run WHERE run.definition = :definition AND run.id < :before AND {fits}
ORDER BY run.id DESC LIMIT :limit;

-- name: list_by_parent
SELECT {run_columns} FROM run WHERE run.parent = :parent AND run.id < :before AND {fits}
ORDER BY run.id DESC LIMIT :limit;

-- name: list_by_tag
SELECT {run_columns} FROM tag CROSS JOIN run ON run.id = tag.run
WHERE tag.name = :tag AND tag.value = :value AND tag.run < :before AND {fits}
ORDER BY tag.run DESC LIMIT :limit;

-- name: list_by_key
-- In order of keys, the only order that an index can give here.
SELECT {run_columns} FROM run
WHERE run.key >= :prefix AND run.key < :prefix || char(1114111) AND run.key > :after AND {fits}
ORDER BY run.key LIMIT :limit;

-- How many runs lie on the way of a list, as far as it takes little time to count.

-- name: some_by_status
SELECT count(*) FROM (SELECT 1 FROM run WHERE status = :status LIMIT 2000);

-- name: some_by_definition
SELECT count(*) FROM (SELECT 1 FROM run WHERE definition = :definition LIMIT 2000);

-- name: some_by_parent
SELECT count(*) FROM (SELECT 1 FROM run WHERE parent = :parent LIMIT 2000);

-- name: some_by_tag
SELECT count(*) FROM (SELECT 1 FROM tag WHERE name = :tag AND value = :value LIMIT 2000);

-- name: statuses
SELECT id, status FROM run WHERE id IN (SELECT value FROM json_each(:runs));

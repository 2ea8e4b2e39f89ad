-- Rows that no batch should have written: how many, and whose the first is.

-- name: timeline
-- Which history of the database this is: each promotion of a standby begins another.
SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint;

-- name: is_replicated
-- Whether what is acknowledged is on another server, too, so that a promotion loses nothing.
SELECT current_setting('synchronous_standby_names') <> ''
  AND current_setting('synchronous_commit') IN ('on', 'remote_apply', 'remote_write');

-- name: now
SELECT extract(epoch FROM clock_timestamp())::float8;

-- name: orphan_history
SELECT count(*), min(run) FROM (SELECT DISTINCT run FROM history) AS found
WHERE NOT EXISTS (SELECT 1 FROM run WHERE run.id = found.run);

-- name: orphan_attempts
SELECT count(*), min(run) FROM (SELECT DISTINCT run FROM attempt) AS found
WHERE NOT EXISTS (SELECT 1 FROM run WHERE run.id = found.run);

-- name: orphan_ready
SELECT count(*), min(run) FROM ready WHERE NOT EXISTS (SELECT 1 FROM run WHERE run.id = ready.run);

-- name: orphan_messages
SELECT count(*), min(run) FROM inbox WHERE NOT EXISTS (SELECT 1 FROM run WHERE run.id = inbox.run);

-- name: orphan_tags
SELECT count(*), min(run) FROM (SELECT DISTINCT run FROM tag) AS found
WHERE NOT EXISTS (SELECT 1 FROM run WHERE run.id = found.run);

-- name: unread_blobs
WITH held (run, mark) AS (
  SELECT run, data FROM history WHERE data LIKE '@blob:%'
  UNION ALL SELECT run, error FROM history WHERE error LIKE '@blob:%'
  UNION ALL SELECT id, input FROM run WHERE input LIKE '@blob:%'
  UNION ALL SELECT id, output FROM run WHERE output LIKE '@blob:%'
  UNION ALL SELECT id, error FROM run WHERE error LIKE '@blob:%'
)
SELECT count(*), min(run) FROM held WHERE NOT EXISTS (SELECT 1 FROM blob WHERE blob.id = substr(held.mark, 7));

-- name: gaps
SELECT count(*), min(run) FROM (SELECT run FROM history GROUP BY run HAVING max(seq) - min(seq) + 1 <> count(*)) AS gap;

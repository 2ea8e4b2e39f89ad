-- Adopting does the same as before, in terms that leave the planner no choice: while tables are new it knows nothing of
-- them, and went through all runs for a few.

CREATE OR REPLACE FUNCTION adopt_1(
  engine_number bigint, now_ bigint, limit_ bigint, names text[], versions text[], call_ bigint, last_ bigint,
  all_ boolean
) RETURNS text[] LANGUAGE plpgsql AS $$
-- Null: the lease is broken.  With a limit it is asked again and again, and what only waits for its turn is let be.
-- An engine is settled once nothing is left of it to adopt.  Our own lease is not locked while we look, as our commits
-- would wait for it.  Runs without an owner are lost to sight seldom, and are looked for with `all_` only: there may be
-- a great many that wait for their turn, or have done so since the oldest snapshot that somebody holds.
DECLARE
  opened CONSTANT text[] := '{queued,running,waiting,paused,quarantined,blocked}';
  stopped CONSTANT text[] := '{paused,quarantined,blocked}';
  controls CONSTANT text[] := '{cancel,pause,resume,retry,release}';
  again CONSTANT boolean := limit_ IS NOT NULL;
  gone bigint[];
  owners bigint[];
  sweep boolean;
  chosen text[];
BEGIN
  IF NOT EXISTS (SELECT 1 FROM engine WHERE number = engine_number AND lease_until > 0) THEN
    RETURN NULL;
  END IF;
  SELECT runs INTO chosen FROM answer WHERE engine = engine_number AND number = call_;
  IF FOUND THEN
    RETURN chosen;
  END IF;
  UPDATE engine SET lease_until = 0 WHERE number IN (
    SELECT number FROM engine WHERE lease_until > 0 AND lease_until <= now_ AND number <> engine_number
    ORDER BY number FOR UPDATE SKIP LOCKED);
  SELECT array_agg(number) INTO gone FROM engine WHERE lease_until = 0 AND NOT settled;
  owners := gone;
  IF NOT again THEN
    -- Ours too, and those of owners that nobody knows any more.
    SELECT array_agg(DISTINCT owner) INTO owners FROM run
    WHERE owner IS NOT NULL AND (owner = engine_number
      OR NOT EXISTS (SELECT 1 FROM engine WHERE number = run.owner AND lease_until > 0));
  END IF;
  sweep := all_ OR NOT again;
  WITH orphan AS (
    -- No more of each than are asked for: an engine may leave a hundred thousand.
    SELECT theirs.id FROM unnest(owners) AS owned (owner) CROSS JOIN LATERAL (
      SELECT run.id FROM run
      WHERE run.owner = owned.owner AND run.status = ANY (opened)
        AND NOT left_1(names, versions, run.definition, run.version)
      ORDER BY run.id LIMIT limit_) AS theirs
    UNION
    SELECT run.id FROM run WHERE sweep AND run.status = 'queued' AND run.owner IS NULL
      AND NOT EXISTS (SELECT 1 FROM ready WHERE ready.run = run.id)
      AND NOT (again AND EXISTS (
        SELECT 1 FROM place WHERE place.run = run.id AND NOT place.held AND place.places <= (
          SELECT count(*) FROM place AS taken WHERE taken.line = place.line AND taken.held)))
    UNION
    SELECT run.id FROM inbox CROSS JOIN LATERAL (SELECT * FROM run WHERE run.id = inbox.run OFFSET 0) AS run
    WHERE inbox.kind = 'retry' AND run.owner IS NOT NULL
      AND CASE WHEN run.owner = engine_number THEN NOT again
        ELSE NOT EXISTS (SELECT 1 FROM engine WHERE number = run.owner AND lease_until > 0) END
    UNION
    -- Claimed for a message while its own engine was letting it go, which came after the claim; then the engine died.
    SELECT run.id FROM inbox CROSS JOIN LATERAL (SELECT * FROM run WHERE run.id = inbox.run OFFSET 0) AS run
    WHERE sweep AND run.owner IS NULL AND run.status = ANY (opened)
      AND NOT EXISTS (SELECT 1 FROM ready WHERE ready.run = run.id)
      AND (NOT again OR inbox.kind = ANY (controls) OR (run.status <> ALL (stopped) AND NOT EXISTS (
        SELECT 1 FROM place WHERE place.run = run.id AND NOT place.held AND place.places <= (
          SELECT count(*) FROM place AS taken WHERE taken.line = place.line AND taken.held))))
  ), fit AS (
    SELECT orphan.id FROM orphan
    WHERE (SELECT NOT left_1(names, versions, run.definition, run.version) FROM run WHERE run.id = orphan.id)
    ORDER BY orphan.id LIMIT limit_
  )
  SELECT array_agg(id) INTO chosen FROM fit;
  IF NOT fence_1(engine_number) THEN
    RETURN NULL;
  END IF;
  WITH locked AS (
    SELECT run.id FROM run WHERE run.id = ANY (chosen)
      AND (run.owner IS NULL OR run.owner = engine_number
        OR NOT EXISTS (SELECT 1 FROM engine WHERE number = run.owner AND lease_until > 0))
    ORDER BY run.id FOR NO KEY UPDATE SKIP LOCKED
  )
  SELECT array_agg(id ORDER BY id) INTO chosen FROM locked;
  UPDATE run SET owner = engine_number WHERE id = ANY (chosen) AND owner IS DISTINCT FROM engine_number;
  -- Where work goes on without its engine, it goes on holding its slot.
  UPDATE ticket SET engine = NULL, told = false, granted_at = CASE WHEN keeps THEN granted_at END, probe = keeps AND probe
  WHERE engine = ANY (gone);
  UPDATE ready SET owner = engine_number WHERE run = ANY (chosen) AND owner IS DISTINCT FROM engine_number;
  UPDATE attempt SET status = 'lost', finished_at = now_ WHERE status = 'running' AND run = ANY (chosen);
  IF gone IS NOT NULL AND chosen IS NULL THEN
    UPDATE engine SET settled = true WHERE number IN (
      SELECT number FROM engine WHERE number = ANY (gone) ORDER BY number FOR NO KEY UPDATE SKIP LOCKED)
      AND NOT EXISTS (SELECT 1 FROM run WHERE run.owner = engine.number AND run.status = ANY (opened));
  END IF;
  RETURN answered_1(engine_number, call_, last_, coalesce(chosen, '{}'));
END $$;

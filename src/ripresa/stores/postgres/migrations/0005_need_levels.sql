-- From when on runs that wait for an engine with labels are looked for, so that what was claimed is not gone through again.

CREATE TABLE need_level (
  labels text COLLATE "C" NOT NULL,
  priority bigint NOT NULL,
  low bigint NOT NULL,
  PRIMARY KEY (labels, priority)
);

CREATE FUNCTION lower_need_levels_1(kinds text[], priorities bigint[], sinces bigint[]) RETURNS void LANGUAGE plpgsql AS $$
-- After needs were noted, and with nothing but the levels of `ready` to wait for afterwards, as `lower_levels_1` says.
BEGIN
  IF EXISTS (
    SELECT 1 FROM unnest(kinds, priorities, sinces) AS new (labels, priority, since)
    WHERE NOT EXISTS (
      SELECT 1 FROM need_level AS level
      WHERE level.labels = new.labels AND level.priority = new.priority AND level.low <= new.since)
  ) THEN
    INSERT INTO need_level (labels, priority, low)
    SELECT new.labels, new.priority, min(new.since)
    FROM unnest(kinds, priorities, sinces) AS new (labels, priority, since) GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (labels, priority) DO UPDATE SET low = least(need_level.low, excluded.low);
  END IF;
END $$;

CREATE OR REPLACE FUNCTION write_rest_1(rest jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  kinds text[];
  priorities bigint[];
  sinces bigint[];
BEGIN
  PERFORM write_rest_without_needs_1(rest);
  IF rest ? 'needless' THEN
    DELETE FROM need USING jsonb_array_elements(rest -> 'needless') AS gone (row)
    WHERE need.run = row ->> 0 AND need.operation = row ->> 1;
  END IF;
  IF rest ? 'needs' THEN
    WITH noted AS (
      -- One that is known has waited since then.
      INSERT INTO need (run, operation, step, labels, priority, since)
      SELECT DISTINCT ON (1, 2) row ->> 0, row ->> 1, row ->> 2, row ->> 3, (row ->> 4)::bigint, (row ->> 5)::bigint
      FROM jsonb_array_elements(rest -> 'needs') WITH ORDINALITY AS new (row, turn) ORDER BY 1, 2, turn DESC
      ON CONFLICT (run, operation) DO UPDATE SET
        step = excluded.step, labels = excluded.labels, priority = excluded.priority
      RETURNING labels, priority, since
    )
    SELECT array_agg(labels), array_agg(priority), array_agg(since) INTO kinds, priorities, sinces FROM noted;
    PERFORM lower_need_levels_1(kinds, priorities, sinces);
  END IF;
END $$;

CREATE FUNCTION find_need_levels_1() RETURNS void LANGUAGE plpgsql AS $$
-- The kinds and priorities that are in use, as `find_levels_1` does.
BEGIN
  INSERT INTO need_level (labels, priority, low)
  WITH RECURSIVE used (labels, priority) AS (
    (SELECT labels, priority FROM need ORDER BY labels, priority DESC LIMIT 1)
    UNION ALL
    SELECT next.labels, next.priority FROM used CROSS JOIN LATERAL (
      (SELECT labels, priority FROM need WHERE need.labels = used.labels AND need.priority < used.priority
        ORDER BY labels, priority DESC LIMIT 1)
      UNION ALL
      (SELECT labels, priority FROM need WHERE need.labels > used.labels ORDER BY labels, priority DESC LIMIT 1)
      LIMIT 1) AS next
  )
  SELECT used.labels, used.priority, 0 FROM used
  WHERE NOT EXISTS (
    SELECT 1 FROM need_level AS level WHERE level.labels = used.labels AND level.priority = used.priority)
  ORDER BY 1, 2
  ON CONFLICT DO NOTHING;
END $$;

CREATE FUNCTION raise_need_level_1(kind text, level_ bigint, low_ bigint, all_ boolean, busy boolean)
RETURNS void LANGUAGE plpgsql AS $$
-- As `raise_level_1`, by the server's clock: a level that is too high is lowered by who notes a need.
DECLARE
  second CONSTANT bigint := 1000000;
  now_ CONSTANT bigint := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
  first bigint;
BEGIN
  IF NOT all_ AND low_ >= now_ - (CASE WHEN busy THEN second * 3 / 2 ELSE 10 * second END) THEN
    RETURN;
  END IF;
  PERFORM 1 FROM need_level WHERE labels = kind AND priority = level_ FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  SELECT since INTO first FROM need WHERE labels = kind AND priority = level_ AND since >= low_ ORDER BY since LIMIT 1;
  IF all_ AND first IS NULL THEN
    DELETE FROM need_level WHERE labels = kind AND priority = level_;
  ELSE
    first := least(coalesce(first, now_), now_ - second);
    UPDATE need_level SET low = first WHERE labels = kind AND priority = level_
      AND CASE WHEN all_ THEN low <> first ELSE low < first END;
  END IF;
END $$;

CREATE FUNCTION claim_fitting_2(
  engine_number bigint, labels_ jsonb, limit_ bigint, names text[], versions text[], call_ bigint, last_ bigint,
  all_ boolean
) RETURNS text[] LANGUAGE plpgsql AS $$
-- Null: the lease is broken.  One search for each kind of need and each priority of it; our own lease is locked only
-- when there is something to take, as our commits wait for it.  Who has waited since before a level's `low` is looked
-- for with `all_` only.  Levels are raised when all is claimed, as nobody may wait for another with one locked.
DECLARE
  level record;
  looked_at jsonb[] := '{}';
  one jsonb;
  chosen text[];
  claimed text[] := '{}';
  may_write boolean := false;
BEGIN
  IF NOT EXISTS (SELECT 1 FROM engine WHERE number = engine_number AND lease_until > 0) THEN
    RETURN NULL;
  END IF;
  SELECT runs INTO chosen FROM answer WHERE engine = engine_number AND number = call_;
  IF FOUND THEN
    RETURN chosen;
  END IF;
  IF all_ THEN
    PERFORM find_need_levels_1();
  END IF;
  FOR level IN
    SELECT labels, priority, CASE WHEN all_ THEN 0 ELSE low END AS low FROM need_level
    WHERE labels::jsonb <@ labels_ ORDER BY labels, priority DESC
  LOOP
    EXIT WHEN cardinality(claimed) >= limit_;
    chosen := NULL;
    IF EXISTS (
      SELECT 1 FROM need JOIN run ON run.id = need.run
      WHERE need.labels = level.labels AND need.priority = level.priority AND need.since >= level.low
        AND run.owner IS NULL AND run.status IN ('running', 'waiting')
        AND NOT left_1(names, versions, run.definition, run.version)
    ) THEN
      IF NOT may_write THEN
        IF NOT fence_1(engine_number) THEN
          RETURN NULL;
        END IF;
        may_write := true;
      END IF;
      SELECT array_agg(fit.id) INTO chosen FROM (
        SELECT run.id FROM need JOIN run ON run.id = need.run
        WHERE need.labels = level.labels AND need.priority = level.priority AND need.since >= level.low
          AND run.owner IS NULL AND run.status IN ('running', 'waiting')
          AND NOT left_1(names, versions, run.definition, run.version)
        ORDER BY need.since, need.run LIMIT limit_ - cardinality(claimed)
        FOR NO KEY UPDATE OF run SKIP LOCKED
      ) AS fit;
      UPDATE run SET owner = engine_number WHERE id = ANY (chosen) AND owner IS NULL;
      DELETE FROM ready WHERE run = ANY (chosen);
      -- Once each, where the first of its needs stands.
      claimed := claimed || ARRAY (SELECT id FROM unnest(chosen) WITH ORDINALITY AS fit (id, turn)
                                   GROUP BY id ORDER BY min(turn));
    END IF;
    looked_at := looked_at || jsonb_build_array(level.labels, level.priority, level.low, chosen IS NOT NULL);
  END LOOP;
  FOREACH one IN ARRAY looked_at LOOP
    PERFORM raise_need_level_1(one ->> 0, (one ->> 1)::bigint, (one ->> 2)::bigint, all_, (one ->> 3)::boolean);
  END LOOP;
  RETURN answered_1(engine_number, call_, last_, claimed);
END $$;

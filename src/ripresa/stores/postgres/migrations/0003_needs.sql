-- Steps that wait for an engine with labels.

CREATE TABLE need (
  run text COLLATE "C" NOT NULL,
  operation text COLLATE "C" NOT NULL,
  step text NOT NULL,
  labels text COLLATE "C" NOT NULL,
  priority bigint NOT NULL,
  since bigint NOT NULL,
  PRIMARY KEY (run, operation)
);

CREATE INDEX need_by_labels ON need (labels, priority DESC, since, run);

-- What a batch writes beside the rows of runs, and what goes with a run, is more from here on.  Engines of the release
-- before note no needs, and are served as they were.
ALTER FUNCTION write_rest_1(jsonb) RENAME TO write_rest_without_needs_1;

CREATE FUNCTION write_rest_1(rest jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM write_rest_without_needs_1(rest);
  IF rest ? 'needless' THEN
    DELETE FROM need USING jsonb_array_elements(rest -> 'needless') AS gone (row)
    WHERE need.run = row ->> 0 AND need.operation = row ->> 1;
  END IF;
  IF rest ? 'needs' THEN
    -- One that is known has waited since then.
    INSERT INTO need (run, operation, step, labels, priority, since)
    SELECT DISTINCT ON (1, 2) row ->> 0, row ->> 1, row ->> 2, row ->> 3, (row ->> 4)::bigint, (row ->> 5)::bigint
    FROM jsonb_array_elements(rest -> 'needs') WITH ORDINALITY AS new (row, turn) ORDER BY 1, 2, turn DESC
    ON CONFLICT (run, operation) DO UPDATE SET
      step = excluded.step, labels = excluded.labels, priority = excluded.priority;
  END IF;
END $$;

ALTER FUNCTION remove_1(text[]) RENAME TO remove_without_needs_1;

CREATE FUNCTION remove_1(ids text[]) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
  gone text[];
BEGIN
  gone := remove_without_needs_1(ids);
  DELETE FROM need WHERE run = ANY (gone);
  RETURN gone;
END $$;

CREATE FUNCTION claim_fitting_1(
  engine_number bigint, labels_ jsonb, limit_ bigint, names text[], versions text[], call_ bigint, last_ bigint
) RETURNS text[] LANGUAGE plpgsql AS $$
-- Null: the lease is broken.  One search for each kind of need; our own lease is locked only when there is something to
-- take, as our commits wait for it.
DECLARE
  kind text;
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
  SELECT min(labels) INTO kind FROM need;
  WHILE kind IS NOT NULL AND cardinality(claimed) < limit_ LOOP
    IF kind::jsonb <@ labels_ AND EXISTS (
      SELECT 1 FROM need JOIN run ON run.id = need.run
      WHERE need.labels = kind AND run.owner IS NULL AND run.status IN ('running', 'waiting')
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
        WHERE need.labels = kind AND run.owner IS NULL AND run.status IN ('running', 'waiting')
          AND NOT left_1(names, versions, run.definition, run.version)
        ORDER BY need.priority DESC, need.since, need.run LIMIT limit_ - cardinality(claimed)
        FOR NO KEY UPDATE OF run SKIP LOCKED
      ) AS fit;
      UPDATE run SET owner = engine_number WHERE id = ANY (chosen) AND owner IS NULL;
      DELETE FROM ready WHERE run = ANY (chosen);
      -- Once each, where the first of its needs stands.
      claimed := claimed || ARRAY (SELECT id FROM unnest(chosen) WITH ORDINALITY AS one (id, turn)
                                   GROUP BY id ORDER BY min(turn));
    END IF;
    SELECT min(labels) INTO kind FROM need WHERE labels > kind;
  END LOOP;
  RETURN answered_1(engine_number, call_, last_, claimed);
END $$;

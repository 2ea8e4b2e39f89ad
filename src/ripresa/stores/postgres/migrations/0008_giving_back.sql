-- An engine that let go of a run may give back late what it had asked for, when the next one has asked for the same.

CREATE OR REPLACE FUNCTION free_1(rows jsonb) RETURNS void LANGUAGE plpgsql AS $$
-- Tickets that are given back, in order: a ticket that another engine has meanwhile is passed over.
DECLARE
  freed record;
  gone record;
BEGIN
  FOR freed IN
    SELECT row ->> 0 AS run, row ->> 1 AS operation, (row ->> 2)::bigint AS at, (row ->> 3)::boolean AS good,
      (row ->> 4)::bigint AS rest_until, row ->> 5 AS why, (row ->> 6)::bigint AS engine
    FROM jsonb_array_elements(rows) WITH ORDINALITY AS new (row, turn) ORDER BY turn
  LOOP
    DELETE FROM ticket WHERE ticket.run = freed.run AND ticket.operation = freed.operation
      AND (freed.engine IS NULL OR ticket.engine IS NULL OR ticket.engine = freed.engine)
    RETURNING ticket.pool, ticket.step, ticket.key, ticket.probe INTO gone;
    CONTINUE WHEN NOT FOUND;
    IF freed.good IS NOT NULL THEN
      INSERT INTO pool_outcome (pool, step, at, good, probe) VALUES (gone.pool, gone.step, freed.at, freed.good, gone.probe);
    END IF;
    IF freed.rest_until IS NOT NULL THEN
      INSERT INTO cooldown (pool, key, until, why) VALUES (gone.pool, gone.key, freed.rest_until, freed.why)
      ON CONFLICT (pool, key) DO UPDATE SET until = excluded.until, why = excluded.why
      WHERE excluded.until > cooldown.until;
    END IF;
  END LOOP;
END $$;

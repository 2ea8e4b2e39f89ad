-- Tables; `schema.sql` explains.

CREATE TABLE run (
  id text COLLATE "C" PRIMARY KEY,
  key text COLLATE "C",
  definition text COLLATE "C" NOT NULL,
  version text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL,
  priority bigint NOT NULL,
  parent text COLLATE "C",
  parent_operation text,
  correlation_id text NOT NULL,
  owner bigint,
  base_seq bigint NOT NULL DEFAULT 0,
  created_at bigint NOT NULL,
  started_at bigint,
  finished_at bigint,
  updated_at bigint,
  memo text,
  input text NOT NULL,
  output text,
  error text
);

CREATE UNIQUE INDEX run_by_key ON run (key) WHERE key IS NOT NULL;
CREATE INDEX run_by_status ON run (status, id);
CREATE INDEX run_by_definition ON run (definition, id);
CREATE INDEX run_by_parent ON run (parent, id) WHERE parent IS NOT NULL;
CREATE INDEX run_by_owner ON run (owner, id) WHERE owner IS NOT NULL;
CREATE INDEX run_unowned ON run (id) WHERE status = 'queued' AND owner IS NULL;

CREATE TABLE history (
  run text COLLATE "C" NOT NULL,
  seq bigint NOT NULL,
  kind text NOT NULL,
  at bigint NOT NULL,
  operation text,
  name text,
  fingerprint bigint,
  attempt bigint,
  started_at bigint,
  data text,
  error text,
  PRIMARY KEY (run, seq)
);

CREATE TABLE attempt (
  run text COLLATE "C" NOT NULL,
  generation bigint NOT NULL,
  operation text COLLATE "C" NOT NULL,
  number bigint NOT NULL,
  name text NOT NULL,
  engine bigint NOT NULL,
  started_at bigint NOT NULL,
  status text NOT NULL,
  finished_at bigint,
  error text,
  due bigint,
  PRIMARY KEY (run, generation, operation, number)
);

CREATE TABLE ready (
  run text COLLATE "C" PRIMARY KEY,
  due bigint NOT NULL,
  priority bigint NOT NULL,
  owner bigint
);

CREATE INDEX ready_by_due ON ready (priority, due, run);

CREATE TABLE level (
  priority bigint PRIMARY KEY,
  low bigint NOT NULL                   -- no ready row of this priority is due earlier
);

CREATE TABLE inbox (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text COLLATE "C" NOT NULL UNIQUE,
  run text COLLATE "C" NOT NULL,
  kind text NOT NULL,
  name text,
  at bigint NOT NULL,
  data text
);

CREATE INDEX inbox_by_run ON inbox (run, number);
CREATE INDEX inbox_retries ON inbox (run) WHERE kind = 'retry';

CREATE TABLE seen (
  run text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  PRIMARY KEY (run, id)
);

CREATE TABLE outbox (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text COLLATE "C" NOT NULL UNIQUE,
  run text COLLATE "C" NOT NULL,
  type text NOT NULL,
  at bigint NOT NULL,
  data text NOT NULL
);

CREATE TABLE log (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run text COLLATE "C" NOT NULL,
  operation text,
  attempt bigint,
  at bigint NOT NULL,
  stream text NOT NULL,
  level text,
  text text NOT NULL
);

CREATE INDEX log_by_run ON log (run, number);

CREATE TABLE blob (
  id text COLLATE "C" PRIMARY KEY,
  data text NOT NULL
);

CREATE TABLE tag (
  run text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  value text COLLATE "C" NOT NULL,
  PRIMARY KEY (run, name)
);

CREATE INDEX tag_by_value ON tag (name, value, run);

CREATE TABLE quality (
  run text COLLATE "C" NOT NULL,
  seq bigint NOT NULL,
  definition text COLLATE "C" NOT NULL,
  step text COLLATE "C" NOT NULL,
  operation text NOT NULL,
  at bigint NOT NULL,
  status text NOT NULL,
  metrics text NOT NULL,
  PRIMARY KEY (run, seq)
);

CREATE INDEX quality_by_definition ON quality (definition, at, run, seq);
CREATE INDEX quality_by_step ON quality (definition, step, at, run, seq);

CREATE TABLE line (
  name text COLLATE "C" PRIMARY KEY
);

CREATE TABLE place (
  run text COLLATE "C" PRIMARY KEY,
  line text COLLATE "C" NOT NULL,
  places bigint NOT NULL,
  held boolean NOT NULL,
  priority bigint NOT NULL,
  since bigint NOT NULL
);

CREATE INDEX place_in_line ON place (line, held, priority DESC, since, run);

CREATE TABLE effect (
  id text COLLATE "C" PRIMARY KEY,
  run text COLLATE "C" NOT NULL,
  holder text NOT NULL,
  fingerprint bigint NOT NULL,
  at bigint NOT NULL,
  output text
);

CREATE INDEX effect_by_run ON effect (run);

CREATE TABLE pool (
  name text COLLATE "C" PRIMARY KEY,
  settings text NOT NULL,
  declared text,
  free_at bigint NOT NULL
);

CREATE TABLE desk (
  pool text COLLATE "C" PRIMARY KEY
);

CREATE TABLE ticket (
  run text COLLATE "C" NOT NULL,
  operation text COLLATE "C" NOT NULL,
  pool text COLLATE "C" NOT NULL,
  step text COLLATE "C" NOT NULL,
  workflow text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  priority bigint NOT NULL,
  since bigint NOT NULL,
  keeps boolean NOT NULL,
  engine bigint,
  turn bigint NOT NULL,
  granted_at bigint,
  told boolean NOT NULL,
  probe boolean NOT NULL,
  PRIMARY KEY (run, operation)
);

CREATE INDEX ticket_in_line ON ticket (pool, priority DESC, turn, since, run, operation) WHERE granted_at IS NULL;
CREATE INDEX ticket_of_key ON ticket (pool, priority, key, turn) WHERE granted_at IS NULL;
CREATE INDEX ticket_of_engine ON ticket (engine, pool) WHERE granted_at IS NULL;
CREATE INDEX ticket_held ON ticket (pool, engine, workflow, step, probe) WHERE granted_at IS NOT NULL;
CREATE INDEX ticket_holder ON ticket (engine, told) WHERE granted_at IS NOT NULL;
CREATE INDEX ticket_bereaved ON ticket (run) WHERE engine IS NULL;

CREATE TABLE pool_served (
  pool text COLLATE "C" NOT NULL,
  priority bigint NOT NULL,
  key text COLLATE "C" NOT NULL,
  turn bigint NOT NULL,
  PRIMARY KEY (pool, priority, key)
);

CREATE TABLE pool_outcome (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  pool text COLLATE "C" NOT NULL,
  step text NOT NULL,
  at bigint NOT NULL,
  good boolean NOT NULL,
  probe boolean NOT NULL
);

CREATE INDEX pool_outcome_of ON pool_outcome (pool, id);

CREATE TABLE breaker (
  pool text COLLATE "C" NOT NULL,
  target text COLLATE "C" NOT NULL,
  circuit text NOT NULL,
  PRIMARY KEY (pool, target)
);

CREATE TABLE cooldown (
  pool text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  until bigint NOT NULL,
  why text NOT NULL,
  PRIMARY KEY (pool, key)
);

CREATE INDEX cooldown_until ON cooldown (until);

CREATE TABLE definition (
  name text COLLATE "C" NOT NULL,
  version text COLLATE "C" NOT NULL,
  label text,
  kind text NOT NULL,
  body text NOT NULL,
  input_schema text,
  output_schema text,
  created_at bigint NOT NULL,
  PRIMARY KEY (name, version)
);

CREATE TABLE engine (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  lease_until bigint NOT NULL,
  since bigint NOT NULL,
  settled boolean NOT NULL DEFAULT false,
  draining boolean NOT NULL DEFAULT false,
  about text,
  who text NOT NULL,
  host text NOT NULL,
  boot text NOT NULL,
  namespace text NOT NULL,
  pid bigint NOT NULL,
  started bigint NOT NULL
);

CREATE TABLE answer (
  engine bigint NOT NULL,
  number bigint NOT NULL,
  runs text[] NOT NULL,
  PRIMARY KEY (engine, number)
);

CREATE TABLE written (
  writer bigint NOT NULL,
  number bigint NOT NULL,
  at bigint NOT NULL,
  PRIMARY KEY (writer, number)
);

-- What is written in one round trip.  A function's number goes up when what it takes or does changes; the one before
-- stays for the engines that know no other, until the release after.

CREATE FUNCTION fence_1(engine_number bigint) RETURNS boolean LANGUAGE plpgsql AS $$
-- Whether the lease holds; until the transaction ends nobody can break it.
BEGIN
  PERFORM 1 FROM engine WHERE number = engine_number AND lease_until > 0 FOR SHARE;
  RETURN FOUND;
END $$;

CREATE FUNCTION wrote_1(writer_ bigint, number_ bigint, at_ bigint) RETURNS void LANGUAGE plpgsql AS $$
-- Notes the last thing that somebody wrote.  By insertions alone: a row that each commit changed would have as many
-- dead versions to step over as there were commits since the oldest snapshot that somebody holds.
BEGIN
  INSERT INTO written (writer, number, at) VALUES (writer_, number_, at_);
  IF number_ % 64 = 0 THEN  -- not from the first on: those are dead long since, and may have to be stepped over
    DELETE FROM written WHERE writer = writer_ AND number BETWEEN number_ - 1024 AND number_ - 65;
  END IF;
END $$;

CREATE FUNCTION put_ready_1(runs text[], dues bigint[], priorities bigint[], owners bigint[])
RETURNS void LANGUAGE plpgsql AS $$
-- The earlier time stays: a message from outside may have come while the engine put the run to sleep.
BEGIN
  INSERT INTO ready (run, due, priority, owner)
  SELECT new.run, new.due, new.priority, new.owner
  FROM unnest(runs, dues, priorities, owners) AS new (run, due, priority, owner)
  ORDER BY new.run
  ON CONFLICT (run) DO UPDATE SET
    due = least(ready.due, excluded.due), priority = excluded.priority, owner = excluded.owner;
END $$;

CREATE FUNCTION lower_levels_1(priorities bigint[], dues bigint[]) RETURNS void LANGUAGE plpgsql AS $$
-- After rows were made ready, and as the last thing of all: who raises a level waits for nobody, so that two who lower
-- some can only wait for each other in one order.
BEGIN
  IF EXISTS (
    SELECT 1 FROM unnest(priorities, dues) AS new (priority, due)
    WHERE NOT EXISTS (SELECT 1 FROM level WHERE level.priority = new.priority AND level.low <= new.due)
  ) THEN
    INSERT INTO level (priority, low)
    SELECT new.priority, min(new.due) FROM unnest(priorities, dues) AS new (priority, due) GROUP BY 1 ORDER BY 1
    ON CONFLICT (priority) DO UPDATE SET low = least(level.low, excluded.low);
  END IF;
END $$;

CREATE FUNCTION find_levels_1(now_ bigint) RETURNS void LANGUAGE plpgsql AS $$
-- The priorities that are in use; some may have been taken for unused just when a row came.
BEGIN
  INSERT INTO level (priority, low)
  WITH RECURSIVE used (priority) AS (
    SELECT max(ready.priority) FROM ready
    UNION ALL
    SELECT (SELECT max(ready.priority) FROM ready WHERE ready.priority < used.priority)
    FROM used WHERE used.priority IS NOT NULL
  )
  SELECT used.priority, 0 FROM used
  WHERE used.priority IS NOT NULL AND NOT EXISTS (SELECT 1 FROM level WHERE level.priority = used.priority)
  ORDER BY 1
  ON CONFLICT DO NOTHING;
END $$;

CREATE FUNCTION raise_level_1(level_ bigint, low_ bigint, now_ bigint, all_ boolean, busy boolean)
RETURNS void LANGUAGE plpgsql AS $$
-- Rows that were claimed leave dead versions in the index, which cannot be cleared away while somebody holds an old
-- snapshot: so a search does not begin at the first of them, but where the first row is that lives, or a second ago.
-- A row that is due earlier lowers the level again; if it took more than that second to come to be seen, it is found by
-- who looks through all.
DECLARE
  second CONSTANT bigint := 1000000;
  first bigint;
BEGIN
  IF NOT all_ AND low_ >= now_ - (CASE WHEN busy THEN second * 3 / 2 ELSE 10 * second END) THEN
    RETURN;
  END IF;
  PERFORM 1 FROM level WHERE priority = level_ FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  SELECT due INTO first FROM ready WHERE priority = level_ AND due >= low_ ORDER BY due LIMIT 1;
  IF all_ AND first IS NULL AND level_ <> 0 THEN
    DELETE FROM level WHERE priority = level_;
  ELSE
    first := least(coalesce(first, now_), now_ - second);
    UPDATE level SET low = first WHERE priority = level_
      AND CASE WHEN all_ THEN low <> first ELSE low < first END;
  END IF;
END $$;

CREATE FUNCTION first_in_line_1(line_name text, OUT run text, OUT priority bigint) LANGUAGE sql AS $$
-- Only while there is a place for it.
  SELECT first.run, first.priority FROM place AS first
  WHERE first.line = line_name AND NOT first.held
    AND (SELECT count(*) FROM place AS other WHERE other.line = line_name AND other.held) < first.places
  ORDER BY first.priority DESC, first.since, first.run LIMIT 1
$$;

CREATE FUNCTION leave_1(runs text[], dues bigint[], OUT woken text[], OUT at bigint[], OUT priorities bigint[])
LANGUAGE plpgsql AS $$
-- These runs give up their places, one after the other; tells who is to be made ready.
DECLARE
  leaving record;
  first record;
  left_line text;
BEGIN
  PERFORM 1 FROM line WHERE name IN (SELECT place.line FROM place WHERE place.run = ANY (runs)) ORDER BY name FOR UPDATE;
  FOR leaving IN SELECT new.run, new.due FROM unnest(runs, dues) WITH ORDINALITY AS new (run, due, turn) ORDER BY turn
  LOOP
    DELETE FROM place WHERE place.run = leaving.run RETURNING place.line INTO left_line;
    CONTINUE WHEN NOT FOUND;
    DELETE FROM line WHERE name = left_line AND NOT EXISTS (SELECT 1 FROM place WHERE place.line = left_line);
    SELECT found.run, found.priority INTO first FROM first_in_line_1(left_line) AS found;
    IF first.run IS NOT NULL AND first.run <> ALL (coalesce(woken, '{}')) THEN
      woken := woken || first.run;
      at := at || leaving.due;
      priorities := priorities || first.priority;
    END IF;
  END LOOP;
END $$;

CREATE FUNCTION write_batch_1(
  writer_ bigint, number_ bigint, at_ bigint, lease_us bigint,
  r_id text[], r_key text[], r_definition text[], r_version text[], r_status text[], r_priority bigint[],
  r_input text[], r_parent text[], r_parent_operation text[], r_correlation_id text[], r_owner bigint[],
  r_created_at bigint[], r_memo text[], r_started_at bigint[],
  c_id text[], c_status text[], c_updated_at bigint[], c_owner bigint[], c_output text[], c_error text[],
  c_started_at bigint[], c_finished_at bigint[], c_base_seq bigint[], c_input text[], c_version text[],
  c_turn bigint[],
  h_run text[], h_seq bigint[], h_kind text[], h_at bigint[], h_operation text[], h_name text[],
  h_fingerprint bigint[], h_attempt bigint[], h_started_at bigint[], h_data text[], h_error text[],
  y_run text[], y_due bigint[], y_priority bigint[], unready text[], leaving text[], leaving_at bigint[],
  b_id text[], b_data text[], rest jsonb
) RETURNS text[] LANGUAGE plpgsql AS $$
-- A whole batch, in the lock order: engine, runs, lines, ready, the rest.  Null: the lease is broken.  One that was
-- written before is told by `{written}`, and runs that exist already by their ids: then nothing is written.
DECLARE
  held_until bigint;
  turns bigint := 0;
  woken text[];
  woken_at bigint[];
  woken_priority bigint[];
  known text[];
BEGIN
  SELECT lease_until INTO held_until FROM engine WHERE number = writer_ AND lease_until > 0 FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  IF EXISTS (SELECT 1 FROM written WHERE writer = writer_ AND number >= number_) THEN
    RETURN '{written}';
  END IF;
  IF r_id IS NOT NULL THEN
    WITH added AS (
      INSERT INTO run (id, key, definition, version, status, priority, input, parent, parent_operation, correlation_id,
        owner, created_at, memo, started_at)
      SELECT * FROM unnest(r_id, r_key, r_definition, r_version, r_status, r_priority, r_input, r_parent,
        r_parent_operation, r_correlation_id, r_owner, r_created_at, r_memo, r_started_at)
      ON CONFLICT DO NOTHING
      RETURNING id
    )
    SELECT array_agg(new.id) INTO known FROM unnest(r_id) AS new (id) WHERE new.id NOT IN (SELECT id FROM added);
    IF known IS NOT NULL THEN
      RAISE EXCEPTION USING ERRCODE = 'RP001', MESSAGE = 'runs exist', DETAIL = array_to_json(known)::text;
    END IF;
  END IF;
  -- Rarely more than once: such a row is only as far behind as the lease can bear.
  IF held_until < at_ + lease_us - lease_us / 4 THEN
    UPDATE engine SET lease_until = at_ + lease_us WHERE number = writer_;
  END IF;
  PERFORM wrote_1(writer_, number_, at_);
  IF c_id IS NOT NULL THEN
    IF c_turn IS NOT NULL THEN
      SELECT max(turn) INTO turns FROM unnest(c_turn) AS given (turn);
    END IF;
    FOR this_turn IN 0 .. turns LOOP
      UPDATE run SET
        status = new.status,
        updated_at = new.updated_at,
        owner = new.owner,
        output = coalesce(new.output, run.output),
        error = CASE WHEN new.finished_at = -1 THEN new.error ELSE coalesce(new.error, run.error) END,
        started_at = coalesce(new.started_at, run.started_at),
        finished_at = CASE WHEN new.finished_at = -1 THEN NULL ELSE coalesce(new.finished_at, run.finished_at) END,
        base_seq = coalesce(new.base_seq, run.base_seq),
        input = coalesce(new.input, run.input),
        version = coalesce(new.version, run.version)
      FROM unnest(c_id, c_status, c_updated_at, c_owner, c_output, c_error, c_started_at, c_finished_at, c_base_seq,
        c_input, c_version, c_turn)
        AS new (id, status, updated_at, owner, output, error, started_at, finished_at, base_seq, input, version, turn)
      WHERE run.id = new.id AND coalesce(new.turn, 0) = this_turn;
    END LOOP;
  END IF;
  IF leaving IS NOT NULL THEN
    SELECT * INTO woken, woken_at, woken_priority FROM leave_1(leaving, leaving_at);
  END IF;
  IF y_run IS NOT NULL THEN
    PERFORM 1 FROM ready WHERE run = ANY (c_id || unready || y_run) ORDER BY run FOR UPDATE;
  END IF;
  IF c_id IS NOT NULL THEN
    -- A message's ready row is for the owner that the run had then; now it is for anybody.
    UPDATE ready SET owner = NULL FROM unnest(c_id, c_owner) AS new (id, owner)
    WHERE ready.run = new.id AND new.owner IS NULL AND ready.owner IS NOT NULL;
  END IF;
  IF unready IS NOT NULL THEN
    DELETE FROM ready WHERE run = ANY (unready);
  END IF;
  -- For anybody, as whose the runs are is not looked up: who claims sees to that.
  IF y_run IS NOT NULL THEN
    PERFORM put_ready_1(y_run, y_due, y_priority, array_fill(NULL::bigint, ARRAY[cardinality(y_run)]));
  END IF;
  IF woken IS NOT NULL THEN
    PERFORM put_ready_1(woken, woken_at, woken_priority, array_fill(NULL::bigint, ARRAY[cardinality(woken)]));
  END IF;
  IF h_run IS NOT NULL THEN
    INSERT INTO history (run, seq, kind, at, operation, name, fingerprint, attempt, started_at, data, error)
    SELECT * FROM unnest(h_run, h_seq, h_kind, h_at, h_operation, h_name, h_fingerprint, h_attempt, h_started_at,
      h_data, h_error);
  END IF;
  IF b_id IS NOT NULL THEN
    PERFORM put_blobs_1(b_id, b_data);
  END IF;
  IF rest IS NOT NULL THEN
    PERFORM write_rest_1(rest);
  END IF;
  IF y_run IS NOT NULL OR woken IS NOT NULL THEN
    PERFORM lower_levels_1(y_priority || woken_priority, y_due || woken_at);
  END IF;
  RETURN '{}';
END $$;

CREATE FUNCTION put_blobs_1(ids text[], texts text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO blob (id, data) SELECT * FROM unnest(ids, texts) AS new (id, data) ORDER BY new.id
  ON CONFLICT DO NOTHING;
END $$;

CREATE FUNCTION put_tags_1(rows jsonb) RETURNS void LANGUAGE plpgsql AS $$
-- A tag that is named twice has the last value.
BEGIN
  INSERT INTO tag (run, name, value)
  SELECT DISTINCT ON (1, 2) row ->> 0, row ->> 1, row ->> 2
  FROM jsonb_array_elements(rows) WITH ORDINALITY AS new (row, turn)
  ORDER BY 1, 2, turn DESC
  ON CONFLICT (run, name) DO UPDATE SET value = excluded.value;
END $$;

CREATE FUNCTION add_definitions_1(rows jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO definition (name, version, label, kind, body, input_schema, output_schema, created_at)
  SELECT row ->> 0, row ->> 1, row ->> 2, row ->> 3, row ->> 4, row ->> 5, row ->> 6, (row ->> 7)::bigint
  FROM jsonb_array_elements(rows) WITH ORDINALITY AS new (row, turn) ORDER BY 1, 2, turn
  ON CONFLICT DO NOTHING;
END $$;

CREATE FUNCTION free_1(rows jsonb) RETURNS void LANGUAGE plpgsql AS $$
-- Tickets are given back, one after the other; what is not there is passed over.
DECLARE
  freed record;
  gone record;
BEGIN
  FOR freed IN
    SELECT row ->> 0 AS run, row ->> 1 AS operation, (row ->> 2)::bigint AS at, (row ->> 3)::boolean AS good,
      (row ->> 4)::bigint AS rest_until, row ->> 5 AS why
    FROM jsonb_array_elements(rows) WITH ORDINALITY AS new (row, turn) ORDER BY turn
  LOOP
    DELETE FROM ticket WHERE ticket.run = freed.run AND ticket.operation = freed.operation
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

CREATE FUNCTION write_rest_1(rest jsonb) RETURNS void LANGUAGE plpgsql AS $$
-- The tables that few batches write to: rows as arrays in the order of the port's tuples.
BEGIN
  IF rest ? 'attempts' THEN
    INSERT INTO attempt (run, operation, number, name, engine, started_at, status, finished_at, error, due, generation)
    SELECT DISTINCT ON (1, 11, 2, 3) row ->> 0, row ->> 1, (row ->> 2)::bigint, row ->> 3, (row ->> 4)::bigint,
      (row ->> 5)::bigint, row ->> 6, (row ->> 7)::bigint, row ->> 8, (row ->> 9)::bigint, (row ->> 10)::bigint
    FROM jsonb_array_elements(rest -> 'attempts') WITH ORDINALITY AS new (row, turn)
    ORDER BY 1, 11, 2, 3, turn DESC
    ON CONFLICT (run, generation, operation, number) DO UPDATE SET
      name = excluded.name, engine = excluded.engine, started_at = excluded.started_at, status = excluded.status,
      finished_at = excluded.finished_at, error = excluded.error, due = excluded.due;
  END IF;
  IF rest ? 'messages' THEN
    INSERT INTO inbox (id, run, kind, name, data, at)
    SELECT row ->> 0, row ->> 1, row ->> 2, row ->> 3, row ->> 4, (row ->> 5)::bigint
    FROM jsonb_array_elements(rest -> 'messages') WITH ORDINALITY AS new (row, turn)
    WHERE NOT EXISTS (SELECT 1 FROM seen WHERE seen.run = row ->> 1 AND seen.id = row ->> 0)
    ORDER BY turn
    ON CONFLICT (id) DO NOTHING;
  END IF;
  IF rest ? 'taken' THEN
    WITH gone AS (
      DELETE FROM inbox WHERE id IN (SELECT jsonb_array_elements_text(rest -> 'taken')) RETURNING run, id
    )
    INSERT INTO seen (run, id) SELECT run, id FROM gone ON CONFLICT DO NOTHING;
  END IF;
  IF rest ? 'outgoing' THEN
    INSERT INTO outbox (id, run, type, data, at)
    SELECT row ->> 0, row ->> 1, row ->> 2, row ->> 3, (row ->> 4)::bigint
    FROM jsonb_array_elements(rest -> 'outgoing') WITH ORDINALITY AS new (row, turn) ORDER BY turn
    ON CONFLICT (id) DO NOTHING;
  END IF;
  IF rest ? 'logs' THEN
    INSERT INTO log (run, operation, attempt, at, stream, level, text)
    SELECT row ->> 0, row ->> 1, (row ->> 2)::bigint, (row ->> 3)::bigint, row ->> 4, row ->> 5, row ->> 6
    FROM jsonb_array_elements(rest -> 'logs') WITH ORDINALITY AS new (row, turn) ORDER BY turn;
  END IF;
  IF rest ? 'tags' THEN
    PERFORM put_tags_1(rest -> 'tags');
  END IF;
  IF rest ? 'definitions' THEN
    PERFORM add_definitions_1(rest -> 'definitions');
  END IF;
  IF rest ? 'quality' THEN
    INSERT INTO quality (run, seq, definition, step, operation, at, status, metrics)
    SELECT row ->> 0, (row ->> 1)::bigint, row ->> 2, row ->> 3, row ->> 4, (row ->> 5)::bigint, row ->> 6, row ->> 7
    FROM jsonb_array_elements(rest -> 'quality') AS new (row);
  END IF;
  IF rest ? 'effects' THEN
    INSERT INTO effect (id, run, holder, fingerprint, at, output)
    SELECT DISTINCT ON (1) row ->> 0, row ->> 1, row ->> 2, (row ->> 3)::bigint, (row ->> 4)::bigint, row ->> 5
    FROM jsonb_array_elements(rest -> 'effects') WITH ORDINALITY AS new (row, turn) ORDER BY 1, turn DESC
    ON CONFLICT (id) DO UPDATE SET
      run = excluded.run, holder = excluded.holder, fingerprint = excluded.fingerprint, at = excluded.at,
      output = excluded.output;
  END IF;
  IF rest ? 'given_up' THEN
    DELETE FROM effect USING jsonb_array_elements(rest -> 'given_up') AS new (row)
    WHERE effect.id = row ->> 0 AND effect.holder = row ->> 1 AND effect.output IS NULL;
  END IF;
  IF rest ? 'freed' THEN
    PERFORM free_1(rest -> 'freed');
  END IF;
END $$;

CREATE FUNCTION left_1(names text[], versions text[], name_ text, version_ text) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
-- Whether runs of this definition and version are left to others.
  SELECT names IS NOT NULL
    AND EXISTS (SELECT 1 FROM unnest(names, versions) AS one (n, v) WHERE one.n = name_ AND one.v = version_)
$$;

CREATE FUNCTION answered_1(engine_number bigint, call_ bigint, last_ bigint, runs_ text[])
RETURNS text[] LANGUAGE plpgsql AS $$
-- Keeps what a call took until the next one: should its answer be lost, it is given again.  `last_` is the call before
-- it that took any.
BEGIN
  IF cardinality(runs_) > 0 THEN
    INSERT INTO answer (engine, number, runs) VALUES (engine_number, call_, runs_);
    DELETE FROM answer WHERE engine = engine_number AND number = last_;
  END IF;
  RETURN runs_;
END $$;

CREATE FUNCTION claim_due_1(
  engine_number bigint, now_ bigint, limit_ bigint, names text[], versions text[], call_ bigint, last_ bigint,
  all_ boolean
) RETURNS text[] LANGUAGE plpgsql AS $$
-- Locks the runs before their ready rows, as `send_1` does.  A run that somebody has locked is left to him; whether a
-- ready row is still there is seen once its run is locked.  Null: the lease is broken.  What is due before its level's
-- `low` is looked for with `all_` only.
DECLARE
  chosen text[];
  taken text[];
  claimed text[] := '{}';
  may_write boolean := false;
  level_ bigint;
  low_ bigint;
BEGIN
  IF NOT EXISTS (SELECT 1 FROM engine WHERE number = engine_number AND lease_until > 0) THEN
    RETURN NULL;
  END IF;
  SELECT runs INTO chosen FROM answer WHERE engine = engine_number AND number = call_;
  IF FOUND THEN
    RETURN chosen;
  END IF;
  IF all_ THEN
    PERFORM find_levels_1(now_);
  END IF;
  -- One search per priority that is in use, from the highest down: what is due tomorrow is not looked at.
  FOR level_, low_ IN SELECT level.priority, CASE WHEN all_ THEN 0 ELSE level.low END FROM level ORDER BY 1 DESC LOOP
    EXIT WHEN cardinality(claimed) >= limit_;
    taken := NULL;
    IF EXISTS (
      SELECT 1 FROM ready JOIN run ON run.id = ready.run
      WHERE ready.priority = level_ AND ready.due BETWEEN low_ AND now_
        AND (ready.owner IS NULL OR ready.owner = engine_number)
        AND (run.owner = engine_number
          OR (run.owner IS NULL AND NOT left_1(names, versions, run.definition, run.version)))
    ) THEN
      IF NOT may_write THEN
        IF NOT fence_1(engine_number) THEN
          RETURN NULL;
        END IF;
        may_write := true;
      END IF;
      SELECT array_agg(due_.run ORDER BY due_.due, due_.run) INTO chosen FROM (
        SELECT ready.run, ready.due FROM ready JOIN run ON run.id = ready.run
        WHERE ready.priority = level_ AND ready.due BETWEEN low_ AND now_
          AND (ready.owner IS NULL OR ready.owner = engine_number)
          AND (run.owner = engine_number
            OR (run.owner IS NULL AND NOT left_1(names, versions, run.definition, run.version)))
        ORDER BY ready.due, ready.run LIMIT limit_ - cardinality(claimed)
        FOR NO KEY UPDATE OF run SKIP LOCKED
      ) AS due_;
      WITH gone AS (DELETE FROM ready WHERE run = ANY (chosen) AND due <= now_ RETURNING run)
      SELECT array_agg(run) INTO taken FROM gone;
      UPDATE run SET owner = engine_number WHERE id = ANY (taken) AND owner IS NULL;
      claimed := claimed || ARRAY (SELECT id FROM unnest(chosen) WITH ORDINALITY AS one (id, turn)
                                   WHERE id = ANY (taken) ORDER BY turn);
    END IF;
    PERFORM raise_level_1(level_, low_, now_, all_, taken IS NOT NULL);
  END LOOP;
  RETURN answered_1(engine_number, call_, last_, claimed);
END $$;

CREATE FUNCTION claim_1(engine_number bigint, run_id text) RETURNS boolean LANGUAGE plpgsql AS $$
-- Null: the lease is broken.
BEGIN
  IF NOT fence_1(engine_number) THEN
    RETURN NULL;
  END IF;
  UPDATE run SET owner = engine_number
  WHERE id = run_id AND (owner IS NULL OR owner = engine_number)
    AND (status NOT IN ('succeeded', 'failed', 'cancelled')
      OR EXISTS (SELECT 1 FROM inbox WHERE inbox.run = run_id AND inbox.kind = 'retry'));
  IF FOUND THEN
    DELETE FROM ready WHERE run = run_id;
    RETURN true;
  END IF;
  RETURN false;
END $$;

CREATE FUNCTION adopt_1(
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
    SELECT run.id FROM inbox JOIN run ON run.id = inbox.run
    WHERE inbox.kind = 'retry' AND run.owner IS NOT NULL
      AND CASE WHEN run.owner = engine_number THEN NOT again
        ELSE NOT EXISTS (SELECT 1 FROM engine WHERE number = run.owner AND lease_until > 0) END
    UNION
    -- Claimed for a message while its own engine was letting it go, which came after the claim; then the engine died.
    SELECT run.id FROM inbox JOIN run ON run.id = inbox.run
    WHERE sweep AND run.owner IS NULL AND run.status = ANY (opened)
      AND NOT EXISTS (SELECT 1 FROM ready WHERE ready.run = run.id)
      AND (NOT again OR inbox.kind = ANY (controls) OR (run.status <> ALL (stopped) AND NOT EXISTS (
        SELECT 1 FROM place WHERE place.run = run.id AND NOT place.held AND place.places <= (
          SELECT count(*) FROM place AS taken WHERE taken.line = place.line AND taken.held))))
  ), fit AS (
    SELECT run.id FROM orphan JOIN run ON run.id = orphan.id
    WHERE NOT left_1(names, versions, run.definition, run.version) ORDER BY run.id LIMIT limit_
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

CREATE FUNCTION send_1(
  writer_ bigint, number_ bigint, id_ text, run_id text, kind_ text, name_ text, data_ text, at_ bigint
) RETURNS text LANGUAGE plpgsql AS $$
-- What became of it: kept, known, missing (there is no such run), or the status of a run that has ended.
DECLARE
  receiver record;
BEGIN
  -- Locked, so that the run is neither parked nor ended between what is seen of it and the message.
  SELECT status, priority, owner INTO receiver FROM run WHERE id = run_id FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN 'missing';
  END IF;
  IF receiver.status IN ('succeeded', 'failed', 'cancelled') AND kind_ <> 'retry' THEN
    RETURN receiver.status;
  END IF;
  IF EXISTS (SELECT 1 FROM seen WHERE run = run_id AND id = id_) THEN
    RETURN 'known';
  END IF;
  INSERT INTO inbox (id, run, kind, name, data, at) VALUES (id_, run_id, kind_, name_, data_, at_)
  ON CONFLICT (id) DO NOTHING;
  IF NOT FOUND THEN
    RETURN 'known';
  END IF;
  INSERT INTO ready (run, due, priority, owner) VALUES (run_id, at_, receiver.priority, receiver.owner)
  ON CONFLICT (run) DO UPDATE SET
    due = least(ready.due, excluded.due), priority = excluded.priority, owner = excluded.owner;
  PERFORM wrote_1(writer_, number_, at_);
  PERFORM lower_levels_1(ARRAY[receiver.priority], ARRAY[at_]);
  RETURN 'kept';
END $$;

CREATE FUNCTION submit_1(
  writer_ bigint, number_ bigint,
  r_id text[], r_key text[], r_definition text[], r_version text[], r_status text[], r_priority bigint[],
  r_input text[], r_parent text[], r_parent_operation text[], r_correlation_id text[], r_owner bigint[],
  r_created_at bigint[], r_memo text[], r_started_at bigint[],
  h_run text[], h_seq bigint[], h_kind text[], h_at bigint[], h_operation text[], h_name text[],
  h_fingerprint bigint[], h_attempt bigint[], h_started_at bigint[], h_data text[], h_error text[],
  b_id text[], b_data text[], tags jsonb, definitions jsonb
) RETURNS boolean LANGUAGE plpgsql AS $$
-- False: its id or key exists, and nothing is written.
BEGIN
  INSERT INTO run (id, key, definition, version, status, priority, input, parent, parent_operation, correlation_id,
    owner, created_at, memo, started_at)
  SELECT * FROM unnest(r_id, r_key, r_definition, r_version, r_status, r_priority, r_input, r_parent,
    r_parent_operation, r_correlation_id, r_owner, r_created_at, r_memo, r_started_at)
  ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM put_ready_1(r_id, r_created_at, r_priority, r_owner);
  INSERT INTO history (run, seq, kind, at, operation, name, fingerprint, attempt, started_at, data, error)
  SELECT * FROM unnest(h_run, h_seq, h_kind, h_at, h_operation, h_name, h_fingerprint, h_attempt, h_started_at,
    h_data, h_error);
  PERFORM put_blobs_1(b_id, b_data);
  PERFORM put_tags_1(tags);
  PERFORM add_definitions_1(definitions);
  PERFORM wrote_1(writer_, number_, r_created_at[1]);
  PERFORM lower_levels_1(r_priority, r_created_at);
  RETURN true;
END $$;

CREATE FUNCTION admit_1(
  engine_number bigint, run_id text, line_name text, places_ bigint, priority_ bigint, since_ bigint, now_ bigint,
  force boolean
) RETURNS boolean LANGUAGE plpgsql AS $$
-- Null: the lease is broken.  Whoever counts a line's places has locked the line.
DECLARE
  first record;
  before bigint;
BEGIN
  IF NOT fence_1(engine_number) THEN
    RETURN NULL;
  END IF;
  LOOP  -- whoever leaves last takes its row away
    PERFORM 1 FROM line WHERE name = line_name FOR UPDATE;
    EXIT WHEN FOUND;
    INSERT INTO line (name) VALUES (line_name) ON CONFLICT DO NOTHING;
  END LOOP;
  IF EXISTS (SELECT 1 FROM place WHERE run = run_id AND held) THEN
    RETURN true;
  END IF;
  INSERT INTO place (run, line, places, held, priority, since)
  VALUES (run_id, line_name, places_, false, priority_, since_)
  ON CONFLICT (run) DO UPDATE SET places = excluded.places;
  SELECT count(*) INTO before FROM place
  WHERE line = line_name AND run <> run_id
    AND (held OR priority > priority_ OR (priority = priority_ AND (since, run) < (since_, run_id)));
  IF before >= places_ AND NOT force THEN
    RETURN false;
  END IF;
  UPDATE place SET held = true WHERE run = run_id;
  SELECT found.run, found.priority INTO first FROM first_in_line_1(line_name) AS found;
  IF first.run IS NOT NULL THEN
    PERFORM put_ready_1(ARRAY[first.run], ARRAY[now_], ARRAY[first.priority], ARRAY[NULL::bigint]);
    PERFORM lower_levels_1(ARRAY[first.priority], ARRAY[now_]);
  END IF;
  RETURN true;
END $$;

CREATE FUNCTION claim_effect_1(
  engine_number bigint, id_ text, run_id text, holder_ text, fingerprint_ bigint, at_ bigint, output_ text
) RETURNS boolean LANGUAGE plpgsql AS $$
-- Null: the lease is broken.  One that is under way in a run that has ended is free.
BEGIN
  IF NOT fence_1(engine_number) THEN
    RETURN NULL;
  END IF;
  INSERT INTO effect (id, run, holder, fingerprint, at, output)
  VALUES (id_, run_id, holder_, fingerprint_, at_, output_)
  ON CONFLICT (id) DO UPDATE SET
    run = excluded.run, holder = excluded.holder, fingerprint = excluded.fingerprint, at = excluded.at
  WHERE effect.output IS NULL AND NOT EXISTS (
    SELECT 1 FROM run WHERE run.id = effect.run AND run.status NOT IN ('succeeded', 'failed', 'cancelled'));
  RETURN true;
END $$;

CREATE FUNCTION remove_1(ids text[]) RETURNS text[] LANGUAGE plpgsql AS $$
-- Those that may go, with all that is theirs; events that nobody has taken stay.
DECLARE
  going text[];
  one text;
BEGIN
  SELECT array_agg(locked.id) INTO going FROM (
    SELECT run.id FROM run WHERE run.id = ANY (ids) ORDER BY run.id FOR UPDATE) AS locked
  WHERE may_go_1(locked.id);
  DELETE FROM place WHERE run = ANY (going);
  DELETE FROM ticket WHERE run = ANY (going);
  DELETE FROM ready WHERE run = ANY (going);
  DELETE FROM history WHERE run = ANY (going);
  DELETE FROM attempt WHERE run = ANY (going);
  DELETE FROM inbox WHERE run = ANY (going);
  DELETE FROM seen WHERE run = ANY (going);
  DELETE FROM log WHERE run = ANY (going);
  DELETE FROM tag WHERE run = ANY (going);
  DELETE FROM quality WHERE run = ANY (going);
  DELETE FROM effect WHERE run = ANY (going);
  DELETE FROM run WHERE id = ANY (going);
  FOREACH one IN ARRAY coalesce(going, '{}') LOOP
    DELETE FROM blob WHERE id >= one || '/' AND id < one || '0';
  END LOOP;
  RETURN coalesce(going, '{}');
END $$;

CREATE FUNCTION may_go_1(run_id text) RETURNS boolean LANGUAGE sql STABLE AS $$
-- Ended, held by nobody, not asked to be tried again, and descended from no run that is open.
  WITH RECURSIVE above (id, parent, status) AS (
    SELECT older.id, older.parent, older.status FROM run JOIN run AS older ON older.id = run.parent WHERE run.id = run_id
    UNION
    SELECT older.id, older.parent, older.status FROM above JOIN run AS older ON older.id = above.parent
  )
  SELECT EXISTS (SELECT 1 FROM run WHERE run.id = run_id
      AND run.status IN ('succeeded', 'failed', 'cancelled') AND run.owner IS NULL)
    AND NOT EXISTS (SELECT 1 FROM inbox WHERE inbox.run = run_id AND inbox.kind = 'retry')
    AND NOT EXISTS (SELECT 1 FROM above WHERE above.status NOT IN ('succeeded', 'failed', 'cancelled'))
$$;

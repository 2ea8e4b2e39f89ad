-- Attempts that workers elsewhere carry out, and those workers.  A worker's proof is the token that it claimed with.

CREATE TABLE task (
  id text COLLATE "C" PRIMARY KEY,
  run text COLLATE "C" NOT NULL,
  operation text NOT NULL,
  attempt bigint NOT NULL,
  step text NOT NULL,
  runtime text NOT NULL,
  queue text NOT NULL,
  at bigint NOT NULL,
  worker text,
  token text,
  claimed_at bigint,
  beat_at bigint,
  lease_until bigint,
  work text NOT NULL,
  outcome text
);

CREATE INDEX task_of_run ON task (run);
CREATE INDEX task_reported ON task (id) WHERE outcome IS NOT NULL;

CREATE TABLE worker (
  name text COLLATE "C" PRIMARY KEY,
  runtime text NOT NULL,
  about text NOT NULL,
  since bigint NOT NULL,
  beat_at bigint NOT NULL
);

-- What a batch writes beside the rows of runs, and what goes with a run, is more from here on.  Engines of the release
-- before write no tasks, and are served as they were.
ALTER FUNCTION write_rest_1(jsonb) RENAME TO write_rest_without_tasks_1;

CREATE FUNCTION write_rest_1(rest jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM write_rest_without_tasks_1(rest);
  IF rest ? 'tasks' THEN
    INSERT INTO task (id, run, operation, attempt, step, runtime, queue, work, at)
    SELECT DISTINCT ON (1) row ->> 0, row ->> 1, row ->> 2, (row ->> 3)::bigint, row ->> 4, row ->> 5, row ->> 6,
      row ->> 7, (row ->> 8)::bigint
    FROM jsonb_array_elements(rest -> 'tasks') WITH ORDINALITY AS new (row, turn) ORDER BY 1, turn DESC
    ON CONFLICT (id) DO UPDATE SET
      run = excluded.run, operation = excluded.operation, attempt = excluded.attempt, step = excluded.step,
      runtime = excluded.runtime, queue = excluded.queue, work = excluded.work, at = excluded.at,
      worker = NULL, token = NULL, claimed_at = NULL, beat_at = NULL, lease_until = NULL, outcome = NULL;
  END IF;
  IF rest ? 'tasks_done' THEN
    DELETE FROM task WHERE id IN (SELECT jsonb_array_elements_text(rest -> 'tasks_done'));
  END IF;
END $$;

ALTER FUNCTION remove_1(text[]) RENAME TO remove_without_tasks_1;

CREATE FUNCTION remove_1(ids text[]) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
  gone text[];
BEGIN
  gone := remove_without_tasks_1(ids);
  DELETE FROM task WHERE run = ANY (gone);
  RETURN gone;
END $$;

CREATE FUNCTION renew_task_1(task_ text, token_ text, now_ bigint, until_ bigint, lines jsonb) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE task SET beat_at = now_, lease_until = until_ WHERE id = task_ AND token = token_ AND outcome IS NULL;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM write_rest_1(jsonb_build_object('logs', lines));
  RETURN true;
END $$;

CREATE FUNCTION report_task_1(
  writer_ bigint, number_ bigint, task_ text, token_ text, now_ bigint, outcome_ text, lines jsonb
) RETURNS boolean LANGUAGE plpgsql AS $$
-- The first report stands, and the first one's lines.
BEGIN
  UPDATE task SET beat_at = now_, outcome = outcome_ WHERE id = task_ AND token = token_ AND outcome IS NULL;
  IF NOT FOUND THEN
    RETURN EXISTS (SELECT 1 FROM task WHERE id = task_ AND token = token_);
  END IF;
  PERFORM write_rest_1(jsonb_build_object('logs', lines));
  PERFORM wrote_1(writer_, number_, now_);
  RETURN true;
END $$;

CREATE FUNCTION lapse_task_1(engine_number bigint, task_ text, now_ bigint) RETURNS boolean LANGUAGE plpgsql AS $$
-- Null: the engine's lease is broken.
BEGIN
  IF NOT fence_1(engine_number) THEN
    RETURN NULL;
  END IF;
  DELETE FROM task WHERE id = task_ AND outcome IS NULL AND lease_until <= now_;
  RETURN FOUND;
END $$;

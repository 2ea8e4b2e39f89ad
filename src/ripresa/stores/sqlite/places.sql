-- Lines: runs of which only so many go on at a time, those that do and those that wait.

-- name: place
SELECT run, line, places, held, priority, since FROM place WHERE run = :run;

-- name: line
SELECT run, line, places, held, priority, since FROM place WHERE line = :line
ORDER BY held DESC, CASE held WHEN 1 THEN 0 ELSE -priority END, since, run;

-- name: stand_in_line
INSERT INTO place (run, line, places, held, priority, since) VALUES (:run, :line, :places, 0, :priority, :since)
ON CONFLICT (run) DO UPDATE SET places = excluded.places;

-- name: others_before
-- Those that hold a place, and those that wait with a higher priority, or as high and for longer.
SELECT count(*) FROM place WHERE line = :line AND run <> :run
  AND (held = 1 OR priority > :priority OR (priority = :priority AND (since, run) < (:since, :run)));

-- name: take_place
UPDATE place SET held = 1 WHERE run = :run;

-- name: leave_line
DELETE FROM place WHERE run = ? RETURNING line;

-- name: first_in_line
-- Only while there is a place for it.
SELECT run, priority FROM place AS first WHERE line = :line AND held = 0
  AND (SELECT count(*) FROM place WHERE line = :line AND held = 1) < first.places
ORDER BY priority DESC, since, run LIMIT 1;

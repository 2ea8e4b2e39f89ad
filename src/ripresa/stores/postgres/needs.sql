-- Steps that need an engine with labels.

-- name: needs
SELECT run, operation, step, labels, priority, since FROM need WHERE run = ANY ($1::text[])
ORDER BY since, run, operation;

-- name: dues
SELECT run, due FROM ready WHERE run = ANY ($1::text[]);

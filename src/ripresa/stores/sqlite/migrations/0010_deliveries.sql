-- How often events that wait were tried in vain at targets that give them up; `schema.sql` explains.

CREATE TABLE delivery (
  event TEXT NOT NULL,
  place TEXT NOT NULL,
  tries INTEGER NOT NULL,
  given_up INTEGER NOT NULL,
  PRIMARY KEY (event, place)
) STRICT, WITHOUT ROWID;

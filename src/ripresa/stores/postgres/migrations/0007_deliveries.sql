-- How often events that wait were tried in vain at targets that give them up after some tries; only added to.

CREATE TABLE delivery (
  event text COLLATE "C" NOT NULL,
  place text COLLATE "C" NOT NULL,
  tries bigint NOT NULL,
  given_up boolean NOT NULL,
  PRIMARY KEY (event, place)
);

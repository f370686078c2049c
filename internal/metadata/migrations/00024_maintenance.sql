-- Whether changes are refused: by all servers on this database, while there is a row.

-- +goose Up

CREATE TABLE maintenance (
  id        INTEGER PRIMARY KEY, -- 1: there is one row, or none
  reason    TEXT NOT NULL,
  since     INTEGER NOT NULL,
  principal TEXT NOT NULL -- the ARN of who has begun it
);

-- Where the records of refusals are, so that a decision is found by its id.

-- +goose Up

CREATE TABLE decisions (
  id     TEXT PRIMARY KEY,     -- random; refusals name it
  batch  TEXT NOT NULL REFERENCES audit_batches (id),
  owner  TEXT NOT NULL,        -- the account of the resource
  caller TEXT NOT NULL         -- the account of who was refused
) WITHOUT ROWID;
CREATE INDEX decisions_batch ON decisions (batch);

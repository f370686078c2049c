-- Objects that were found not to be whole, and how far looking for them has come.

-- +goose Up

ALTER TABLE objects ADD COLUMN damaged_at INTEGER NOT NULL DEFAULT 0; -- when its bytes were found missing or wrong
CREATE INDEX objects_damaged ON objects (uid) WHERE damaged_at <> 0;

CREATE TABLE scrub_state (
  name     TEXT PRIMARY KEY,
  document TEXT NOT NULL -- JSON
) WITHOUT ROWID;
INSERT INTO scrub_state (name, document) VALUES ('pass', '{}'), ('request', '{}');

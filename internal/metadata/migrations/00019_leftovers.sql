-- Bytes in the bucket that are to go: what was copied to another place, and copies
-- that have not become objects.

-- +goose Up

CREATE TABLE leftovers (
  key    TEXT PRIMARY KEY, -- as in objects
  due_at INTEGER NOT NULL  -- when they are to go; 0 once that has begun
) WITHOUT ROWID;

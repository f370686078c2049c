-- What sealed bytes need beside the columns that objects have had from the start.

-- +goose Up

ALTER TABLE uploads ADD COLUMN format INTEGER NOT NULL DEFAULT 0; -- as of objects
ALTER TABLE uploads ADD COLUMN wrapped_key BLOB;

ALTER TABLE images ADD COLUMN sealed_annotations BLOB; -- in place of annotations

-- What is stored in plain never stands in for what is to be sealed.
DROP INDEX objects_digest;
CREATE UNIQUE INDEX objects_digest ON objects (key_domain, digest, algorithm) WHERE deleted_at = 0;

-- The master keys that something is sealed under, by their ids.
CREATE TABLE master_keys (
  id          TEXT PRIMARY KEY,
  first_used  INTEGER NOT NULL,
  last_sealer TEXT NOT NULL DEFAULT '' -- the last one that was recorded with it
) WITHOUT ROWID;

-- The servers that share the database, and the master key that each seals under. It
-- commits nothing unless its row is there.
CREATE TABLE sealers (
  id         TEXT PRIMARY KEY, -- random, another one each time that a server starts
  name       TEXT NOT NULL,    -- where it runs
  master_key TEXT NOT NULL,
  until      INTEGER NOT NULL -- others may delete the row then
) WITHOUT ROWID;

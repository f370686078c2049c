-- What garbage collection goes by, and what it has removed.

-- +goose Up

-- Since when no image is known to refer to a layer, 0 if one does. Those of earlier
-- versions are found when all is looked through.
ALTER TABLE layers ADD COLUMN loose_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX layers_loose ON layers (loose_at) WHERE loose_at <> 0;

-- What was deleted first.
CREATE INDEX images_gone ON images (deleted_at, uid) WHERE deleted_at <> 0;
CREATE INDEX repositories_gone ON repositories (deleted_at, uid) WHERE deleted_at <> 0;
ALTER TABLE repositories ADD COLUMN ended INTEGER NOT NULL DEFAULT 0; -- it is being removed and cannot be restored

-- When a referrer's subject was deleted whose row is gone.
ALTER TABLE images ADD COLUMN orphaned_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX images_subject_deleted ON images (repository, subject) WHERE subject <> '' AND deleted_at <> 0;

-- Images whose rows are gone, as far as back-tests of lifecycle policies ask for them.
CREATE TABLE past_images (
  uid          TEXT PRIMARY KEY,
  repository   TEXT NOT NULL REFERENCES repositories (uid),
  digest       TEXT NOT NULL,
  subject      TEXT NOT NULL,
  status       TEXT NOT NULL,
  pushed_at    INTEGER NOT NULL,
  pulled_at    INTEGER NOT NULL,
  archived_at  INTEGER NOT NULL,
  activated_at INTEGER NOT NULL,
  deleted_at   INTEGER NOT NULL,
  expired      INTEGER NOT NULL,
  orphaned_at  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX past_images_repository ON past_images (repository, deleted_at);
CREATE INDEX past_images_deleted ON past_images (deleted_at);

-- Objects that may be garbage: something has let go of them.
CREATE TABLE loose_objects (
  object TEXT PRIMARY KEY,
  since  INTEGER NOT NULL,
  reason TEXT NOT NULL,
  holder TEXT NOT NULL     -- account/region/repository
) WITHOUT ROWID;
CREATE INDEX loose_objects_since ON loose_objects (since, object);

-- What was removed, for a while.
CREATE TABLE removals (
  item       TEXT NOT NULL,    -- the uid of an image or of an object; of a layer, its repository's uid and digest
  removed_at INTEGER NOT NULL,
  kind       TEXT NOT NULL,    -- image, layer or object
  digest     TEXT NOT NULL,
  bytes      INTEGER NOT NULL,
  reason     TEXT NOT NULL,
  holder     TEXT NOT NULL,    -- account/region/repository
  key        TEXT NOT NULL,    -- in the bucket, of an object
  due_at     INTEGER NOT NULL, -- of that: when its bytes go
  PRIMARY KEY (item, removed_at)
) WITHOUT ROWID;
CREATE INDEX removals_digest ON removals (digest, removed_at);
CREATE INDEX removals_time ON removals (removed_at);

-- How far garbage collection has come.
CREATE TABLE gc_state (
  name     TEXT PRIMARY KEY,
  document TEXT NOT NULL       -- JSON
) WITHOUT ROWID;
INSERT INTO gc_state (name, document) VALUES ('request', '{}'), ('run', '{}'), ('recount', '{}');

CREATE INDEX leftovers_due ON leftovers (due_at, key);

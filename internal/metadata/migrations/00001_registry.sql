-- The facts of the registry. docs/format.md draws the relations.
--
-- Written in SQLite's words. For PostgreSQL, TEXT becomes TEXT COLLATE "C",
-- INTEGER becomes BIGINT, BLOB becomes BYTEA and WITHOUT ROWID goes away.
-- Times are microseconds since 1970, in UTC; 0 stands for never.

-- +goose Up

CREATE TABLE repositories (
  uid             TEXT PRIMARY KEY,
  account         TEXT NOT NULL,
  region          TEXT NOT NULL,
  name            TEXT NOT NULL,
  created_at      INTEGER NOT NULL,
  deleted_at      INTEGER NOT NULL DEFAULT 0,
  mutability      TEXT NOT NULL,      -- the mode
  filters         TEXT NOT NULL,      -- the mode's exclusions, joined by spaces
  scan_on_push    INTEGER NOT NULL,
  encryption_type TEXT NOT NULL,
  kms_key         TEXT NOT NULL,
  key_domain      TEXT NOT NULL,
  tags            TEXT NOT NULL,      -- resource tags, a JSON object
  policy          TEXT NOT NULL DEFAULT ''
);
-- A name is unique among the living.
CREATE UNIQUE INDEX repositories_name ON repositories (account, region, name) WHERE deleted_at = 0;

-- Where the bytes of a digest are: in the bucket, under key, or in content.
CREATE TABLE objects (
  uid         TEXT PRIMARY KEY,
  key_domain  TEXT NOT NULL,
  digest      TEXT NOT NULL,
  size        INTEGER NOT NULL,          -- of the plain bytes
  format      INTEGER NOT NULL DEFAULT 0, -- how they are stored; 0 is as they are
  algorithm   TEXT NOT NULL DEFAULT '',  -- that seals them
  key_id      TEXT NOT NULL DEFAULT '',  -- of the key that wraps the data key
  wrapped_key BLOB,
  created_at  INTEGER NOT NULL,
  deleted_at  INTEGER NOT NULL DEFAULT 0, -- a tombstone: the bytes are to go
  key         TEXT NOT NULL,             -- '' if content holds the bytes
  content     BLOB
);
CREATE UNIQUE INDEX objects_digest ON objects (key_domain, digest) WHERE deleted_at = 0;
CREATE UNIQUE INDEX objects_key ON objects (key) WHERE key <> '';

-- Which layers a repository holds, referenced by an image or not.
CREATE TABLE layers (
  repository  TEXT NOT NULL REFERENCES repositories (uid),
  digest      TEXT NOT NULL,
  object      TEXT NOT NULL REFERENCES objects (uid),
  lease_until INTEGER NOT NULL,      -- somebody was told that the layer exists
  PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE INDEX layers_digest ON layers (digest, repository);
CREATE INDEX layers_object ON layers (object);

CREATE TABLE images (
  uid           TEXT PRIMARY KEY,
  repository    TEXT NOT NULL REFERENCES repositories (uid),
  digest        TEXT NOT NULL,
  object        TEXT NOT NULL REFERENCES objects (uid), -- the manifest
  media_type    TEXT NOT NULL,
  artifact_type TEXT NOT NULL,
  subject       TEXT NOT NULL,           -- '' or a digest
  annotations   TEXT NOT NULL,           -- of a referrer, a JSON object
  manifest_size INTEGER NOT NULL,
  size          INTEGER NOT NULL,        -- of the image
  status        TEXT NOT NULL,
  pushed_at     INTEGER NOT NULL,
  pulled_at     INTEGER NOT NULL DEFAULT 0,
  archived_at   INTEGER NOT NULL DEFAULT 0,
  activated_at  INTEGER NOT NULL DEFAULT 0,
  deleted_at    INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX images_digest ON images (repository, digest) WHERE deleted_at = 0;
CREATE INDEX images_subject ON images (repository, subject, digest) WHERE subject <> '' AND deleted_at = 0;
CREATE INDEX images_object ON images (object);

CREATE TABLE tags (
  repository TEXT NOT NULL REFERENCES repositories (uid),
  name       TEXT NOT NULL,
  image      TEXT NOT NULL REFERENCES images (uid),
  tagged_at  INTEGER NOT NULL,
  PRIMARY KEY (repository, name)
) WITHOUT ROWID;
CREATE INDEX tags_image ON tags (image, name);

-- What images hold on to. The rows of a deleted image stay until it is removed
-- for good.
CREATE TABLE image_layers (
  repository TEXT NOT NULL REFERENCES repositories (uid),
  digest     TEXT NOT NULL,
  image      TEXT NOT NULL REFERENCES images (uid),
  media_type TEXT NOT NULL,
  PRIMARY KEY (repository, digest, image)
) WITHOUT ROWID;
CREATE INDEX image_layers_image ON image_layers (image);

CREATE TABLE image_children (
  repository TEXT NOT NULL REFERENCES repositories (uid),
  digest     TEXT NOT NULL,               -- of the child
  image      TEXT NOT NULL REFERENCES images (uid), -- the index
  PRIMARY KEY (repository, digest, image)
) WITHOUT ROWID;
CREATE INDEX image_children_image ON image_children (image);

CREATE TABLE uploads (
  id         TEXT PRIMARY KEY,
  repository TEXT NOT NULL REFERENCES repositories (uid),
  principal  TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  parts      INTEGER NOT NULL,
  last_part  INTEGER NOT NULL,
  short_part INTEGER NOT NULL,
  size       INTEGER NOT NULL,     -- bytes received and durable
  key        TEXT NOT NULL,        -- '' while content holds the bytes
  hash       BLOB,                 -- the SHA-256 state after size bytes
  state      BLOB,                 -- the bucket's
  content    BLOB
);
CREATE INDEX uploads_created ON uploads (created_at);

CREATE TABLE account_settings (
  account TEXT NOT NULL,
  region  TEXT NOT NULL,
  name    TEXT NOT NULL,
  value   TEXT NOT NULL,
  PRIMARY KEY (account, region, name)
) WITHOUT ROWID;

CREATE TABLE repository_creation_templates (
  account  TEXT NOT NULL,
  region   TEXT NOT NULL,
  prefix   TEXT NOT NULL,
  document TEXT NOT NULL,          -- JSON
  PRIMARY KEY (account, region, prefix)
) WITHOUT ROWID;

-- What happened, for those who want to know. Rows go when all have been told.
CREATE TABLE outbox (
  id            TEXT PRIMARY KEY,  -- sorts by time
  kind          TEXT NOT NULL,
  account       TEXT NOT NULL,
  region        TEXT NOT NULL,
  repository    TEXT NOT NULL,     -- the name
  repository_id TEXT NOT NULL,
  created_at    INTEGER NOT NULL,
  payload       TEXT NOT NULL      -- JSON
);

CREATE TABLE jobs (
  id          TEXT PRIMARY KEY,
  queue       TEXT NOT NULL,
  payload     TEXT NOT NULL,
  run_at      INTEGER NOT NULL,
  attempts    INTEGER NOT NULL DEFAULT 0,
  owner       TEXT NOT NULL DEFAULT '',
  lease_until INTEGER NOT NULL DEFAULT 0,
  error       TEXT NOT NULL DEFAULT ''
);
CREATE INDEX jobs_due ON jobs (queue, run_at);

-- One holder at a time of each name: the leader of a cron, for one.
CREATE TABLE leases (
  name        TEXT PRIMARY KEY,
  owner       TEXT NOT NULL,
  lease_until INTEGER NOT NULL
);

-- One row for each change.
CREATE TABLE audit_records (
  id         TEXT PRIMARY KEY,     -- sorts by time
  time       INTEGER NOT NULL,
  account    TEXT NOT NULL,
  region     TEXT NOT NULL,
  event      TEXT NOT NULL,
  principal  TEXT NOT NULL,
  resource   TEXT NOT NULL,
  request_id TEXT NOT NULL,
  record     TEXT NOT NULL         -- JSON
);
CREATE INDEX audit_records_time ON audit_records (account, time);

-- Reads, refusals and failures, many to a row.
CREATE TABLE audit_batches (
  id       TEXT PRIMARY KEY,
  first_at INTEGER NOT NULL,
  last_at  INTEGER NOT NULL,
  records  INTEGER NOT NULL,
  dropped  INTEGER NOT NULL,       -- records that there was no room for
  content  BLOB NOT NULL           -- gzip of JSON records, one to a line
);
CREATE INDEX audit_batches_time ON audit_batches (last_at);

CREATE TABLE usage (
  repository   TEXT NOT NULL,
  principal    TEXT NOT NULL,
  day          INTEGER NOT NULL,
  account      TEXT NOT NULL,
  region       TEXT NOT NULL,
  name         TEXT NOT NULL,
  pulls        INTEGER NOT NULL,
  bytes_out    INTEGER NOT NULL,
  bytes_stored INTEGER NOT NULL,
  PRIMARY KEY (repository, principal, day)
) WITHOUT ROWID;

-- Lifecycle policies, previews of what they would do, and the subjects that
-- referrers have lost.

-- +goose Up

CREATE TABLE lifecycle_policies (
  repository   TEXT PRIMARY KEY REFERENCES repositories (uid),
  version      TEXT NOT NULL,              -- another one each time that the policy is put
  text         TEXT NOT NULL,              -- as it was put
  evaluated_at INTEGER NOT NULL DEFAULT 0,
  due_at       INTEGER NOT NULL,           -- when to evaluate it next
  changes      INTEGER NOT NULL DEFAULT 0  -- how often images may have left what a rule selects
);
CREATE INDEX lifecycle_policies_due ON lifecycle_policies (due_at);
CREATE INDEX lifecycle_policies_new ON lifecycle_policies (due_at) WHERE evaluated_at = 0;

-- The last preview of each repository.
CREATE TABLE lifecycle_previews (
  repository    TEXT PRIMARY KEY REFERENCES repositories (uid),
  id            TEXT NOT NULL,             -- another one for each preview
  text          TEXT NOT NULL,             -- of the policy
  status        TEXT NOT NULL,
  ended_at      INTEGER NOT NULL DEFAULT 0,
  due_at        INTEGER NOT NULL DEFAULT 0, -- when there is something to do about it
  expiring      INTEGER NOT NULL DEFAULT 0,
  transitioning INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX lifecycle_previews_due ON lifecycle_previews (due_at) WHERE due_at <> 0;

-- What the last preview found. While it is in progress this may be incomplete.
CREATE TABLE lifecycle_preview_results (
  repository TEXT NOT NULL REFERENCES repositories (uid),
  digest     TEXT NOT NULL,
  tags       TEXT NOT NULL,                -- joined by commas
  pushed_at  INTEGER NOT NULL,
  action     TEXT NOT NULL,
  priority   INTEGER NOT NULL,             -- of the rule; 0 if none
  class      TEXT NOT NULL,                -- the image's storage class
  PRIMARY KEY (repository, digest)
) WITHOUT ROWID;

-- Whether a subject was there once.
CREATE INDEX images_deleted ON images (repository, digest) WHERE deleted_at <> 0;

-- What quotas count, and what was granted beyond them. docs/format.md draws the
-- relations. Every count changes in the transaction of what it counts.

-- +goose Up

-- The images of a repository that are not archived.
ALTER TABLE repositories ADD COLUMN images INTEGER NOT NULL DEFAULT 0;
UPDATE repositories SET images = (SELECT COUNT(*) FROM images i
  WHERE i.repository = repositories.uid AND i.deleted_at = 0 AND i.status <> 'ARCHIVED');

-- How many repositories a registry has.
CREATE TABLE registry_usage (
  account      TEXT NOT NULL,
  region       TEXT NOT NULL,
  repositories INTEGER NOT NULL,
  PRIMARY KEY (account, region)
) WITHOUT ROWID;
INSERT INTO registry_usage (account, region, repositories)
  SELECT account, region, COUNT(*) FROM repositories WHERE deleted_at = 0 GROUP BY account, region;

-- The bytes of the layers that living repositories hold, each digest once in each,
-- as far as storage quotas are about them: those of an account, in all regions, or
-- of its repositories at and below a path.
CREATE TABLE storage_quotas (
  account TEXT NOT NULL,
  prefix  TEXT NOT NULL,           -- '' for all repositories
  bytes   INTEGER NOT NULL,
  PRIMARY KEY (account, prefix)
) WITHOUT ROWID;

-- Values of quotas that were granted to a registry.
CREATE TABLE granted_quotas (
  account TEXT NOT NULL,
  region  TEXT NOT NULL,
  code    TEXT NOT NULL,
  value   INTEGER NOT NULL,
  PRIMARY KEY (account, region, code)
) WITHOUT ROWID;

-- Who asked for more, and what came of it.
CREATE TABLE quota_requests (
  id         TEXT PRIMARY KEY,     -- sorts by time
  account    TEXT NOT NULL,
  region     TEXT NOT NULL,
  code       TEXT NOT NULL,
  desired    INTEGER NOT NULL,
  status     TEXT NOT NULL,
  requester  TEXT NOT NULL,        -- the principal's ARN
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
);
CREATE INDEX quota_requests_registry ON quota_requests (account, region, id);

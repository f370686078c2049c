-- What is configured for a registry, beside its settings and templates.

-- +goose Up

-- A row for each registry whose configuration has ever changed. It is locked
-- while it changes.
CREATE TABLE registries (
  account TEXT NOT NULL,
  region  TEXT NOT NULL,
  PRIMARY KEY (account, region)
) WITHOUT ROWID;

-- What is replaced whole: replication, scanning, signing.
CREATE TABLE registry_configurations (
  account  TEXT NOT NULL,
  region   TEXT NOT NULL,
  name     TEXT NOT NULL,
  document TEXT NOT NULL,          -- JSON
  PRIMARY KEY (account, region, name)
) WITHOUT ROWID;

CREATE TABLE pull_through_cache_rules (
  account  TEXT NOT NULL,
  region   TEXT NOT NULL,
  prefix   TEXT NOT NULL,
  document TEXT NOT NULL,          -- JSON
  PRIMARY KEY (account, region, prefix)
) WITHOUT ROWID;

-- Who leaves no trace in pull times.
CREATE TABLE pull_time_exclusions (
  account    TEXT NOT NULL,
  region     TEXT NOT NULL,
  principal  TEXT NOT NULL,        -- the ARN as it was registered
  subject    TEXT NOT NULL,        -- what the ARNs of its sessions come down to as well
  created_at INTEGER NOT NULL,
  PRIMARY KEY (account, region, principal)
) WITHOUT ROWID;
CREATE INDEX pull_time_exclusions_subject ON pull_time_exclusions (account, region, subject);

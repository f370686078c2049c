-- Temporary credentials, and what has been revoked. docs/format.md says more.

-- +goose Up

CREATE TABLE sessions (
  id         TEXT PRIMARY KEY,     -- ASIA...
  account    TEXT NOT NULL REFERENCES accounts (id),
  owner      TEXT NOT NULL,        -- the id of the role or the user, the account for its root
  operation  TEXT NOT NULL,        -- that issued it
  secret     BLOB NOT NULL,        -- sealed, with the id as context
  token      BLOB NOT NULL,        -- SHA-256 of the session token
  terms      TEXT NOT NULL,        -- JSON: name, policies, tags and so on
  issued_at  INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
);
CREATE INDEX sessions_owner ON sessions (account, owner, id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- Which registry passwords of a principal no longer work: those made then or
-- earlier.
CREATE TABLE revocations (
  owner  TEXT PRIMARY KEY,         -- as of sessions
  before INTEGER NOT NULL
) WITHOUT ROWID;

-- Registry passwords that no longer work, until they would not anyway.
CREATE TABLE revoked_passwords (
  owner      TEXT NOT NULL,        -- as of sessions
  id         TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (owner, id)
) WITHOUT ROWID;
CREATE INDEX revoked_passwords_expiry ON revoked_passwords (expires_at);

-- Services that users and roles act for when they assume roles.
CREATE TABLE service_bindings (
  principal  TEXT NOT NULL REFERENCES iam_entities (id),
  service    TEXT NOT NULL,        -- ecs-tasks.amazonaws.com
  created_at INTEGER NOT NULL,
  PRIMARY KEY (principal, service)
) WITHOUT ROWID;

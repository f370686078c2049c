-- Accounts and who and what is in them. docs/format.md draws the relations.

-- +goose Up

CREATE TABLE accounts (
  id         TEXT PRIMARY KEY,     -- twelve digits
  alias      TEXT NOT NULL,        -- '' for none
  created_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX accounts_alias ON accounts (alias) WHERE alias <> '';

-- Users, groups, roles and managed policies. Names differ in more than case.
CREATE TABLE iam_entities (
  id              TEXT PRIMARY KEY,     -- AIDA..., AGPA..., AROA..., ANPA...; never used again
  account         TEXT NOT NULL REFERENCES accounts (id),
  kind            TEXT NOT NULL,        -- user, group, role, policy
  name_key        TEXT NOT NULL,        -- the name in lower case
  name            TEXT NOT NULL,
  path            TEXT NOT NULL,
  description     TEXT NOT NULL,
  tags            TEXT NOT NULL,        -- JSON: [{"Key": "", "Value": ""}], sorted
  boundary        TEXT NOT NULL,        -- the ARN of a policy, '' for none
  trust           TEXT NOT NULL,        -- of a role: its trust policy
  service         TEXT NOT NULL,        -- of a role that is linked to a service
  max_session     INTEGER NOT NULL,     -- of a role: seconds
  default_version INTEGER NOT NULL,     -- of a policy
  last_version    INTEGER NOT NULL,     -- of a policy: the greatest there ever was
  created_at      INTEGER NOT NULL,
  updated_at      INTEGER NOT NULL
);
CREATE UNIQUE INDEX iam_entities_name ON iam_entities (account, kind, name_key);
CREATE INDEX iam_entities_boundary ON iam_entities (account, boundary, id) WHERE boundary <> '';

CREATE TABLE iam_members (
  group_id TEXT NOT NULL REFERENCES iam_entities (id),
  user_id  TEXT NOT NULL REFERENCES iam_entities (id),
  PRIMARY KEY (group_id, user_id)
) WITHOUT ROWID;
CREATE INDEX iam_members_user ON iam_members (user_id, group_id);

-- Policies that are part of a user, a group or a role.
CREATE TABLE iam_inline_policies (
  entity   TEXT NOT NULL REFERENCES iam_entities (id),
  name     TEXT NOT NULL,
  document TEXT NOT NULL,
  PRIMARY KEY (entity, name)
) WITHOUT ROWID;

CREATE TABLE iam_policy_versions (
  policy     TEXT NOT NULL REFERENCES iam_entities (id),
  version    INTEGER NOT NULL,
  document   TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (policy, version)
) WITHOUT ROWID;

-- Which managed policies a user, a group or a role has. Those of AWS have no row
-- of their own: hence the ARN.
CREATE TABLE iam_attachments (
  entity  TEXT NOT NULL REFERENCES iam_entities (id),
  policy  TEXT NOT NULL,           -- its ARN
  account TEXT NOT NULL,
  PRIMARY KEY (entity, policy)
) WITHOUT ROWID;
CREATE INDEX iam_attachments_policy ON iam_attachments (account, policy, entity);

CREATE TABLE access_keys (
  id         TEXT PRIMARY KEY,     -- AKIA...
  account    TEXT NOT NULL REFERENCES accounts (id),
  owner      TEXT NOT NULL,        -- the user's id, '' for the account's root
  secret     BLOB NOT NULL,        -- sealed, with the id as context
  status     TEXT NOT NULL,        -- Active, Inactive
  created_at INTEGER NOT NULL
);
CREATE INDEX access_keys_owner ON access_keys (account, owner, id);

-- When keys were last used, those of the configuration included.
CREATE TABLE access_key_uses (
  id      TEXT PRIMARY KEY,
  at      INTEGER NOT NULL,
  region  TEXT NOT NULL,
  service TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE oidc_providers (
  account     TEXT NOT NULL REFERENCES accounts (id),
  url         TEXT NOT NULL,       -- without https://
  clients     TEXT NOT NULL,       -- JSON: a list of strings
  thumbprints TEXT NOT NULL,       -- JSON: a list of strings
  tags        TEXT NOT NULL,       -- as of iam_entities
  created_at  INTEGER NOT NULL,
  PRIMARY KEY (account, url)
) WITHOUT ROWID;

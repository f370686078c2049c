-- The organization that accounts are in. docs/format.md draws the relations.

-- +goose Up

-- One row at most.
CREATE TABLE organizations (
  id         TEXT PRIMARY KEY,     -- o-a1b2c3d4e5
  management TEXT NOT NULL REFERENCES accounts (id),
  types      TEXT NOT NULL,        -- JSON: the types of policies that are enabled
  version    INTEGER NOT NULL,     -- goes up with every change of this table and those below
  created_at INTEGER NOT NULL
) WITHOUT ROWID;

-- The root, and organizational units.
CREATE TABLE organization_units (
  id         TEXT PRIMARY KEY,     -- r-ab12, ou-ab12-11111111
  parent     TEXT NOT NULL,        -- '' of the root
  name       TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  UNIQUE (parent, name)
) WITHOUT ROWID;

CREATE TABLE organization_members (
  account   TEXT PRIMARY KEY REFERENCES accounts (id),
  parent    TEXT NOT NULL REFERENCES organization_units (id),
  joined_at INTEGER NOT NULL
) WITHOUT ROWID;

-- Those of AWS are in the program.
CREATE TABLE organization_policies (
  id          TEXT PRIMARY KEY,    -- p-0123456789
  type        TEXT NOT NULL,       -- SERVICE_CONTROL_POLICY, RESOURCE_CONTROL_POLICY
  name        TEXT NOT NULL,
  description TEXT NOT NULL,
  content     TEXT NOT NULL,
  UNIQUE (type, name)
) WITHOUT ROWID;

CREATE TABLE organization_attachments (
  target TEXT NOT NULL,            -- the id of a unit or of an account
  policy TEXT NOT NULL,
  PRIMARY KEY (target, policy)
) WITHOUT ROWID;

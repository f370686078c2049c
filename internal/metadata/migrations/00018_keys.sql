-- KMS keys and what belongs to them. docs/format.md says how their material is sealed.

-- +goose Up

CREATE TABLE kms_keys (
  id            TEXT PRIMARY KEY,     -- a UUID; never used again
  account       TEXT NOT NULL,
  region        TEXT NOT NULL,
  manager       TEXT NOT NULL,        -- CUSTOMER, AWS
  state         TEXT NOT NULL,        -- Enabled, Disabled, PendingDeletion
  description   TEXT NOT NULL,
  policy        TEXT NOT NULL,        -- its key policy, as it was put
  tags          TEXT NOT NULL,        -- JSON: [{"Key": "", "Value": ""}], sorted
  created_at    INTEGER NOT NULL,
  deletion_at   INTEGER NOT NULL,     -- when the key is destroyed, 0 if it is not to be
  deletion_days INTEGER NOT NULL,     -- the days between the call and that
  rotation_days INTEGER NOT NULL,     -- how often it rotates by itself, 0 for never
  rotation_at   INTEGER NOT NULL      -- when next, 0 for never
);
CREATE UNIQUE INDEX kms_keys_place ON kms_keys (account, region, id);
CREATE INDEX kms_keys_deletion ON kms_keys (deletion_at, id) WHERE deletion_at > 0;
CREATE INDEX kms_keys_rotation ON kms_keys (rotation_at, id) WHERE rotation_at > 0;

-- The backing keys of a key. The one with the greatest number encrypts, all decrypt.
CREATE TABLE kms_materials (
  key_id     TEXT NOT NULL REFERENCES kms_keys (id),
  number     INTEGER NOT NULL,     -- from 1
  id         TEXT NOT NULL,        -- 64 hexadecimal digits, random
  origin     TEXT NOT NULL,        -- '' for the first, AUTOMATIC, ON_DEMAND
  sealed     BLOB NOT NULL,        -- 32 bytes, sealed by the master with the key and id as context
  created_at INTEGER NOT NULL,
  PRIMARY KEY (key_id, number)
) WITHOUT ROWID;
CREATE UNIQUE INDEX kms_materials_id ON kms_materials (id);

CREATE TABLE kms_aliases (
  account    TEXT NOT NULL,
  region     TEXT NOT NULL,
  name       TEXT NOT NULL,        -- alias/...
  key_id     TEXT NOT NULL REFERENCES kms_keys (id),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (account, region, name)
) WITHOUT ROWID;
CREATE INDEX kms_aliases_key ON kms_aliases (key_id, name);

CREATE TABLE kms_grants (
  id             TEXT PRIMARY KEY,     -- 64 hexadecimal digits, random
  key_id         TEXT NOT NULL REFERENCES kms_keys (id),
  name           TEXT NOT NULL,        -- '' for none
  grantee        TEXT NOT NULL,        -- an ARN, or the name of a service
  retiring       TEXT NOT NULL,        -- likewise; '' for none
  issuer         TEXT NOT NULL,        -- the account that made it
  operations     TEXT NOT NULL,        -- JSON: a list of strings
  subset         TEXT NOT NULL,        -- JSON: an encryption context that must be part of the request's, null for none
  equal          TEXT NOT NULL,        -- JSON: one that must be the request's, null for none
  repository     TEXT NOT NULL,        -- the ARN of the repository that ECR made it for, '' for none
  repository_uid TEXT NOT NULL,        -- of that one, '' for none
  created_at     INTEGER NOT NULL
);
CREATE INDEX kms_grants_key ON kms_grants (key_id, id);
CREATE INDEX kms_grants_grantee ON kms_grants (key_id, grantee, id);
CREATE INDEX kms_grants_repository ON kms_grants (key_id, repository) WHERE repository <> '';
CREATE INDEX kms_grants_retiring ON kms_grants (retiring, id) WHERE retiring <> '';

-- What deleted images and repositories are restored from, and which repositories
-- cannot be deleted.

-- +goose Up

ALTER TABLE repositories ADD COLUMN protected INTEGER NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN deleted_by TEXT NOT NULL DEFAULT ''; -- a principal's ARN
CREATE INDEX repositories_deleted ON repositories (account, region, deleted_at, uid) WHERE deleted_at <> 0;

ALTER TABLE images ADD COLUMN deleted_by TEXT NOT NULL DEFAULT '';   -- a principal's ARN; '' for a lifecycle policy
ALTER TABLE images ADD COLUMN deleted_tags TEXT NOT NULL DEFAULT ''; -- its tags when it was deleted, joined by commas
CREATE INDEX images_deleted_at ON images (repository, deleted_at, uid) WHERE deleted_at <> 0;

-- Images that are archived, or on their way back.

-- +goose Up

CREATE INDEX images_stored ON images (repository, uid) WHERE status <> 'ACTIVE' AND deleted_at = 0;
CREATE INDEX images_activating ON images (uid) WHERE status = 'ACTIVATING' AND deleted_at = 0;

-- Which objects are in the storage class of archived layers, and which images it is to
-- be looked at for.

-- +goose Up

ALTER TABLE objects ADD COLUMN archived INTEGER NOT NULL DEFAULT 0; -- 1 in that class
CREATE INDEX objects_archived ON objects (uid) WHERE archived <> 0;

CREATE TABLE class_changes (
  image   TEXT PRIMARY KEY,    -- its layers may be in the wrong class
  due_at  INTEGER NOT NULL,    -- when they are looked at
  changes INTEGER NOT NULL     -- how often it was noted
) WITHOUT ROWID;
CREATE INDEX class_changes_due ON class_changes (due_at);

-- Which images each tag was on, and which images lifecycle policies deleted.

-- +goose Up

-- One row for each time that a tag was put on an image, or went away. The last
-- thousand of each tag are kept.
CREATE TABLE tag_history (
  repository TEXT NOT NULL REFERENCES repositories (uid),
  tag        TEXT NOT NULL,
  number     INTEGER NOT NULL,     -- 1, 2, 3 ... of the tag
  digest     TEXT NOT NULL,        -- of the image that it is on from then on, '' if on none
  changed_at INTEGER NOT NULL,
  principal  TEXT NOT NULL,        -- whose call it was; '' for the service itself, or if it is not known
  policy     INTEGER NOT NULL,     -- a lifecycle policy did it
  PRIMARY KEY (repository, tag, number)
) WITHOUT ROWID;

-- Where tags are now is all that is known of the time before.
INSERT INTO tag_history (repository, tag, number, digest, changed_at, principal, policy)
  SELECT t.repository, t.name, 1, i.digest, t.tagged_at, '', 0 FROM tags t JOIN images i ON i.uid = t.image;

ALTER TABLE images ADD COLUMN expired INTEGER NOT NULL DEFAULT 0; -- a lifecycle policy deleted it

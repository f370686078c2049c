-- What only public registries and their repositories have. A public repository
-- is a row of repositories in the region 'public', which is no region's name.

-- +goose Up

CREATE TABLE public_registries (
  account    TEXT PRIMARY KEY,
  alias      TEXT NOT NULL,          -- the default one, given with the first repository, for good
  created_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX public_registries_alias ON public_registries (alias);

-- What a public repository says of itself. The row stays when it is deleted.
CREATE TABLE public_catalog (
  repository  TEXT PRIMARY KEY REFERENCES repositories (uid),
  document    TEXT NOT NULL,         -- JSON, without the logo
  logo_type   TEXT NOT NULL,         -- its media type, '' if there is none
  logo_digest TEXT NOT NULL,
  logo        BLOB
);

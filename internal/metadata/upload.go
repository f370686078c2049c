package metadata

import (
	"time"

	"berth/internal/registry"
)

// Upload implements [registry.UploadReader].
func (tx *Tx) Upload(repository, id string) (*registry.Upload, error) {
	u := registry.Upload{ID: id, Repository: repository}
	var created, short int64
	found, err := tx.row(`SELECT principal, created_at, parts, last_part, short_part, size, key, hash, state, content, format, wrapped_key
		FROM uploads WHERE id = $1 AND repository = $2`, []any{id, repository},
		&u.Principal, &created, &u.Parts, &u.LastPart, &short, &u.Blob.Size, &u.Blob.Key, &u.Blob.Hash, &u.Blob.State, &u.Blob.Content,
		&u.Blob.Format, &u.Blob.WrappedKey)
	if err != nil || !found {
		return nil, err
	}
	u.CreatedAt, u.ShortPart = fromMicros(created), short != 0
	return &u, nil
}

// HasUploadKey implements [registry.UploadReader].
func (tx *Tx) HasUploadKey(key string) (bool, error) {
	var one int
	return tx.row(`SELECT 1 FROM uploads WHERE key = $1 LIMIT 1`, []any{key}, &one)
}

// HasObjectKey implements [registry.UploadReader].
func (tx *Tx) HasObjectKey(key string) (bool, error) {
	var one int
	return tx.row(`SELECT 1 FROM objects WHERE key = $1 AND key <> '' LIMIT 1`, []any{key}, &one)
}

// InsertUpload implements [registry.UploadWriter].
func (tx *Tx) InsertUpload(u *registry.Upload) error {
	return tx.change(`INSERT INTO uploads (id, repository, principal, created_at, parts, last_part, short_part, size, key,
			hash, state, content, format, wrapped_key)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		u.ID, u.Repository, u.Principal, micros(u.CreatedAt), u.Parts, u.LastPart, boolean(u.ShortPart), u.Blob.Size, u.Blob.Key,
		u.Blob.Hash, u.Blob.State, u.Blob.Content, u.Blob.Format, u.Blob.WrappedKey)
}

// UpdateUpload implements [registry.UploadWriter]. The data keys of an upload never
// change: only how they are wrapped does, and not here.
func (tx *Tx) UpdateUpload(u *registry.Upload, size int64) (bool, error) {
	n, err := tx.exec(`UPDATE uploads SET parts = $3, last_part = $4, short_part = $5, size = $6, key = $7, hash = $8,
			state = $9, content = $10, format = $11, wrapped_key = COALESCE(wrapped_key, $12)
		WHERE id = $1 AND size = $2`,
		u.ID, size, u.Parts, u.LastPart, boolean(u.ShortPart), u.Blob.Size, u.Blob.Key, u.Blob.Hash, u.Blob.State, u.Blob.Content,
		u.Blob.Format, u.Blob.WrappedKey)
	return n == 1, err
}

// DeleteUpload implements [registry.UploadWriter].
func (tx *Tx) DeleteUpload(id string) (bool, error) {
	n, err := tx.exec(`DELETE FROM uploads WHERE id = $1`, id)
	return n == 1, err
}

// DeleteUploadAt implements [registry.UploadWriter].
func (tx *Tx) DeleteUploadAt(id string, size int64) (bool, error) {
	n, err := tx.exec(`DELETE FROM uploads WHERE id = $1 AND size = $2`, id, size)
	return n == 1, err
}

// ExpireUploads implements [registry.UploadWriter]. An upload may have become an object
// that nobody has recorded. The keys that are noted are those of the rows that are deleted,
// whatever others delete meanwhile.
func (tx *Tx) ExpireUploads(before, due time.Time, limit int) (int64, error) {
	keys, err := tx.strings(`DELETE FROM uploads WHERE id IN (SELECT id FROM uploads WHERE created_at < $1 ORDER BY created_at, id LIMIT $2)
		RETURNING key`, micros(before), limit)
	for _, key := range keys {
		if err == nil && key != "" {
			err = tx.change(`INSERT INTO leftovers (key, due_at) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING`, key, micros(due))
		}
	}
	return int64(len(keys)), err
}

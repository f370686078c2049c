package dirbucket

import (
	"path"
)

// upload is a file in uploads/, open for writing.
type upload struct {
	bucket   *Bucket
	file     File
	from, to string
	dirty    bool // written since the last sync
	closed   bool
}

// Write implements [blob.Writer].
func (u *upload) Write(p []byte) (int, error) {
	u.dirty = true
	return u.file.Write(p)
}

// Suspend implements [blob.Writer].
func (u *upload) Suspend() ([]byte, error) {
	if err := u.sync(); err != nil {
		return nil, err
	}
	return nil, u.Close()
}

func (u *upload) sync() error {
	if !u.dirty {
		return nil
	}
	u.dirty = false
	return u.file.Sync()
}

// Finish implements [blob.Writer].
func (u *upload) Finish() (string, error) {
	if err := u.sync(); err != nil {
		return "", err
	}
	if err := u.Close(); err != nil {
		return "", err
	}
	if err := u.bucket.files.Rename(u.from, u.to); err != nil {
		return "", err
	}
	return path.Base(u.to), u.bucket.files.SyncDir(path.Dir(u.to))
}

// Close implements [blob.Writer].
func (u *upload) Close() error {
	if u.closed {
		return nil
	}
	u.closed = true
	return u.file.Close()
}

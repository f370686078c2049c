package dirbucket

import (
	"path"

	"berth/internal/crash"
)

// upload is a file in uploads/, open for writing.
type upload struct {
	bucket   *Bucket
	file     File
	from, to string
	dirty    bool // written or cut since the last sync
	closed   bool
}

// Write implements [blob.Writer].
func (u *upload) Write(p []byte) (int, error) {
	u.dirty = true
	n, err := u.file.Write(p)
	crash.Point("dir.write")
	return n, err
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
	err := u.file.Sync()
	crash.Point("dir.sync")
	return err
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
	crash.Point("dir.rename")
	err := u.bucket.files.SyncDir(path.Dir(u.to))
	crash.Point("dir.finish")
	return path.Base(u.to), err
}

// Close implements [blob.Writer].
func (u *upload) Close() error {
	if u.closed {
		return nil
	}
	u.closed = true
	return u.file.Close()
}

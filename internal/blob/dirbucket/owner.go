package dirbucket

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"berth/internal/blob"
	"berth/internal/crash"
)

// owner is the file that says whose the bucket is.
const owner = "owner"

var _ blob.Owned = (*Bucket)(nil)

// Owner implements [blob.Owned].
func (b *Bucket) Owner(context.Context) (string, error) {
	f, err := b.files.OpenFile(owner, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(f, 1<<10))
	return strings.TrimSpace(string(text)), errors.Join(err, f.Close())
}

// Claim implements [blob.Owned]. The file is complete when it gets its name. One process
// at a time uses the directory.
func (b *Bucket) Claim(ctx context.Context, name string) (string, error) {
	is, err := b.Owner(ctx)
	if err != nil {
		return "", err
	}
	if is == "" {
		if err := b.writeOwner(name); err != nil {
			return "", err
		}
		is = name
	}
	// Who wrote it may have been interrupted before it was durable.
	return is, b.files.SyncDir(".")
}

func (b *Bucket) writeOwner(name string) error {
	f, err := b.files.OpenFile(owner+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, name+"\n")
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	crash.Point("dir.owner")
	if err := b.files.Rename(owner+".new", owner); err != nil {
		return err
	}
	crash.Point("dir.owner")
	return nil
}

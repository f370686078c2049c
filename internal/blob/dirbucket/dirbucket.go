// Package dirbucket is a [blob.Bucket] in a directory.
//
// Layout:
//
//	uploads/<key>           an upload: the bytes received so far
//	objects/<kk>/<key>      an object; kk are the key's first two digits
//
// An object is written to uploads/, synced, renamed, and the directory that it
// was renamed into is synced. All paths are opened beneath the bucket's root
// and made only of keys, which are hexadecimal.
package dirbucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"berth/internal/blob"
	"berth/internal/crash"
	"berth/internal/durable"
)

const (
	uploads = "uploads"
	objects = "objects"
)

// Bucket is a directory. It must be used by one process at a time.
type Bucket struct {
	files Files
}

var (
	_ blob.Bucket   = (*Bucket)(nil)
	_ blob.Reapable = (*Bucket)(nil)
)

// Open returns the bucket in the directory dir, which it makes if it is not
// there, along with all that it will ever need beneath.
func Open(dir string) (*Bucket, error) {
	return OpenOver(dir, nil)
}

// OpenOver is Open with something between the bucket and its files, nil for nothing.
func OpenOver(dir string, over func(Files) Files) (*Bucket, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := durable.SyncDir(filepath.Dir(dir)); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	if over == nil {
		return New(rootFiles{root})
	}
	return New(over(rootFiles{root}))
}

// New returns a bucket over files.
func New(files Files) (*Bucket, error) {
	b := &Bucket{files}
	dirs := []string{uploads, objects}
	for i := range 256 {
		dirs = append(dirs, fmt.Sprintf("%s/%02x", objects, i))
	}
	for _, d := range dirs {
		if err := files.Mkdir(d); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	// Some that are there may not be durable, if this was interrupted.
	for _, d := range []string{objects, "."} {
		if err := files.SyncDir(d); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// Close releases the directory. Readers and uploads that are open stay usable.
func (b *Bucket) Close() error { return b.files.Close() }

// ErrKey is returned for a key that the Store cannot have made.
var ErrKey = errors.New("malformed object key")

// objectPath returns the path of an object.
func objectPath(key string) (string, error) {
	if !blob.ValidKey(key) {
		return "", ErrKey
	}
	return objects + "/" + key[:2] + "/" + key, nil
}

// Open implements [blob.Bucket]. The reader is an *os.File.
func (b *Bucket) Open(_ context.Context, key string) (blob.Reader, error) {
	p, err := objectPath(key)
	if err != nil {
		return nil, err
	}
	f, err := b.files.OpenFile(p, os.O_RDONLY)
	if err != nil {
		return nil, notFound(err, blob.ErrNotFound)
	}
	return f, nil
}

// Stat implements [blob.Bucket].
func (b *Bucket) Stat(_ context.Context, key string) (int64, error) {
	p, err := objectPath(key)
	if err != nil {
		return 0, err
	}
	fi, err := b.files.Stat(p)
	if err != nil {
		return 0, notFound(err, blob.ErrNotFound)
	}
	return fi.Size(), nil
}

func notFound(err, as error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return as
	}
	return err
}

// Upload implements [blob.Bucket]. It needs no state of its own: bytes beyond
// size, which a crash can leave, are cut off.
func (b *Bucket) Upload(_ context.Context, key string, size int64, _ []byte) (blob.Writer, error) {
	object, err := objectPath(key)
	if err != nil {
		return nil, err
	}
	flag := os.O_RDWR
	if size == 0 {
		flag |= os.O_CREATE
	}
	f, err := b.files.OpenFile(uploads+"/"+key, flag)
	if err != nil {
		return nil, notFound(err, blob.ErrUploadLost)
	}
	cut, err := seekTo(f, size)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	crash.Point("dir.open")
	return &upload{bucket: b, file: f, from: uploads + "/" + key, to: object, dirty: cut}, nil
}

// seekTo makes f size bytes long and places the next write there. It reports whether
// bytes were cut off, which is durable when the file was synced.
func seekTo(f File, size int64) (cut bool, err error) {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return false, err
	}
	if end < size {
		return false, blob.ErrUploadLost
	}
	if end > size {
		if err := f.Truncate(size); err != nil {
			return false, err
		}
	}
	_, err = f.Seek(size, io.SeekStart)
	return end > size, err
}

// Delete implements [blob.Bucket].
func (b *Bucket) Delete(_ context.Context, key string) error {
	p, err := objectPath(key)
	if err != nil {
		return err
	}
	for _, name := range []string{uploads + "/" + key, p} {
		if err := b.files.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		crash.Point("dir.remove")
	}
	return nil
}

// List implements [blob.Bucket].
func (b *Bucket) List(ctx context.Context) iter.Seq2[blob.Entry, error] {
	return func(yield func(blob.Entry, error) bool) {
		if !b.list(ctx, uploads, false, yield) {
			return
		}
		for i := range 256 {
			if !b.list(ctx, fmt.Sprintf("%s/%02x", objects, i), true, yield) {
				return
			}
		}
	}
}

// Uploads implements [blob.Reapable].
func (b *Bucket) Uploads(ctx context.Context) iter.Seq2[blob.Entry, error] {
	return func(yield func(blob.Entry, error) bool) { b.list(ctx, uploads, false, yield) }
}

// Settle implements [blob.Reapable]. Nothing is left behind.
func (b *Bucket) Settle(context.Context, string, []byte) error { return nil }

// Abort implements [blob.Reapable].
func (b *Bucket) Abort(_ context.Context, key string) error {
	if _, err := objectPath(key); err != nil {
		return err
	}
	if err := b.files.Remove(uploads + "/" + key); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// list yields one directory's entries, as far as their names are keys, and reports whether to go on.
func (b *Bucket) list(ctx context.Context, dir string, finished bool, yield func(blob.Entry, error) bool) bool {
	entries, err := b.files.ReadDir(dir)
	if err != nil {
		return yield(blob.Entry{}, err)
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return yield(blob.Entry{}, err)
		}
		if !blob.ValidKey(e.Name()) {
			continue // not ours: a network file system, or an editor, leaves such files
		}
		fi, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // finished or deleted since
		}
		if err != nil {
			return yield(blob.Entry{}, err)
		}
		if !yield(blob.Entry{Key: e.Name(), Size: fi.Size(), Finished: finished, ModTime: fi.ModTime()}, nil) {
			return false
		}
	}
	return true
}

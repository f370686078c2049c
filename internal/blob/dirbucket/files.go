package dirbucket

import (
	"io"
	"io/fs"
	"os"

	"berth/internal/durable"
)

// Files are the functions of a file system that a bucket uses: the one place
// where a test can make a disk fail. Names are relative to the bucket's root.
type Files interface {
	OpenFile(name string, flag int) (File, error)
	Mkdir(name string) error
	Rename(from, to string) error
	Remove(name string) error
	Stat(name string) (fs.FileInfo, error)
	ReadDir(name string) ([]fs.DirEntry, error)
	SyncDir(name string) error
	io.Closer
}

// File is what a bucket does with an open file.
type File interface {
	io.ReadWriteSeeker
	io.Closer
	Truncate(size int64) error
	Sync() error
}

// rootFiles are the files beneath a directory. The operating system resolves
// no name, and follows no link, to a place outside of it.
type rootFiles struct{ root *os.Root }

// OpenFile returns a bare *os.File: the kernel can send it to a socket.
func (r rootFiles) OpenFile(name string, flag int) (File, error) {
	f, err := r.root.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err // not f: a nil *os.File in an interface is not nil
	}
	return f, nil
}

func (r rootFiles) Mkdir(name string) error               { return r.root.Mkdir(name, 0o700) }
func (r rootFiles) Rename(from, to string) error          { return r.root.Rename(from, to) }
func (r rootFiles) Remove(name string) error              { return r.root.Remove(name) }
func (r rootFiles) Stat(name string) (fs.FileInfo, error) { return r.root.Stat(name) }
func (r rootFiles) Close() error                          { return r.root.Close() }

func (r rootFiles) ReadDir(name string) ([]fs.DirEntry, error) {
	return fs.ReadDir(r.root.FS(), name)
}

func (r rootFiles) SyncDir(name string) error {
	d, err := r.root.Open(name)
	if err != nil {
		return err
	}
	return durable.CloseDir(d)
}

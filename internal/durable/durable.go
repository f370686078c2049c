// Package durable writes files that are whole and still there after a loss of power. What
// has failed to be synced is never put in its place: who finds a file there may trust it.
package durable

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"

	"berth/internal/crash"
)

// Write puts a file that only its owner can read in place, instead of one that may be
// there: after an interruption there is the one or the other. Beside it there may be
// another, whose name ends in .new.
func Write(path string, content []byte) error {
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return place(temp, path)
}

// WriteNew writes a file that only its owner can read, and that must not be there. It is
// durable then, name and all; after an error there is none.
func WriteNew(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = SyncDir(filepath.Dir(path))
	}
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// Rename syncs a file that nobody has open and gives it another name, instead of one that
// may be there.
func Rename(from, to string) error {
	f, err := os.OpenFile(from, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return place(from, to)
}

// place renames a file that has been synced.
func place(from, to string) error {
	crash.Point("file.write")
	if err := os.Rename(from, to); err != nil {
		return err
	}
	crash.Point("file.write")
	return SyncDir(filepath.Dir(to))
}

// SyncDir makes the entries of a directory durable.
func SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return CloseDir(d)
}

// CloseDir makes the entries of a directory that is open durable, and closes it.
func CloseDir(dir *os.File) error {
	if runtime.GOOS == "windows" {
		return dir.Close() // directories cannot be synced there; NTFS journals renames
	}
	return errors.Join(dir.Sync(), dir.Close())
}

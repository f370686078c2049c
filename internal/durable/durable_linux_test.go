package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A pipe takes what is written to it, and cannot be synced.
func pipe(t *testing.T, path string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0) // else nobody can open it to write
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
}

func TestWhatCannotBeSyncedIsNotPutInPlace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	pipe(t, path+".new")
	for name, put := range map[string]func() error{
		"write":  func() error { return Write(path, []byte("x")) },
		"rename": func() error { return Rename(path+".new", path) },
	} {
		if err := put(); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%s = %v, want the error of the sync", name, err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the file is in place though it could not be synced: %v", name, err)
		}
		if _, err := os.Lstat(path + ".new"); err != nil {
			t.Fatal(err)
		}
	}
}

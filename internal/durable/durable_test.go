package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestAFileIsWrittenAndRenamed(t *testing.T) {
	t.Parallel()
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	for _, text := range []string{"one", "two"} {
		if err := Write(a, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(a); err != nil || string(got) != text {
			t.Errorf("%q, %v, want %q", got, err, text)
		}
	}
	if fi, err := os.Stat(a); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the file has the mode %v, %v", fi.Mode(), err)
	}
	if err := Rename(a, b); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(a); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if got, err := os.ReadFile(b); err != nil || string(got) != "two" {
		t.Errorf("%q, %v", got, err)
	}
	if err := Write(filepath.Join(a, "c"), nil); err == nil {
		t.Error("a file is written where there is no directory")
	}
}

func TestANewFileReplacesNone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "wrapped.key")
	if err := WriteNew(path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := WriteNew(path, []byte("two")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second file of that name: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "one" {
		t.Errorf("the file has %q, %v", text, err)
	}
}

package server_test

import (
	"os"
	"path/filepath"
	"testing"

	"berth/internal/server"
)

func TestANewFileReplacesNone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "wrapped.key")
	if err := server.WriteNew(path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := server.WriteNew(path, []byte("two")); !os.IsExist(err) {
		t.Errorf("a second file of that name: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "one" {
		t.Errorf("the file has %q, %v", text, err)
	}
}

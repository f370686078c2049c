package server_test

import (
	"errors"
	"path"
	"sync"
	"testing"
	"time"

	"berth/internal/blob/dirbucket"
	"berth/internal/servertest"
)

// stuckFiles are files of which some cannot be removed.
type stuckFiles struct {
	dirbucket.Files
	mu    sync.Mutex
	stuck map[string]bool // guarded by mu
}

func (f *stuckFiles) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stuck[path.Base(name)] {
		return errors.New("input/output error")
	}
	return f.Files.Remove(name)
}

// Files that a damaged disk does not let go keep it from removing no others.
func TestBytesAreRemovedBehindThoseThatCannotBe(t *testing.T) {
	t.Parallel()
	files, o := &stuckFiles{stuck: map[string]bool{}}, inDirectory
	o.Files = func(f dirbucket.Files) dirbucket.Files {
		files.Files = f
		return files
	}
	s := servertest.Start(t, o)
	for range 110 { // more than are claimed at once
		files.stuck[blobOf(t, s, 10)] = true
	}
	bucket, garbage := s.Server().Bucket(), s.Server().Garbage()
	week := func() error {
		s.Clock.Advance(49 * time.Hour)
		_, first := garbage.Collect(t.Context(), true)
		s.Clock.Advance(8 * day)
		_, second := garbage.Collect(t.Context(), true)
		return errors.Join(first, second)
	}
	if err := week(); err == nil {
		t.Error("files that cannot be removed are no error")
	}
	other := blobOf(t, s, 10)
	if err := week(); err == nil {
		t.Error("files that cannot be removed are no error")
	}
	if _, err := bucket.Stat(t.Context(), other); err == nil {
		t.Error("bytes are not removed because of others that cannot be")
	}
	files.mu.Lock()
	clear(files.stuck)
	files.mu.Unlock()
	for range 3 { // it goes on where it gave up
		collect(t, s)
	}
	if left := s.Files(t); len(left) != 0 {
		t.Errorf("%d files are left", len(left))
	}
}

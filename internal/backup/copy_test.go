package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"berth/internal/blob"
	"berth/internal/blob/dirbucket"
)

// list is a snapshot of objects.
type list []Object

func (l list) Objects(_ context.Context, after string, limit int, _ bool) ([]Object, error) {
	n := slices.IndexFunc(l, func(o Object) bool { return o.UID > after })
	if n < 0 {
		return nil, nil
	}
	return l[n:min(len(l), n+limit)], nil
}

func (l list) Summary(context.Context) (Summary, error) { return Summary{Objects: int64(len(l))}, nil }
func (list) Held(context.Context, string) ([]Held, error) {
	return []Held{}, nil
}
func (list) Quarantined(context.Context, string, int) ([]Object, error) { return nil, nil }
func (list) Close() error                                               { return nil }

// failing is a bucket that fails to open objects, and to look for them.
type failing struct {
	blob.Bucket
	open, stat func(key string) bool
}

func (f failing) Open(ctx context.Context, key string) (blob.Reader, error) {
	if f.open(key) {
		return nil, syscall.EIO
	}
	return f.Bucket.Open(ctx, key)
}

func (f failing) Stat(ctx context.Context, key string) (int64, error) {
	if f.stat(key) {
		return 0, syscall.EIO
	}
	return f.Bucket.Stat(ctx, key)
}

// filled is a bucket with objects, of one byte each.
func filled(t *testing.T, n int) (list, blob.Bucket) {
	t.Helper()
	b := empty(t)
	var l list
	for i := range n {
		key := fmt.Sprintf("%032x", i)
		w, err := b.Upload(t.Context(), key, 0, nil)
		if err == nil {
			_, err = w.Write([]byte("x"))
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		l = append(l, Object{UID: key, Object: blob.Object{Key: key, Size: 1}})
	}
	return l, b
}

func empty(t *testing.T) *dirbucket.Bucket {
	t.Helper()
	b, err := dirbucket.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// Neighbours are on one bad spot of a disk. That is no reason to back up nothing.
func TestObjectsThatCannotBeReadAreNamedIfOthersCan(t *testing.T) {
	t.Parallel()
	l, b := filled(t, 80)
	always, never := func(string) bool { return true }, func(string) bool { return false }
	between := func(from, to int) func(string) bool {
		return func(key string) bool { return key >= l[from].UID && key < l[to].UID }
	}
	for name, test := range map[string]struct {
		open, stat func(string) bool
		missing    int // -1 if the backup fails
	}{
		"nothing fails":                    {never, never, 0},
		"30 neighbours":                    {between(30, 60), never, 30},
		"whose inodes are unreadable, too": {between(30, 60), between(30, 60), 30},
		"the first ones":                   {between(0, 15), between(0, 15), 15},
		"nothing can be read":              {always, never, -1},
		"nothing can be found":             {always, always, -1},
		"the disk goes away in between":    {nil, nil, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from := failing{b, test.open, test.stat}
			if name == "the disk goes away in between" {
				var gone atomic.Bool
				from.open = func(key string) bool {
					if key == l[40].UID {
						gone.Store(true)
					}
					return gone.Load()
				}
				from.stat = func(string) bool { return gone.Load() }
			}
			c := &copier{facts: l, from: from, to: empty(t), rename: bare, all: Summary{}}
			err := c.run(t.Context())
			if test.missing < 0 {
				if !errors.Is(err, syscall.EIO) {
					t.Errorf("%d missing, %v, want that it fails", len(c.missing), err)
				}
				return
			}
			if err != nil || len(c.missing) != test.missing || c.copied != int64(len(l)-test.missing) {
				t.Errorf("%d missing, %d copied, %v, want %d missing", len(c.missing), c.copied, err, test.missing)
			}
		})
	}
}

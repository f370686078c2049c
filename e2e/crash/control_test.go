//go:build unix

package crash

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// killed returns a life whose server was killed at a point.
func killed(t *testing.T, point string) *life {
	t.Helper()
	w := pushing("control", "", plain, small)
	l, err := w.begin(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	if died, err := l.serve(0, "CRASHPOINT="+point); !died || err != nil {
		t.Fatalf("killed at %s: %t, %v", point, died, err)
	}
	return l
}

// What would be lost is seen: a ledger that says more than was acknowledged, or less than
// all of what was done, and a store without bytes, or with others.
func TestWhatIsLostIsSeen(t *testing.T) {
	t.Parallel()
	t.Run("acknowledged and not there", func(t *testing.T) {
		t.Parallel()
		l := killed(t, "image.insert:1")
		l.players[0].ledger.acknowledge() // it was not
		l.players[0].next++
		_, err := l.serve(0)
		refuses(t, err, "was acknowledged")
	})
	t.Run("there in part", func(t *testing.T) {
		t.Parallel()
		l := killed(t, "image.insert:1")
		known := &l.players[0].ledger
		for thing, is := range known.sure { // as if the same step had made what another one has
			if strings.HasPrefix(thing, "layer ") && is != "" {
				known.pending[thing], known.sure[thing] = is, ""
			}
		}
		_, err := l.serve(0)
		refuses(t, err, "there is a part")
	})
	for name, harm := range map[string]func(string) error{"missing": os.Remove, "damaged": spoil} {
		t.Run(name+" bytes", func(t *testing.T) {
			t.Parallel()
			l := killed(t, "image.insert:1")
			objects, err := filepath.Glob(filepath.Join(l.dir, "blobs/objects/*/*"))
			if err != nil || len(objects) == 0 {
				t.Fatalf("objects: %v, %v", objects, err)
			}
			if err := harm(objects[0]); err != nil {
				t.Fatal(err)
			}
			refuses(t, l.check(), name)
		})
	}
}

// Uploads that nobody goes on with do not stay. What is an object that nothing refers to
// is not an upload any more.
func TestWhatKilledUploadsLeaveIsRemoved(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"dir.open:1", "dir.write:1", "upload.received:3", "dir.sync:3", "upload.dropped:1"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			l := killed(t, point)
			if err := l.check(); err != nil || l.left == 0 {
				t.Fatalf("left: %d, %v; want something that can be removed", l.left, err)
			}
			o, err := startOwn(l.env(l.dir), func() time.Time { return time.Now().Add(72 * time.Hour) })
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(o.server.Registry().ReapUploads(t.Context()), o.stop()); err != nil {
				t.Fatal(err)
			}
			if err := l.check(); err != nil || l.left != 0 {
				t.Errorf("left after three days: %d, %v", l.left, err)
			}
		})
	}
}

// spoil changes a byte of a file.
func spoil(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text[len(text)/2] ^= 1
	return os.WriteFile(path, text, 0o600)
}

func refuses(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("the error is %v, want %q", err, text)
	}
}

package server_test

import (
	"database/sql"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/internal/blob/buckettest"
	"berth/internal/fsck"
	"berth/internal/scrub"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

// keyOf returns the key in the bucket that a digest is stored under.
func keyOf(t *testing.T, s *servertest.Server, d digest.Digest) (key string) {
	t.Helper()
	db, err := sql.Open("sqlite", s.Config.Data+"/berth.db?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), `SELECT key FROM objects WHERE digest = $1`, string(d)).Scan(&key); err != nil {
		t.Fatal(err)
	}
	return key[strings.IndexByte(key, ':')+1:]
}

// daily returns a scrubber as another process has it, whose first pass is due.
func daily(t *testing.T, s *servertest.Server) *scrub.Scrubber {
	t.Helper()
	scrubber := s.Server().AnotherScrubber()
	scrubber.Interval = 24 * time.Hour
	if err := scrubber.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Clock.Advance(25 * time.Hour)
	return scrubber
}

// Objects that are never read, though others are, end no pass, and go into quarantine if it
// stays so for a day.
func TestObjectsThatCannotBeReadAreNoAbsenceOfTheStore(t *testing.T) {
	t.Parallel()
	s, p := faulty(t, "on")
	c := s.Login(t)
	var bad []string
	first := layer(100_000)
	for i := range 6 {
		content := first
		if i > 0 {
			content = layer(100_000 + i)
		}
		c.PushBlob(t, "app", content)
		if i < 3 {
			bad = append(bad, keyOf(t, s, digest.FromBytes(content)))
		}
	}
	p.Plan(func(r *http.Request) buckettest.Fault {
		for _, key := range bad {
			if buckettest.Operation(r) == "GetObject" && strings.HasSuffix(r.URL.Path, key) {
				return buckettest.Denied
			}
		}
		return buckettest.NoFault
	})
	scrubber := daily(t, s)
	if err := scrubber.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, unreadable := scrubber.Totals.Objects.Load(), scrubber.Totals.Unreadable.Load(); n != 6 || unreadable != 3 || scrubber.Totals.Quarantines.Load() != 0 {
		t.Errorf("%d objects were looked at, %d could not be read, %d went into quarantine, want 6, 3 and 0", n, unreadable, scrubber.Totals.Quarantines.Load())
	}
	s.Clock.Advance(25 * time.Hour)
	if err := scrubber.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := scrubber.Totals.Quarantines.Load(); n != 3 {
		t.Errorf("after a day %d objects are in quarantine, want 3", n)
	}
	path := "/v2/app/blobs/" + digest.FromBytes(first).String()
	c = s.Login(t)
	c.Do(t, "HEAD", path, nil).Want(t, 404)
	c.PushBlob(t, "app", first)
	c.Do(t, "GET", path, nil).Want(t, 200)
}

// That nothing is there says that it is the wrong place, not that all is lost.
func TestThatNothingIsThereIsNoDamage(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Errors: true})
	s.CreateRepository(t, "app")
	c := s.Login(t)
	for i := range 14 {
		c.PushBlob(t, "app", layer(100_000+i))
	}
	blobs := filepath.Join(s.Config.Data, "blobs")
	move := func(from, to string) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(from, "*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%v in %s, %v", files, from, err)
		}
		for _, f := range files {
			if err := os.Rename(f, filepath.Join(to, filepath.Base(f))); err != nil {
				t.Fatal(err)
			}
		}
	}
	aside := t.TempDir()
	move(blobs, aside)
	first := daily(t, s)
	if err := first.Run(t.Context()); err == nil || first.Totals.Quarantines.Load() != 0 || first.Totals.Away.Load() != 1 {
		t.Errorf("where nothing is: %v, %d objects in quarantine", err, first.Totals.Quarantines.Load())
	}
	move(aside, blobs)
	second := s.Server().AnotherScrubber() // which has not been told to leave the store alone
	if err := second.Run(t.Context()); err != nil || second.Totals.Objects.Load() != 14 || second.Totals.Quarantines.Load() != 0 {
		t.Errorf("where all is: %v, %d objects were read", err, second.Totals.Objects.Load())
	}
}

// An object that cannot be read is no end of a check.
func TestFsckGoesOnAfterAnObjectThatCannotBeRead(t *testing.T) {
	t.Parallel()
	s, p := faulty(t, "on")
	c := s.Login(t)
	content := layer(100_000)
	c.PushBlob(t, "app", content)
	c.PushBlob(t, "app", layer(100_001))
	c.PushBlob(t, "app", layer(100_002))
	bad := keyOf(t, s, digest.FromBytes(content))
	s.Stop(t)
	p.Plan(func(r *http.Request) buckettest.Fault {
		if buckettest.Operation(r) == "GetObject" && strings.HasSuffix(r.URL.Path, bad) {
			return buckettest.Denied
		}
		return buckettest.NoFault
	})
	report, err := server.Fsck(t.Context(), s.Config, server.FsckOptions{})
	if err != nil || report.Objects != 3 || report.Lost() != 1 || report.Problems[0].Kind != fsck.Unreadable {
		t.Errorf("fsck = %+v, %v", report, err)
	}
	p.Plan(nil)
}

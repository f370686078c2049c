package server_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"berth/internal/blob/buckettest"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

// What the store cannot read now is not damaged.
func TestAnAbsenceOfTheStoreIsNoDamage(t *testing.T) {
	t.Parallel()
	s, p := faulty(t, "on")
	c := s.Login(t)
	content := layer(100_000)
	c.PushBlob(t, "app", content)
	for i := range 5 {
		c.PushBlob(t, "app", layer(200_000+i))
	}
	ask := func() {
		t.Helper()
		if status, text := s.PostAs(t, s.AWS(), server.ScrubRunPath, `{}`); status != 200 {
			t.Fatalf("%d %s", status, text)
		}
	}
	p.Plan(buckettest.Always("GetObject", buckettest.Denied))
	ask()
	_ = s.Server().Scrub(t.Context())
	_, text := s.PostAs(t, s.AWS(), server.ScrubStatusPath, `{}`)
	if strings.Contains(text, `"last"`) {
		t.Errorf("a pass has ended while the store was away: %s", text)
	}
	p.Plan(nil)
	third := s.Server().AnotherScrubber() // which has not been told to leave the store alone
	third.Owner = "third"
	if err := third.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := third.Totals.Quarantines.Load(); n != 0 || third.Totals.LastPass.Load() == 0 {
		t.Errorf("%d objects in quarantine, the last pass ended at %d", n, third.Totals.LastPass.Load())
	}
	if got := c.Do(t, "GET", "/v2/app/blobs/"+digest.FromBytes(content).String(), nil).Want(t, 200).Body; !bytes.Equal(got, content) {
		t.Error("the layer differs")
	}
}

// A push heals a manifest even before anybody has found it damaged.
func TestAPushHealsAManifestThatNobodyKnowsToBeDamaged(t *testing.T) {
	t.Parallel()
	eachScrubbed(t, func(t *testing.T, s *scrubbed) {
		img := servertest.NewImage(9, 1_000)
		s.c.Push(t, "app", "v1", img)
		s.damage(t, img.Digest, 2)
		s.Restart(t) // SQLite remembers what it has read
		s.c.PushManifest(t, "app", "v1", "application/vnd.oci.image.manifest.v1+json", img.Manifest).Want(t, 201)
		if got := s.c.Do(t, "GET", manifestPath("app", "v1"), nil).Want(t, 200).Body; !bytes.Equal(got, img.Manifest) {
			t.Errorf("the manifest is %q", got)
		}
		if n := s.events(t, "object.healed"); n != 1 {
			t.Errorf("%d events of healing, want 1", n)
		}
	})
}

// Passes begin when they are due, and one process of several makes them.
func TestOneProcessMakesThePassThatIsDue(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		s.Login(t).PushBlob(t, "app", layer(100_000))
		first, second := s.Server().AnotherScrubber(), s.Server().AnotherScrubber()
		first.Interval, second.Interval, second.Owner = 24*time.Hour, 24*time.Hour, "second"
		read := func(when string, a, b int64) {
			t.Helper()
			if err := errors.Join(first.Run(t.Context()), second.Run(t.Context())); err != nil {
				t.Fatal(err)
			}
			if x, y := first.Totals.Objects.Load(), second.Totals.Objects.Load(); x != a || y != b {
				t.Errorf("%s: %d and %d objects were read, want %d and %d", when, x, y, a, b)
			}
		}
		read("at the start", 0, 0)
		s.Clock.Advance(24 * time.Hour)
		read("after a day", 1, 0)
		s.Clock.Advance(23 * time.Hour)
		read("in between", 1, 0)
		s.Clock.Advance(time.Hour)
		read("after another day", 2, 0)
	})
}

// A pass that a process has begun and not ended goes on where it was.
func TestAPassGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	s, p := faulty(t, "on")
	c := s.Login(t)
	for i := range 3 {
		c.PushBlob(t, "app", layer(1_000+i)) // in the database
	}
	for i := range 4 {
		c.PushBlob(t, "app", layer(100_000+i))
	}
	s.PostAs(t, s.AWS(), server.ScrubStatusPath, `{}`)
	first, second := s.Server().AnotherScrubber(), s.Server().AnotherScrubber()
	first.Interval, second.Interval, second.Owner = 24*time.Hour, 24*time.Hour, "second"
	if err := first.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Clock.Advance(24 * time.Hour)
	p.Plan(buckettest.Always("GetObject", buckettest.Denied))
	if err := first.Run(t.Context()); err == nil {
		t.Fatal("the pass has ended while the store was away")
	}
	p.Plan(nil)
	if err := second.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := second.Totals.Objects.Load(); got != 4 {
		t.Errorf("%d objects were read once the store was there, want the 4 that it has", got)
	}
}

package server_test

import (
	"context"
	"testing"
	"time"

	"berth/internal/scrub"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

// paged is a store that calls meanwhile before the first page of a run's objects is read: the
// third reading after the lease was taken, after how far passes have come and where this one ends.
type paged struct {
	scrub.Store
	meanwhile func()
	leased    bool
	reads     int
}

func (p *paged) Keep(ctx context.Context, fn func(scrub.Tx) error) error {
	p.leased = true
	return p.Store.Keep(ctx, fn)
}

func (p *paged) View(ctx context.Context, fn func(scrub.Tx) error) error {
	if p.leased {
		if p.reads++; p.reads == 3 {
			p.meanwhile()
		}
	}
	return p.Store.View(ctx, fn)
}

// Who has lost the lease does not write over the progress of who has it.
func TestAProcessWhoseLeaseIsOverKeepsNoProgress(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	s.CreateRepository(t, "app")
	s.Login(t).PushBlob(t, "app", layer(1_000))
	first, second := daily(t, s), s.Server().AnotherScrubber()
	second.Interval, second.Owner = 24*time.Hour, "second"
	first.Store = &paged{Store: first.Store, meanwhile: func() {
		s.Clock.Advance(6 * time.Minute)
		if err := second.Run(t.Context()); err != nil || second.Totals.Objects.Load() != 1 {
			t.Errorf("the second process: %v", err)
		}
	}}
	if err := first.Run(t.Context()); err == nil {
		t.Error("the first process has recorded that its pass ended")
	}
}

// What is pushed during a pass is for the next one: it ends, however much that is.
func TestAPassEndsWithWhatWasThereWhenItBegan(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		s.Login(t).PushBlob(t, "app", layer(1_000))
		scrubber := daily(t, s)
		c := s.Login(t)
		scrubber.Store = &paged{Store: scrubber.Store, meanwhile: func() { c.PushBlob(t, "app", layer(2_000)) }}
		if err := scrubber.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := scrubber.Totals.Objects.Load(); n != 1 || scrubber.Totals.LastPass.Load() == 0 {
			t.Errorf("%d objects were read, want the one that was there", n)
		}
	})
}

// What a pull finds missing is looked at soon, not in the next pass.
func TestDamageThatAPullMeetsGoesIntoQuarantine(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Errors: true})
	s.CreateRepository(t, "app")
	c, content := s.Login(t), layer(100_000)
	c.PushBlob(t, "app", content)
	for _, name := range s.Files(t) {
		s.RemoveFile(t, name)
	}
	path := "/v2/app/blobs/" + digest.FromBytes(content).String()
	c.Do(t, "GET", path, nil).Want(t, 500)
	if err := s.Server().Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Do(t, "HEAD", path, nil).Want(t, 404)
}

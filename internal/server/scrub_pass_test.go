package server_test

import (
	"context"
	"testing"
	"time"

	"berth/internal/scrub"
	"berth/internal/servertest"
)

// paged is a store that calls meanwhile before the first page of a run's objects is read: the
// second reading after the lease was taken.
type paged struct {
	scrub.Store
	meanwhile func()
	leased    bool
	reads     int
}

func (p *paged) Update(ctx context.Context, fn func(scrub.Tx) error) error {
	p.leased = true
	return p.Store.Update(ctx, fn)
}

func (p *paged) View(ctx context.Context, fn func(scrub.Tx) error) error {
	if p.leased {
		if p.reads++; p.reads == 2 {
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

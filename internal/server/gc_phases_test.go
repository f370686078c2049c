package server_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"berth/internal/blob"
	"berth/internal/gc"
	"berth/internal/servertest"
)

// listed is a bucket of which a test makes the list.
type listed struct {
	blob.Bucket
	list func() error
}

func (b listed) List(context.Context) iter.Seq2[blob.Entry, error] {
	return func(yield func(blob.Entry, error) bool) {
		if err := b.list(); err != nil {
			yield(blob.Entry{}, err)
		}
	}
}

func TestAPhaseThatFailsKeepsNoOtherFromItsWork(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	o, removed := s.Server().Garbage().Options, false
	o.Bucket = listed{o.Bucket, func() error { return errors.New("no list today") }}
	o.Bytes = func(context.Context) error {
		removed = true
		return errors.New("nor can these go")
	}
	run, err := gc.New(o).Collect(t.Context(), true)
	if err == nil || !strings.Contains(err.Error(), "looking through the bucket: no list today") || !strings.Contains(run.Error, "bytes: nor can these go") {
		t.Errorf("the errors of both: %v", err)
	}
	if !removed {
		t.Error("no bytes were removed, because of something else")
	}
}

// What was not looked through to the end is, by the next run and not a day later.
func TestALookThroughTheBucketThatIsInterruptedBeginsAnew(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	collect(t, s)
	o := s.Server().Garbage().Options
	ctx, cancel := context.WithCancel(t.Context())
	o.Bucket = listed{o.Bucket, func() error {
		cancel()
		return ctx.Err()
	}}
	if _, err := gc.New(o).Collect(ctx, true); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	var looks atomic.Int64
	ctx, cancel = context.WithCancel(t.Context())
	o.Bucket = listed{o.Bucket, func() error {
		looks.Add(1)
		cancel()
		return nil
	}}
	o.Bytes = func(context.Context) error { // of a run that does not look
		cancel()
		return nil
	}
	gc.New(o).RunDue(ctx, func(err error) { t.Error(err) })
	if looks.Load() != 1 {
		t.Error("it was not looked through")
	}
}

// A run that was overtaken leaves alone what the other one has stored.
func TestARunThatHasLostItsLeaseStoresNothing(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	o := s.Server().Garbage().Options
	var second gc.Run
	o.Bytes = func(context.Context) error {
		s.Clock.Advance(time.Hour)
		other := s.Server().Garbage().Options
		other.Bytes = func(context.Context) error { return nil }
		var err error
		second, err = gc.New(other).Collect(t.Context(), false)
		if err != nil {
			return err
		}
		taken, err := takeLease(s)
		if err == nil && !taken {
			err = errors.New("the lease was not given back")
		}
		return err
	}
	if _, err := gc.New(o).Collect(t.Context(), false); !errors.Is(err, gc.ErrLost) {
		t.Errorf("the run that was overtaken: %v", err)
	}
	var stored string
	err := o.Store.View(t.Context(), func(tx gc.Tx) (err error) {
		stored, err = tx.GarbageState("run", false)
		return err
	})
	if err != nil || !strings.Contains(stored, second.StartedAt.Format("2006-01-02T15:04:05")) {
		t.Errorf("stored is %s, %v, want the second run", stored, err)
	}
}

// takeLease has somebody else be at it.
func takeLease(s *servertest.Server) (taken bool, err error) {
	err = s.Server().Garbage().Store.Update(context.Background(), func(tx gc.Tx) (err error) {
		taken, err = tx.Lease("garbage collection", "another", s.Clock.Now(), s.Clock.Now().Add(time.Hour))
		return err
	})
	return taken, err
}

package gc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"berth/internal/crash"
	"berth/internal/fault"
)

// ErrLost ends a run while another one is going on.
var ErrLost = errors.New("another process collects garbage")

// RunDue collects garbage when there is some, or somebody asks for it, until ctx ends.
// What fails is reported and tried again. While changes are refused it rests.
func (c *Collector) RunDue(ctx context.Context, failed func(error)) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		if c.Refused() == nil {
			if err := c.work(ctx); err != nil && ctx.Err() == nil && !fault.IsReadOnly(err) {
				failed(err)
			}
		}
		select {
		case <-tick.C:
		case <-c.wake:
		case <-ctx.Done():
			return
		}
	}
}

// work makes a run if one is due and no other process is at it.
func (c *Collector) work(ctx context.Context) error {
	var r request
	var last Run
	var p position
	err := c.Store.View(ctx, func(tx Tx) error {
		return errors.Join(get(tx, stateRequest, false, &r), get(tx, stateRun, false, &last), get(tx, stateRecount, false, &p))
	})
	if err != nil {
		return err
	}
	full := r.Full > last.Full || !p.StartedAt.IsZero() || c.now().Sub(p.EndedAt) >= throughEvery
	if r.Number == last.Served && !last.Running {
		if c.Idle || time.Since(c.last) < every {
			return nil
		}
		c.last = time.Now()
		due := false
		err := c.Store.View(ctx, func(tx Tx) error {
			var err error
			due, err = tx.GarbageDue(c.over(), c.loose())
			return err
		})
		if err != nil || !due && !full {
			return err
		}
	}
	if _, err := c.Collect(ctx, full); !errors.Is(err, ErrLost) {
		return err
	}
	return nil
}

// work is one run.
type work struct {
	*Collector
	owner string // of the lease
	run   Run
	asked request   // the last request when it began
	saved time.Time // when its progress was stored
}

// Collect makes a run, which goes on where one that was interrupted has ended: what was
// done is done. It returns ErrLost if another one is going on.
func (c *Collector) Collect(ctx context.Context, full bool) (Run, error) {
	w := &work{Collector: c, owner: rand.Text()}
	if err := w.begin(ctx); err != nil {
		return w.run, err
	}
	began := time.Now()
	err := w.keeping(ctx, func(ctx context.Context) error { return w.all(ctx, full) })
	c.counters.Runs.Add(1)
	c.counters.Microseconds.Add(time.Since(began).Microseconds())
	if errors.Is(err, ErrLost) {
		return w.run, err
	}
	if err != nil {
		c.counters.Failures.Add(1)
		w.run.Error = err.Error()
	}
	ended := w.end(context.WithoutCancel(ctx), full && err == nil, ctx.Err() != nil)
	return w.run, errors.Join(err, ended)
}

// begin takes the lease.
func (w *work) begin(ctx context.Context) error {
	return w.Store.Relaxed(ctx, func(tx Tx) error {
		if err := w.hold(tx); err != nil {
			return err
		}
		var r request
		var last Run
		if err := errors.Join(get(tx, stateRequest, true, &r), get(tx, stateRun, true, &last)); err != nil {
			return err
		}
		// What is asked for from here on is for the next run.
		w.run = Run{Served: r.Number, Full: last.Full, Running: true, StartedAt: w.now(), Total: last.Total, Runs: last.Runs + 1}
		w.asked = r
		return put(tx, stateRun, w.run)
	})
}

// end stores what has come of the run and gives the lease back. A run that was
// interrupted counts as going on. If somebody else has the lease by then, what is stored is
// theirs, and the error ErrLost.
func (w *work) end(ctx context.Context, full, interrupted bool) error {
	return w.Store.Relaxed(ctx, func(tx Tx) error {
		// What is said of the run of another process stays, also if that has ended. The
		// lease ends at a time that is over by any clock, but not by this one.
		mine, err := tx.Lease(leaseName, w.owner, time.UnixMicro(-1), time.Time{})
		if err == nil && !mine {
			err = ErrLost
		}
		if err != nil {
			return err
		}
		run := w.run
		if full {
			run.Full = w.asked.Full
		}
		run.Running, run.Phase, run.EndedAt = interrupted, "", w.now()
		return put(tx, stateRun, run)
	})
}

const leaseName = "garbage collection"

// hold makes sure, in the transaction in which something is done, that nobody else
// does it.
func (w *work) hold(tx Tx) error {
	now := w.now()
	mine, err := tx.Lease(leaseName, w.owner, now, now.Add(w.Lease))
	if err == nil && !mine {
		err = ErrLost
	}
	return err
}

// keeping calls do and keeps the lease meanwhile, also where do does nothing in the database for
// a while. If the lease is lost, do's context ends.
func (w *work) keeping(ctx context.Context, do func(context.Context) error) error {
	ctx, lose := context.WithCancelCause(ctx)
	done, kept := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(kept)
		tick := time.NewTicker(w.Lease / 3)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				// Any other error is met by the next step as well.
				if err := w.Store.Relaxed(ctx, w.hold); errors.Is(err, ErrLost) {
					lose(err)
					return
				}
			case <-done:
				return
			}
		}
	}()
	err := do(ctx)
	close(done)
	<-kept
	if lost := context.Cause(ctx); errors.Is(lost, ErrLost) {
		err = lost
	}
	lose(nil)
	return err
}

// all does all that there is to do, from the top. A phase that fails keeps no other from
// doing what it can: each goes by what is recorded.
func (w *work) all(ctx context.Context, full bool) error {
	phases := []struct {
		name string
		do   func(context.Context) error
		full bool
	}{
		{"repositories", w.repositories, false},
		{"images", w.images, false},
		{"layers", w.layers, false},
		{"looking through everything", w.recount, true}, // when nothing is half removed
		{"objects", w.objects, false},
		{"history", w.history, false},
		{"looking through the bucket", w.sweep, true},
		{"bytes", w.bytes, false},
	}
	var failures []error
	for _, p := range phases {
		if p.full && !full {
			continue
		}
		w.run.Phase = p.name
		err := p.do(ctx)
		if errors.Is(err, ErrLost) || ctx.Err() != nil {
			return err
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", p.name, err))
		}
	}
	return errors.Join(failures...)
}

// step runs fn in a transaction of its own, which changes a bounded number of rows, and
// then leaves the database to others for a while.
func (w *work) step(ctx context.Context, fn func(Tx) (Removed, error)) (Removed, error) {
	if err := ctx.Err(); err != nil {
		return Removed{}, err
	}
	began := time.Now()
	var done Removed
	var worked time.Duration // without the wait for the writer and for the disk
	save := began.Sub(w.saved) > time.Second
	err := w.Store.Relaxed(ctx, func(tx Tx) error {
		working := time.Now()
		defer func() { worked = time.Since(working) }()
		if err := w.hold(tx); err != nil {
			return err
		}
		var err error
		if done, err = fn(tx); err == nil && save {
			err = put(tx, stateRun, w.run)
		}
		crash.Point("gc.step")
		return err
	})
	if err != nil {
		return Removed{}, err
	}
	if save {
		w.saved = began
	}
	crash.Point("gc.step")
	w.count(done)
	return done, w.pause(ctx, worked)
}

func (w *work) count(done Removed) {
	w.run.Removed.add(done)
	w.run.Total.add(done)
	w.run.Examined += done.rows
	w.counters.Images.Add(done.Images)
	w.counters.Layers.Add(done.Layers)
	w.counters.Objects.Add(done.Objects)
	w.counters.Bytes.Add(done.Bytes)
}

// pause waits so long that a run which has worked for a time has no more than its share.
func (w *work) pause(ctx context.Context, worked time.Duration) error {
	if w.Share <= 0 || w.Share >= 100 {
		return nil
	}
	select {
	case <-time.After(worked * time.Duration(100-w.Share) / time.Duration(w.Share)):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

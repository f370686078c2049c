package backup

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"
)

const (
	// leaseLife is how long bytes are kept for a backup that has died.
	leaseLife = 10 * time.Minute
	// renewInterval is how often a backup says that it lives.
	renewInterval = time.Minute
	// retryInterval is how long it waits if the database does not take that.
	retryInterval = time.Second
)

// ErrLost: a backup has not been able to say in time that it goes on, and bytes that its
// snapshot names may have been removed.
var ErrLost = errors.New("the lease that keeps bytes from being removed has run out: run the backup again")

// holding keeps bytes from being removed until it is released.
type holding struct {
	o    Options
	name string
	ctx  context.Context // ends when that cannot be said to be so any more
	end  context.CancelCauseFunc
	done sync.WaitGroup

	mu    sync.Mutex
	until time.Time // what the database has last taken, by this process's clock; guarded by mu
}

// hold begins to keep bytes.
func hold(ctx context.Context, o Options) (*holding, error) {
	h := &holding{o: o, name: rand.Text()}
	if err := h.say(ctx, true); err != nil {
		return nil, err
	}
	h.ctx, h.end = context.WithCancelCause(ctx)
	h.done.Go(func() {
		tick := time.NewTicker(renewInterval)
		defer tick.Stop()
		for {
			select {
			case <-h.ctx.Done():
				return
			case <-tick.C:
			}
			if err := h.say(h.ctx, false); errors.Is(err, ErrLost) { // another error may pass
				h.end(err)
				return
			}
		}
	})
	return h, nil
}

// say tells the database that the backup begins, or goes on.
func (h *holding) say(ctx context.Context, first bool) error {
	began, now := time.Now(), h.o.Now()
	err := h.o.Source.Hold(ctx, h.name, first, now, now.Add(leaseLife))
	if err == nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.until = began.Add(leaseLife)
	}
	return err
}

// renew says that the backup goes on. As long as the lease does, it tries again.
func (h *holding) renew() error {
	for {
		err := h.say(h.ctx, false)
		h.mu.Lock()
		over := !time.Now().Before(h.until)
		h.mu.Unlock()
		if err == nil || errors.Is(err, ErrLost) || over {
			return err
		}
		select {
		case <-h.ctx.Done():
			return context.Cause(h.ctx)
		case <-time.After(retryInterval):
		}
	}
}

// release ends it.
func (h *holding) release(ctx context.Context) error {
	h.end(nil)
	h.done.Wait()
	return h.o.Source.Release(context.WithoutCancel(ctx), h.name)
}

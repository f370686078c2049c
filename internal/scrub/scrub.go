// Package scrub finds bytes that are not what was stored, while everything goes on, and
// makes them whole again.
//
// A pass reads and hashes every object, no faster than it is allowed to. What is missing or
// damaged goes into quarantine: it is served to nobody, and does not count as there for
// who pushes, so that a push brings its bytes again and heals it. Before that other
// sources are asked for them. A pass goes on where it was after a restart, and one process
// of all on the database makes it.
package scrub

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"berth/internal/access"
	"berth/internal/blob"
	"berth/internal/fsck"
)

const (
	// page is how many objects are read at once, and saveEvery how much time may pass until
	// it is recorded how far a pass has come.
	page      = 100
	saveEvery = 5 * time.Second
	leaseLife = 5 * time.Minute
	leaseName = "scrub"
	// maxHints is how many objects wait to be looked at that somebody could not read.
	maxHints = 100
	// firstAfter is when the first pass begins at the latest.
	firstAfter = 24 * time.Hour
	// retryDamaged is how often what is in quarantine is looked at between passes.
	retryDamaged = time.Hour
	// awayPause is how long the store is left alone when it does not answer.
	awayPause = time.Minute
)

// Options are what a Scrubber is made of.
type Options struct {
	Store      Store
	Blobs      *blob.Store
	Sources    []Source // asked in order
	Authorizer *access.Authorizer
	Auditor    access.Auditor
	Account    string // the administrator's
	Now        func() time.Time
	Owner      string        // of the lease: another one for each process
	Interval   time.Duration // from the beginning of a pass to that of the next; 0 for none that nobody asks for
	Rate       int64         // bytes a second; 0 for no limit
	Log        *slog.Logger
	HasRoom    func() bool // whether copies can be stored; nil for always
}

// Totals are what a process has looked at, and what it last knew of all.
type Totals struct {
	Objects, Bytes atomic.Int64
	Damaged        atomic.Int64 // in quarantine
	Unreadable     atomic.Int64 // in the last pass
	LastPass       atomic.Int64 // when it ended, in seconds since 1970; 0 for never
	Quarantines    atomic.Int64
	Healed         atomic.Int64
	Away           atomic.Int64 // 1 if the last run ended because the store did not have what it should
}

// Scrubber makes passes.
type Scrubber struct {
	Options
	Totals Totals

	asked chan struct{} // full when somebody wants a pass
	hints chan string   // UIDs of objects that somebody could not read

	mu      sync.Mutex             // one run at a time
	until   time.Time              // the store is left alone; guarded by mu
	counted time.Time              // when what is in quarantine was last counted; guarded by mu
	known   map[string]fsck.Object // by place, one that was read; guarded by mu
	probed  string                 // the last UID that was tried in search of one; guarded by mu
}

// New returns a Scrubber.
func New(o Options) *Scrubber {
	return &Scrubber{Options: o, asked: make(chan struct{}, 1), hints: make(chan string, maxHints)}
}

// Suspect has the next Run look at an object whose bytes somebody has found missing or
// damaged. It does not wait, and forgets the object if there are many such.
func (s *Scrubber) Suspect(uid string) {
	select {
	case s.hints <- uid:
	default:
	}
}

// Asked is ready when somebody has asked this process for a pass, or has met damage.
func (s *Scrubber) Asked() <-chan struct{} { return s.asked }

// errAway ends a run: the store does not answer.
var errAway = errors.New("the blob store does not give what it should have")

// Run makes the pass that is due, if any, to its end. Of all processes that call it one
// does so. It is called every few seconds.
func (s *Scrubber) Run(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().Before(s.until) {
		return nil
	}
	p, _, due, err := s.due(ctx)
	if err != nil {
		return err
	}
	s.note(p)
	retry := !due && s.Totals.Damaged.Load()+int64(len(p.Unreadable)) > 0 && s.Now().Sub(p.Tried) >= retryDamaged
	if !due && !retry && len(s.hints) == 0 {
		return nil
	}
	r := &run{Scrubber: s, ctx: ctx}
	if mine, err := r.lease(); err != nil || !mine {
		return err
	}
	if p, r.request, due, err = s.due(ctx); err != nil { // another process may have been faster
		return err
	}
	r.progress, r.version = p, p.Version
	if p.Unreadable == nil { // it is one map for all copies of the progress
		r.progress.Unreadable = map[string]time.Time{}
	}
	switch err = r.hinted(); {
	case err != nil:
	case due:
		err = r.pass()
	case retry:
		err = r.retryDamaged()
	}
	s.Totals.Away.Store(0)
	if errors.Is(err, errAway) {
		s.until = time.Now().Add(awayPause)
		s.Totals.Away.Store(1)
	}
	s.counted = time.Time{}
	return errors.Join(err, s.count(context.WithoutCancel(ctx)), r.release())
}

// due returns how far passes have come, the last request, and whether one is under way or to begin.
func (s *Scrubber) due(ctx context.Context) (p progress, asked request, due bool, err error) {
	err = s.Store.View(ctx, func(tx Tx) error {
		p, asked = progress{}, request{}
		return errors.Join(tx.ScrubState("pass", &p), tx.ScrubState("request", &asked))
	})
	if err != nil {
		return p, asked, false, err
	}
	if err := s.count(ctx); err != nil {
		return p, asked, false, err
	}
	now := s.Now()
	if s.Interval > 0 && p.Next.IsZero() {
		p.Next = now.Add(min(s.Interval, firstAfter))
		err = s.save(ctx, p)
	}
	return p, asked, p.Pass != nil || wanted(p, asked) || s.Interval > 0 && !now.Before(p.Next), err
}

// wanted reports whether somebody has asked for a pass since the last one was. It is the
// request that is held against the last pass, not its time: clocks differ.
func wanted(p progress, asked request) bool { return asked.ID != "" && asked.ID != p.Request }

// count learns now and then how much is in quarantine.
func (s *Scrubber) count(ctx context.Context) error {
	if time.Since(s.counted) < time.Minute {
		return nil
	}
	return s.Store.View(ctx, func(tx Tx) error {
		n, err := tx.DamagedCount()
		if err == nil {
			s.counted = time.Now()
			s.Totals.Damaged.Store(n)
		}
		return err
	})
}

func (s *Scrubber) note(p progress) {
	if p.Last != nil {
		s.Totals.LastPass.Store(p.Last.EndedAt.Unix())
		s.Totals.Unreadable.Store(p.Last.Unreadable)
	}
}

func (s *Scrubber) save(ctx context.Context, p progress) error {
	return s.Store.Keep(ctx, func(tx Tx) error { return tx.PutScrubState("pass", p) })
}

// run is one call of Run that has the lease.
type run struct {
	*Scrubber
	ctx      context.Context
	progress progress
	request  request   // the last one
	leased   time.Time // when the lease was last taken
	saved    time.Time
	version  int64 // of the progress as it was read or recorded
	lost     error // the lease is another process's, or the context has ended

	paceFrom time.Time // since when so many bytes have been read
	paced    int64
	failing  int // objects in a row that could not be read
}

// lease takes the lease, or renews it.
func (r *run) lease() (mine bool, err error) {
	now := r.Now()
	err = r.Store.Keep(r.ctx, func(tx Tx) error {
		mine, err = tx.Lease(leaseName, r.Owner, now, now.Add(leaseLife))
		return err
	})
	r.leased = time.Now()
	return mine, err
}

// save records the progress, and takes the lease anew. The error is errLeaseLost if another
// process has it, or had it meanwhile: it has recorded its own.
func (r *run) save(ctx context.Context, p progress) error {
	now := r.Now()
	err := r.Store.Keep(ctx, func(tx Tx) error {
		mine, err := tx.Lease(leaseName, r.Owner, now, now.Add(leaseLife))
		var kept progress
		if err == nil {
			err = tx.ScrubState("pass", &kept)
		}
		if err == nil && (!mine || kept.Version != r.version) {
			err = errLeaseLost
		}
		if err != nil {
			return err
		}
		p.Version = r.version + 1
		return tx.PutScrubState("pass", p)
	})
	if err == nil {
		r.version, r.leased = p.Version, time.Now()
	}
	return err
}

// release lets another process have the lease at once.
func (r *run) release() error {
	now := r.Now()
	return r.Store.Keep(context.WithoutCancel(r.ctx), func(tx Tx) error {
		_, err := tx.Lease(leaseName, r.Owner, now, now)
		return err
	})
}

// pass goes through the objects that are left of a pass.
func (r *run) pass() error {
	if r.progress.Pass == nil {
		last, err := r.last()
		if err != nil {
			return err
		}
		r.progress.Pass, r.progress.After, r.progress.Until, r.progress.Request = &Pass{StartedAt: r.Now()}, "", last, r.request.ID
		if r.Interval > 0 {
			r.progress.Next = r.Now().Add(r.Interval)
		}
	}
	r.saved = time.Now()
	before, pass := r.progress, *r.progress.Pass
	for {
		if err := r.hinted(); err != nil {
			return errors.Join(err, r.keep(err))
		}
		objects, err := r.next(func(tx Tx) ([]fsck.Object, error) { return tx.Objects(r.progress.After, page) })
		if err != nil {
			return err
		}
		for _, o := range objects {
			if r.progress.Until != "" && o.UID > r.progress.Until { // pushed since: it is for the next pass
				return r.end()
			}
			if r.failing == 0 { // from here on, should the store be away
				before, pass = r.progress, *r.progress.Pass
			}
			if err := r.object(o); err != nil {
				if errors.Is(err, errAway) {
					r.progress, r.progress.Pass = before, &pass
				}
				return errors.Join(err, r.keep(err))
			}
			r.progress.After = o.UID
			if time.Since(r.saved) > saveEvery {
				if err := r.save(r.ctx, r.progress); err != nil {
					return err
				}
				r.saved = time.Now()
			}
		}
		if len(objects) == 0 {
			return r.end()
		}
	}
}

// last returns the greatest UID.
func (r *run) last() (uid string, err error) {
	err = r.Store.View(r.ctx, func(tx Tx) error {
		uid, err = tx.LastObject()
		return err
	})
	return uid, err
}

func (r *run) end() error {
	done := r.progress.Pass
	done.EndedAt = r.Now()
	r.progress.Pass, r.progress.After, r.progress.Until, r.progress.Last, r.progress.Tried = nil, "", "", done, r.Now()
	r.note(r.progress)
	r.Log.Info("all objects were read", "objects", done.Objects, "bytes", done.Bytes, "damaged", done.Damaged, "healed", done.Healed,
		"locked", done.Locked, "unreadable", done.Unreadable)
	return r.save(r.ctx, r.progress)
}

// hinted looks at what others of this process have found damaged.
func (r *run) hinted() error {
	seen := map[string]bool{}
	for {
		select {
		case uid := <-r.hints:
			if seen[uid] {
				continue
			}
			seen[uid] = true
			objects, err := r.byUID(uid)
			if err != nil {
				return err
			}
			for _, o := range objects {
				if err := r.object(o); err != nil {
					return err
				}
			}
		default:
			return nil
		}
	}
}

// byUID returns an object unless it is gone.
func (r *run) byUID(uid string) ([]fsck.Object, error) {
	return r.next(func(tx Tx) ([]fsck.Object, error) {
		o, err := tx.Object(uid)
		if err != nil || o == nil {
			return nil, err
		}
		return []fsck.Object{*o}, nil
	})
}

// retryDamaged looks at what is in quarantine, and at what could not be read, once more.
func (r *run) retryDamaged() error {
	r.progress.Tried = r.Now()
	for _, uid := range slices.Sorted(maps.Keys(r.progress.Unreadable)) {
		objects, err := r.byUID(uid)
		if err != nil {
			return err
		}
		if len(objects) == 0 || objects[0].Damaged {
			delete(r.progress.Unreadable, uid)
			continue
		}
		if err := r.object(objects[0]); err != nil {
			return errors.Join(err, r.keep(err))
		}
	}
	for after := ""; ; {
		objects, err := r.next(func(tx Tx) ([]fsck.Object, error) { return tx.DamagedObjects(after, page) })
		if err != nil {
			return err
		}
		for _, o := range objects {
			if err := r.object(o); err != nil {
				return errors.Join(err, r.keep(err))
			}
			after = o.UID
		}
		if len(objects) == 0 {
			return r.save(r.ctx, r.progress)
		}
	}
}

// keep saves the progress after an error, unless another process keeps it now.
func (r *run) keep(err error) error {
	if errors.Is(err, errLeaseLost) {
		return nil
	}
	return r.save(context.WithoutCancel(r.ctx), r.progress)
}

func (r *run) next(read func(Tx) ([]fsck.Object, error)) (objects []fsck.Object, err error) {
	err = r.Store.View(r.ctx, func(tx Tx) error {
		objects, err = read(tx)
		return err
	})
	return objects, err
}

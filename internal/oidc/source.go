package oidc

import (
	"context"
	"math"
	"sync"
	"time"
)

// source has the keys of one issuer and gets them again when they are old or one
// is missing.
type source struct {
	load     func(context.Context) ([]key, error)
	now      func() time.Time
	fresh    time.Duration // for so long the keys are used unasked
	interval time.Duration // so long after keys were loaded, none is missed
	stale    time.Duration // keys are used for so long while no new ones can be had
	failed   func(error)   // is told why keys could not be loaded; may be nil
	// background runs a function that loads keys while old ones are used. Without it
	// whoever asks waits.
	background func(func(context.Context))

	turn chan struct{} // holds one value while somebody loads the keys

	mu     sync.Mutex
	keys   []key     // guarded by mu
	loaded time.Time // when they were; guarded by mu
	tried  time.Time // when it was last tried; guarded by mu
	err    error     // how that failed, nil if it did not; guarded by mu
	used   time.Time // guarded by mu
}

const (
	retryInterval = 10 * time.Second // so long after a failure it is not tried again
	loadTimeout   = 15 * time.Second
)

// known returns the keys that are fit for the token: those that are fresh, or all
// that are not too old. Good says that there is no reason to load any.
func (s *source) known(u *unverified) (keys []key, good bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.used = now
	age := since(now, s.loaded)
	if age >= s.stale {
		return nil, false
	}
	for _, k := range s.keys {
		if k.id == u.kid && k.alg == u.alg {
			keys = append(keys, k)
		}
	}
	return keys, len(keys) > 0 && age < s.fresh
}

// since is how long ago something was. If it is still to come, because the clock
// was put back, it was long ago.
func since(now, then time.Time) time.Duration {
	if d := now.Sub(then); d >= 0 {
		return d
	}
	return math.MaxInt64
}

// due reports whether keys may be loaded now, and how the last try failed.
func (s *source) due() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	interval := s.interval
	if s.err != nil {
		interval = retryInterval
	}
	return s.tried.IsZero() || since(s.now(), s.tried) >= interval, s.err
}

// find returns the keys that the token may be signed with. It returns no keys
// and no error if the issuer has none such. However many tokens ask, the issuer
// is asked by one at a time, and not more often than its intervals say.
func (s *source) find(ctx context.Context, u *unverified) ([]key, error) {
	keys, good := s.known(u)
	if good {
		return keys, nil
	}
	if due, err := s.due(); !due {
		return keys, unless(keys, err)
	}
	if len(keys) > 0 { // better old ones than to wait for another who asks
		select {
		case s.turn <- struct{}{}:
		default:
			return keys, nil
		}
		if s.background != nil {
			s.background(s.take)
			return keys, nil
		}
	} else {
		select {
		case s.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	s.take(context.WithoutCancel(ctx)) // others want the keys, too
	keys, _ = s.known(u)
	_, err := s.due()
	return keys, unless(keys, err)
}

// take takes the turn, which the caller has, to load the keys if that is still due.
func (s *source) take(ctx context.Context) {
	defer func() { <-s.turn }()
	if due, _ := s.due(); due {
		s.reload(ctx)
	}
}

// unless returns err if there are no keys.
func unless(keys []key, err error) error {
	if len(keys) > 0 {
		return nil
	}
	return err
}

// reload gets the keys.
func (s *source) reload(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	keys, err := s.load(ctx)
	if err != nil && s.failed != nil {
		s.failed(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried, s.err = s.now(), err
	if err == nil {
		s.keys, s.loaded = keys, s.tried
	}
}

package oidc

import (
	"context"
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

	turn chan struct{} // holds one value while somebody loads the keys

	mu     sync.Mutex
	keys   []key     // guarded by mu
	loaded time.Time // when they were; guarded by mu
	tried  time.Time // when it was last tried; guarded by mu
	err    error     // how that failed, nil if it did not; guarded by mu
	used   time.Time // guarded by mu
}

const (
	maxStale      = 12 * time.Hour   // keys are used for so long while no new ones can be had
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
	if age >= maxStale {
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
	return maxStale
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
	} else {
		select {
		case s.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer func() { <-s.turn }()
	if due, _ := s.due(); due {
		s.reload(ctx)
	}
	keys, _ = s.known(u)
	_, err := s.due()
	return keys, unless(keys, err)
}

// unless returns err if there are no keys.
func unless(keys []key, err error) error {
	if len(keys) > 0 {
		return nil
	}
	return err
}

// reload gets the keys. It goes on if ctx is cancelled: others want them too.
func (s *source) reload(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
	defer cancel()
	keys, err := s.load(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried, s.err = s.now(), err
	if err == nil {
		s.keys, s.loaded = keys, s.tried
	}
}

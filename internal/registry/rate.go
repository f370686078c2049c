package registry

import (
	"context"
	"maps"
	"sync"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
)

// rates limits how often each principal calls each operation, in this process.
// The calls of a second may come at once. It is the token bucket in another
// form: all that is kept of one is when it will be full again.
type rates struct {
	limits map[string]int64 // calls a second by operation; none if rates are not limited

	mu      sync.Mutex
	granted map[grantedRate]int64 // beyond the limits; guarded by mu
	recent  map[rateKey]time.Time // used since turned; guarded by mu
	before  map[rateKey]time.Time // used in the second before that; guarded by mu
	turned  time.Time             // guarded by mu
}

// grantedRate is the rate of an operation in a registry.
type grantedRate struct {
	ID
	operation string
}

// rateKey is what a bucket is for. Nothing of it is for the caller to choose but
// the operation.
type rateKey struct {
	operation string
	principal string // its ARN
}

// rateWindow is how long a bucket takes to fill: one that was not used for so
// long is like new, and forgotten.
const rateWindow = time.Second

// maxRateKeys bounds how many buckets are kept. Principals beyond it share one for
// each operation.
const maxRateKeys = 10_000

// newRates returns rates with those of the limits that are for operations.
func newRates(l limits) rates {
	operations := map[string]int64{}
	for _, q := range quotas {
		if limit, ok := l[q.Name]; ok && q.Operation != "" {
			operations[q.Operation] = limit
		}
	}
	return rates{limits: operations, recent: map[rateKey]time.Time{}}
}

// admit counts calls of a caller in a region, either all of them or none. It
// returns ThrottlingException if there were too many of one. Callers without a
// login are limited by their addresses, in another place.
func (l *rates) admit(c access.Caller, region string, now time.Time, operations ...string) error {
	if len(l.limits) == 0 || c.Type == access.Anonymous {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(now)
	full := map[rateKey]time.Time{}
	for _, operation := range operations {
		limit, limited := l.limits[operation]
		if !limited {
			continue
		}
		k := l.bucket(rateKey{operation, c.ARN})
		limit = max(limit, l.granted[grantedRate{ID{c.Account, region}, operation}])
		until, ok := l.take(k, limit, now)
		if !ok {
			return fault.New(fault.Throttled, "ThrottlingException", "Rate exceeded")
		}
		full[k] = until
	}
	maps.Copy(l.recent, full)
	return nil
}

// turn forgets buckets that are like new, and all of them if the clock was put
// back: they would be full in a future that is far away now. mu must be held.
func (l *rates) turn(now time.Time) {
	switch since := now.Sub(l.turned); {
	case since >= 2*rateWindow || since <= -rateWindow:
		l.before, l.recent, l.turned = nil, map[rateKey]time.Time{}, now
	case since >= rateWindow:
		l.before, l.recent, l.turned = l.recent, map[rateKey]time.Time{}, now
	}
}

// bucket returns the key of the bucket that there is, or may be, for k. mu must
// be held.
func (l *rates) bucket(k rateKey) rateKey {
	if _, ok := l.recent[k]; !ok && len(l.recent) >= maxRateKeys {
		k.principal = ""
	}
	return k
}

// take returns when a bucket of so many will be full again after one was taken out
// of it, and whether one is in it. mu must be held.
func (l *rates) take(k rateKey, perSecond int64, now time.Time) (time.Time, bool) {
	full, ok := l.recent[k]
	if !ok {
		full = l.before[k]
	}
	if full.Before(now) {
		full = now
	}
	full = full.Add(rateWindow / time.Duration(perSecond))
	return full, full.Sub(now) <= rateWindow
}

// admit counts the call against its rate, once.
func (r *Registry) admit(q *request) error {
	if q.admitted || q.service != "" {
		return nil
	}
	q.admitted = true
	return r.rates.admit(q.caller, q.ref.Region, r.now(), q.event)
}

// RefreshRates learns of rates that were granted since the last call. It is
// called every few seconds.
func (r *Registry) RefreshRates(ctx context.Context) error {
	if len(r.rates.limits) == 0 {
		return nil
	}
	granted := map[grantedRate]int64{}
	err := r.store.View(ctx, func(tx ReadTx) error {
		clear(granted)
		for _, q := range quotas {
			if _, limited := r.rates.limits[q.Operation]; !limited {
				continue
			}
			values, err := tx.GrantedQuotas(q.Code)
			if err != nil {
				return err
			}
			for id, v := range values {
				granted[grantedRate{id, q.Operation}] = v
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.rates.mu.Lock()
	defer r.rates.mu.Unlock()
	r.rates.granted = granted
	return nil
}

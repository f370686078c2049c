package registry

import (
	"context"
	"sync"
	"time"

	"berth/internal/fault"
)

// rates limits how often each principal calls each operation, in this process.
// The calls of a second may come at once. It is the token bucket in another
// form: all that is kept of one is when it will be full again.
type rates struct {
	limits map[string]int64 // calls a second by operation; none if rates are not limited

	mu      sync.Mutex
	granted map[rateID]int64      // beyond the limits; guarded by mu
	recent  map[rateKey]time.Time // used since turned; guarded by mu
	before  map[rateKey]time.Time // used in the second before that; guarded by mu
	turned  time.Time             // guarded by mu
}

// rateID is the rate of an operation in a registry.
type rateID struct {
	ID
	operation string
}

type rateKey struct {
	rateID
	principal string // its ARN
}

// rateWindow is how long a bucket takes to fill: one that was not used for so
// long is like new, and forgotten.
const rateWindow = time.Second

// maxRateKeys bounds how many buckets are kept. Principals beyond it share one.
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

// admit counts a call. It returns ThrottlingException if there were too many.
func (l *rates) admit(q request, now time.Time) error {
	limit, limited := l.limits[q.event]
	if !limited || q.admitted || q.service != "" {
		return nil
	}
	id := rateID{q.ref.ID, q.event}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.take(rateKey{id, q.caller.ARN}, max(limit, l.granted[id]), now) {
		return fault.New(fault.Throttled, "ThrottlingException", "Rate exceeded")
	}
	return nil
}

// take takes one out of a bucket of so many, unless it is empty. mu must be held.
func (l *rates) take(k rateKey, perSecond int64, now time.Time) bool {
	switch since := now.Sub(l.turned); {
	case since >= 2*rateWindow:
		l.before, l.recent, l.turned = nil, map[rateKey]time.Time{}, now
	case since >= rateWindow:
		l.before, l.recent, l.turned = l.recent, map[rateKey]time.Time{}, now
	}
	full, ok := l.recent[k]
	if !ok && len(l.recent) >= maxRateKeys {
		k.principal = ""
		full = l.recent[k]
	} else if !ok {
		full = l.before[k]
	}
	if full.Before(now) {
		full = now
	}
	full = full.Add(rateWindow / time.Duration(perSecond))
	if full.Sub(now) > rateWindow {
		return false
	}
	l.recent[k] = full
	return true
}

// RefreshRates learns of rates that were granted since the last call. It is
// called every few seconds if rates are limited.
func (r *Registry) RefreshRates(ctx context.Context) error {
	granted := map[rateID]int64{}
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
				granted[rateID{id, q.Operation}] = v
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

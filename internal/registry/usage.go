package registry

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Usage is what one principal did with one repository.
type Usage struct {
	Ref           Ref
	RepositoryUID string
	Principal     string    // its ARN
	Day           time.Time // filled in when the counts are stored
	Pulls         int64     // manifests read
	BytesOut      int64     // of manifests and layers, as asked for
	BytesStored   int64     // of layers that the key domain did not have before
}

type usageKey struct{ repository, principal string }

// maxUsageKeys bounds what a meter holds between two flushes.
const maxUsageKeys = 10_000

// meter adds up usage in memory until it is stored. The zero value is empty.
type meter struct {
	mu     sync.Mutex
	counts map[usageKey]Usage // guarded by mu
	lost   int64              // uses not counted because there were too many keys; guarded by mu
}

func (m *meter) add(u Usage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := usageKey{u.RepositoryUID, u.Principal}
	sum, ok := m.counts[k]
	if !ok && len(m.counts) >= maxUsageKeys {
		m.lost++
		return
	}
	if m.counts == nil {
		m.counts = map[usageKey]Usage{}
	}
	u.Pulls += sum.Pulls
	u.BytesOut += sum.BytesOut
	u.BytesStored += sum.BytesStored
	m.counts[k] = u
}

// take empties the meter.
func (m *meter) take() map[usageKey]Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	counts := m.counts
	m.counts = nil
	return counts
}

// FlushUsage stores what has been counted, and which images were pulled, since
// the last call. It is called every few seconds and at shutdown; what it cannot
// store is kept for the next call.
func (r *Registry) FlushUsage(ctx context.Context) error {
	return errors.Join(r.flushPulls(ctx), r.flushCounts(ctx))
}

func (r *Registry) flushCounts(ctx context.Context) error {
	counts := r.meter.take()
	if len(counts) == 0 {
		return nil
	}
	day := r.now().Truncate(24 * time.Hour)
	err := r.store.KeepRelaxed(ctx, func(tx Tx) error {
		for _, u := range counts {
			u.Day = day
			if err := tx.AddUsage(u); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		for _, u := range counts {
			r.meter.add(u)
		}
	}
	return err
}

package identity

import (
	"context"
	"sync"
	"time"
)

// useResolution is how far apart recorded uses of a key are at least.
const useResolution = time.Minute

// maxUses bounds how many uses are remembered between two flushes.
const maxUses = 10_000

// uses remembers when keys were used until it is stored. The zero value is empty.
type uses struct {
	mu     sync.Mutex
	at     map[string]Use // not stored yet; guarded by mu
	stored map[string]Use // stored not long ago; guarded by mu
}

func (u *uses) note(id string, use Use) {
	u.mu.Lock()
	defer u.mu.Unlock()
	before, ok := u.at[id]
	if !ok {
		before = u.stored[id]
	}
	same := before.Region == use.Region && before.Service == use.Service
	if same && use.At.Sub(before.At) < useResolution || !ok && len(u.at) >= maxUses {
		return
	}
	if u.at == nil {
		u.at = map[string]Use{}
	}
	u.at[id] = use
}

func (u *uses) get(id string) (Use, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if use, ok := u.at[id]; ok {
		return use, true
	}
	use, ok := u.stored[id]
	return use, ok
}

// take empties it, but for what keeps uses apart.
func (u *uses) take() map[string]Use {
	u.mu.Lock()
	defer u.mu.Unlock()
	at := u.at
	u.at = nil
	if len(at) > 0 {
		u.stored = at
	}
	return at
}

// Used notes that a request was signed with a key.
func (d *Directory) Used(accessKeyID, region, service string) {
	d.uses.note(accessKeyID, Use{d.time(), region, service})
}

// FlushUses stores what was noted. What cannot be stored is kept for the next
// call.
func (d *Directory) FlushUses(ctx context.Context) error {
	at := d.uses.take()
	if len(at) == 0 {
		return nil
	}
	err := d.store.KeepRelaxed(ctx, func(tx Tx) error {
		for id, use := range at {
			if err := tx.RecordKeyUse(id, use); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		d.uses.mu.Lock()
		defer d.uses.mu.Unlock()
		for id, use := range d.uses.at {
			at[id] = use
		}
		d.uses.at, d.uses.stored = at, nil
	}
	return err
}

package rotate

import (
	"context"
	"errors"
	"slices"
	"time"

	"berth/internal/blob"
	"berth/internal/crash"
	"berth/internal/seal"
)

// Servers is the Kind of a Blocker that is a server. Nothing of it is sealed.
const Servers Kind = "servers"

// Reason says why an earlier master key is still needed.
type Reason string

// The reasons.
const (
	Seals   Reason = "seals"   // a server goes on sealing under it, or may
	Locked  Reason = "locked"  // the KMS key cannot be used that is needed to seal anew
	Damaged Reason = "damaged" // what is sealed does not open
	Late    Reason = "late"    // sealed under it after its turn was over
)

// Blocker is what an earlier master key is still needed for.
type Blocker struct {
	Kind    Kind      `json:"kind"`
	Reason  Reason    `json:"reason"`                // of the example
	Master  string    `json:"masterKeyId,omitempty"` // that is needed, if its id can be read
	Count   int       `json:"count"`
	Example string    `json:"example"`        // one of them: an id, or a digest and its key domain
	Until   time.Time `json:"until,omitzero"` // of a server: when it cannot seal any more unless it says otherwise
}

// reason returns what the error of sealing an item anew says of the item, "" for
// nothing.
func reason(err error) Reason {
	var locked *blob.KeyError
	switch {
	case errors.As(err, &locked):
		return Locked
	case errors.Is(err, blob.ErrDamaged) || errors.Is(err, seal.ErrOpen):
		return Damaged
	}
	return ""
}

// retire forgets earlier master keys if nothing is sealed under them, and else returns
// what is. From before it looks until it has forgotten them nobody may seal under them:
// servers that are recorded with one then may, and whoever was recorded since may have.
func (r *Rotator) retire(ctx context.Context) ([]Blocker, error) {
	var before, now []Use
	var blocked []Blocker
	err := r.Store.Update(ctx, func(tx Tx) (err error) {
		if err := tx.LockMasterKeys(); err != nil {
			return err
		}
		if err := tx.DeleteExpiredSealers(r.Now(), r.Master.ID()); err != nil {
			return err
		}
		before, blocked, err = r.inUse(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	for turn := range kinds {
		more, err := r.blockers(ctx, turn, before)
		if err != nil {
			return nil, err
		}
		blocked = append(blocked, more...)
	}
	if len(blocked) > 0 {
		return blocked, nil
	}
	crash.Point("rotate.retire")
	err = r.Store.Update(ctx, func(tx Tx) (err error) {
		if err := tx.LockMasterKeys(); err != nil {
			return err
		}
		if now, blocked, err = r.inUse(tx); err != nil || len(blocked) > 0 {
			return err
		}
		for _, u := range now {
			if !slices.Contains(before, u) {
				blocked = append(blocked, Blocker{Kind: Servers, Reason: Late, Master: u.Master, Count: 1, Example: "one that has ended since"})
			}
		}
		if len(blocked) > 0 {
			return nil
		}
		return tx.ForgetMasterKeys(r.Master.ID())
	})
	return blocked, err
}

// inUse returns earlier master keys with their last uses, and the servers that are
// recorded with them.
func (r *Rotator) inUse(tx Tx) (earlier []Use, servers []Blocker, err error) {
	uses, err := tx.MasterKeyUses()
	if err != nil {
		return nil, nil, err
	}
	for _, u := range uses {
		if u.Master != r.Master.ID() {
			earlier = append(earlier, u)
		}
	}
	sealers, err := tx.Sealers()
	if err != nil {
		return nil, nil, err
	}
	for _, s := range sealers {
		if s.Master != r.Master.ID() {
			servers = append(servers, Blocker{Kind: Servers, Reason: Seals, Master: s.Master, Count: 1, Example: s.Name, Until: s.Until})
		}
	}
	return earlier, servers, nil
}

// blockers returns what of a kind is sealed under another master key than the one in
// use, or may be. It finds out why of one with each master key.
func (r *Rotator) blockers(ctx context.Context, turn int, earlier []Use) (out []Blocker, err error) {
	k := kinds[turn]
	for after := ""; ; {
		items, err := r.items(ctx, k.kind, after, k.current(r.Master))
		if err != nil {
			return nil, err
		}
		for _, i := range items {
			id, ok := r.earlier(&i, k.envelope, earlier)
			if !ok {
				continue
			}
			n := slices.IndexFunc(out, func(b Blocker) bool { return b.Master == id })
			if n < 0 {
				b := Blocker{Kind: k.kind, Reason: Damaged, Master: id, Example: i.name()}
				if id != "" {
					if b.Reason, err = r.why(ctx, turn, &i); err != nil {
						return nil, err
					}
				}
				n, out = len(out), append(out, b)
			}
			out[n].Count++
		}
		if len(items) < page {
			return out, nil
		}
		after = items[page-1].ID
	}
}

// earlier reports whether an item needs, or may need, another master key than the one
// in use, and which, "" if that cannot be read. It goes by what is written in the
// item's bytes. What is sealed under a KMS key need not name a master key; whatever
// has none must.
func (r *Rotator) earlier(i *Item, envelope bool, earlier []Use) (id string, ok bool) {
	ids, err := i.masters(envelope)
	if err != nil || len(ids) == 0 {
		return "", true
	}
	for _, id := range ids {
		if id == r.Master.ID() {
			continue
		}
		if slices.Contains(r.Master.IDs(), id) || slices.ContainsFunc(earlier, func(u Use) bool { return u.Master == id }) {
			return id, true
		}
		if i.Domain.Key == "" {
			return "", true
		}
	}
	return "", false
}

// why returns why an item has not been sealed anew.
func (r *Rotator) why(ctx context.Context, turn int, i *Item) (Reason, error) {
	_, err := r.one(ctx, turn, i)
	if why := reason(err); why != "" {
		return why, nil
	}
	return Late, err
}

// name is what an administrator knows an item by.
func (i *Item) name() string {
	if i.Digest != "" {
		return string(i.Digest) + " in " + i.Domain.Name
	}
	return i.ID
}

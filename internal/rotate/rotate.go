// Package rotate seals anew what was sealed under keys that are to be retired: the
// data keys of objects and uploads, and secrets. Bytes are not rewritten.
//
// It works in steps, while everything goes on. A step looks at a bounded number of
// things; what is sealed as it would be now is left alone, so that to begin again
// costs little and does no harm. The last step also has the database look at all
// things once, and takes as long as that takes.
package rotate

import (
	"context"
	"fmt"
	"strings"
	"time"

	"berth/internal/access"
	"berth/internal/blob"
	"berth/internal/crash"
	"berth/internal/fault"
	"berth/internal/seal"
)

// Store reads and replaces what is sealed. It is implemented by package metadata.
type Store interface {
	View(ctx context.Context, fn func(Tx) error) error
	Update(ctx context.Context, fn func(Tx) error) error
}

// Tx is a transaction.
type Tx interface {
	// SealedItems returns at most limit items of a kind whose ids come after one, in
	// their order: those for which what is sealed does not begin with but, if that is
	// not empty.
	SealedItems(k Kind, after string, limit int, but []byte) ([]Item, error)
	// Reseal replaces what is sealed, unless it has changed since.
	Reseal(k Kind, id string, was, is []byte) error
	MasterKeys
}

// Rotator seals anew.
type Rotator struct {
	Store      Store
	Blobs      *blob.Store
	Master     *seal.Master // that all is to be sealed under
	Authorizer *access.Authorizer
	Auditor    access.Auditor
	Account    string // the administrator's
	Now        func() time.Time
	Refused    func() error // why changes are refused at present, nil if they are not; nil if they never are
}

// page is how many things a step looks at.
const page = 500

// Progress is what a step has done.
type Progress struct {
	Kind     Kind   `json:"kind,omitempty"` // that it looked at
	Examined int    `json:"examined"`       // things that were looked at
	Resealed int    `json:"resealed"`       // of those, that were sealed anew
	Locked   int    `json:"locked"`         // whose KMS key cannot be used
	Damaged  int    `json:"damaged"`        // that do not open
	After    string `json:"after"`          // where to go on; "" at the end
	Retired  bool   `json:"retired"`        // nothing is sealed under earlier master keys any more
	Master   string `json:"masterKeyId"`    // the id of the one in use

	// Blocked is what earlier master keys are still needed for, at the end.
	Blocked []Blocker `json:"blocked,omitempty"`
}

var errPlace = fault.New(fault.Invalid, "InvalidParameterException", "Invalid parameter at 'after' failed to satisfy constraint: 'must be what the step before returned'")

// Step seals anew what is due of the things after a place, "" for the first. With
// the last step it looks whether anything is left that is sealed under an earlier
// master key; if not, that is not needed any more. The caller must be allowed
// berth:RotateKeys in the administrator's account.
func (r *Rotator) Step(ctx context.Context, c access.Call, after string) (Progress, error) {
	err := r.Authorizer.Decide(ctx, access.Request{Caller: c.Caller, Action: "berth:RotateKeys", Account: r.Account, Resource: "*"})
	if err == nil && r.Refused != nil {
		err = r.Refused()
	}
	var p Progress
	if err == nil {
		p, err = r.step(ctx, after)
	}
	rec := access.Record{
		Time: r.Now(), Caller: c.Caller, Service: "berth", Event: "RotateKeys", Account: r.Account, Region: c.Region,
		Parameters: p, Error: fault.CodeOf(err), Refusal: access.RefusalOf(err),
	}
	if f, ok := fault.As(err); ok {
		rec.Message = f.Message
	}
	r.Auditor.Record(rec)
	return p, err
}

func (r *Rotator) step(ctx context.Context, after string) (Progress, error) {
	turn, id, err := parsePlace(after)
	if err != nil {
		return Progress{}, err
	}
	p := Progress{Kind: kinds[turn].kind, Master: r.Master.ID()}
	items, err := r.items(ctx, p.Kind, id, nil)
	if err != nil {
		return p, err
	}
	if err := r.reseal(ctx, turn, items, &p); err != nil {
		return p, err
	}
	switch {
	case len(items) == page:
		p.After = string(p.Kind) + "/" + items[page-1].ID
	case turn+1 < len(kinds):
		p.After = string(kinds[turn+1].kind) + "/"
	default:
		p.Blocked, err = r.retire(ctx)
		p.Retired = err == nil && len(p.Blocked) == 0
	}
	return p, err
}

// parsePlace returns which of the kinds has its turn at a place, and after which id.
func parsePlace(after string) (turn int, id string, err error) {
	if after == "" {
		return 0, "", nil
	}
	name, id, ok := strings.Cut(after, "/")
	for turn, k := range kinds {
		if ok && string(k.kind) == name && !strings.ContainsFunc(id, func(c rune) bool { return c < ' ' || c > '~' }) {
			return turn, id, nil
		}
	}
	return 0, "", errPlace
}

func (r *Rotator) items(ctx context.Context, k Kind, after string, but []byte) (items []Item, err error) {
	err = r.Store.View(ctx, func(tx Tx) error {
		items, err = tx.SealedItems(k, after, page, but)
		return err
	})
	return items, err
}

// reseal seals items anew and stores those that were due.
func (r *Rotator) reseal(ctx context.Context, turn int, items []Item, p *Progress) error {
	type change struct {
		id      string
		was, is []byte
	}
	var due []change
	for _, i := range items {
		was := i.Sealed
		changed, err := r.one(ctx, turn, &i)
		switch why := reason(err); {
		case why == Locked:
			p.Locked++
		case why == Damaged:
			p.Damaged++
		case err != nil:
			return fmt.Errorf("seal %s %s anew: %w", p.Kind, i.ID, err)
		case changed:
			due = append(due, change{i.ID, was, i.Sealed})
		}
	}
	p.Examined, p.Resealed = len(items), len(due)
	if len(due) == 0 {
		return nil
	}
	return r.Store.Update(ctx, func(tx Tx) error {
		for _, d := range due {
			if err := tx.Reseal(p.Kind, d.id, d.was, d.is); err != nil {
				return err
			}
			crash.Point("rotate.reseal")
		}
		return nil
	})
}

// one seals an item anew if that is due.
func (r *Rotator) one(ctx context.Context, turn int, i *Item) (changed bool, err error) {
	switch kinds[turn].kind {
	case Objects:
		o := blob.Object{Digest: i.Digest, Size: i.Size, Format: i.Format, Domain: i.Domain, WrappedKey: i.Sealed}
		changed, err = r.Blobs.Rewrap(ctx, &o)
		i.Sealed = o.WrappedKey
	case Uploads:
		u := blob.Upload{Format: i.Format, Domain: i.Domain, WrappedKey: i.Sealed}
		changed, err = r.Blobs.RewrapUpload(ctx, &u)
		i.Sealed = u.WrappedKey
	case Annotations:
		changed, err = r.Blobs.RewrapValue(ctx, blob.Value{Domain: i.Domain, Name: "annotations", Digest: i.Digest}, &i.Sealed)
	default:
		if r.Master.Current(i.Sealed) {
			return false, nil
		}
		key := r.Master.Key(kinds[turn].purpose)
		plain, err := key.Open(i.Sealed, i.ID)
		if err != nil {
			return false, err
		}
		i.Sealed = key.Seal(plain, i.ID)
		return true, nil
	}
	return changed, err
}

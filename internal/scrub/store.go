package scrub

import (
	"context"
	"time"

	"berth/internal/blob"
	"berth/internal/fsck"
)

// Store keeps the facts. It is implemented by package metadata.
type Store interface {
	View(ctx context.Context, fn func(Tx) error) error
	Update(ctx context.Context, fn func(Tx) error) error
	// Keep is Update for what is noted while changes are refused, too: what was read, and
	// what is wrong with it.
	Keep(ctx context.Context, fn func(Tx) error) error
}

// Tx is a transaction. Those that change something write its event, too.
type Tx interface {
	// Objects returns at most limit objects whose UIDs come after one, in order: fewer, but
	// not none, if their contents would fill the memory.
	Objects(after string, limit int) ([]fsck.Object, error)
	// LastObject returns the greatest UID of an object, "" if there is none.
	LastObject() (string, error)
	// Object returns an object, nil if it is gone.
	Object(uid string) (*fsck.Object, error)
	// Neighbours returns at most limit objects of a place in the bucket that are not in
	// quarantine: those whose UIDs come before one, the last one first, or after it, in order.
	Neighbours(place, uid string, before bool, limit int) ([]fsck.Object, error)
	// Copies returns at most limit other objects of the same digest that are not in
	// quarantine: those of the same account, then those of others that no KMS key seals.
	Copies(o fsck.Object, limit int) ([]fsck.Object, error)
	// Quarantine marks an object as damaged unless it has changed, or is marked already.
	// It reports whether it did.
	Quarantine(o fsck.Object, reason string, at time.Time) (bool, error)
	// Release takes an object that is whole out of quarantine. It reports whether it was
	// there.
	Release(o fsck.Object, at time.Time) (bool, error)
	// Heal gives what is in quarantine of an object's key domain and digest the bytes of
	// another one. It reports whether these are used now.
	Heal(was fsck.Object, o blob.Object, at time.Time) (bool, error)
	// DamagedObjects is Objects of those in quarantine.
	DamagedObjects(after string, limit int) ([]fsck.Object, error)
	// Damaged describes at most limit objects in quarantine, and DamagedCount counts all.
	Damaged(limit int) ([]Damaged, error)
	DamagedCount() (int64, error)
	// ScrubState reads the document of that name into what a pointer points to, and
	// PutScrubState replaces it.
	ScrubState(name string, into any) error
	PutScrubState(name string, state any) error
	// Lease gives the named lease to the owner until a time, and reports whether it did.
	Lease(name, owner string, now, until time.Time) (bool, error)
}

// Source is where the bytes of a damaged object may be had again.
type Source interface {
	// Rebuild returns the object's bytes, stored anew for its key domain and held against
	// its digest, with the upload that they came by. The error is ErrNone if this source
	// does not have them.
	Rebuild(ctx context.Context, o fsck.Object, progress func(int)) (blob.Object, blob.Upload, error)
}

// Damaged is an object in quarantine.
type Damaged struct {
	UID          string    `json:"-"`
	Digest       string    `json:"digest"`
	KeyDomain    string    `json:"keyDomain"` // account/region/encryption type/key
	Bytes        int64     `json:"bytes"`
	Since        time.Time `json:"since"`
	Repositories []string  `json:"repositories"` // that hold it, some of them
}

// Pass is a walk through all objects.
type Pass struct {
	StartedAt  time.Time `json:"startedAt,omitzero"`
	EndedAt    time.Time `json:"endedAt,omitzero"`
	Objects    int64     `json:"objects"`    // that were looked at
	Bytes      int64     `json:"bytes"`      // of these
	Damaged    int64     `json:"damaged"`    // found damaged or missing that were not known to be
	Healed     int64     `json:"healed"`     // made whole, or found to be so again
	Locked     int64     `json:"locked"`     // whose KMS key cannot be used
	Unreadable int64     `json:"unreadable"` // that the store could not read, several times
}

// progress is what is kept of the passes.
type progress struct {
	Pass    *Pass     `json:"pass,omitempty"` // that is under way
	After   string    `json:"after,omitempty"`
	Until   string    `json:"until,omitempty"` // the last UID that the pass looks at; "" for no bound
	Last    *Pass     `json:"last,omitempty"`
	Next    time.Time `json:"next,omitzero"`     // when one is due
	Request string    `json:"request,omitempty"` // the last one that a pass was begun after
	Version int64     `json:"version,omitempty"` // how often a run has recorded it
	Tried   time.Time `json:"tried,omitzero"`    // when what is in quarantine was last looked at

	Unreadable map[string]time.Time `json:"unreadable,omitempty"` // UIDs of what the store could not read, and since when
}

// request is that somebody wants a pass.
type request struct {
	ID string `json:"id,omitempty"` // random
}

package gc

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Store keeps the facts. It is implemented by package metadata.
type Store interface {
	View(ctx context.Context, fn func(Tx) error) error
	Update(ctx context.Context, fn func(Tx) error) error
	// Relaxed is Update without the wait for the disk. An Update that comes later makes
	// it durable.
	Relaxed(ctx context.Context, fn func(Tx) error) error
}

// Tx is a transaction.
type Tx interface {
	States
	Deleted
	Loose
	Recounts
	Keys
	Explanations
}

// States keep how far the work has come, and who does it.
type States interface {
	// Lease gives the named lease to the owner until a time, and reports whether it did.
	Lease(name, owner string, now, until time.Time) (bool, error)
	// GarbageState returns a document. With lock it stays as it is until the end of the
	// transaction.
	GarbageState(name string, lock bool) (string, error)
	PutGarbageState(name, document string) error
	// GarbageDue reports whether anything can go: what was deleted at or before one time,
	// has been loose since another one, or is loose.
	GarbageDue(over, loose time.Time) (bool, error)
	// GarbageQueue returns what waits.
	GarbageQueue() (Queue, error)
}

// Removed is what was removed.
type Removed struct {
	Images  int64 `json:"images"`
	Layers  int64 `json:"layers"` // each once for every repository that held it
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"` // of the objects

	rows int64 // that were looked at
}

// Looked returns r for so many rows that were looked at.
func (r Removed) Looked(rows int64) Removed {
	r.rows = rows
	return r
}

func (r *Removed) add(o Removed) {
	r.Images += o.Images
	r.Layers += o.Layers
	r.Objects += o.Objects
	r.Bytes += o.Bytes
}

// Deleted removes what was deleted.
type Deleted interface {
	// EndRepository returns the uid of a repository that was deleted at or before a
	// time, and sees to it that nobody restores it; "" if there is none.
	EndRepository(before time.Time) (string, error)
	// RemoveRepository removes at most limit rows of each kind of what such a repository
	// has, and, if nothing is left, it. It reports whether it did the latter.
	RemoveRepository(uid string, at, due time.Time, limit int) (Removed, bool, error)
	// RemoveImages removes some images of one repository that were deleted at or before a
	// time, the first ones first.
	RemoveImages(before, at time.Time) (Removed, error)
	// ForgetRemovals forgets at most limit things that were removed: those before a
	// time, and those beyond a number.
	ForgetRemovals(before time.Time, most, limit int) (int64, error)
	// ForgetPastImages forgets at most limit images that were deleted before a time.
	ForgetPastImages(before time.Time, limit int) (int64, error)
}

// LooseLayer is a layer that no image was known to refer to.
type LooseLayer struct{ Repository, Digest string }

// Loose removes what nothing refers to.
type Loose interface {
	// LooseLayers returns at most limit layers that have been loose since a time.
	LooseLayers(since time.Time, limit int) ([]LooseLayer, error)
	// UnlinkLayers makes a repository hold those of the layers no more that have been
	// loose since a time, whose leases had ended then and that no image refers to. The
	// others are not loose, or will be looked at again when their leases have ended.
	UnlinkLayers(repository string, digests []string, since, at time.Time) (Removed, error)
	// RemoveObjects looks at no more than limit objects that something has let go of, and
	// removes those that nothing has. Bytes in the bucket go after the time due.
	RemoveObjects(at, due time.Time, limit int) (Removed, error)
}

// Recounts find what was not noted.
type Recounts interface {
	// UnnotedLayers looks at limit layers that come after one, and returns those that no
	// image refers to and that are not known as loose, and the last one, nil at the end.
	UnnotedLayers(after LooseLayer, limit int) ([]LooseLayer, *LooseLayer, error)
	// UnnotedObjects is UnnotedLayers for objects, by their uids; "" is the end.
	UnnotedObjects(after string, limit int) ([]string, string, error)
	// NoteLayer makes a layer loose from now on, unless it is or an image refers to it.
	NoteLayer(l LooseLayer, at time.Time) (bool, error)
	// NoteObject has it looked at whether an object is garbage.
	NoteObject(uid string, at time.Time) error
}

// Keys are those in the bucket.
type Keys interface {
	// KnownKeys returns those of the keys that an object, an upload or a leftover has.
	KnownKeys(keys []string) ([]string, error)
	// PutLeftover has the bytes under a key removed after a time.
	PutLeftover(key string, due time.Time) error
}

// Explanations say why something is there, or is not.
type Explanations interface {
	// ImagesOf returns at most limit images of a digest, deleted ones too, those of one
	// repository if its name is not "".
	ImagesOf(digest, account, region, repository string, limit int) ([]ImageFact, error)
	// LayersOf returns likewise the layers of a digest.
	LayersOf(digest, account, region, repository string, limit int) ([]LayerFact, error)
	// ObjectsOf returns the objects of a digest.
	ObjectsOf(digest string, limit int) ([]ObjectFact, error)
	// RemovalsOf returns at most limit things of a digest that were removed, the last first.
	RemovalsOf(digest string, limit int) ([]Removal, error)
}

// The names of states.
const (
	stateRequest = "request"
	stateRun     = "run"
	stateRecount = "recount"
)

func get(tx Tx, name string, lock bool, into any) error {
	text, err := tx.GarbageState(name, lock)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return fmt.Errorf("state %s of garbage collection: %w", name, err)
	}
	return nil
}

func put(tx Tx, name string, document any) error {
	text, err := json.Marshal(document)
	if err != nil {
		return err
	}
	return tx.PutGarbageState(name, string(text))
}

package move

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"berth/internal/blob"

	"github.com/opencontainers/go-digest"
)

const (
	// leastClassed is the size below which objects stay: the cheaper classes count
	// them as so large.
	leastClassed = 128 << 10
	// classBatch is how many images are looked at for one reading of what is due, and
	// classTime how long that goes on before others may have the lease.
	classBatch = 16
	classTime  = time.Minute
	classLease = 5 * time.Minute
	// classRetry is when what has failed is tried again.
	classRetry = 10 * time.Minute
	// classAgain is when what was archived is looked at again, for pushes that were on
	// their way meanwhile.
	classAgain = time.Hour
	// classFailures is how many images the store may fail at before it is left alone.
	classFailures = 3
	// surveyEvery is how often all images in the archive are looked at, and surveyBatch
	// how many in one transaction.
	surveyEvery = 24 * time.Hour
	surveyTry   = time.Hour // how often a process asks whether it is to do so
	surveyBatch = 200
)

// ClassChange is an image whose layers may be in the wrong class.
type ClassChange struct {
	Image   string // its UID
	Changes int64  // how often that was noted
}

// Classed is an object in S3 and the class that it is in.
type Classed struct {
	UID, Key   string
	Digest     digest.Digest
	Archived   bool      // where it is
	Wanted     bool      // where it should be
	LeaseUntil time.Time // somebody relies on it until then
}

// ClassTx are the queries of [Classes].
type ClassTx interface {
	// ClassChanges returns at most limit images that are due at a time, first those that
	// have waited longest.
	ClassChanges(at time.Time, limit int) ([]ClassChange, error)
	// SettleClassChange makes an image due at another time, or forgets it if that is zero,
	// unless it was noted anew since.
	SettleClassChange(c ClassChange, next time.Time) error
	// ClassedObjects returns the objects of an image's layers that are in S3 and have at
	// least so many bytes. They should be in the archive if images refer to them and
	// all of these are archived.
	ClassedObjects(image string, least int64) ([]Classed, error)
	// ClassedObject returns an object that is in S3, or nil.
	ClassedObject(uid string) (*Classed, error)
	// NoteUnarchived notes those of at most limit images in the archive, after a
	// position, that have objects of at least so many bytes in S3 that are not archived. It
	// returns the next position, "" at the end.
	NoteUnarchived(after string, least int64, at time.Time, limit int) (next string, err error)
	// NoteArchived notes images that are not in the archive and have objects that are,
	// of which it looks at no more than limit after a position.
	NoteArchived(after string, at time.Time, limit int) (next string, err error)
	// Lease gives the named lease to the owner until a time, and reports whether it did.
	Lease(name, owner string, now, until time.Time) (bool, error)
}

// Classes keeps objects that only archived images have in a cheaper class of S3. An
// object changes its class as it changes its place: its copy, which the store makes, gets a
// key that was never used, and what was copied stays for [Grace]. So nothing that reads the
// object is disturbed, and nothing that is removed comes back.
type Classes struct {
	Store  Store
	Places *blob.Places // new objects go to S3
	Now    func() time.Time
	Owner  string // of leases: another one for each process

	mu       sync.Mutex
	surveyed time.Time // when a survey was last tried; guarded by mu
}

// Run looks at the images that are due, for about a minute. Of all processes that call
// it one does so.
func (c *Classes) Run(ctx context.Context) error {
	if err := c.survey(ctx); err != nil {
		return err
	}
	var failures []error
	for began := time.Now(); time.Since(began) < classTime; {
		due, err := c.due(ctx)
		if err != nil || len(due) == 0 {
			return errors.Join(append(failures, err)...)
		}
		for _, d := range due {
			failure, err := c.look(ctx, d)
			if err != nil {
				return errors.Join(append(failures, err)...)
			}
			if failure != nil {
				failures = append(failures, failure)
			}
			if len(failures) == classFailures {
				return errors.Join(failures...)
			}
		}
	}
	return errors.Join(failures...)
}

// due returns images that this process is to look at now: none if another one does so. If
// there are none it writes nothing.
func (c *Classes) due(ctx context.Context) (due []ClassChange, err error) {
	now, mine := c.Now(), false
	err = c.Store.View(ctx, func(tx Tx) error {
		due, err = tx.ClassChanges(now, classBatch)
		return err
	})
	if err != nil || len(due) == 0 {
		return nil, err
	}
	err = c.Store.Update(ctx, func(tx Tx) error {
		mine, err = tx.Lease("storage classes", c.Owner, now, now.Add(classLease))
		return err
	})
	if err != nil || !mine {
		return nil, err
	}
	return due, nil
}

// survey notes what nobody has noted: images that were archived before there was a
// class for them, and what has changed because other images were deleted or restored.
func (c *Classes) survey(ctx context.Context) error {
	now, due := c.Now(), false
	c.mu.Lock()
	tried := now.Sub(c.surveyed) < surveyTry
	if !tried {
		c.surveyed = now
	}
	c.mu.Unlock()
	if tried {
		return nil
	}
	err := c.Store.Update(ctx, func(tx Tx) error {
		var err error
		due, err = tx.Lease("survey of storage classes", c.Owner+now.Format(time.RFC3339Nano), now, now.Add(surveyEvery))
		return err
	})
	if err != nil || !due {
		return err
	}
	for _, note := range []func(tx Tx, after string) (string, error){
		func(tx Tx, after string) (string, error) {
			return tx.NoteUnarchived(after, leastClassed, now, surveyBatch)
		},
		func(tx Tx, after string) (string, error) { return tx.NoteArchived(after, now, surveyBatch) },
	} {
		for after, more := "", true; more; more = after != "" {
			next := ""
			err := c.Store.Update(ctx, func(tx Tx) error {
				var err error
				next, err = note(tx, after)
				return err
			})
			if err != nil {
				return err
			}
			after = next
		}
	}
	return nil
}

// look has the objects of an image be in the classes that they should be in. A failure is
// the store's.
func (c *Classes) look(ctx context.Context, change ClassChange) (failure, err error) {
	var wrong []Classed
	var leased time.Time // the first end of a lease
	now, archives := c.Now(), false
	err = c.Store.View(ctx, func(tx Tx) error {
		wrong, leased, archives = nil, time.Time{}, false
		objects, err := tx.ClassedObjects(change.Image, leastClassed)
		for _, o := range objects {
			switch {
			case o.Wanted == o.Archived:
			case o.Wanted && o.LeaseUntil.After(now):
				if leased.IsZero() || o.LeaseUntil.Before(leased) {
					leased = o.LeaseUntil
				}
			default:
				wrong = append(wrong, o)
				archives = archives || o.Wanted
			}
		}
		return err
	})
	if err == nil {
		failure, err = c.change(ctx, wrong)
	}
	if err != nil {
		return nil, err
	}
	next := leased
	switch {
	case failure != nil:
		next = now.Add(classRetry)
	case next.IsZero() && archives:
		next = now.Add(classAgain)
	}
	return failure, c.Store.Update(ctx, func(tx Tx) error { return tx.SettleClassChange(change, next) })
}

// change copies objects into the other class, a few at once. That one of them is not there
// is no failure: it has been removed meanwhile, or fsck finds it.
func (c *Classes) change(ctx context.Context, objects []Classed) (failure, err error) {
	for len(objects) > 0 {
		some := objects[:min(len(objects), 2*atOnce)]
		objects = objects[len(some):]
		keys, err := reserve(ctx, c.Store, c.Places, c.Now(), len(some))
		if err != nil {
			return nil, err
		}
		failures, errs := make([]error, len(some)), make([]error, len(some))
		var all sync.WaitGroup
		for i, o := range some {
			all.Go(func() { failures[i], errs[i] = c.changeOne(ctx, o, keys[i]) })
		}
		all.Wait()
		failure, err = errors.Join(failures...), errors.Join(errs...)
		if failure != nil || err != nil {
			return failure, err
		}
	}
	return nil, nil
}

func (c *Classes) changeOne(ctx context.Context, o Classed, to string) (failure, err error) {
	failure = c.Places.CopyToClass(ctx, o.Key, to, o.Wanted)
	if failure == nil {
		return nil, c.Store.Update(ctx, func(tx Tx) error { return c.flip(tx, o, to) })
	}
	err = c.Store.Update(context.WithoutCancel(ctx), func(tx Tx) error { return tx.PutLeftover(to, c.Now().Add(Grace)) })
	if errors.Is(failure, blob.ErrNotFound) {
		return nil, err
	}
	return fmt.Errorf("the layer %s stays in its class: %w", o.Digest, failure), err
}

// flip has the row of an object name its copy, unless it has moved meanwhile, or should
// be where it is.
func (c *Classes) flip(tx Tx, o Classed, to string) error {
	kept, err := tx.KeepLeftover(to)
	if err != nil {
		return err
	}
	is, err := tx.ClassedObject(o.UID)
	if err != nil {
		return err
	}
	moved := false
	if kept && is != nil && is.Wanted == o.Wanted {
		if moved, err = tx.Relocate(o.UID, o.Key, to, o.Wanted); err != nil {
			return err
		}
	}
	if !moved {
		return tx.PutLeftover(to, c.Now().Add(Grace))
	}
	return tx.PutLeftover(o.Key, c.Now().Add(Grace))
}

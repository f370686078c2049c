package scrub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"berth/internal/blob"
	"berth/internal/fsck"
)

const (
	// attempts is how often an object is read that the store fails to read, and maxFailing
	// at how many in a row it is left alone if it reads no others.
	attempts   = 3
	maxFailing = 3
	retryPause = 100 * time.Millisecond
)

// errLeaseLost ends a run: another process has begun.
var errLeaseLost = errors.New("another process looks at the objects")

// renew keeps the lease.
func (r *run) renew() {
	if time.Since(r.leased) > leaseLife/3 && r.lost == nil {
		if mine, err := r.lease(); err != nil || !mine {
			r.lost = errors.Join(errLeaseLost, err)
		}
	}
}

// pace counts bytes that have been read and waits until so many may have been. It keeps
// the lease.
func (r *run) pace(n int) {
	r.Totals.Bytes.Add(int64(n))
	r.renew()
	if r.Rate <= 0 {
		return
	}
	if r.paceFrom.IsZero() || time.Since(r.paceFrom) > time.Minute {
		r.paceFrom, r.paced = time.Now(), 0
	}
	r.paced += int64(n)
	early := time.Until(r.paceFrom.Add(time.Duration(float64(r.paced) / float64(r.Rate) * float64(time.Second))))
	if early <= 0 {
		return
	}
	wait := time.NewTimer(early)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-r.ctx.Done():
	}
}

// object looks at an object and does what there is to do. An error ends the run.
func (r *run) object(o fsck.Object) error {
	r.renew() // no bytes may be read for long
	if r.lost != nil {
		return r.lost
	}
	pass := r.progress.Pass
	if pass == nil {
		pass = &Pass{}
	}
	problem, err := r.examine(o)
	switch {
	case r.ctx.Err() != nil:
		return context.Cause(r.ctx)
	case err != nil:
		err = r.unreadable(pass, o, err)
	case problem != nil && problem.Kind == fsck.Missing && !o.Damaged:
		err = r.missing(pass, o, problem)
	default:
		if o.Key != "" {
			r.failing = 0
		}
		delete(r.progress.Unreadable, o.UID)
		if problem == nil {
			r.answered(o)
		}
		err = r.judge(pass, o, problem)
	}
	if errors.Is(err, errAway) {
		return err
	}
	pass.Objects++
	pass.Bytes += o.Size
	r.Totals.Objects.Add(1)
	if errors.Is(err, errStore) || r.lost != nil {
		return errors.Join(err, r.lost)
	}
	return nil
}

// errStore is an error of the database.
var errStore = errors.New("the database")

// examine reads an object, again if the store fails to read it.
func (r *run) examine(o fsck.Object) (problem *fsck.Problem, err error) {
	for i := range attempts {
		if i > 0 {
			select {
			case <-time.After(retryPause):
			case <-r.ctx.Done():
				return nil, context.Cause(r.ctx)
			}
		}
		if problem, err = fsck.Examine(r.ctx, r.Blobs, o.Object, r.pace); err == nil {
			return problem, nil
		}
	}
	return nil, err
}

// judge does what follows from what is wrong with an object, nil for nothing.
func (r *run) judge(pass *Pass, o fsck.Object, problem *fsck.Problem) error {
	switch {
	case problem == nil && o.Damaged:
		released, err := r.mark(func(tx Tx) (bool, error) { return tx.Release(o, r.Now()) })
		if released {
			pass.Healed++
			r.healed(o, "its bytes are there again")
		}
		return err
	case problem == nil:
		return nil
	case problem.Kind == fsck.Locked:
		pass.Locked++
		return nil
	}
	if !o.Damaged {
		now, found, err := r.confirm(o)
		if err != nil || found == nil {
			return err
		}
		return r.quarantine(pass, *now, found)
	}
	return r.mend(pass, o)
}

// quarantine marks an object as damaged, and has its bytes brought again if they are to be
// had.
func (r *run) quarantine(pass *Pass, o fsck.Object, found *fsck.Problem) error {
	marked, err := r.mark(func(tx Tx) (bool, error) { return tx.Quarantine(o, found.Kind+": "+found.Detail, r.Now()) })
	if err != nil || !marked {
		return err
	}
	delete(r.progress.Unreadable, o.UID)
	pass.Damaged++
	r.Totals.Quarantines.Add(1)
	r.Log.Warn("an object is damaged", "digest", o.Digest, "keyDomain", o.Domain.Name, "kind", found.Kind, "detail", found.Detail)
	return r.mend(pass, o)
}

// mend heals an object in quarantine if its bytes are to be had.
func (r *run) mend(pass *Pass, o fsck.Object) error {
	healed, err := r.heal(o)
	if healed {
		delete(r.progress.Unreadable, o.UID)
		pass.Healed++
		r.healed(o, "its bytes were had from a copy")
	}
	return err
}

func (r *run) healed(o fsck.Object, how string) {
	r.Totals.Healed.Add(1)
	r.Log.Info("an object is whole again", "digest", o.Digest, "keyDomain", o.Domain.Name, "how", how)
}

// confirm reads an object that is said to be damaged once more, as the database has it
// now: it may have moved, or be gone. It returns nil as what is wrong if nothing is.
func (r *run) confirm(o fsck.Object) (now *fsck.Object, found *fsck.Problem, err error) {
	for range attempts {
		err = r.Store.View(r.ctx, func(tx Tx) error {
			now, err = tx.Object(o.UID)
			return err
		})
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", errStore, err)
		}
		if now == nil || now.Damaged {
			return nil, nil, nil
		}
		problem, err := r.examine(*now)
		if err != nil || problem == nil || problem.Kind == fsck.Locked {
			return nil, nil, nil // it is looked at again in the next pass
		}
		if now.Key == o.Key && bytes.Equal(now.Content, o.Content) {
			return now, problem, nil
		}
		o = *now
	}
	return nil, nil, nil
}

// mark makes a note of an object and reports whether it came about.
func (r *run) mark(do func(Tx) (bool, error)) (done bool, err error) {
	return r.change(r.Store.Keep, do)
}

// change runs a change that reports whether it came about.
func (r *run) change(run func(context.Context, func(Tx) error) error, do func(Tx) (bool, error)) (done bool, err error) {
	err = run(r.ctx, func(tx Tx) error {
		done, err = do(tx)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("%w: %w", errStore, err)
	}
	return done, nil
}

// heal asks the sources for the bytes of an object in quarantine.
func (r *run) heal(o fsck.Object) (bool, error) {
	if r.HasRoom != nil && !r.HasRoom() {
		return false, nil
	}
	for _, source := range r.Sources {
		whole, upload, err := source.Rebuild(r.ctx, o, r.pace)
		if errors.Is(err, ErrNone) {
			continue
		}
		if err != nil {
			r.Log.Warn("a damaged object could not be healed", "digest", o.Digest, "error", err)
			continue
		}
		used, err := r.change(r.Store.Update, func(tx Tx) (bool, error) { return tx.Heal(o, whole, r.Now()) })
		ctx := context.WithoutCancel(r.ctx)
		switch {
		case err != nil:
			return false, err // it may have come about: what is stored stays
		case used:
			_ = r.Blobs.Settle(ctx, upload) // what stays is reaped
		default:
			err = errors.Join(r.Blobs.Remove(ctx, whole), r.Blobs.Abandon(ctx, upload))
		}
		return used, err
	}
	return false, nil
}

// ErrNone is returned by a source that does not have the bytes.
var ErrNone = errors.New("no copy is there")

// domainOf returns the key domain of a name.
func domainOf(name string) blob.Domain {
	d := blob.Domain{Name: name}
	if parts := strings.SplitN(name, "/", 4); len(parts) == 4 {
		d.Key, d.Double = parts[3], parts[2] == "KMS_DSSE"
	}
	return d
}

// maxCopies is how many copies of an object are tried.
const maxCopies = 5

// Copies is the source of bytes that this installation has for other key domains: in
// another region or account, or sealed in another way. What an account has sealed under KMS
// keys serves nobody else.
type Copies struct {
	Store Store
	Blobs *blob.Store
}

// Rebuild implements [Source].
func (c Copies) Rebuild(ctx context.Context, o fsck.Object, progress func(int)) (blob.Object, blob.Upload, error) {
	var copies []fsck.Object
	err := c.Store.View(ctx, func(tx Tx) error {
		var err error
		copies, err = tx.Copies(o, maxCopies)
		return err
	})
	if err != nil {
		return blob.Object{}, blob.Upload{}, err
	}
	failure := ErrNone
	for _, other := range copies {
		whole, upload, err := c.Blobs.Rebuild(ctx, other.Object, domainOf(o.Domain.Name), o.Key == "" || o.Size <= blob.Inline, progress)
		if err == nil {
			return whole, upload, nil
		}
		if !errors.Is(err, blob.ErrDamaged) && !errors.Is(err, blob.ErrNotFound) {
			failure = err
		}
	}
	return blob.Object{}, blob.Upload{}, failure
}

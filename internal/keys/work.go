package keys

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const workBatch = 100

// unusedLife is how long ECR has grants for a repository that does not come to be: no
// call takes that long.
const unusedLife = time.Hour

// RunDue destroys the keys whose time has come, rotates those that are due and retires
// the grants of ECR's that calls have left that made no repository, or restored none.
// Any number of processes may do it at once: each key is looked at again before. While
// changes are refused it does none of that.
func (k *Keyring) RunDue(ctx context.Context) error {
	k.opened.drop("", k.now())
	if k.refused() != nil {
		return nil
	}
	return errors.Join(k.destroyDue(ctx), k.shred(ctx), k.rotateDue(ctx), k.retireUnused(ctx))
}

// each runs fn on the keys that a listing gives, page by page. What fails with one key
// does not keep the others from it.
func (k *Keyring) each(ctx context.Context, by time.Time, list func(ReadTx, time.Time) ([]Key, error), fn func(Key) error) error {
	var failed error
	for {
		var found []Key
		err := k.store.View(ctx, func(tx ReadTx) (err error) {
			found, err = list(tx, by)
			return err
		})
		if err != nil {
			return errors.Join(failed, err)
		}
		good := 0
		for _, key := range found {
			if err := fn(key); err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s: %w", key.ARN(), err))
				continue
			}
			good++
		}
		if good == 0 || len(found) < workBatch {
			return failed
		}
	}
}

// again runs fn on a key as it is now, in a transaction, if it is there.
func (k *Keyring) again(ctx context.Context, key Key, fn func(Tx, *Key) error) error {
	err := k.store.Update(ctx, func(tx Tx) error {
		if err := tx.LockAccount(key.Account); err != nil {
			return err
		}
		now, err := tx.KMSKey(key.ID)
		if err != nil || now == nil {
			return err
		}
		return fn(tx, now)
	})
	k.known.changed(err, key.ARN())
	return err
}

// dueBy is the time by this process's clock or the store's, whichever is behind.
func (k *Keyring) dueBy(ctx context.Context) (time.Time, error) {
	by, err := k.clock(ctx)
	if here := k.time(); here.Before(by) {
		by = here
	}
	return by, err
}

// destroyDue destroys keys. What they have encrypted cannot be read any more. Their
// time has come if it has by the clock of the store, too: this process's may be wrong.
func (k *Keyring) destroyDue(ctx context.Context) error {
	by, err := k.dueBy(ctx)
	if err != nil {
		return err
	}
	due := func(tx ReadTx, by time.Time) ([]Key, error) { return tx.KMSKeysToDelete(by, workBatch) }
	return k.each(ctx, by, due, func(key Key) error {
		err := k.again(ctx, key, func(tx Tx, now *Key) error {
			if now.State != PendingDeletion || now.DeletionAt.After(by) {
				return nil
			}
			k.unshredded.Store(true)
			if err := tx.DestroyKMSKey(now.ID); err != nil {
				return err
			}
			return tx.Record(k.event(now, "DeleteKey"))
		})
		if err == nil {
			k.opened.drop(key.ID, k.now())
		}
		return err
	})
}

// shred has the store forget the backing keys that were destroyed. It is done again
// until it succeeds.
func (k *Keyring) shred(ctx context.Context) error {
	if !k.unshredded.Swap(false) {
		return nil
	}
	err := k.store.ShredKMSMaterials(ctx)
	if err != nil {
		k.unshredded.Store(true)
	}
	return err
}

func (k *Keyring) rotateDue(ctx context.Context) error {
	due := func(tx ReadTx, by time.Time) ([]Key, error) { return tx.KMSKeysToRotate(by, workBatch) }
	return k.each(ctx, k.time(), due, func(key Key) error {
		m, err := k.newMaterial(ctx, &key, 0, Automatic)
		if err != nil {
			return err
		}
		return k.again(ctx, key, func(tx Tx, now *Key) error {
			if now.State != Enabled || now.RotationAt.IsZero() || now.RotationAt.After(k.time()) {
				return nil
			}
			if err := k.rotate(tx, m); err != nil {
				return err
			}
			for !now.RotationAt.After(k.time()) {
				now.RotationAt = now.RotationAt.Add(time.Duration(now.RotationDays) * day)
			}
			if err := tx.UpdateKMSKey(now); err != nil {
				return err
			}
			return tx.Record(k.event(now, "RotateKey"))
		})
	})
}

// retireUnused retires grants for repositories that are not there. Whoever deletes a
// repository retires its grants; these are from calls whose process was stopped, or
// that did not learn how they ended.
func (k *Keyring) retireUnused(ctx context.Context) error {
	by, err := k.dueBy(ctx)
	if err != nil {
		return err
	}
	by = by.Add(-unusedLife)
	due := func(tx ReadTx, by time.Time) ([]Key, error) { return tx.KMSKeysWithUnusedGrants(by, workBatch) }
	return k.each(ctx, by, due, func(key Key) error {
		return k.again(ctx, key, func(tx Tx, now *Key) error {
			unused, err := tx.KMSUnusedGrants(now.ID, by)
			if err != nil {
				return err
			}
			for _, g := range unused {
				if err := tx.DeleteKMSGrant(g.ID); err != nil {
					return err
				}
				if err := tx.Record(k.event(now, "RetireGrant")); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

package keys

import (
	"context"
	"errors"
	"time"
)

const workBatch = 100

// RunDue destroys the keys whose time has come and rotates those that are due. Any
// number of processes may do it at once: each key is looked at again before.
func (k *Keyring) RunDue(ctx context.Context) error {
	k.opened.drop("", k.now())
	return errors.Join(k.destroyDue(ctx), k.rotateDue(ctx))
}

// due lists keys.
func (k *Keyring) due(ctx context.Context, list func(ReadTx, time.Time) ([]Key, error)) (found []Key, err error) {
	err = k.store.View(ctx, func(tx ReadTx) (err error) {
		found, err = list(tx, k.time())
		return err
	})
	return found, err
}

// now runs fn on a key as it is now, in a transaction, if it is there.
func (k *Keyring) again(ctx context.Context, key Key, fn func(Tx, *Key) error) error {
	defer k.known.change()()
	return k.store.Update(ctx, func(tx Tx) error {
		if err := tx.LockAccount(key.Account); err != nil {
			return err
		}
		now, err := tx.KMSKey(key.ID)
		if err != nil || now == nil {
			return err
		}
		return fn(tx, now)
	})
}

// destroyDue destroys keys. What they have encrypted cannot be read any more.
func (k *Keyring) destroyDue(ctx context.Context) error {
	for {
		found, err := k.due(ctx, func(tx ReadTx, by time.Time) ([]Key, error) { return tx.KMSKeysToDelete(by, workBatch) })
		if err != nil || len(found) == 0 {
			return err
		}
		for _, key := range found {
			if err := k.again(ctx, key, func(tx Tx, now *Key) error {
				if now.State != PendingDeletion || now.DeletionAt.After(k.time()) {
					return nil
				}
				if err := tx.DestroyKMSKey(now.ID); err != nil {
					return err
				}
				return tx.Record(k.event(now, "DeleteKey"))
			}); err != nil {
				return err
			}
			k.opened.drop(key.ID, k.now())
		}
	}
}

func (k *Keyring) rotateDue(ctx context.Context) error {
	for {
		found, err := k.due(ctx, func(tx ReadTx, by time.Time) ([]Key, error) { return tx.KMSKeysToRotate(by, workBatch) })
		if err != nil || len(found) == 0 {
			return err
		}
		for _, key := range found {
			m, err := k.newMaterial(ctx, &key, 0, Automatic)
			if err != nil {
				return err
			}
			if err := k.again(ctx, key, func(tx Tx, now *Key) error {
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
			}); err != nil {
				return err
			}
		}
	}
}

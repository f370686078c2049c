package keys

import (
	"context"
	"strconv"
	"time"

	"berth/internal/access"
	"berth/internal/page"
)

const (
	usualRotation   = 365 // days
	minRotation     = 90
	maxRotation     = 2560
	maxOnDemand     = 25 // rotations of a key
	rotationPage    = 100
	rotationPageMax = 1000
)

func number(n int64) string { return strconv.FormatInt(n, 10) }

// EnableKeyRotation has a key rotate by itself every so many days; 0 stands for 365.
// Errors: NotFoundException, InvalidArnException, DisabledException,
// KMSInvalidStateException.
func (k *Keyring) EnableKeyRotation(ctx context.Context, c access.Call, ref string, days int64) error {
	q := &request{call: c, event: "EnableKeyRotation", params: params{"keyId": ref, "rotationPeriodInDays": days}}
	if days == 0 {
		days = usualRotation
	}
	q.set("kms:RotationPeriodInDays", number(days))
	return k.alter(ctx, q, ref, func(key *Key) error {
		if days < minRotation || days > maxRotation {
			return errValidation("RotationPeriodInDays must be between %d and %d (inclusive)", minRotation, maxRotation)
		}
		key.RotationDays, key.RotationAt = days, k.time().Add(time.Duration(days)*day)
		return nil
	}, (*Key).usable)
}

// DisableKeyRotation ends that. Errors are those of EnableKeyRotation.
func (k *Keyring) DisableKeyRotation(ctx context.Context, c access.Call, ref string) error {
	q := &request{call: c, event: "DisableKeyRotation", params: params{"keyId": ref}}
	return k.alter(ctx, q, ref, func(key *Key) error {
		key.RotationDays, key.RotationAt = 0, time.Time{}
		return nil
	}, (*Key).usable)
}

// GetKeyRotationStatus returns a key, which says how it rotates. Errors:
// NotFoundException, InvalidArnException.
func (k *Keyring) GetKeyRotationStatus(ctx context.Context, c access.Call, ref string) (out Key, err error) {
	q := &request{call: c, event: "GetKeyRotationStatus", params: params{"keyId": ref}}
	err = k.view(ctx, q, func(tx ReadTx) error {
		key, err := k.open(ctx, tx, q, ref)
		if err != nil {
			return err
		}
		out = *key
		return nil
	})
	return out, err
}

// RotateKeyOnDemand gives a key another backing key at once. When it rotates by itself
// stays as it is. Errors: NotFoundException, InvalidArnException, DisabledException,
// KMSInvalidStateException, LimitExceededException.
func (k *Keyring) RotateKeyOnDemand(ctx context.Context, c access.Call, ref string) (out Key, err error) {
	q := &request{call: c, event: "RotateKeyOnDemand", params: params{"keyId": ref}}
	var key *Key
	if err := k.reading(ctx, q, func(tx ReadTx) (err error) {
		key, err = k.open(ctx, tx, q, ref)
		return err
	}); err != nil {
		return out, k.failed(q, err)
	}
	m, err := k.newMaterial(ctx, key, 0, OnDemand)
	if err != nil {
		return out, k.failed(q, err)
	}
	err = k.update(ctx, q, c.Account, func(tx Tx) error {
		now, err := tx.KMSKey(key.ID)
		if err != nil {
			return err
		}
		if now == nil {
			return errNoKey(key.ARN())
		}
		if err := now.usable(); err != nil {
			return err
		}
		out = *now
		return k.rotate(tx, m)
	})
	return out, err
}

// rotate adds a backing key to a key. Errors: LimitExceededException.
func (k *Keyring) rotate(tx Tx, m Material) error {
	all, err := tx.KMSMaterials(m.Key)
	if err != nil {
		return err
	}
	onDemand := 0
	for _, other := range all {
		m.Number = max(m.Number, other.Number+1)
		if other.Origin == OnDemand {
			onDemand++
		}
	}
	if m.Origin == OnDemand && onDemand >= maxOnDemand {
		return errLimit("The number of on-demand rotations of a key has reached the limit of %d.", maxOnDemand)
	}
	return tx.InsertKMSMaterial(m)
}

// ListKeyRotations returns the rotations of a key, the last ones first; with all also
// what it was made with. The first is in use. Errors: NotFoundException,
// InvalidArnException, InvalidMarkerException.
func (k *Keyring) ListKeyRotations(ctx context.Context, c access.Call, ref string, all bool, p Page) (out []Material, current, next string, err error) {
	q := &request{call: c, event: "ListKeyRotations", params: params{"keyId": ref}}
	err = k.view(ctx, q, func(tx ReadTx) error {
		key, err := k.open(ctx, tx, q, ref)
		if err != nil {
			return err
		}
		l, err := k.listing(q, p, rotationPage, rotationPageMax, key.ID, truth(all))
		if err != nil {
			return err
		}
		found, err := tx.KMSMaterials(key.ID)
		list := []Material{}
		for i := len(found) - 1; i >= 0; i-- {
			if all || found[i].Origin != "" {
				list = append(list, found[i])
			}
		}
		if len(found) > 0 {
			current = found[len(found)-1].ID
		}
		out, next = page.Pick(l, list, func(m Material) string { return strconv.Itoa(1<<40 - int(m.Number)) })
		return err
	})
	return out, current, next, err
}

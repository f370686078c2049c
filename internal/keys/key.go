package keys

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/page"

	"github.com/google/uuid"
)

const (
	maxKeys     = 100_000 // of an account in a region
	defaultDays = 30      // until a key is destroyed
	minDays     = 7
	maxDays     = 30
	day         = 24 * time.Hour
	keyPage     = 100
	keyPageMost = 1000
)

// Described is a key and which backing key it encrypts with.
type Described struct {
	Key
	Material string // its id
}

// CreateKeyInput is what CreateKey is asked for.
type CreateKeyInput struct {
	Description string
	Policy      string // "" for the default
	Usage       string // "" for ENCRYPT_DECRYPT
	Spec        string // "" for SYMMETRIC_DEFAULT
	Origin      string // "" for AWS_KMS
	Elsewhere   bool   // a custom key store is asked for, or an external one
	MultiRegion bool
	Tags        []Tag
	Bypass      bool // the policy may lock the caller out
}

// supported returns why there are no such keys.
func (in CreateKeyInput) supported() error {
	switch {
	case in.Spec != "" && in.Spec != symmetric:
		return errUnsupported("Keys of the spec %s are not supported: keys are %s.", in.Spec, symmetric)
	case in.Usage != "" && in.Usage != "ENCRYPT_DECRYPT":
		return errUnsupported("The key usage %s is not supported: keys are for ENCRYPT_DECRYPT.", in.Usage)
	case in.Origin != "" && in.Origin != "AWS_KMS":
		return errUnsupported("The origin %s is not supported: key material comes from AWS_KMS.", in.Origin)
	case in.Elsewhere:
		return errUnsupported("Custom key stores are not supported.")
	case in.MultiRegion:
		return errUnsupported("Multi-Region keys are not supported.")
	}
	return checkText(in.Description)
}

// checkText refuses a description that has control characters.
func checkText(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' }) {
		return errValidation("1 validation error detected: Value at 'description' failed to satisfy constraint: Member must not have control characters")
	}
	return nil
}

// CreateKey makes a key. Errors: MalformedPolicyDocumentException,
// UnsupportedOperationException, LimitExceededException, TagException,
// ValidationException.
func (k *Keyring) CreateKey(ctx context.Context, c access.Call, in CreateKeyInput) (out Described, err error) {
	key := Key{
		ID: uuid.NewString(), Account: c.Account, Region: c.Region, Manager: Customer, State: Enabled, Description: in.Description, Policy: in.Policy,
		Tags: sortTags(slices.Clone(in.Tags)), CreatedAt: k.time(),
	}
	if key.Policy == "" {
		key.Policy = defaultPolicy(c.Account)
	}
	q := &request{
		call: c, event: "CreateKey", params: params{"description": in.Description, "policy": in.Policy, "keySpec": in.Spec, "keyUsage": in.Usage,
			"origin": in.Origin, "tags": in.Tags, "bypassPolicyLockoutSafetyCheck": in.Bypass},
		context: requestTags(in.Tags),
	}
	q.set(lockoutCheck, truth(in.Bypass))
	q.set("kms:KeySpec", orElse(in.Spec, symmetric))
	q.set("kms:KeyUsage", orElse(in.Usage, "ENCRYPT_DECRYPT"))
	q.set("kms:KeyOrigin", orElse(in.Origin, "AWS_KMS"))
	prepare := func() error {
		if err := k.decide(ctx, q, c.Account, "*"); err != nil {
			return err
		}
		if len(in.Tags) > 0 {
			tag := *q
			tag.action = "TagResource"
			if err := k.decide(ctx, &tag, c.Account, "*"); err != nil {
				return err
			}
		}
		if err := in.supported(); err != nil {
			return err
		}
		return checkTags(in.Tags)
	}
	if err := prepare(); err != nil {
		return out, k.failed(q, err)
	}
	m, err := k.newMaterial(ctx, &key, 1, "")
	if err != nil {
		return out, k.failed(q, err)
	}
	err = k.update(ctx, q, c.Account, func(tx Tx) error {
		if err := k.admit(ctx, tx, q, &key, in.Bypass || in.Policy == ""); err != nil {
			return err
		}
		n, err := tx.CountKMSKeys(c.Account, c.Region)
		if err != nil {
			return err
		}
		if n >= maxKeys {
			return errLimit("The number of keys has reached the limit of %d.", maxKeys)
		}
		if err := tx.InsertKMSKey(&key); err != nil {
			return err
		}
		q.resource = key.ARN()
		return tx.InsertKMSMaterial(m)
	})
	return Described{key, m.ID}, err
}

func second[T any](_ T, err error) error { return err }

func (q *request) set(key string, value string) {
	if q.context == nil {
		q.context = map[string][]string{}
	}
	q.context[key] = []string{value}
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func truth(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// DescribeKey returns a key. AWS's own key for ECR is made if it is not there.
// Errors: NotFoundException, InvalidArnException.
func (k *Keyring) DescribeKey(ctx context.Context, c access.Call, ref string) (out Described, err error) {
	q := &request{call: c, event: "DescribeKey", params: params{"keyId": ref}}
	look := func(tx ReadTx) error {
		key, err := k.open(ctx, tx, q, ref)
		if err == nil {
			out, err = described(tx, key)
		}
		return err
	}
	err = k.reading(ctx, q, look)
	if k.isManaged(c, ref) && fault.CodeOf(err) == "NotFoundException" { // who asks may
		if err = k.ensureManaged(ctx, c.Account, c.Region); err == nil {
			err = k.reading(ctx, q, look)
		}
	}
	return out, k.conclude(q, err)
}

func described(tx ReadTx, key *Key) (Described, error) {
	out := Described{Key: *key}
	ms, err := tx.KMSMaterials(key.ID)
	if len(ms) > 0 {
		out.Material = ms[len(ms)-1].ID
	}
	return out, err
}

// ListKeys returns the keys of the account and region by their ids. Errors:
// InvalidMarkerException.
func (k *Keyring) ListKeys(ctx context.Context, c access.Call, p Page) (out []Key, next string, err error) {
	q := &request{call: c, event: "ListKeys"}
	err = k.view(ctx, q, func(tx ReadTx) error {
		if err := k.decide(ctx, q, c.Account, "*"); err != nil {
			return err
		}
		l, err := k.listing(q, p, keyPage, keyPageMost)
		if err != nil {
			return err
		}
		found, err := tx.KMSKeys(c.Account, c.Region, l.After, l.Limit+1)
		out, next = page.Cut(l, found, func(k Key) string { return k.ID })
		return err
	})
	return out, next, err
}

// change changes the key that a call names.
func (k *Keyring) change(ctx context.Context, q *request, ref string, fn func(Tx, *Key) error) error {
	open := func(tx ReadTx) error { return second(k.open(ctx, tx, q, ref)) }
	return k.updateKey(ctx, q, ref, open, func(tx Tx) error {
		key, err := k.open(ctx, tx, q, ref)
		if err != nil {
			return err
		}
		return fn(tx, key)
	})
}

// alter is change for calls that change the facts of the key itself, if it passes the
// checks.
func (k *Keyring) alter(ctx context.Context, q *request, ref string, fn func(*Key) error, checks ...func(*Key) error) error {
	return k.change(ctx, q, ref, func(tx Tx, key *Key) error {
		for _, check := range checks {
			if err := check(key); err != nil {
				return err
			}
		}
		if err := fn(key); err != nil {
			return err
		}
		return tx.UpdateKMSKey(key)
	})
}

// EnableKey makes a key usable. Errors: NotFoundException, InvalidArnException,
// KMSInvalidStateException.
func (k *Keyring) EnableKey(ctx context.Context, c access.Call, ref string) error {
	return k.setState(ctx, &request{call: c, event: "EnableKey", params: params{"keyId": ref}}, ref, Enabled)
}

// DisableKey makes a key unusable until it is enabled. Errors are those of EnableKey.
func (k *Keyring) DisableKey(ctx context.Context, c access.Call, ref string) error {
	return k.setState(ctx, &request{call: c, event: "DisableKey", params: params{"keyId": ref}}, ref, Disabled)
}

func (k *Keyring) setState(ctx context.Context, q *request, ref string, s State) error {
	return k.alter(ctx, q, ref, func(key *Key) error {
		key.State = s
		return nil
	}, (*Key).changeable)
}

// UpdateKeyDescription changes the description of a key. Errors: NotFoundException,
// InvalidArnException, KMSInvalidStateException, ValidationException.
func (k *Keyring) UpdateKeyDescription(ctx context.Context, c access.Call, ref, text string) error {
	q := &request{call: c, event: "UpdateKeyDescription", params: params{"keyId": ref, "description": text}}
	return k.alter(ctx, q, ref, func(key *Key) error {
		key.Description = text
		return checkText(text)
	}, (*Key).changeable)
}

// ScheduleKeyDeletion makes a key unusable at once, and has it destroyed after some
// days; 0 stands for 30. Errors: NotFoundException, InvalidArnException,
// KMSInvalidStateException, ValidationException.
func (k *Keyring) ScheduleKeyDeletion(ctx context.Context, c access.Call, ref string, days int64) (out Key, err error) {
	q := &request{call: c, event: "ScheduleKeyDeletion", params: params{"keyId": ref, "pendingWindowInDays": days}}
	if days == 0 {
		days = defaultDays
	}
	q.set("kms:ScheduleKeyDeletionPendingWindowInDays", number(days))
	err = k.alter(ctx, q, ref, func(key *Key) error {
		if days < minDays || days > maxDays {
			return errValidation("PendingWindowInDays must be between %d and %d (inclusive)", minDays, maxDays)
		}
		key.State, key.DeletionDays, key.DeletionAt = PendingDeletion, days, k.time().Add(time.Duration(days)*day)
		out = *key
		return nil
	}, (*Key).changeable)
	return out, err
}

// CancelKeyDeletion keeps a key, which is disabled then. Errors: NotFoundException,
// InvalidArnException, KMSInvalidStateException.
func (k *Keyring) CancelKeyDeletion(ctx context.Context, c access.Call, ref string) (out Key, err error) {
	q := &request{call: c, event: "CancelKeyDeletion", params: params{"keyId": ref}}
	err = k.alter(ctx, q, ref, func(key *Key) error {
		if key.State != PendingDeletion {
			return errState("%s is not pending deletion.", key.ARN())
		}
		key.State, key.DeletionDays, key.DeletionAt = Disabled, 0, time.Time{}
		out = *key
		return nil
	})
	return out, err
}

// Package keys knows KMS keys: the verbs of AWS KMS, and what the registry needs to
// wrap the data keys of repositories.
//
// A [Keyring] has the verbs. Every verb takes the caller, asks the authorizer before
// it says anything, runs in one transaction and leaves one audit record. Verbs return
// errors of package fault that carry KMS's codes and texts.
//
// A key is a row of facts and one or more backing keys: 32 random bytes each, which
// are stored sealed by a [Master]. Every rotation adds one; what is encrypted says
// which it was. When a key is destroyed its backing keys are, and nothing that it has
// encrypted can be read again.
package keys

import (
	"context"
	"regexp"
	"sync/atomic"
	"time"

	"berth/internal/access"
	"berth/internal/policy"
	"berth/internal/seal"
)

// Master seals backing keys. What it is asked about must be given again to open.
type Master interface {
	Seal(ctx context.Context, plain []byte, about string) ([]byte, error)
	Open(ctx context.Context, sealed []byte, about string) ([]byte, error)
}

// Local returns the Master that is a key of this process.
func Local(k *seal.Key) Master { return local{k} }

type local struct{ key *seal.Key }

func (l local) Seal(_ context.Context, plain []byte, about string) ([]byte, error) {
	return l.key.Seal(plain, about), nil
}

func (l local) Open(_ context.Context, sealed []byte, about string) ([]byte, error) {
	return l.key.Open(sealed, about)
}

// Keyring is all keys of all accounts and regions. It is safe for concurrent use.
type Keyring struct {
	store      Store
	auth       *access.Authorizer
	auditor    access.Auditor
	principals access.PrincipalSource
	master     Master
	pages      *seal.Key
	tokens     *seal.Key
	now        func() time.Time

	clock func(context.Context) (time.Time, error)

	refused func() error

	parsed     parsed
	opened     opened
	known      known
	unshredded atomic.Bool // backing keys may have been destroyed that the store still has
}

// Options are what a Keyring is made of. All are required but Now.
type Options struct {
	Store      Store
	Authorizer *access.Authorizer
	Auditor    access.Auditor
	Principals access.PrincipalSource
	Master     Master           // seals backing keys
	Pages      *seal.Key        // seals markers
	Tokens     *seal.Key        // seals grant tokens
	Now        func() time.Time // time.Now if nil
	// Clock is the time by which keys are destroyed, if Now says so too; Now if nil.
	Clock func(context.Context) (time.Time, error)
	// Refused returns why changes are refused at present, nil if they are not, and always if
	// it is nil.
	Refused func() error
}

// New returns the Keyring of what is stored.
func New(o Options) *Keyring {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Clock == nil {
		o.Clock = func(context.Context) (time.Time, error) { return o.Now(), nil }
	}
	if o.Refused == nil {
		o.Refused = func() error { return nil }
	}
	k := &Keyring{
		store: o.Store, auth: o.Authorizer, auditor: o.Auditor, principals: o.Principals, master: o.Master, pages: o.Pages, tokens: o.Tokens, now: o.Now,
		clock: o.Clock, refused: o.Refused,
	}
	k.unshredded.Store(true) // who was here before may have been stopped
	return k
}

// time is the time to the microsecond, which is what the store keeps.
func (k *Keyring) time() time.Time { return k.now().UTC().Truncate(time.Microsecond) }

// State is what a key can be used for.
type State string

// The states.
const (
	Enabled         State = "Enabled"
	Disabled        State = "Disabled"
	PendingDeletion State = "PendingDeletion"
)

// Who manages a key.
const (
	Customer = "CUSTOMER"
	AWS      = "AWS"
)

// Key is a key without its material.
type Key struct {
	ID              string // a UUID, never used again
	Account, Region string
	Manager         string // Customer or AWS
	State           State
	Description     string
	Policy          string // as it was put
	Tags            []Tag  // by key
	CreatedAt       time.Time
	DeletionAt      time.Time // when it is destroyed; zero if it is not to be
	DeletionDays    int64     // between the call and that
	RotationDays    int64     // how often it rotates by itself; 0 for never
	RotationAt      time.Time // when next; zero for never
}

// ARN returns the key's name.
func (k *Key) ARN() string { return keyARN(k.Account, k.Region, k.ID) }

func keyARN(account, region, id string) string { return arnOf(account, region, "key/"+id) }

func arnOf(account, region, resource string) string {
	return policy.ARN{Partition: "aws", Service: "kms", Region: region, Account: account, Resource: resource}.String()
}

// Tag is a tag of a key.
type Tag struct{ Key, Value string }

// conditions are the condition keys that the key sets.
func (k *Key) conditions() map[string][]string {
	out := map[string][]string{
		"kms:KeyOrigin": {"AWS_KMS"}, "kms:KeySpec": {symmetric}, "kms:KeyUsage": {"ENCRYPT_DECRYPT"}, "kms:MultiRegion": {"false"},
	}
	for _, t := range k.Tags {
		out["aws:ResourceTag/"+t.Key] = []string{t.Value}
	}
	return out
}

// symmetric is the spec of all keys, and the algorithm that they are for.
const symmetric = "SYMMETRIC_DEFAULT"

// usable returns why the key cannot encrypt and decrypt now, if it cannot.
func (k *Key) usable() error {
	switch k.State {
	case Disabled:
		return errDisabled(k.ARN())
	case PendingDeletion:
		return errPending(k.ARN())
	}
	return nil
}

// changeable returns why the key cannot be changed now, if it cannot.
func (k *Key) changeable() error {
	if k.State == PendingDeletion {
		return errPending(k.ARN())
	}
	return nil
}

// Material is a backing key as it is stored.
type Material struct {
	Key       string // the key's id
	Number    uint32 // from 1
	ID        string // 64 hexadecimal digits, random
	Origin    string // "" for the first, Automatic or OnDemand
	Sealed    []byte
	CreatedAt time.Time
}

// About returns what the backing key is sealed about: it is bound to its key and its id.
func (m Material) About() string { return m.Key + " " + m.ID }

// Why a backing key was made.
const (
	Automatic = "AUTOMATIC"
	OnDemand  = "ON_DEMAND"
)

var (
	uuidText  = regexp.MustCompile(`\A[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\z`)
	accountID = regexp.MustCompile(`\A[0-9]{12}\z`)
	aliasText = regexp.MustCompile(`\Aalias/[a-zA-Z0-9/_-]{1,250}\z`)
)

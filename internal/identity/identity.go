// Package identity knows accounts and their principals: the verbs of IAM, and of
// STS as far as there are any.
//
// A [Directory] has the verbs. Every verb that is an operation of IAM takes the
// caller, asks the authorizer before it says anything, runs in one transaction and
// leaves one audit record. Verbs return errors of package fault that carry IAM's
// codes and texts.
//
// A principal carries its policies from when its key is looked up; package access
// decides by them. A session is a principal that is looked up likewise.
package identity

import (
	"context"
	"crypto/subtle"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"berth/internal/access"
	"berth/internal/seal"
)

// AccessKey is a pair of access key id and secret.
type AccessKey struct {
	ID     string
	Secret string
}

// Directory is all accounts. It is safe for concurrent use.
type Directory struct {
	account string
	root    AccessKey
	store   Store
	auth    *access.Authorizer
	auditor access.Auditor
	secrets *seal.Key
	pages   *seal.Key
	tokens  TokenVerifier
	now     func() time.Time

	known    known
	parsed   parsed
	uses     uses
	accounts sync.Map // ids of accounts that are known to exist

	reading sync.Mutex // held while the organization is read
	roster  atomic.Pointer[roster]
	readAt  time.Time // when the organization was last read; under reading
}

// Options are what a Directory is made of. All are required but Tokens and Now.
type Options struct {
	Account    string    // the first account
	Root       AccessKey // of that account's root
	Store      Store
	Authorizer *access.Authorizer
	Auditor    access.Auditor
	Secrets    *seal.Key        // seals the secrets of access keys
	Pages      *seal.Key        // seals markers
	Tokens     TokenVerifier    // nil refuses all identity tokens
	Now        func() time.Time // time.Now if nil
}

// NewDirectory returns the directory of what is stored, which has the first
// account from now on.
func NewDirectory(ctx context.Context, o Options) (*Directory, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	d := &Directory{
		account: o.Account, root: o.Root, store: o.Store, auth: o.Authorizer, auditor: o.Auditor, secrets: o.Secrets, pages: o.Pages,
		tokens: o.Tokens, now: o.Now,
	}
	return d, d.begin(ctx)
}

// time is the time to the microsecond, which is what the store keeps.
func (d *Directory) time() time.Time { return d.now().UTC().Truncate(time.Microsecond) }

func compare(a, b string) int { return strings.Compare(a, b) }

// GetCallerIdentity returns who is asking. Everybody may ask that; it leaves an
// audit record.
func (d *Directory) GetCallerIdentity(_ context.Context, c access.Call) access.Caller {
	d.auditor.Record(access.Record{
		Time: d.now(), Caller: c.Caller, Service: "sts", Event: "GetCallerIdentity", Account: c.Account, Region: c.Region, ReadOnly: true,
	})
	return c.Caller
}

// Principal returns the principal that an access key belongs to, as it is now,
// and the key's secret. A key that this process has deleted or made inactive is
// nobody's at once; one that another has, after a second at most. The same goes for
// the policies that a user carries. Errors:
// UnrecognizedClientException, of the kind Unauthenticated, if it is nobody's, and
// ExpiredTokenException, of that kind too, if it was a session's.
func (d *Directory) Principal(ctx context.Context, accessKeyID string) (access.Caller, string, error) {
	if !d.isRootKey(accessKeyID) && !isKeyID(accessKeyID) {
		return access.Caller{}, "", errUnknownKey()
	}
	p, generation, ok := d.known.get(accessKeyID, d.now())
	if !ok {
		var err error
		if p, err = d.known.once(accessKeyID, generation, func() (principal, error) {
			p := principal{at: d.now()}
			// Others may wait for this, whose requests go on if this one ends.
			err := d.store.View(context.WithoutCancel(ctx), func(tx ReadTx) (err error) {
				p.caller, p.secret, err = d.read(remembering{tx, &d.parsed}, accessKeyID)
				return err
			})
			return p, err
		}); err != nil {
			return access.Caller{}, "", err
		}
		d.known.put(accessKeyID, p, generation)
	}
	if s := p.caller.Session; s != nil && !d.now().Before(s.Expires) {
		return access.Caller{}, "", errExpired()
	}
	return p.caller, p.secret, nil
}

// isRootKey reports whether a key is that of the configuration.
func (d *Directory) isRootKey(id string) bool {
	return subtle.ConstantTimeCompare([]byte(id), []byte(d.root.ID)) == 1
}

// read is Principal in a transaction.
func (d *Directory) read(tx ReadTx, id string) (access.Caller, string, error) {
	if d.isRootKey(id) {
		root := rootOf(d.account, id)
		var err error
		root.Revoked, err = d.revoked(tx, d.account)
		return root, d.root.Secret, err
	}
	if strings.HasPrefix(id, sessionPrefix) {
		return d.readSession(tx, id)
	}
	k, err := tx.AccessKey(id)
	if err != nil {
		return access.Caller{}, "", err
	}
	if k == nil || !k.Active {
		return access.Caller{}, "", errUnknownKey()
	}
	secret, err := d.secrets.Open(k.Sealed, id)
	if err != nil {
		return access.Caller{}, "", err
	}
	if k.Owner == "" {
		root := rootOf(k.Account, id)
		root.Revoked, err = d.revoked(tx, k.Account)
		return root, string(secret), err
	}
	user, err := tx.EntityByID(k.Owner)
	if err != nil {
		return access.Caller{}, "", err
	}
	if user == nil {
		return access.Caller{}, "", errUnknownKey()
	}
	policies, err := carried(tx, user)
	if err != nil {
		return access.Caller{}, "", err
	}
	passwords, err := d.revoked(tx, user.ID)
	return access.Caller{
		Account: user.Account, ARN: user.ARN(), ID: user.ID, AccessKeyID: id, Type: access.User, Policies: &policies, Revoked: passwords,
	}, string(secret), err
}

// isKeyID reports whether a text has the shape of the ids of access keys.
func isKeyID(s string) bool {
	return len(s) == 20 && (strings.HasPrefix(s, "AKIA") || strings.HasPrefix(s, sessionPrefix)) && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < '2' || r > '7')
	})
}

func rootOf(account, key string) access.Caller {
	return access.Caller{Account: account, ARN: "arn:aws:iam::" + account + ":root", ID: account, AccessKeyID: key, Type: access.Root}
}

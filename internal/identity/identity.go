// Package identity knows accounts and their principals.
//
// For now the only principal is the root of the installation's first account,
// with one access key that comes from configuration.
package identity

import (
	"context"
	"crypto/subtle"
	"time"

	"berth/internal/access"
)

// AccessKey is a pair of access key id and secret.
type AccessKey struct {
	ID     string
	Secret string
}

// Directory is all accounts. It is safe for concurrent use.
type Directory struct {
	account string
	key     AccessKey
	auditor access.Auditor
	now     func() time.Time
}

// Options are what a Directory is made of. All are required but Now.
type Options struct {
	Account string    // the one account
	Root    AccessKey // of the account's root
	Auditor access.Auditor
	Now     func() time.Time // time.Now if nil
}

// NewDirectory returns a directory of one account.
func NewDirectory(o Options) *Directory {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Directory{o.Account, o.Root, o.Auditor, o.Now}
}

// GetCallerIdentity returns who is asking. Everybody may ask that; it leaves an
// audit record.
func (d *Directory) GetCallerIdentity(_ context.Context, c access.Call) access.Caller {
	d.auditor.Record(access.Record{
		Time: d.now(), Caller: c.Caller, Service: "sts", Event: "GetCallerIdentity", Account: c.Account, Region: c.Region, ReadOnly: true,
	})
	return c.Caller
}

// Principal returns the principal that an access key belongs to, as it is now,
// and the key's secret. It reports whether there is one.
func (d *Directory) Principal(_ context.Context, accessKeyID string) (access.Caller, string, bool) {
	if subtle.ConstantTimeCompare([]byte(accessKeyID), []byte(d.key.ID)) == 0 {
		return access.Caller{}, "", false
	}
	return access.Caller{
		Account: d.account, ARN: "arn:aws:iam::" + d.account + ":root", ID: d.account,
		AccessKeyID: d.key.ID, Type: access.Root,
	}, d.key.Secret, true
}

// Policies implements [access.PolicySource].
func (d *Directory) Policies(_ context.Context, c access.Caller) (access.Policies, error) {
	return access.Policies{Administrator: c.Type == access.Root && c.Account == d.account}, nil
}

package keys

import (
	"context"
	"time"

	"berth/internal/access"
)

// Store keeps keys and what belongs to them. It is implemented by package metadata.
type Store interface {
	// View runs fn in a transaction that sees one state and changes nothing.
	View(ctx context.Context, fn func(ReadTx) error) error
	// Aside is View for who may be in a transaction already: it does not wait until
	// others end.
	Aside(ctx context.Context, fn func(ReadTx) error) error
	// Update runs fn in a transaction, perhaps more than once, and returns when
	// its changes are durable.
	Update(ctx context.Context, fn func(Tx) error) error
	// ShredKMSMaterials takes what backing keys were that are not there any more out
	// of the files of the database, as far as it has a say in that.
	ShredKMSMaterials(ctx context.Context) error
}

// ReadTx is a transaction that reads. What is not there is nil. Listings are in the
// order of the place that they begin after, which is "" for the start, and end at a
// limit.
type ReadTx interface {
	KeyReader
	MaterialReader
	AliasReader
	GrantReader
	access.PrincipalReader
}

// Tx is a transaction that changes.
type Tx interface {
	ReadTx
	KeyWriter
	AliasWriter
	GrantWriter
	// LockAccount makes transactions on an account take turns. It must come before
	// anything is read.
	LockAccount(id string) error
	// Record writes an audit record that is there if the changes are.
	Record(access.Record) error
}

// KeyReader reads keys.
type KeyReader interface {
	KMSKey(id string) (*Key, error)
	KMSKeys(account, region, after string, limit int) ([]Key, error) // by id
	CountKMSKeys(account, region string) (int, error)
	// KMSKeysToDelete are those whose time has come, KMSKeysToRotate likewise.
	KMSKeysToDelete(by time.Time, limit int) ([]Key, error)
	KMSKeysToRotate(by time.Time, limit int) ([]Key, error)
	KMSKeysWithUnusedGrants(by time.Time, limit int) ([]Key, error)
}

// MaterialReader reads backing keys.
type MaterialReader interface {
	KMSMaterials(key string) ([]Material, error) // by number
}

// KeyWriter changes keys and backing keys.
type KeyWriter interface {
	InsertKMSKey(*Key) error
	UpdateKMSKey(*Key) error
	InsertKMSMaterial(Material) error
	// DestroyKMSKey deletes a key and all that belongs to it.
	DestroyKMSKey(id string) error
}

// Alias is another name of a key.
type Alias struct {
	Account, Region string
	Name            string // alias/...
	Key             string // the key's id
	CreatedAt       time.Time
	UpdatedAt       time.Time
}

// ARN returns the alias's name in full.
func (a Alias) ARN() string { return arnOf(a.Account, a.Region, a.Name) }

// AliasReader reads aliases.
type AliasReader interface {
	KMSAlias(account, region, name string) (*Alias, error)
	KMSAliases(account, region, after string, limit int) ([]Alias, error) // by name
	KMSAliasesOf(key string) ([]Alias, error)                             // by name
}

// AliasWriter changes aliases.
type AliasWriter interface {
	PutKMSAlias(Alias) error // in place of any that has its name
	DeleteKMSAlias(Alias) error
}

// Grant lets a principal use a key.
type Grant struct {
	ID            string // 64 hexadecimal digits, random
	Key           string // the key's id
	Name          string // "" for none
	Grantee       string // an ARN, or the name of a service
	Retiring      string // who may retire it besides; "" for nobody
	Issuer        string // the account that made it
	Operations    []string
	Subset, Equal map[string]string // constraints on the encryption context; nil for none
	Repository    string            // the ARN of the repository that ECR made it for, "" for none
	RepositoryUID string            // of that one, "" for none
	CreatedAt     time.Time
}

// GrantReader reads grants.
type GrantReader interface {
	KMSGrant(id string) (*Grant, error)
	// KMSGrants lists those of a key, or of a grantee if it is not "", by id.
	KMSGrants(key, grantee, after string, limit int) ([]Grant, error)
	// KMSGrantsTo returns those of a key that have one of the grantees, grantee by
	// grantee, but for those that ECR has made for repositories.
	KMSGrantsTo(key string, grantees []string) ([]Grant, error)
	// KMSGrantsFor returns those that ECR has made for a repository.
	KMSGrantsFor(key, repository string) ([]Grant, error)
	// KMSRetirableGrants returns those that a principal may retire on keys in a
	// region, of an account if it is not "", by id.
	KMSRetirableGrants(retiring, account, region, after string, limit int) ([]RetirableGrant, error)
	CountKMSGrants(key string) (int, error)
	// KMSUnusedGrants returns those of a key that ECR has made for repositories that
	// are not there, or deleted, if they were made before a time.
	KMSUnusedGrants(key string, by time.Time) ([]Grant, error)
}

// GrantWriter changes grants.
type GrantWriter interface {
	InsertKMSGrant(Grant) error
	DeleteKMSGrant(id string) error
}

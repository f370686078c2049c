package identity

import (
	"context"
	"time"

	"berth/internal/access"
)

// Store keeps accounts and what is in them. It is implemented by package
// metadata.
type Store interface {
	// View runs fn in a transaction that sees one state and changes nothing.
	View(ctx context.Context, fn func(ReadTx) error) error
	// Update runs fn in a transaction, perhaps more than once, and returns when
	// its changes are durable.
	Update(ctx context.Context, fn func(Tx) error) error
	// Relaxed is Update without the wait for the disk.
	Relaxed(ctx context.Context, fn func(Tx) error) error
	// Keep is Update for what is kept about those who read, and about the work of this
	// process: it is done while changes are refused, too.
	Keep(ctx context.Context, fn func(Tx) error) error
	// KeepRelaxed is Keep without the wait for the disk.
	KeepRelaxed(ctx context.Context, fn func(Tx) error) error
}

// ReadTx is a transaction that reads. Listings are in the order of the place
// that they begin after, which is "" for the start, and end at a limit.
type ReadTx interface {
	AccountReader
	EntityReader
	InlineReader
	VersionReader
	AttachmentReader
	KeyReader
	ProviderReader
	SessionReader
	BindingReader
	OrganizationReader
}

// Tx is a transaction that changes.
type Tx interface {
	ReadTx
	AccountWriter
	EntityWriter
	InlineWriter
	VersionWriter
	AttachmentWriter
	KeyWriter
	ProviderWriter
	SessionWriter
	BindingWriter
	OrganizationWriter
	// Record writes an audit record that is there if the changes are.
	Record(access.Record) error
}

// Account is an account.
type Account struct {
	ID        string
	Alias     string // "" for none
	CreatedAt time.Time
}

// AccountReader reads accounts. What is not there is nil.
type AccountReader interface {
	Account(id string) (*Account, error)
	AccountOfAlias(alias string) (*Account, error)
}

// AccountWriter changes accounts.
type AccountWriter interface {
	// LockAccount makes transactions on an account take turns. It must come
	// before anything is read.
	LockAccount(id string) error
	// InsertAccount reports whether there was no such account.
	InsertAccount(Account) (bool, error)
	SetAlias(account, alias string) error
}

// EntityReader reads entities. What is not there is nil.
type EntityReader interface {
	Entity(account string, k Kind, key string) (*Entity, error)
	EntityByID(id string) (*Entity, error)
	// Entities lists those whose path begins with a prefix, by name.
	Entities(account string, k Kind, prefix, after string, limit int) ([]Entity, error)
	CountEntities(account string, k Kind) (int, error)
	// MembersOf lists the users of a group, GroupsOf the groups of a user, by
	// name.
	MembersOf(group, after string, limit int) ([]Entity, error)
	GroupsOf(user, after string, limit int) ([]Entity, error)
}

// EntityWriter changes entities.
type EntityWriter interface {
	InsertEntity(*Entity) error
	UpdateEntity(*Entity) error
	DeleteEntity(id string) error
	AddMember(group, user string) error
	RemoveMember(group, user string) (bool, error)
}

// InlinePolicy is a policy that is part of a user, a group or a role.
type InlinePolicy struct{ Name, Document string }

// InlineReader reads inline policies.
type InlineReader interface {
	InlinePolicies(entity string) ([]InlinePolicy, error) // all, by name
}

// InlineWriter changes inline policies.
type InlineWriter interface {
	PutInlinePolicy(entity string, p InlinePolicy) error
	DeleteInlinePolicy(entity, name string) (bool, error)
}

// Version is a version of a managed policy.
type Version struct {
	Number    int64
	Document  string
	CreatedAt time.Time
}

// VersionReader reads the versions of policies.
type VersionReader interface {
	Versions(policy string) ([]Version, error) // newest first
}

// VersionWriter changes the versions of policies.
type VersionWriter interface {
	InsertVersion(policy string, v Version) error
	DeleteVersion(policy string, number int64) error
}

// AttachmentReader reads which entities have which managed policies.
type AttachmentReader interface {
	Attachments(entity string) ([]string, error) // the ARNs, sorted
	// AttachedTo lists, by id, the entities that a policy is attached to, or whose
	// boundary it is.
	AttachedTo(account, policy string, boundary bool, after string, limit int) ([]Entity, error)
	CountAttachments(account, policy string) (attached, boundaries int64, err error)
}

// AttachmentWriter changes which entities have which managed policies.
type AttachmentWriter interface {
	Attach(account, entity, policy string) error
	Detach(entity, policy string) (bool, error)
}

// Key is an access key as it is stored.
type Key struct {
	ID        string
	Account   string
	Owner     string // the user's id; "" for the account's root
	Sealed    []byte // the secret
	Active    bool
	CreatedAt time.Time
}

// Use is when and for what a key was used last. The zero Use is never.
type Use struct {
	At              time.Time
	Region, Service string
}

// KeyReader reads access keys. What is not there is nil.
type KeyReader interface {
	AccessKey(id string) (*Key, error)
	AccessKeys(account, owner string) ([]Key, error) // by id
	KeyUse(id string) (Use, error)
}

// KeyWriter changes access keys.
type KeyWriter interface {
	InsertAccessKey(Key) error
	SetAccessKeyStatus(id string, active bool) error
	DeleteAccessKey(id string) error
	// RecordKeyUse records a use unless a later one is recorded.
	RecordKeyUse(id string, u Use) error
}

// Provider is an OpenID Connect provider that an account trusts.
type Provider struct {
	Account     string
	URL         string // without https://
	Clients     []string
	Thumbprints []string
	Tags        []Tag
	CreatedAt   time.Time
}

// ProviderReader reads providers. What is not there is nil.
type ProviderReader interface {
	Provider(account, url string) (*Provider, error)
	Providers(account string) ([]Provider, error) // by URL
}

// ProviderWriter changes providers.
type ProviderWriter interface {
	PutProvider(Provider) error
	DeleteProvider(account, url string) error
}

// OrganizationReader reads the organization. What is not there is nil.
type OrganizationReader interface {
	Organization() (*Organization, error)
	Units() ([]Unit, error)
	Members() ([]Member, error)
	ControlPolicies() ([]ControlPolicy, error) // without those of AWS
	ControlAttachments() ([]ControlAttachment, error)
	AllAccounts() ([]string, error)
}

// OrganizationWriter changes the organization. What is put replaces what has the
// same id.
type OrganizationWriter interface {
	PutOrganization(Organization) error // of one that is there the types only
	// ChangeOrganization makes the version of the organization, if there is one,
	// greater by 1. Until the transaction ends others wait there.
	ChangeOrganization() error
	PutUnit(Unit) error
	DeleteUnit(id string) error // and what is attached to it
	PutMember(Member) error
	PutControlPolicy(ControlPolicy) error
	DeleteControlPolicy(id string) error
	AttachControl(ControlAttachment) error
	DetachControl(ControlAttachment) error
}

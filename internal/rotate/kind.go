package rotate

import (
	"berth/internal/blob"
	"berth/internal/seal"

	"github.com/opencontainers/go-digest"
)

// Kind is a kind of thing that is kept and is sealed.
type Kind string

// The kinds.
const (
	Objects     Kind = "objects"
	Uploads     Kind = "uploads"
	Annotations Kind = "annotations"
	AccessKeys  Kind = "access-keys"
	Sessions    Kind = "sessions"
	KMSKeys     Kind = "kms-keys" // their backing keys
)

// kindOf says how the things of a kind are sealed. What has data keys is an envelope of
// package blob, and its purpose is how the names of those of the master key begin that
// wrap them. Anything else is a value that [seal.Key.Seal] returned, with the id of its
// [Item] as context.
type kindOf struct {
	kind     Kind
	purpose  string // of seal.Master.Key
	envelope bool
}

// kinds has everything that is kept and needs the master key, in the order of their
// turns: what is not here is lost when an earlier master key is taken away. Each needs
// its two queries in sealedOf of package metadata, which begin with the id and what is
// sealed: an id may be put together of columns, as the context of its value is. Every
// purpose that the program has keys for must be here or in passing.
var kinds = []kindOf{
	{Objects, dataKeys, true},
	{Uploads, dataKeys, true},
	{Annotations, dataKeys, true},
	{AccessKeys, "access key", false},
	{Sessions, "access key", false},
	{KMSKeys, "kms key", false},
}

// dataKeys is how the purposes of keys begin that wrap data keys. An account and a
// region follow.
const dataKeys = "data keys of "

// passing are the purposes of what is not kept, and what becomes of it when the master
// key goes that made it.
var passing = map[string]string{
	"registry password": "docker login has to be done again: it is good for twelve hours at most",
	"anonymous token":   "clients that nobody has logged in get another one by themselves",
	"grant token":       "grants work without their tokens within seconds: tokens of new ones have to be asked for again",
	"page token":        "a listing that is under way has to begin again",
	"backup":            "snapshots of before are authenticated by the old master key alone: keep it, or restore them with --unauthenticated",
	"download link":     "links of GetDownloadUrlForLayer do not work: they are good for an hour at most",
}

// Item is a thing that is sealed: an envelope, or a value.
type Item struct {
	ID     string // unique in its kind; of a value also the context that it is sealed with
	Sealed []byte

	Domain blob.Domain
	Format int
	Digest digest.Digest
	Size   int64
}

// current returns how the things of a kind begin that plainly need no master key but
// m. Not all do that need no other.
func (k kindOf) current(m *seal.Master) []byte {
	if !k.envelope {
		return m.Prefix()
	}
	wrap := func(dataKey []byte) []byte { return m.Key(k.purpose).Seal(dataKey, "") }
	return blob.EnvelopePrefix(wrap, len(m.Prefix()))
}

// masters returns the ids of the master keys that an item of a kind is sealed under,
// one for each layer, by its bytes alone. Nothing is opened: whether a key can be used
// makes no difference. Under a KMS key there may be others' ciphertexts instead, of
// which the ids mean nothing.
func (i *Item) masters(envelope bool) ([]string, error) {
	if !envelope {
		return []string{seal.IDOf(i.Sealed)}, nil
	}
	wrapped, err := blob.WrappedKeys(i.Sealed)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, w := range wrapped {
		out = append(out, seal.IDOf(w))
	}
	return out, nil
}

package registry

import (
	"context"
	"strings"

	"berth/internal/fault"

	"github.com/opencontainers/go-digest"
)

// StorageQuota limits the bytes of the layers that the repositories of an account
// hold together, in all regions. A layer counts once in each repository that
// holds it, however many images refer to it.
type StorageQuota struct {
	Account string
	Prefix  string // only repositories of this name and below this path; "" for all
	Bytes   int64
}

// String returns the account and the prefix.
func (q StorageQuota) String() string {
	if q.Prefix == "" {
		return q.Account
	}
	return q.Account + "/" + q.Prefix
}

// covers reports whether the repository counts.
func (q StorageQuota) covers(ref Ref) bool {
	name := string(ref.Name)
	return q.Account == ref.Account && (q.Prefix == "" || q.Prefix == name || strings.HasPrefix(name, q.Prefix+"/"))
}

// storageOf returns the storage quotas that the repository counts for.
func (r *Registry) storageOf(repo *Repository) []StorageQuota {
	var out []StorageQuota
	for _, q := range r.storage {
		if q.covers(repo.Ref) {
			out = append(out, q)
		}
	}
	return out
}

func errStorage(q StorageQuota) error {
	return fault.New(fault.Exhausted, "LimitExceededException",
		"The maximum number of bytes in layers has been reached: the storage quota '%s' is %d bytes", q, q.Bytes)
}

// admitLayer calls link, which makes the repository hold a layer, and checks that
// no storage quota is passed after it. The sums are locked from then on, so that
// no two that run at once pass it together.
func (r *Registry) admitLayer(tx Tx, repo *Repository, d digest.Digest, link func() error) error {
	covering := r.storageOf(repo)
	if len(covering) == 0 {
		return link()
	}
	held, err := tx.Layer(repo.UID, d)
	if err != nil {
		return err
	}
	if err := link(); err != nil || held != nil {
		return err
	}
	return admitBytes(tx, covering)
}

// admitBytes checks that none of the quotas is passed after bytes were added.
func admitBytes(tx ReadTx, covering []StorageQuota) error {
	for _, q := range covering {
		used, err := tx.StorageUsed(q)
		if err != nil {
			return err
		}
		if used > q.Bytes {
			return errStorage(q)
		}
	}
	return nil
}

// CountStorage has what storage quotas are about counted from now on. It must be
// called before the first request.
func (r *Registry) CountStorage(ctx context.Context) error {
	for _, q := range r.storage {
		if err := r.store.Keep(ctx, func(tx Tx) error { return tx.CountStorage(q) }); err != nil {
			return err
		}
	}
	return nil
}

// StorageUse is a storage quota and what of it is used.
type StorageUse struct {
	StorageQuota
	Used int64
}

// StorageUse returns how much of each storage quota is used.
func (r *Registry) StorageUse(ctx context.Context) ([]StorageUse, error) {
	if len(r.storage) == 0 {
		return nil, nil
	}
	var out []StorageUse
	err := r.store.View(ctx, func(tx ReadTx) error {
		out = nil
		for _, q := range r.storage {
			used, err := tx.StorageUsed(q)
			if err != nil {
				return err
			}
			out = append(out, StorageUse{q, used})
		}
		return nil
	})
	return out, err
}

package registry

import (
	"context"

	"berth/internal/access"
	"berth/internal/fault"
)

// PutRepositoryProtectionInput is what PutRepositoryProtection is asked for.
type PutRepositoryProtectionInput struct {
	Ref
	Enabled bool `json:"enabled"`
}

// PutRepositoryProtection protects a repository against deletion, by force too,
// or ends that. Its images can be deleted all the same. The caller must be
// allowed ecr:DeleteRepository. Errors: RepositoryNotFoundException.
func (r *Registry) PutRepositoryProtection(ctx context.Context, c access.Caller, in PutRepositoryProtectionInput) error {
	q := request{caller: c, event: "PutRepositoryProtection", action: "DeleteRepository", ref: in.Ref, params: in, lock: LockChange}
	return r.update(ctx, q, func(tx Tx, repo *Repository) error {
		repo.Protected = in.Enabled
		if err := tx.UpdateRepository(repo); err != nil {
			return err
		}
		return tx.Emit(Event{
			Kind: RepositoryChanged, Ref: in.Ref, RepositoryUID: repo.UID, Time: r.now(), Principal: c.ARN, Detail: "deletion protection",
		})
	})
}

// GetRepositoryProtection reports whether a repository is protected against
// deletion. The caller must be allowed ecr:DescribeRepositories. Errors:
// RepositoryNotFoundException.
func (r *Registry) GetRepositoryProtection(ctx context.Context, c access.Caller, ref Ref) (bool, error) {
	protected := false
	q := request{caller: c, event: "GetRepositoryProtection", action: "DescribeRepositories", ref: ref, readOnly: true}
	err := r.view(ctx, q, func(_ ReadTx, repo *Repository) error {
		protected = repo.Protected
		return nil
	})
	return protected, err
}

func errProtected(r Ref) error {
	public := ""
	if r.Public() {
		public = " --public-registry"
	}
	return fault.New(fault.Conflict, "InvalidParameterException",
		"The repository with name '%s' in the registry with id '%s' is protected against deletion. Remove the protection with 'berth repository unprotect %s%s' first.",
		r.Name, r.Account, r.Name, public)
}

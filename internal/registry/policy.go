package registry

import (
	"context"

	"berth/internal/access"
)

// GetRepositoryPolicy returns a repository's policy. No repository has one yet:
// the error is RepositoryPolicyNotFoundException, or
// RepositoryNotFoundException.
func (r *Registry) GetRepositoryPolicy(ctx context.Context, c access.Caller, ref Ref) error {
	q := request{caller: c, event: "GetRepositoryPolicy", ref: ref, readOnly: true}
	return r.view(ctx, q, func(ReadTx, *Repository) error { return errNoRepositoryPolicy(ref) })
}

// DeleteRepositoryPolicy removes a repository's policy. No repository has one
// yet: the error is RepositoryPolicyNotFoundException, or
// RepositoryNotFoundException.
func (r *Registry) DeleteRepositoryPolicy(ctx context.Context, c access.Caller, ref Ref) error {
	q := request{caller: c, event: "DeleteRepositoryPolicy", ref: ref, lock: LockChange}
	return r.update(ctx, q, func(Tx, *Repository) error { return errNoRepositoryPolicy(ref) })
}

// GetRegistryPolicy returns the registry's policy. No registry has one yet: the
// error is RegistryPolicyNotFoundException.
func (r *Registry) GetRegistryPolicy(ctx context.Context, c access.Caller, id ID) error {
	q := request{caller: c, event: "GetRegistryPolicy", ref: Ref{ID: id}, readOnly: true}
	return r.viewAll(ctx, q, func(ReadTx) error { return errNoRegistryPolicy(id) })
}

// DeleteRegistryPolicy removes the registry's policy. No registry has one yet:
// the error is RegistryPolicyNotFoundException.
func (r *Registry) DeleteRegistryPolicy(ctx context.Context, c access.Caller, id ID) error {
	q := request{caller: c, event: "DeleteRegistryPolicy", ref: Ref{ID: id}}
	return r.updateAll(ctx, q, func(Tx) error { return errNoRegistryPolicy(id) })
}

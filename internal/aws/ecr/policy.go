package ecr

import (
	"context"

	"berth/internal/access"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
)

// GetRepositoryPolicy returns a repository's policy.
func (a *API) GetRepositoryPolicy(ctx context.Context, c access.Call, in *ecr.GetRepositoryPolicyInput) (*ecr.GetRepositoryPolicyOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	return nil, a.registry.GetRepositoryPolicy(ctx, c.Caller, ref)
}

// DeleteRepositoryPolicy removes a repository's policy.
func (a *API) DeleteRepositoryPolicy(ctx context.Context, c access.Call, in *ecr.DeleteRepositoryPolicyInput) (*ecr.DeleteRepositoryPolicyOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	return nil, a.registry.DeleteRepositoryPolicy(ctx, c.Caller, ref)
}

// GetRegistryPolicy returns the registry's policy.
func (a *API) GetRegistryPolicy(ctx context.Context, c access.Call, _ *ecr.GetRegistryPolicyInput) (*ecr.GetRegistryPolicyOutput, error) {
	return nil, a.registry.GetRegistryPolicy(ctx, c.Caller, registryOf(c, nil))
}

// DeleteRegistryPolicy removes the registry's policy.
func (a *API) DeleteRegistryPolicy(ctx context.Context, c access.Call, _ *ecr.DeleteRegistryPolicyInput) (*ecr.DeleteRegistryPolicyOutput, error) {
	return nil, a.registry.DeleteRegistryPolicy(ctx, c.Caller, registryOf(c, nil))
}

package ecr

import (
	"context"

	"berth/internal/access"
	"berth/internal/registry"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
)

// SetRepositoryPolicy gives a repository a policy.
func (a *API) SetRepositoryPolicy(ctx context.Context, c access.Call, in *ecr.SetRepositoryPolicyInput) (*ecr.SetRepositoryPolicyOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	text := value(in.PolicyText)
	if err := a.registry.SetRepositoryPolicy(ctx, c.Caller, registry.SetRepositoryPolicyInput{Ref: ref, Text: text, Force: in.Force}); err != nil {
		return nil, err
	}
	return &ecr.SetRepositoryPolicyOutput{RegistryId: &ref.Account, RepositoryName: in.RepositoryName, PolicyText: &text}, nil
}

// GetRepositoryPolicy returns a repository's policy.
func (a *API) GetRepositoryPolicy(ctx context.Context, c access.Call, in *ecr.GetRepositoryPolicyInput) (*ecr.GetRepositoryPolicyOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	text, err := a.registry.GetRepositoryPolicy(ctx, c.Caller, ref)
	if err != nil {
		return nil, err
	}
	return &ecr.GetRepositoryPolicyOutput{RegistryId: &ref.Account, RepositoryName: in.RepositoryName, PolicyText: &text}, nil
}

// DeleteRepositoryPolicy removes a repository's policy.
func (a *API) DeleteRepositoryPolicy(ctx context.Context, c access.Call, in *ecr.DeleteRepositoryPolicyInput) (*ecr.DeleteRepositoryPolicyOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	text, err := a.registry.DeleteRepositoryPolicy(ctx, c.Caller, ref)
	if err != nil {
		return nil, err
	}
	return &ecr.DeleteRepositoryPolicyOutput{RegistryId: &ref.Account, RepositoryName: in.RepositoryName, PolicyText: &text}, nil
}

// PutRegistryPolicy gives the registry a policy.
func (a *API) PutRegistryPolicy(ctx context.Context, c access.Call, in *ecr.PutRegistryPolicyInput) (*ecr.PutRegistryPolicyOutput, error) {
	id, text := registryOf(c, nil), value(in.PolicyText)
	if err := a.registry.PutRegistryPolicy(ctx, c.Caller, registry.PutRegistryPolicyInput{ID: id, Text: text}); err != nil {
		return nil, err
	}
	return &ecr.PutRegistryPolicyOutput{RegistryId: &id.Account, PolicyText: &text}, nil
}

// GetRegistryPolicy returns the registry's policy.
func (a *API) GetRegistryPolicy(ctx context.Context, c access.Call, _ *ecr.GetRegistryPolicyInput) (*ecr.GetRegistryPolicyOutput, error) {
	id := registryOf(c, nil)
	text, err := a.registry.GetRegistryPolicy(ctx, c.Caller, id)
	if err != nil {
		return nil, err
	}
	return &ecr.GetRegistryPolicyOutput{RegistryId: &id.Account, PolicyText: &text}, nil
}

// DeleteRegistryPolicy removes the registry's policy.
func (a *API) DeleteRegistryPolicy(ctx context.Context, c access.Call, _ *ecr.DeleteRegistryPolicyInput) (*ecr.DeleteRegistryPolicyOutput, error) {
	id := registryOf(c, nil)
	text, err := a.registry.DeleteRegistryPolicy(ctx, c.Caller, id)
	if err != nil {
		return nil, err
	}
	return &ecr.DeleteRegistryPolicyOutput{RegistryId: &id.Account, PolicyText: &text}, nil
}

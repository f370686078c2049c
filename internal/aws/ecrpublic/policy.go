package ecrpublic

import (
	"context"

	"berth/internal/access"
	"berth/internal/registry"

	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
)

// SetRepositoryPolicy gives a repository a policy.
func (a *API) SetRepositoryPolicy(ctx context.Context, c access.Call, in *ecrpublic.SetRepositoryPolicyInput) (*ecrpublic.SetRepositoryPolicyOutput, error) {
	ref, err := a.refOf(ctx, c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	text := value(in.PolicyText)
	if err := a.registry.SetRepositoryPolicy(ctx, c.Caller, registry.SetRepositoryPolicyInput{Ref: ref, Text: text, Force: in.Force}); err != nil {
		return nil, err
	}
	return &ecrpublic.SetRepositoryPolicyOutput{RegistryId: &ref.Account, RepositoryName: in.RepositoryName, PolicyText: &text}, nil
}

// GetRepositoryPolicy returns a repository's policy.
func (a *API) GetRepositoryPolicy(ctx context.Context, c access.Call, in *ecrpublic.GetRepositoryPolicyInput) (*ecrpublic.GetRepositoryPolicyOutput, error) {
	ref, err := a.refOf(ctx, c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	text, err := a.registry.GetRepositoryPolicy(ctx, c.Caller, ref)
	if err != nil {
		return nil, err
	}
	return &ecrpublic.GetRepositoryPolicyOutput{RegistryId: &ref.Account, RepositoryName: in.RepositoryName, PolicyText: &text}, nil
}

// DeleteRepositoryPolicy removes a repository's policy.
func (a *API) DeleteRepositoryPolicy(ctx context.Context, c access.Call, in *ecrpublic.DeleteRepositoryPolicyInput) (*ecrpublic.DeleteRepositoryPolicyOutput, error) {
	ref, err := a.refOf(ctx, c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	text, err := a.registry.DeleteRepositoryPolicy(ctx, c.Caller, ref)
	if err != nil {
		return nil, err
	}
	return &ecrpublic.DeleteRepositoryPolicyOutput{RegistryId: &ref.Account, RepositoryName: in.RepositoryName, PolicyText: &text}, nil
}

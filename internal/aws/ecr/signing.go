package ecr

import (
	"context"

	"berth/internal/access"
	"berth/internal/registry"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

// PutSigningConfiguration replaces the registry's signing.
func (a *API) PutSigningConfiguration(ctx context.Context, c access.Call, in *ecr.PutSigningConfigurationInput) (*ecr.PutSigningConfigurationOutput, error) {
	put := registry.Signing{Rules: []registry.SigningRule{}}
	for _, r := range in.SigningConfiguration.Rules {
		rule := registry.SigningRule{ProfileARN: value(r.SigningProfileArn)}
		for _, f := range r.RepositoryFilters {
			rule.Filters = append(rule.Filters, value(f.Filter))
		}
		put.Rules = append(put.Rules, rule)
	}
	if err := a.registry.PutSigningConfiguration(ctx, c.Caller, registryOf(c, nil), put); err != nil {
		return nil, err
	}
	return &ecr.PutSigningConfigurationOutput{SigningConfiguration: signing(put)}, nil
}

// GetSigningConfiguration returns the registry's signing.
func (a *API) GetSigningConfiguration(ctx context.Context, c access.Call, _ *ecr.GetSigningConfigurationInput) (*ecr.GetSigningConfigurationOutput, error) {
	id := registryOf(c, nil)
	found, err := a.registry.GetSigningConfiguration(ctx, c.Caller, id)
	if err != nil {
		return nil, err
	}
	return &ecr.GetSigningConfigurationOutput{RegistryId: &id.Account, SigningConfiguration: signing(found)}, nil
}

// DeleteSigningConfiguration removes the registry's signing.
func (a *API) DeleteSigningConfiguration(ctx context.Context, c access.Call, _ *ecr.DeleteSigningConfigurationInput) (*ecr.DeleteSigningConfigurationOutput, error) {
	id := registryOf(c, nil)
	found, err := a.registry.DeleteSigningConfiguration(ctx, c.Caller, id)
	if err != nil {
		return nil, err
	}
	return &ecr.DeleteSigningConfigurationOutput{RegistryId: &id.Account, SigningConfiguration: signing(found)}, nil
}

// signing renders a registry's signing.
func signing(s registry.Signing) *types.SigningConfiguration {
	out := &types.SigningConfiguration{Rules: []types.SigningRule{}}
	for _, r := range s.Rules {
		rule := types.SigningRule{SigningProfileArn: &r.ProfileARN}
		for _, f := range r.Filters {
			rule.RepositoryFilters = append(rule.RepositoryFilters, types.SigningRepositoryFilter{Filter: &f, FilterType: types.SigningRepositoryFilterTypeWildcardMatch})
		}
		out.Rules = append(out.Rules, rule)
	}
	return out
}

// DescribeImageSigningStatus lists the signatures of an image.
func (a *API) DescribeImageSigningStatus(ctx context.Context, c access.Call, in *ecr.DescribeImageSigningStatusInput) (*ecr.DescribeImageSigningStatusOutput, error) {
	ask, err := imageInput(c, in.RegistryId, in.RepositoryName, in.ImageId)
	if err != nil {
		return nil, err
	}
	id, err := a.registry.DescribeImageSigningStatus(ctx, c.Caller, ask)
	if err != nil {
		return nil, err
	}
	return &ecr.DescribeImageSigningStatusOutput{
		RegistryId: &ask.Account, RepositoryName: in.RepositoryName, ImageId: identifier(id), SigningStatuses: []types.ImageSigningStatus{},
	}, nil
}

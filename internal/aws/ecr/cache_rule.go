package ecr

import (
	"context"

	"berth/internal/access"
	"berth/internal/registry"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

// CreatePullThroughCacheRule adds a rule.
func (a *API) CreatePullThroughCacheRule(ctx context.Context, c access.Call, in *ecr.CreatePullThroughCacheRuleInput) (*ecr.CreatePullThroughCacheRuleOutput, error) {
	id := registryOf(c, in.RegistryId)
	r, err := a.registry.CreatePullThroughCacheRule(ctx, c.Caller, registry.CacheRuleInput{ID: id, CacheRule: registry.CacheRule{
		Prefix: value(in.EcrRepositoryPrefix), UpstreamURL: value(in.UpstreamRegistryUrl), Upstream: string(in.UpstreamRegistry),
		UpstreamPrefix: value(in.UpstreamRepositoryPrefix), CredentialARN: value(in.CredentialArn), RoleARN: value(in.CustomRoleArn),
	}})
	if err != nil {
		return nil, err
	}
	return &ecr.CreatePullThroughCacheRuleOutput{
		EcrRepositoryPrefix: &r.Prefix, UpstreamRegistryUrl: &r.UpstreamURL, UpstreamRegistry: types.UpstreamRegistry(r.Upstream),
		UpstreamRepositoryPrefix: &r.UpstreamPrefix, CredentialArn: optional(r.CredentialARN), CustomRoleArn: optional(r.RoleARN),
		CreatedAt: &r.CreatedAt, RegistryId: &id.Account,
	}, nil
}

// UpdatePullThroughCacheRule changes what is given of a rule.
func (a *API) UpdatePullThroughCacheRule(ctx context.Context, c access.Call, in *ecr.UpdatePullThroughCacheRuleInput) (*ecr.UpdatePullThroughCacheRuleOutput, error) {
	id := registryOf(c, in.RegistryId)
	r, err := a.registry.UpdatePullThroughCacheRule(ctx, c.Caller, registry.UpdateCacheRuleInput{
		ID: id, Prefix: value(in.EcrRepositoryPrefix), CredentialARN: in.CredentialArn, RoleARN: in.CustomRoleArn,
	})
	if err != nil {
		return nil, err
	}
	return &ecr.UpdatePullThroughCacheRuleOutput{
		EcrRepositoryPrefix: &r.Prefix, UpstreamRepositoryPrefix: &r.UpstreamPrefix, CredentialArn: optional(r.CredentialARN),
		CustomRoleArn: optional(r.RoleARN), UpdatedAt: &r.UpdatedAt, RegistryId: &id.Account,
	}, nil
}

// DeletePullThroughCacheRule removes a rule.
func (a *API) DeletePullThroughCacheRule(ctx context.Context, c access.Call, in *ecr.DeletePullThroughCacheRuleInput) (*ecr.DeletePullThroughCacheRuleOutput, error) {
	id := registryOf(c, in.RegistryId)
	r, err := a.registry.DeletePullThroughCacheRule(ctx, c.Caller, registry.CacheRuleName{ID: id, Prefix: value(in.EcrRepositoryPrefix)})
	if err != nil {
		return nil, err
	}
	return &ecr.DeletePullThroughCacheRuleOutput{
		EcrRepositoryPrefix: &r.Prefix, UpstreamRegistryUrl: &r.UpstreamURL, UpstreamRepositoryPrefix: &r.UpstreamPrefix,
		CredentialArn: optional(r.CredentialARN), CustomRoleArn: optional(r.RoleARN), CreatedAt: &r.CreatedAt, RegistryId: &id.Account,
	}, nil
}

// DescribePullThroughCacheRules lists rules.
func (a *API) DescribePullThroughCacheRules(ctx context.Context, c access.Call, in *ecr.DescribePullThroughCacheRulesInput) (*ecr.DescribePullThroughCacheRulesOutput, error) {
	id := registryOf(c, in.RegistryId)
	found, next, err := a.registry.DescribePullThroughCacheRules(ctx, c.Caller, registry.DescribePrefixesInput{
		ID: id, Prefixes: in.EcrRepositoryPrefixes, Page: page(in.NextToken, in.MaxResults),
	})
	if err != nil {
		return nil, err
	}
	out := &ecr.DescribePullThroughCacheRulesOutput{PullThroughCacheRules: []types.PullThroughCacheRule{}, NextToken: nextToken(next)}
	for _, r := range found {
		out.PullThroughCacheRules = append(out.PullThroughCacheRules, types.PullThroughCacheRule{
			EcrRepositoryPrefix: &r.Prefix, UpstreamRegistryUrl: &r.UpstreamURL, UpstreamRegistry: types.UpstreamRegistry(r.Upstream),
			UpstreamRepositoryPrefix: &r.UpstreamPrefix, CredentialArn: optional(r.CredentialARN), CustomRoleArn: optional(r.RoleARN),
			CreatedAt: &r.CreatedAt, UpdatedAt: &r.UpdatedAt, RegistryId: &id.Account,
		})
	}
	return out, nil
}

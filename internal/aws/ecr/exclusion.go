package ecr

import (
	"context"

	"berth/internal/access"
	"berth/internal/registry"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
)

// RegisterPullTimeUpdateExclusion excludes a principal from pull times.
func (a *API) RegisterPullTimeUpdateExclusion(ctx context.Context, c access.Call, in *ecr.RegisterPullTimeUpdateExclusionInput) (*ecr.RegisterPullTimeUpdateExclusionOutput, error) {
	at, err := a.registry.RegisterPullTimeUpdateExclusion(ctx, c.Caller, registry.Exclusion{ID: registryOf(c, nil), PrincipalARN: value(in.PrincipalArn)})
	if err != nil {
		return nil, err
	}
	return &ecr.RegisterPullTimeUpdateExclusionOutput{PrincipalArn: in.PrincipalArn, CreatedAt: &at}, nil
}

// DeregisterPullTimeUpdateExclusion ends the exclusion of a principal.
func (a *API) DeregisterPullTimeUpdateExclusion(ctx context.Context, c access.Call, in *ecr.DeregisterPullTimeUpdateExclusionInput) (*ecr.DeregisterPullTimeUpdateExclusionOutput, error) {
	err := a.registry.DeregisterPullTimeUpdateExclusion(ctx, c.Caller, registry.Exclusion{ID: registryOf(c, nil), PrincipalARN: value(in.PrincipalArn)})
	if err != nil {
		return nil, err
	}
	return &ecr.DeregisterPullTimeUpdateExclusionOutput{PrincipalArn: in.PrincipalArn}, nil
}

// ListPullTimeUpdateExclusions lists the principals that are excluded.
func (a *API) ListPullTimeUpdateExclusions(ctx context.Context, c access.Call, in *ecr.ListPullTimeUpdateExclusionsInput) (*ecr.ListPullTimeUpdateExclusionsOutput, error) {
	found, next, err := a.registry.ListPullTimeUpdateExclusions(ctx, c.Caller, registryOf(c, nil), page(in.NextToken, in.MaxResults))
	if err != nil {
		return nil, err
	}
	return &ecr.ListPullTimeUpdateExclusionsOutput{PullTimeUpdateExclusions: append([]string{}, found...), NextToken: nextToken(next)}, nil
}

package ecr

import (
	"context"

	"berth/internal/access"
	"berth/internal/registry"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
)

// PutReplicationConfiguration replaces the registry's replication.
func (a *API) PutReplicationConfiguration(ctx context.Context, c access.Call, in *ecr.PutReplicationConfigurationInput) (*ecr.PutReplicationConfigurationOutput, error) {
	put := registry.Replication{Rules: []registry.ReplicationRule{}}
	for _, r := range in.ReplicationConfiguration.Rules {
		rule := registry.ReplicationRule{Destinations: []registry.Destination{}}
		for _, d := range r.Destinations {
			rule.Destinations = append(rule.Destinations, registry.Destination{Region: value(d.Region), Account: value(d.RegistryId)})
		}
		for _, f := range r.RepositoryFilters {
			rule.Prefixes = append(rule.Prefixes, value(f.Filter))
		}
		put.Rules = append(put.Rules, rule)
	}
	if err := a.registry.PutReplicationConfiguration(ctx, c.Caller, registryOf(c, nil), put); err != nil {
		return nil, err
	}
	return &ecr.PutReplicationConfigurationOutput{ReplicationConfiguration: replication(put)}, nil
}

// DescribeRegistry returns the registry's replication.
func (a *API) DescribeRegistry(ctx context.Context, c access.Call, _ *ecr.DescribeRegistryInput) (*ecr.DescribeRegistryOutput, error) {
	id := registryOf(c, nil)
	found, err := a.registry.DescribeRegistry(ctx, c.Caller, id)
	if err != nil {
		return nil, err
	}
	return &ecr.DescribeRegistryOutput{RegistryId: &id.Account, ReplicationConfiguration: replication(found)}, nil
}

// replication renders a registry's replication.
func replication(c registry.Replication) *types.ReplicationConfiguration {
	out := &types.ReplicationConfiguration{Rules: []types.ReplicationRule{}}
	for _, r := range c.Rules {
		rule := types.ReplicationRule{Destinations: []types.ReplicationDestination{}}
		for _, d := range r.Destinations {
			rule.Destinations = append(rule.Destinations, types.ReplicationDestination{Region: &d.Region, RegistryId: &d.Account})
		}
		for _, p := range r.Prefixes {
			rule.RepositoryFilters = append(rule.RepositoryFilters, types.RepositoryFilter{Filter: &p, FilterType: types.RepositoryFilterTypePrefixMatch})
		}
		out.Rules = append(out.Rules, rule)
	}
	return out
}

// imageInput returns the image that a call is about.
func imageInput(c access.Call, account, name *string, id *types.ImageIdentifier) (registry.ImageInput, error) {
	ref, err := refOf(c, account, name)
	return registry.ImageInput{Ref: ref, Image: registry.ImageID{Digest: digest.Digest(value(id.ImageDigest)), Tag: value(id.ImageTag)}}, err
}

// DescribeImageReplicationStatus lists the copies of an image.
func (a *API) DescribeImageReplicationStatus(ctx context.Context, c access.Call, in *ecr.DescribeImageReplicationStatusInput) (*ecr.DescribeImageReplicationStatusOutput, error) {
	ask, err := imageInput(c, in.RegistryId, in.RepositoryName, in.ImageId)
	if err != nil {
		return nil, err
	}
	id, err := a.registry.DescribeImageReplicationStatus(ctx, c.Caller, ask)
	if err != nil {
		return nil, err
	}
	return &ecr.DescribeImageReplicationStatusOutput{
		RepositoryName: in.RepositoryName, ImageId: identifier(id), ReplicationStatuses: []types.ImageReplicationStatus{},
	}, nil
}

// ListReplicationBackfills lists backfills.
func (a *API) ListReplicationBackfills(ctx context.Context, c access.Call, in *ecr.ListReplicationBackfillsInput) (*ecr.ListReplicationBackfillsOutput, error) {
	id := registryOf(c, in.RegistryId)
	if err := a.registry.ListReplicationBackfills(ctx, c.Caller, id, page(in.NextToken, in.MaxResults)); err != nil {
		return nil, err
	}
	return &ecr.ListReplicationBackfillsOutput{RegistryId: &id.Account, Backfills: []types.ReplicationBackfillSummary{}}, nil
}

// StopReplicationBackfill ends a backfill.
func (a *API) StopReplicationBackfill(ctx context.Context, c access.Call, in *ecr.StopReplicationBackfillInput) (*ecr.StopReplicationBackfillOutput, error) {
	return nil, a.registry.StopReplicationBackfill(ctx, c.Caller,
		registry.BackfillInput{ID: registryOf(c, in.RegistryId), Backfill: value(in.ReplicationBackfillId)})
}

// DescribeReplicationBackfillResults tells what came of a backfill.
func (a *API) DescribeReplicationBackfillResults(ctx context.Context, c access.Call, in *ecr.DescribeReplicationBackfillResultsInput) (*ecr.DescribeReplicationBackfillResultsOutput, error) {
	return nil, a.registry.DescribeReplicationBackfillResults(ctx, c.Caller,
		registry.BackfillInput{ID: registryOf(c, in.RegistryId), Backfill: value(in.ReplicationBackfillId)})
}

package ecr

import (
	"context"

	"berth/internal/access"
	"berth/internal/registry"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

// CreateRepository makes a repository.
func (a *API) CreateRepository(ctx context.Context, c access.Call, in *ecr.CreateRepositoryInput) (*ecr.CreateRepositoryOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	tags, err := tagMap(in.Tags)
	if err != nil {
		return nil, err
	}
	create := registry.CreateRepositoryInput{
		Ref: ref, Tags: tags, Mutability: mutability(in.ImageTagMutability, in.ImageTagMutabilityExclusionFilters),
	}
	if s := in.ImageScanningConfiguration; s != nil {
		create.ScanOnPush = s.ScanOnPush
	}
	if e := in.EncryptionConfiguration; e != nil {
		create.Encryption = registry.Encryption{Type: string(e.EncryptionType), Key: value(e.KmsKey)}
	}
	repo, err := a.registry.CreateRepository(ctx, c.Caller, create)
	if err != nil {
		return nil, err
	}
	return &ecr.CreateRepositoryOutput{Repository: a.repository(repo)}, nil
}

// DeleteRepository removes a repository.
func (a *API) DeleteRepository(ctx context.Context, c access.Call, in *ecr.DeleteRepositoryInput) (*ecr.DeleteRepositoryOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	repo, err := a.registry.DeleteRepository(ctx, c.Caller, registry.DeleteRepositoryInput{Ref: ref, Force: in.Force})
	if err != nil {
		return nil, err
	}
	return &ecr.DeleteRepositoryOutput{Repository: a.repository(repo)}, nil
}

// DescribeRepositories lists repositories.
func (a *API) DescribeRepositories(ctx context.Context, c access.Call, in *ecr.DescribeRepositoriesInput) (*ecr.DescribeRepositoriesOutput, error) {
	ask := registry.DescribeRepositoriesInput{ID: registryOf(c, in.RegistryId), Page: page(in.NextToken, in.MaxResults)}
	for _, n := range in.RepositoryNames {
		name, err := registry.ParseRepositoryName(n)
		if err != nil {
			return nil, err
		}
		ask.Names = append(ask.Names, name)
	}
	repos, next, err := a.registry.DescribeRepositories(ctx, c.Caller, ask)
	if err != nil {
		return nil, err
	}
	out := &ecr.DescribeRepositoriesOutput{Repositories: []types.Repository{}, NextToken: nextToken(next)}
	for i := range repos {
		out.Repositories = append(out.Repositories, *a.repository(&repos[i]))
	}
	return out, nil
}

// PutImageTagMutability changes a repository's rule about tags.
func (a *API) PutImageTagMutability(ctx context.Context, c access.Call, in *ecr.PutImageTagMutabilityInput) (*ecr.PutImageTagMutabilityOutput, error) {
	ref, err := refOf(c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	m := mutability(in.ImageTagMutability, in.ImageTagMutabilityExclusionFilters)
	if err := a.registry.PutImageTagMutability(ctx, c.Caller, registry.PutImageTagMutabilityInput{Ref: ref, Mutability: m}); err != nil {
		return nil, err
	}
	return &ecr.PutImageTagMutabilityOutput{
		RegistryId: &ref.Account, RepositoryName: in.RepositoryName, ImageTagMutability: in.ImageTagMutability,
		ImageTagMutabilityExclusionFilters: exclusionFilters(m),
	}, nil
}

func mutability(mode types.ImageTagMutability, filters []types.ImageTagMutabilityExclusionFilter) registry.Mutability {
	m := registry.Mutability{Mode: registry.Mode(mode)}
	for _, f := range filters {
		m.Filters = append(m.Filters, value(f.Filter))
	}
	return m
}

func exclusionFilters(m registry.Mutability) []types.ImageTagMutabilityExclusionFilter {
	var out []types.ImageTagMutabilityExclusionFilter
	for _, f := range m.Filters {
		out = append(out, types.ImageTagMutabilityExclusionFilter{
			Filter: &f, FilterType: types.ImageTagMutabilityExclusionFilterTypeWildcard,
		})
	}
	return out
}

// repository renders a repository.
func (a *API) repository(r *registry.Repository) *types.Repository {
	arn, name := r.ARN(), string(r.Name)
	uri := a.hosts.Host(r.ID) + "/" + name
	return &types.Repository{
		RepositoryArn: &arn, RegistryId: &r.Account, RepositoryName: &name, RepositoryUri: &uri, CreatedAt: &r.CreatedAt,
		ImageTagMutability:                 types.ImageTagMutability(r.Mutability.Mode),
		ImageTagMutabilityExclusionFilters: exclusionFilters(r.Mutability),
		ImageScanningConfiguration:         &types.ImageScanningConfiguration{ScanOnPush: r.ScanOnPush},
		EncryptionConfiguration: &types.EncryptionConfiguration{
			EncryptionType: types.EncryptionType(r.Encryption.Type), KmsKey: optional(r.Encryption.Key),
		},
	}
}

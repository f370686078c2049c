package ecrpublic

import (
	"context"

	"berth/internal/access"
	"berth/internal/aws"
	"berth/internal/registry"

	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic/types"
)

// CreateRepository makes a public repository, and with the first one the
// registry's alias.
func (a *API) CreateRepository(ctx context.Context, c access.Call, in *ecrpublic.CreateRepositoryInput) (*ecrpublic.CreateRepositoryOutput, error) {
	ref, err := a.refOf(ctx, c, nil, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	tags, err := tagMap(in.Tags)
	if err != nil {
		return nil, err
	}
	said, err := catalogOf(in.CatalogData)
	if err != nil {
		return nil, err
	}
	repo, err := a.registry.CreateRepository(ctx, c.Caller, registry.CreateRepositoryInput{Ref: ref, Tags: tags, Catalog: said})
	if err != nil {
		return nil, err
	}
	shown := value(said)
	shown.Logo.Repository = repo.UID
	return &ecrpublic.CreateRepositoryOutput{Repository: &a.repositories(*repo)[0], CatalogData: a.catalog(shown)}, nil
}

// DeleteRepository removes a public repository.
func (a *API) DeleteRepository(ctx context.Context, c access.Call, in *ecrpublic.DeleteRepositoryInput) (*ecrpublic.DeleteRepositoryOutput, error) {
	ref, err := a.refOf(ctx, c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	repo, err := a.registry.DeleteRepository(ctx, c.Caller, registry.DeleteRepositoryInput{Ref: ref, Force: in.Force})
	if err != nil {
		return nil, err
	}
	return &ecrpublic.DeleteRepositoryOutput{Repository: &a.repositories(*repo)[0]}, nil
}

// DescribeRepositories lists public repositories.
func (a *API) DescribeRepositories(ctx context.Context, c access.Call, in *ecrpublic.DescribeRepositoriesInput) (*ecrpublic.DescribeRepositoriesOutput, error) {
	id, err := a.registryOf(ctx, c, in.RegistryId)
	if err != nil {
		return nil, err
	}
	ask := registry.DescribeRepositoriesInput{ID: id, Page: page(in.NextToken, in.MaxResults)}
	for _, n := range in.RepositoryNames {
		name, err := registry.ParseRepositoryName(n)
		if err != nil {
			return nil, aws.Unheard(err)
		}
		ask.Names = append(ask.Names, name)
	}
	repos, next, err := a.registry.DescribeRepositories(ctx, c.Caller, ask)
	if err != nil {
		return nil, err
	}
	return &ecrpublic.DescribeRepositoriesOutput{Repositories: a.repositories(repos...), NextToken: nextToken(next)}, nil
}

// repositories renders repositories.
func (a *API) repositories(repos ...registry.Repository) []types.Repository {
	out := []types.Repository{}
	for _, r := range repos {
		arn, name, uri := r.ARN(), string(r.Name), a.hosts.RepositoryURI(r.Ref, r.Alias)
		out = append(out, types.Repository{
			RepositoryArn: &arn, RegistryId: &r.Account, RepositoryName: &name, RepositoryUri: &uri, CreatedAt: &r.CreatedAt,
		})
	}
	return out
}

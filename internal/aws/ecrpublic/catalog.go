package ecrpublic

import (
	"context"

	"berth/internal/access"
	"berth/internal/aws"
	"berth/internal/registry"

	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic/types"
)

// PutRepositoryCatalogData replaces what a repository says of itself.
func (a *API) PutRepositoryCatalogData(ctx context.Context, c access.Call, in *ecrpublic.PutRepositoryCatalogDataInput) (*ecrpublic.PutRepositoryCatalogDataOutput, error) {
	ref, err := a.refOf(ctx, c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	said, err := catalogOf(in.CatalogData)
	if err != nil {
		return nil, err
	}
	put, err := a.registry.PutRepositoryCatalogData(ctx, c.Caller, registry.PutRepositoryCatalogDataInput{Ref: ref, Catalog: value(said)})
	if err != nil {
		return nil, err
	}
	return &ecrpublic.PutRepositoryCatalogDataOutput{CatalogData: a.catalog(put)}, nil
}

// GetRepositoryCatalogData returns what a repository says of itself.
func (a *API) GetRepositoryCatalogData(ctx context.Context, c access.Call, in *ecrpublic.GetRepositoryCatalogDataInput) (*ecrpublic.GetRepositoryCatalogDataOutput, error) {
	ref, err := a.refOf(ctx, c, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	said, err := a.registry.GetRepositoryCatalogData(ctx, c.Caller, ref)
	if err != nil {
		return nil, err
	}
	return &ecrpublic.GetRepositoryCatalogDataOutput{CatalogData: a.catalog(said)}, nil
}

// catalogOf reads catalog data; it is nil if there is none.
func catalogOf(in *types.RepositoryCatalogDataInput) (*registry.Catalog, error) {
	if in == nil {
		return nil, nil
	}
	logo, err := registry.NewLogo(in.LogoImageBlob)
	return &registry.Catalog{
		Description: value(in.Description), Architectures: in.Architectures, OperatingSystems: in.OperatingSystems,
		AboutText: value(in.AboutText), UsageText: value(in.UsageText), Logo: logo,
	}, aws.Unheard(err)
}

// catalog renders catalog data. Members that say nothing are absent.
func (a *API) catalog(c registry.Catalog) *types.RepositoryCatalogData {
	out := &types.RepositoryCatalogData{
		Description: optional(c.Description), AboutText: optional(c.AboutText), UsageText: optional(c.UsageText),
	}
	if len(c.Architectures) > 0 {
		out.Architectures = c.Architectures
	}
	if len(c.OperatingSystems) > 0 {
		out.OperatingSystems = c.OperatingSystems
	}
	if path := a.logoURL(c.Logo); path != "" {
		url := a.hosts.Endpoint(registry.ID{Region: registry.PublicRegion}) + path
		out.LogoUrl = &url
	}
	return out
}

// PutRegistryCatalogData says what the caller's registry is called.
func (a *API) PutRegistryCatalogData(ctx context.Context, c access.Call, in *ecrpublic.PutRegistryCatalogDataInput) (*ecrpublic.PutRegistryCatalogDataOutput, error) {
	id, err := a.registryOf(ctx, c, nil)
	if err != nil {
		return nil, err
	}
	name := value(in.DisplayName)
	if err := a.registry.PutRegistryCatalogData(ctx, c.Caller, registry.PutRegistryCatalogDataInput{ID: id, DisplayName: name}); err != nil {
		return nil, err
	}
	return &ecrpublic.PutRegistryCatalogDataOutput{RegistryCatalogData: &types.RegistryCatalogData{DisplayName: optional(name)}}, nil
}

// GetRegistryCatalogData returns what the caller's registry is called.
func (a *API) GetRegistryCatalogData(ctx context.Context, c access.Call, _ *ecrpublic.GetRegistryCatalogDataInput) (*ecrpublic.GetRegistryCatalogDataOutput, error) {
	id, err := a.registryOf(ctx, c, nil)
	if err != nil {
		return nil, err
	}
	name, err := a.registry.GetRegistryCatalogData(ctx, c.Caller, id)
	if err != nil {
		return nil, err
	}
	return &ecrpublic.GetRegistryCatalogDataOutput{RegistryCatalogData: &types.RegistryCatalogData{DisplayName: optional(name)}}, nil
}

// DescribeRegistries returns the caller's registry with its alias.
func (a *API) DescribeRegistries(ctx context.Context, c access.Call, in *ecrpublic.DescribeRegistriesInput) (*ecrpublic.DescribeRegistriesOutput, error) {
	id, err := a.registryOf(ctx, c, nil)
	if err != nil {
		return nil, err
	}
	found, err := a.registry.DescribeRegistries(ctx, c.Caller, registry.DescribeRegistriesInput{ID: id, Page: page(in.NextToken, in.MaxResults)})
	if err != nil {
		return nil, err
	}
	out := &ecrpublic.DescribeRegistriesOutput{Registries: []types.Registry{}}
	for _, r := range found {
		arn, uri := "arn:aws:ecr-public::"+r.Account+":registry/"+r.Account, a.hosts.Host(r.ID)+"/"+r.Alias
		verified := false
		out.Registries = append(out.Registries, types.Registry{
			RegistryId: &r.Account, RegistryArn: &arn, RegistryUri: &uri, Verified: &verified,
			Aliases: []types.RegistryAlias{{
				Name: &r.Alias, Status: types.RegistryAliasStatusActive, PrimaryRegistryAlias: true, DefaultRegistryAlias: true,
			}},
		})
	}
	return out, nil
}

// Package ecrpublic is the front for the API of Amazon ECR Public: a method for
// each operation, with the SDK's types, that calls one verb of package registry.
//
// An account's public registry is a registry like any other, in the region
// [registry.PublicRegion]; so its verbs are those of package ecr.
package ecrpublic

import (
	"context"
	_ "embed"

	"berth/internal/access"
	"berth/internal/aws"
	"berth/internal/fault"
	"berth/internal/registry"
)

//go:embed model.json
var model []byte

// Options are what a front is made of. All are required.
type Options struct {
	Registry *registry.Registry
	Hosts    *registry.Hosts
	// LogoURL returns the path of a logo, "" if there is none.
	LogoURL func(registry.Logo) string
}

// API has the operations of Amazon ECR Public. It is safe for concurrent use.
type API struct {
	registry *registry.Registry
	hosts    *registry.Hosts
	logoURL  func(registry.Logo) string
}

// New returns the API.
func New(o Options) *API { return &API{o.Registry, o.Hosts, o.LogoURL} }

// The greatest bodies, in bytes: a manifest of 4 MiB as an escaped string, a part
// of 20 MiB in base64, and a logo in base64 with two texts of 25,600 characters.
const (
	maxPutImage   = 16 << 20
	maxUploadPart = 29 << 20
	maxCatalog    = 2 << 20
)

// Service returns the table of all operations that the SDK has.
func (a *API) Service() (aws.Service[access.Call], error) {
	m, err := aws.ParseModel(model)
	return aws.Service[access.Call]{
		Name: "ecr-public", TargetPrefix: "SpencerFrontendService", Model: m,
		Operations: []aws.Operation[access.Call]{
			op("BatchCheckLayerAvailability", a.BatchCheckLayerAvailability),
			op("BatchDeleteImage", a.BatchDeleteImage),
			op("CompleteLayerUpload", a.CompleteLayerUpload),
			op("CreateRepository", a.CreateRepository).WithMaxBody(maxCatalog),
			op("DeleteRepository", a.DeleteRepository),
			op("DeleteRepositoryPolicy", a.DeleteRepositoryPolicy),
			op("DescribeImages", a.DescribeImages),
			op("DescribeImageTags", a.DescribeImageTags),
			op("DescribeRegistries", a.DescribeRegistries),
			op("DescribeRepositories", a.DescribeRepositories),
			op("GetAuthorizationToken", a.GetAuthorizationToken),
			op("GetRegistryCatalogData", a.GetRegistryCatalogData),
			op("GetRepositoryCatalogData", a.GetRepositoryCatalogData),
			op("GetRepositoryPolicy", a.GetRepositoryPolicy),
			op("InitiateLayerUpload", a.InitiateLayerUpload),
			op("ListTagsForResource", a.ListTagsForResource),
			op("PutImage", a.PutImage).WithMaxBody(maxPutImage),
			op("PutRegistryCatalogData", a.PutRegistryCatalogData),
			op("PutRepositoryCatalogData", a.PutRepositoryCatalogData).WithMaxBody(maxCatalog),
			op("SetRepositoryPolicy", a.SetRepositoryPolicy),
			op("TagResource", a.TagResource),
			op("UntagResource", a.UntagResource),
			op("UploadLayerPart", a.UploadLayerPart).WithMaxBody(maxUploadPart),
		},
	}, err
}

// op returns the operation that fn performs, in the one region that has it.
func op[I, O any](name string, fn func(context.Context, access.Call, *I) (*O, error)) aws.Operation[access.Call] {
	return aws.Op(name, func(ctx context.Context, c access.Call, in *I) (*O, error) {
		if c.Region != registry.PublicAPIRegion {
			return nil, aws.Unheard(fault.New(fault.Unsupported, "UnsupportedCommandException", "The action isn't supported in this Region"))
		}
		return fn(ctx, c, in)
	})
}

// registryOf returns the public registry that a call is about: that of the
// account given, by its id or by the alias of its registry, else the caller's.
func (a *API) registryOf(ctx context.Context, c access.Call, id *string) (registry.ID, error) {
	switch {
	case id == nil:
		return registry.ID{Account: c.Account, Region: registry.PublicRegion}, nil
	case registry.ValidAccount(*id):
		return registry.ID{Account: *id, Region: registry.PublicRegion}, nil
	}
	reg, err := a.registry.ResolveAlias(ctx, *id)
	return reg, aws.Unheard(err)
}

// refOf returns the repository that a call is about.
func (a *API) refOf(ctx context.Context, c access.Call, id, name *string) (registry.Ref, error) {
	n, err := registry.ParseRepositoryName(value(name))
	if err != nil {
		return registry.Ref{}, aws.Unheard(err)
	}
	reg, err := a.registryOf(ctx, c, id)
	return registry.Ref{ID: reg, Name: n}, err
}

// value returns what a member holds, or the zero value if it is absent.
func value[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}

// optional returns a member that is absent if it is empty.
func optional[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}

// page returns the paging members of an input.
func page(token *string, max *int32) registry.Page {
	return registry.Page{Token: registry.NextToken(value(token)), Max: int(value(max))}
}

// nextToken returns the paging member of an output.
func nextToken(t registry.NextToken) *string { return optional(string(t)) }

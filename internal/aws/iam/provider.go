package iam

import (
	"context"

	"berth/internal/identity"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// CreateOpenIDConnectProvider makes the account trust a provider.
func (a *API) CreateOpenIDConnectProvider(ctx context.Context, c call, in *iam.CreateOpenIDConnectProviderInput) (*iam.CreateOpenIDConnectProviderOutput, error) {
	p, err := a.directory.CreateProvider(ctx, c, identity.Provider{
		URL: value(in.Url), Clients: in.ClientIDList, Thumbprints: in.ThumbprintList, Tags: tags(in.Tags),
	})
	if err != nil {
		return nil, err
	}
	return &iam.CreateOpenIDConnectProviderOutput{OpenIDConnectProviderArn: new(p.ARN()), Tags: own(p.Tags)}, nil
}

// GetOpenIDConnectProvider returns a provider.
func (a *API) GetOpenIDConnectProvider(ctx context.Context, c call, in *iam.GetOpenIDConnectProviderInput) (*iam.GetOpenIDConnectProviderOutput, error) {
	p, err := a.directory.GetProvider(ctx, c, value(in.OpenIDConnectProviderArn))
	if err != nil {
		return nil, err
	}
	return &iam.GetOpenIDConnectProviderOutput{
		Url: &p.URL, ClientIDList: p.Clients, ThumbprintList: p.Thumbprints, CreateDate: &p.CreatedAt, Tags: own(p.Tags),
	}, nil
}

// ListOpenIDConnectProviders lists the providers that the account trusts.
func (a *API) ListOpenIDConnectProviders(ctx context.Context, c call, _ *iam.ListOpenIDConnectProvidersInput) (*iam.ListOpenIDConnectProvidersOutput, error) {
	found, err := a.directory.ListProviders(ctx, c)
	if err != nil {
		return nil, err
	}
	return &iam.ListOpenIDConnectProvidersOutput{
		OpenIDConnectProviderList: render(found, func(p identity.Provider) types.OpenIDConnectProviderListEntry {
			return types.OpenIDConnectProviderListEntry{Arn: new(p.ARN())}
		}),
	}, nil
}

// DeleteOpenIDConnectProvider makes the account trust a provider no longer.
func (a *API) DeleteOpenIDConnectProvider(ctx context.Context, c call, in *iam.DeleteOpenIDConnectProviderInput) (*iam.DeleteOpenIDConnectProviderOutput, error) {
	return nil, a.directory.DeleteProvider(ctx, c, value(in.OpenIDConnectProviderArn))
}

// AddClientIDToOpenIDConnectProvider adds a client id to a provider.
func (a *API) AddClientIDToOpenIDConnectProvider(ctx context.Context, c call, in *iam.AddClientIDToOpenIDConnectProviderInput) (*iam.AddClientIDToOpenIDConnectProviderOutput, error) {
	return nil, a.directory.AddClient(ctx, c, value(in.OpenIDConnectProviderArn), value(in.ClientID))
}

// RemoveClientIDFromOpenIDConnectProvider removes a client id from a provider.
func (a *API) RemoveClientIDFromOpenIDConnectProvider(ctx context.Context, c call, in *iam.RemoveClientIDFromOpenIDConnectProviderInput) (*iam.RemoveClientIDFromOpenIDConnectProviderOutput, error) {
	return nil, a.directory.RemoveClient(ctx, c, value(in.OpenIDConnectProviderArn), value(in.ClientID))
}

// UpdateOpenIDConnectProviderThumbprint replaces the thumbprints of a provider.
func (a *API) UpdateOpenIDConnectProviderThumbprint(ctx context.Context, c call, in *iam.UpdateOpenIDConnectProviderThumbprintInput) (*iam.UpdateOpenIDConnectProviderThumbprintOutput, error) {
	return nil, a.directory.SetThumbprints(ctx, c, value(in.OpenIDConnectProviderArn), in.ThumbprintList)
}

// TagOpenIDConnectProvider adds tags to a provider.
func (a *API) TagOpenIDConnectProvider(ctx context.Context, c call, in *iam.TagOpenIDConnectProviderInput) (*iam.TagOpenIDConnectProviderOutput, error) {
	return nil, a.directory.TagProvider(ctx, c, value(in.OpenIDConnectProviderArn), tags(in.Tags))
}

// UntagOpenIDConnectProvider removes tags from a provider.
func (a *API) UntagOpenIDConnectProvider(ctx context.Context, c call, in *iam.UntagOpenIDConnectProviderInput) (*iam.UntagOpenIDConnectProviderOutput, error) {
	return nil, a.directory.UntagProvider(ctx, c, value(in.OpenIDConnectProviderArn), in.TagKeys)
}

// ListOpenIDConnectProviderTags lists the tags of a provider.
func (a *API) ListOpenIDConnectProviderTags(ctx context.Context, c call, in *iam.ListOpenIDConnectProviderTagsInput) (*iam.ListOpenIDConnectProviderTagsOutput, error) {
	found, next, err := a.directory.ListProviderTags(ctx, c, value(in.OpenIDConnectProviderArn), page(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iam.ListOpenIDConnectProviderTagsOutput{Tags: tagList(found), Marker: optional(next), IsTruncated: next != ""}, nil
}

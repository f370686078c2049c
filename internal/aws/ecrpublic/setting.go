package ecrpublic

import (
	"context"
	"encoding/base64"
	"maps"
	"slices"

	"berth/internal/access"
	"berth/internal/aws"
	"berth/internal/fault"
	"berth/internal/registry"

	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic/types"
)

// GetAuthorizationToken returns a password for docker login at the public host.
func (a *API) GetAuthorizationToken(ctx context.Context, c access.Call, _ *ecrpublic.GetAuthorizationTokenInput) (*ecrpublic.GetAuthorizationTokenOutput, error) {
	granted, err := a.registry.GetAuthorizationToken(ctx, c.Caller, registry.PublicRegion, nil)
	if err != nil {
		return nil, err
	}
	token := base64.StdEncoding.EncodeToString([]byte("AWS:" + granted[0].Password))
	return &ecrpublic.GetAuthorizationTokenOutput{
		AuthorizationData: &types.AuthorizationData{AuthorizationToken: &token, ExpiresAt: &granted[0].Expires},
	}, nil
}

// TagResource adds resource tags to a repository.
func (a *API) TagResource(ctx context.Context, c access.Call, in *ecrpublic.TagResourceInput) (*ecrpublic.TagResourceOutput, error) {
	ref, err := resource(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	tags, err := tagMap(in.Tags)
	if err != nil {
		return nil, err
	}
	return nil, a.registry.TagResource(ctx, c.Caller, registry.TagResourceInput{Ref: ref, Tags: tags})
}

// UntagResource removes resource tags from a repository.
func (a *API) UntagResource(ctx context.Context, c access.Call, in *ecrpublic.UntagResourceInput) (*ecrpublic.UntagResourceOutput, error) {
	ref, err := resource(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return nil, a.registry.UntagResource(ctx, c.Caller, registry.UntagResourceInput{Ref: ref, Keys: in.TagKeys})
}

// ListTagsForResource returns the resource tags of a repository.
func (a *API) ListTagsForResource(ctx context.Context, c access.Call, in *ecrpublic.ListTagsForResourceInput) (*ecrpublic.ListTagsForResourceOutput, error) {
	ref, err := resource(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	tags, err := a.registry.ListTagsForResource(ctx, c.Caller, ref)
	if err != nil {
		return nil, err
	}
	out := &ecrpublic.ListTagsForResourceOutput{Tags: []types.Tag{}}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		v := tags[k]
		out.Tags = append(out.Tags, types.Tag{Key: &k, Value: &v})
	}
	return out, nil
}

// resource returns the public repository that an ARN names.
func resource(arn *string) (registry.Ref, error) {
	ref, err := registry.ParseRepositoryARN(value(arn))
	if err == nil && !ref.Public() {
		err = fault.New(fault.Invalid, "InvalidParameterException",
			"Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN'")
	}
	return ref, aws.Unheard(err)
}

// tagMap returns a list of tags as a map. A key must be there, and not twice.
func tagMap(tags []types.Tag) (map[string]string, error) {
	if len(tags) == 0 {
		return nil, nil
	}
	out := make(map[string]string, len(tags))
	for _, t := range tags {
		if _, ok := out[value(t.Key)]; ok {
			return nil, aws.Unheard(fault.New(fault.Invalid, "InvalidTagParameterException", "The tag key '%s' is given more than once.", value(t.Key)))
		}
		out[value(t.Key)] = value(t.Value)
	}
	return out, nil
}

package ecr

import (
	"context"
	"encoding/base64"
	"maps"
	"slices"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/registry"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

// GetAuthorizationToken returns passwords for docker login.
func (a *API) GetAuthorizationToken(ctx context.Context, c access.Call, in *ecr.GetAuthorizationTokenInput) (*ecr.GetAuthorizationTokenOutput, error) {
	//lint:ignore SA1019 clients still send it, and ECR still takes it
	granted, err := a.registry.GetAuthorizationToken(ctx, c.Caller, c.Region, in.RegistryIds)
	if err != nil {
		return nil, err
	}
	out := &ecr.GetAuthorizationTokenOutput{AuthorizationData: []types.AuthorizationData{}}
	for _, g := range granted {
		token := base64.StdEncoding.EncodeToString([]byte("AWS:" + g.Password))
		endpoint := a.hosts.Endpoint(g.ID)
		out.AuthorizationData = append(out.AuthorizationData, types.AuthorizationData{
			AuthorizationToken: &token, ExpiresAt: &g.Expires, ProxyEndpoint: &endpoint,
		})
	}
	return out, nil
}

// GetAccountSetting returns a setting of the registry.
func (a *API) GetAccountSetting(ctx context.Context, c access.Call, in *ecr.GetAccountSettingInput) (*ecr.GetAccountSettingOutput, error) {
	s, err := a.registry.GetAccountSetting(ctx, c.Caller, registryOf(c, nil), value(in.Name))
	if err != nil {
		return nil, err
	}
	return &ecr.GetAccountSettingOutput{Name: &s.Name, Value: &s.Value}, nil
}

// PutAccountSetting changes a setting of the registry.
func (a *API) PutAccountSetting(ctx context.Context, c access.Call, in *ecr.PutAccountSettingInput) (*ecr.PutAccountSettingOutput, error) {
	s := registry.Setting{ID: registryOf(c, nil), Name: value(in.Name), Value: value(in.Value)}
	if err := a.registry.PutAccountSetting(ctx, c.Caller, s); err != nil {
		return nil, err
	}
	return &ecr.PutAccountSettingOutput{Name: in.Name, Value: in.Value}, nil
}

// TagResource adds resource tags to a repository.
func (a *API) TagResource(ctx context.Context, c access.Call, in *ecr.TagResourceInput) (*ecr.TagResourceOutput, error) {
	ref, err := resource(c, in.ResourceArn)
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
func (a *API) UntagResource(ctx context.Context, c access.Call, in *ecr.UntagResourceInput) (*ecr.UntagResourceOutput, error) {
	ref, err := resource(c, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return nil, a.registry.UntagResource(ctx, c.Caller, registry.UntagResourceInput{Ref: ref, Keys: in.TagKeys})
}

// ListTagsForResource returns the resource tags of a repository.
func (a *API) ListTagsForResource(ctx context.Context, c access.Call, in *ecr.ListTagsForResourceInput) (*ecr.ListTagsForResourceOutput, error) {
	ref, err := resource(c, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	tags, err := a.registry.ListTagsForResource(ctx, c.Caller, ref)
	if err != nil {
		return nil, err
	}
	return &ecr.ListTagsForResourceOutput{Tags: tagList(tags)}, nil
}

// resource returns the repository that an ARN names. It must be in the region
// that the call was signed for.
func resource(c access.Call, arn *string) (registry.Ref, error) {
	ref, err := registry.ParseRepositoryARN(value(arn))
	if err == nil && ref.Region != c.Region {
		err = fault.New(fault.Invalid, "InvalidParameterException",
			"Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN'")
	}
	return ref, err
}

// tagList returns tags in the order of their keys.
func tagList(tags map[string]string) []types.Tag {
	out := []types.Tag{}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		v := tags[k]
		out = append(out, types.Tag{Key: &k, Value: &v})
	}
	return out
}

// tagMap returns a list of tags as a map. A key must not be there twice.
func tagMap(tags []types.Tag) (map[string]string, error) {
	if len(tags) == 0 {
		return nil, nil
	}
	out := make(map[string]string, len(tags))
	for _, t := range tags {
		if _, ok := out[value(t.Key)]; ok {
			return nil, fault.New(fault.Invalid, "InvalidTagParameterException", "The tag key '%s' is given more than once.", *t.Key)
		}
		out[value(t.Key)] = value(t.Value)
	}
	return out, nil
}

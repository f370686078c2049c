package iam

import (
	"context"

	"berth/internal/identity"

	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// TagUser adds tags to a user.
func (a *API) TagUser(ctx context.Context, c call, in *iam.TagUserInput) (*iam.TagUserOutput, error) {
	return nil, a.directory.Tag(ctx, c, identity.User, value(in.UserName), tags(in.Tags))
}

// UntagUser removes tags from a user.
func (a *API) UntagUser(ctx context.Context, c call, in *iam.UntagUserInput) (*iam.UntagUserOutput, error) {
	return nil, a.directory.Untag(ctx, c, identity.User, value(in.UserName), in.TagKeys)
}

// ListUserTags lists the tags of a user.
func (a *API) ListUserTags(ctx context.Context, c call, in *iam.ListUserTagsInput) (*iam.ListUserTagsOutput, error) {
	found, next, err := a.directory.ListTags(ctx, c, identity.User, value(in.UserName), page(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iam.ListUserTagsOutput{Tags: tagList(found), Marker: optional(next), IsTruncated: next != ""}, nil
}

// TagRole adds tags to a role.
func (a *API) TagRole(ctx context.Context, c call, in *iam.TagRoleInput) (*iam.TagRoleOutput, error) {
	return nil, a.directory.Tag(ctx, c, identity.Role, value(in.RoleName), tags(in.Tags))
}

// UntagRole removes tags from a role.
func (a *API) UntagRole(ctx context.Context, c call, in *iam.UntagRoleInput) (*iam.UntagRoleOutput, error) {
	return nil, a.directory.Untag(ctx, c, identity.Role, value(in.RoleName), in.TagKeys)
}

// ListRoleTags lists the tags of a role.
func (a *API) ListRoleTags(ctx context.Context, c call, in *iam.ListRoleTagsInput) (*iam.ListRoleTagsOutput, error) {
	found, next, err := a.directory.ListTags(ctx, c, identity.Role, value(in.RoleName), page(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iam.ListRoleTagsOutput{Tags: tagList(found), Marker: optional(next), IsTruncated: next != ""}, nil
}

// TagPolicy adds tags to a managed policy.
func (a *API) TagPolicy(ctx context.Context, c call, in *iam.TagPolicyInput) (*iam.TagPolicyOutput, error) {
	return nil, a.directory.Tag(ctx, c, identity.Policy, value(in.PolicyArn), tags(in.Tags))
}

// UntagPolicy removes tags from a managed policy.
func (a *API) UntagPolicy(ctx context.Context, c call, in *iam.UntagPolicyInput) (*iam.UntagPolicyOutput, error) {
	return nil, a.directory.Untag(ctx, c, identity.Policy, value(in.PolicyArn), in.TagKeys)
}

// ListPolicyTags lists the tags of a managed policy.
func (a *API) ListPolicyTags(ctx context.Context, c call, in *iam.ListPolicyTagsInput) (*iam.ListPolicyTagsOutput, error) {
	found, next, err := a.directory.ListTags(ctx, c, identity.Policy, value(in.PolicyArn), page(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iam.ListPolicyTagsOutput{Tags: tagList(found), Marker: optional(next), IsTruncated: next != ""}, nil
}

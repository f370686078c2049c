package iam

import (
	"context"

	"berth/internal/identity"

	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// PutUserPolicy makes a policy part of a user.
func (a *API) PutUserPolicy(ctx context.Context, c call, in *iam.PutUserPolicyInput) (*iam.PutUserPolicyOutput, error) {
	return nil, a.directory.PutInline(ctx, c, identity.User, value(in.UserName),
		identity.InlinePolicy{Name: value(in.PolicyName), Document: value(in.PolicyDocument)})
}

// GetUserPolicy returns a policy that is part of a user.
func (a *API) GetUserPolicy(ctx context.Context, c call, in *iam.GetUserPolicyInput) (*iam.GetUserPolicyOutput, error) {
	e, p, err := a.directory.GetInline(ctx, c, identity.User, value(in.UserName), value(in.PolicyName))
	if err != nil {
		return nil, err
	}
	return &iam.GetUserPolicyOutput{UserName: &e.Name, PolicyName: &p.Name, PolicyDocument: encoded(p.Document)}, nil
}

// ListUserPolicies names the policies that are part of a user.
func (a *API) ListUserPolicies(ctx context.Context, c call, in *iam.ListUserPoliciesInput) (*iam.ListUserPoliciesOutput, error) {
	names, next, err := a.directory.ListInline(ctx, c, identity.User, value(in.UserName), page(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iam.ListUserPoliciesOutput{PolicyNames: names, Marker: optional(next), IsTruncated: next != ""}, nil
}

// DeleteUserPolicy deletes a policy that is part of a user.
func (a *API) DeleteUserPolicy(ctx context.Context, c call, in *iam.DeleteUserPolicyInput) (*iam.DeleteUserPolicyOutput, error) {
	return nil, a.directory.DeleteInline(ctx, c, identity.User, value(in.UserName), value(in.PolicyName))
}

// PutGroupPolicy makes a policy part of a group.
func (a *API) PutGroupPolicy(ctx context.Context, c call, in *iam.PutGroupPolicyInput) (*iam.PutGroupPolicyOutput, error) {
	return nil, a.directory.PutInline(ctx, c, identity.Group, value(in.GroupName),
		identity.InlinePolicy{Name: value(in.PolicyName), Document: value(in.PolicyDocument)})
}

// GetGroupPolicy returns a policy that is part of a group.
func (a *API) GetGroupPolicy(ctx context.Context, c call, in *iam.GetGroupPolicyInput) (*iam.GetGroupPolicyOutput, error) {
	e, p, err := a.directory.GetInline(ctx, c, identity.Group, value(in.GroupName), value(in.PolicyName))
	if err != nil {
		return nil, err
	}
	return &iam.GetGroupPolicyOutput{GroupName: &e.Name, PolicyName: &p.Name, PolicyDocument: encoded(p.Document)}, nil
}

// ListGroupPolicies names the policies that are part of a group.
func (a *API) ListGroupPolicies(ctx context.Context, c call, in *iam.ListGroupPoliciesInput) (*iam.ListGroupPoliciesOutput, error) {
	names, next, err := a.directory.ListInline(ctx, c, identity.Group, value(in.GroupName), page(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iam.ListGroupPoliciesOutput{PolicyNames: names, Marker: optional(next), IsTruncated: next != ""}, nil
}

// DeleteGroupPolicy deletes a policy that is part of a group.
func (a *API) DeleteGroupPolicy(ctx context.Context, c call, in *iam.DeleteGroupPolicyInput) (*iam.DeleteGroupPolicyOutput, error) {
	return nil, a.directory.DeleteInline(ctx, c, identity.Group, value(in.GroupName), value(in.PolicyName))
}

// PutRolePolicy makes a policy part of a role.
func (a *API) PutRolePolicy(ctx context.Context, c call, in *iam.PutRolePolicyInput) (*iam.PutRolePolicyOutput, error) {
	return nil, a.directory.PutInline(ctx, c, identity.Role, value(in.RoleName),
		identity.InlinePolicy{Name: value(in.PolicyName), Document: value(in.PolicyDocument)})
}

// GetRolePolicy returns a policy that is part of a role.
func (a *API) GetRolePolicy(ctx context.Context, c call, in *iam.GetRolePolicyInput) (*iam.GetRolePolicyOutput, error) {
	e, p, err := a.directory.GetInline(ctx, c, identity.Role, value(in.RoleName), value(in.PolicyName))
	if err != nil {
		return nil, err
	}
	return &iam.GetRolePolicyOutput{RoleName: &e.Name, PolicyName: &p.Name, PolicyDocument: encoded(p.Document)}, nil
}

// ListRolePolicies names the policies that are part of a role.
func (a *API) ListRolePolicies(ctx context.Context, c call, in *iam.ListRolePoliciesInput) (*iam.ListRolePoliciesOutput, error) {
	names, next, err := a.directory.ListInline(ctx, c, identity.Role, value(in.RoleName), page(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iam.ListRolePoliciesOutput{PolicyNames: names, Marker: optional(next), IsTruncated: next != ""}, nil
}

// DeleteRolePolicy deletes a policy that is part of a role.
func (a *API) DeleteRolePolicy(ctx context.Context, c call, in *iam.DeleteRolePolicyInput) (*iam.DeleteRolePolicyOutput, error) {
	return nil, a.directory.DeleteInline(ctx, c, identity.Role, value(in.RoleName), value(in.PolicyName))
}

package iam

import (
	"context"

	"berth/internal/identity"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

func attached(arn string) types.AttachedPolicy {
	return types.AttachedPolicy{PolicyArn: &arn, PolicyName: new(identity.NameOf(arn))}
}

// AttachUserPolicy gives a user a managed policy.
func (a *API) AttachUserPolicy(ctx context.Context, c call, in *iam.AttachUserPolicyInput) (*iam.AttachUserPolicyOutput, error) {
	return nil, a.directory.Attach(ctx, c, identity.User, value(in.UserName), value(in.PolicyArn))
}

// DetachUserPolicy takes a managed policy from a user.
func (a *API) DetachUserPolicy(ctx context.Context, c call, in *iam.DetachUserPolicyInput) (*iam.DetachUserPolicyOutput, error) {
	return nil, a.directory.Detach(ctx, c, identity.User, value(in.UserName), value(in.PolicyArn))
}

// ListAttachedUserPolicies lists the managed policies of a user.
func (a *API) ListAttachedUserPolicies(ctx context.Context, c call, in *iam.ListAttachedUserPoliciesInput) (*iam.ListAttachedUserPoliciesOutput, error) {
	arns, next, err := a.directory.ListAttached(ctx, c, identity.User, value(in.UserName), value(in.PathPrefix), page(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iam.ListAttachedUserPoliciesOutput{AttachedPolicies: render(arns, attached), Marker: optional(next), IsTruncated: next != ""}, nil
}

// AttachGroupPolicy gives a group a managed policy.
func (a *API) AttachGroupPolicy(ctx context.Context, c call, in *iam.AttachGroupPolicyInput) (*iam.AttachGroupPolicyOutput, error) {
	return nil, a.directory.Attach(ctx, c, identity.Group, value(in.GroupName), value(in.PolicyArn))
}

// DetachGroupPolicy takes a managed policy from a group.
func (a *API) DetachGroupPolicy(ctx context.Context, c call, in *iam.DetachGroupPolicyInput) (*iam.DetachGroupPolicyOutput, error) {
	return nil, a.directory.Detach(ctx, c, identity.Group, value(in.GroupName), value(in.PolicyArn))
}

// ListAttachedGroupPolicies lists the managed policies of a group.
func (a *API) ListAttachedGroupPolicies(ctx context.Context, c call, in *iam.ListAttachedGroupPoliciesInput) (*iam.ListAttachedGroupPoliciesOutput, error) {
	arns, next, err := a.directory.ListAttached(ctx, c, identity.Group, value(in.GroupName), value(in.PathPrefix), page(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iam.ListAttachedGroupPoliciesOutput{AttachedPolicies: render(arns, attached), Marker: optional(next), IsTruncated: next != ""}, nil
}

// AttachRolePolicy gives a role a managed policy.
func (a *API) AttachRolePolicy(ctx context.Context, c call, in *iam.AttachRolePolicyInput) (*iam.AttachRolePolicyOutput, error) {
	return nil, a.directory.Attach(ctx, c, identity.Role, value(in.RoleName), value(in.PolicyArn))
}

// DetachRolePolicy takes a managed policy from a role.
func (a *API) DetachRolePolicy(ctx context.Context, c call, in *iam.DetachRolePolicyInput) (*iam.DetachRolePolicyOutput, error) {
	return nil, a.directory.Detach(ctx, c, identity.Role, value(in.RoleName), value(in.PolicyArn))
}

// ListAttachedRolePolicies lists the managed policies of a role.
func (a *API) ListAttachedRolePolicies(ctx context.Context, c call, in *iam.ListAttachedRolePoliciesInput) (*iam.ListAttachedRolePoliciesOutput, error) {
	arns, next, err := a.directory.ListAttached(ctx, c, identity.Role, value(in.RoleName), value(in.PathPrefix), page(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iam.ListAttachedRolePoliciesOutput{AttachedPolicies: render(arns, attached), Marker: optional(next), IsTruncated: next != ""}, nil
}

// PutUserPermissionsBoundary sets the permissions boundary of a user.
func (a *API) PutUserPermissionsBoundary(ctx context.Context, c call, in *iam.PutUserPermissionsBoundaryInput) (*iam.PutUserPermissionsBoundaryOutput, error) {
	return nil, a.directory.PutBoundary(ctx, c, identity.User, value(in.UserName), value(in.PermissionsBoundary))
}

// DeleteUserPermissionsBoundary removes the permissions boundary of a user.
func (a *API) DeleteUserPermissionsBoundary(ctx context.Context, c call, in *iam.DeleteUserPermissionsBoundaryInput) (*iam.DeleteUserPermissionsBoundaryOutput, error) {
	return nil, a.directory.DeleteBoundary(ctx, c, identity.User, value(in.UserName))
}

// PutRolePermissionsBoundary sets the permissions boundary of a role.
func (a *API) PutRolePermissionsBoundary(ctx context.Context, c call, in *iam.PutRolePermissionsBoundaryInput) (*iam.PutRolePermissionsBoundaryOutput, error) {
	return nil, a.directory.PutBoundary(ctx, c, identity.Role, value(in.RoleName), value(in.PermissionsBoundary))
}

// DeleteRolePermissionsBoundary removes the permissions boundary of a role.
func (a *API) DeleteRolePermissionsBoundary(ctx context.Context, c call, in *iam.DeleteRolePermissionsBoundaryInput) (*iam.DeleteRolePermissionsBoundaryOutput, error) {
	return nil, a.directory.DeleteBoundary(ctx, c, identity.Role, value(in.RoleName))
}

// entityKinds are the kinds that have policies, by the filter that asks for them.
var entityKinds = map[types.EntityType]identity.Kind{
	types.EntityTypeUser: identity.User, types.EntityTypeGroup: identity.Group, types.EntityTypeRole: identity.Role,
}

// ListEntitiesForPolicy lists who has a managed policy.
func (a *API) ListEntitiesForPolicy(ctx context.Context, c call, in *iam.ListEntitiesForPolicyInput) (*iam.ListEntitiesForPolicyOutput, error) {
	f := identity.EntityFilter{
		Kind: entityKinds[in.EntityFilter], Prefix: value(in.PathPrefix), Boundary: in.PolicyUsageFilter == types.PolicyUsageTypePermissionsBoundary,
	}
	out := &iam.ListEntitiesForPolicyOutput{
		PolicyUsers: []types.PolicyUser{}, PolicyGroups: []types.PolicyGroup{}, PolicyRoles: []types.PolicyRole{},
	}
	if in.EntityFilter != "" && f.Kind == "" { // policies of AWS or of the account have no policies
		f.Kind = identity.Policy
	}
	found, next, err := a.directory.ListEntitiesForPolicy(ctx, c, value(in.PolicyArn), f, page(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	for _, e := range found {
		switch e.Kind {
		case identity.User:
			out.PolicyUsers = append(out.PolicyUsers, types.PolicyUser{UserId: &e.ID, UserName: &e.Name})
		case identity.Group:
			out.PolicyGroups = append(out.PolicyGroups, types.PolicyGroup{GroupId: &e.ID, GroupName: &e.Name})
		case identity.Role:
			out.PolicyRoles = append(out.PolicyRoles, types.PolicyRole{RoleId: &e.ID, RoleName: &e.Name})
		}
	}
	out.Marker, out.IsTruncated = optional(next), next != ""
	return out, nil
}

package iam

import (
	"context"

	"berth/internal/identity"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

func role(e *identity.Entity) *types.Role {
	return &types.Role{
		RoleId: &e.ID, RoleName: &e.Name, Path: &e.Path, CreateDate: &e.CreatedAt, Arn: new(e.ARN()), Description: optional(e.Description),
		AssumeRolePolicyDocument: encoded(e.Trust), MaxSessionDuration: new(int32(e.MaxSession)),
	}
}

// wholeRole is role with what listings leave out.
func wholeRole(e *identity.Entity) *types.Role {
	out := role(e)
	out.PermissionsBoundary, out.Tags, out.RoleLastUsed = boundary(e.Boundary), own(e.Tags), &types.RoleLastUsed{}
	return out
}

// CreateRole makes a role.
func (a *API) CreateRole(ctx context.Context, c call, in *iam.CreateRoleInput) (*iam.CreateRoleOutput, error) {
	e, err := a.directory.Create(ctx, c, identity.Role, identity.NewEntity{
		Name: value(in.RoleName), Path: value(in.Path), Description: value(in.Description), Tags: tags(in.Tags),
		Boundary: value(in.PermissionsBoundary), Trust: value(in.AssumeRolePolicyDocument), MaxSession: int64(value(in.MaxSessionDuration)),
	})
	if err != nil {
		return nil, err
	}
	return &iam.CreateRoleOutput{Role: wholeRole(e)}, nil
}

// GetRole returns a role.
func (a *API) GetRole(ctx context.Context, c call, in *iam.GetRoleInput) (*iam.GetRoleOutput, error) {
	e, err := a.directory.Get(ctx, c, identity.Role, value(in.RoleName))
	if err != nil {
		return nil, err
	}
	return &iam.GetRoleOutput{Role: wholeRole(e)}, nil
}

// ListRoles lists roles.
func (a *API) ListRoles(ctx context.Context, c call, in *iam.ListRolesInput) (*iam.ListRolesOutput, error) {
	found, next, err := a.directory.List(ctx, c, identity.Role, value(in.PathPrefix), page(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iam.ListRolesOutput{
		Roles: render(found, func(e identity.Entity) types.Role { return *role(&e) }), Marker: optional(next), IsTruncated: next != "",
	}, nil
}

// UpdateRole changes the description and the longest session of a role.
func (a *API) UpdateRole(ctx context.Context, c call, in *iam.UpdateRoleInput) (*iam.UpdateRoleOutput, error) {
	return nil, a.directory.UpdateRole(ctx, c, value(in.RoleName), in.Description, in.MaxSessionDuration)
}

// UpdateRoleDescription changes the description of a role.
func (a *API) UpdateRoleDescription(ctx context.Context, c call, in *iam.UpdateRoleDescriptionInput) (*iam.UpdateRoleDescriptionOutput, error) {
	e, err := a.directory.UpdateRoleDescription(ctx, c, value(in.RoleName), value(in.Description))
	if err != nil {
		return nil, err
	}
	return &iam.UpdateRoleDescriptionOutput{Role: wholeRole(e)}, nil
}

// UpdateAssumeRolePolicy changes who may assume a role.
func (a *API) UpdateAssumeRolePolicy(ctx context.Context, c call, in *iam.UpdateAssumeRolePolicyInput) (*iam.UpdateAssumeRolePolicyOutput, error) {
	return nil, a.directory.UpdateAssumeRolePolicy(ctx, c, value(in.RoleName), value(in.PolicyDocument))
}

// DeleteRole deletes a role.
func (a *API) DeleteRole(ctx context.Context, c call, in *iam.DeleteRoleInput) (*iam.DeleteRoleOutput, error) {
	return nil, a.directory.Delete(ctx, c, identity.Role, value(in.RoleName))
}

// CreateServiceLinkedRole makes the role of a service.
func (a *API) CreateServiceLinkedRole(ctx context.Context, c call, in *iam.CreateServiceLinkedRoleInput) (*iam.CreateServiceLinkedRoleOutput, error) {
	e, err := a.directory.CreateServiceLinkedRole(ctx, c, value(in.AWSServiceName), value(in.Description), value(in.CustomSuffix))
	if err != nil {
		return nil, err
	}
	return &iam.CreateServiceLinkedRoleOutput{Role: role(e)}, nil
}

// DeleteServiceLinkedRole deletes the role of a service.
func (a *API) DeleteServiceLinkedRole(ctx context.Context, c call, in *iam.DeleteServiceLinkedRoleInput) (*iam.DeleteServiceLinkedRoleOutput, error) {
	task, err := a.directory.DeleteServiceLinkedRole(ctx, c, value(in.RoleName))
	if err != nil {
		return nil, err
	}
	return &iam.DeleteServiceLinkedRoleOutput{DeletionTaskId: &task}, nil
}

// GetServiceLinkedRoleDeletionStatus says that a role of a service has been deleted.
func (a *API) GetServiceLinkedRoleDeletionStatus(ctx context.Context, c call, in *iam.GetServiceLinkedRoleDeletionStatusInput) (*iam.GetServiceLinkedRoleDeletionStatusOutput, error) {
	if err := a.directory.ServiceLinkedRoleDeleted(ctx, c, value(in.DeletionTaskId)); err != nil {
		return nil, err
	}
	return &iam.GetServiceLinkedRoleDeletionStatusOutput{Status: types.DeletionTaskStatusTypeSucceeded}, nil
}

// ListInstanceProfilesForRole says that a role has no instance profiles.
func (a *API) ListInstanceProfilesForRole(ctx context.Context, c call, in *iam.ListInstanceProfilesForRoleInput) (*iam.ListInstanceProfilesForRoleOutput, error) {
	if err := a.directory.ListInstanceProfilesForRole(ctx, c, value(in.RoleName)); err != nil {
		return nil, err
	}
	return &iam.ListInstanceProfilesForRoleOutput{InstanceProfiles: []types.InstanceProfile{}}, nil
}

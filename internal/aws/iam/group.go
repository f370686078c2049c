package iam

import (
	"context"

	"berth/internal/identity"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

func group(e *identity.Entity) *types.Group {
	return &types.Group{GroupId: &e.ID, GroupName: &e.Name, Path: &e.Path, CreateDate: &e.CreatedAt, Arn: new(e.ARN())}
}

// CreateGroup makes a group.
func (a *API) CreateGroup(ctx context.Context, c call, in *iam.CreateGroupInput) (*iam.CreateGroupOutput, error) {
	e, err := a.directory.Create(ctx, c, identity.Group, identity.NewEntity{Name: value(in.GroupName), Path: value(in.Path)})
	if err != nil {
		return nil, err
	}
	return &iam.CreateGroupOutput{Group: group(e)}, nil
}

// GetGroup returns a group and its users.
func (a *API) GetGroup(ctx context.Context, c call, in *iam.GetGroupInput) (*iam.GetGroupOutput, error) {
	e, users, next, err := a.directory.GroupMembers(ctx, c, value(in.GroupName), page(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iam.GetGroupOutput{
		Group: group(e), Users: render(users, func(e identity.Entity) types.User { return *user(&e) }), Marker: optional(next), IsTruncated: next != "",
	}, nil
}

// ListGroups lists groups.
func (a *API) ListGroups(ctx context.Context, c call, in *iam.ListGroupsInput) (*iam.ListGroupsOutput, error) {
	found, next, err := a.directory.List(ctx, c, identity.Group, value(in.PathPrefix), page(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iam.ListGroupsOutput{
		Groups: render(found, func(e identity.Entity) types.Group { return *group(&e) }), Marker: optional(next), IsTruncated: next != "",
	}, nil
}

// ListGroupsForUser lists the groups of a user.
func (a *API) ListGroupsForUser(ctx context.Context, c call, in *iam.ListGroupsForUserInput) (*iam.ListGroupsForUserOutput, error) {
	found, next, err := a.directory.ListGroupsForUser(ctx, c, value(in.UserName), page(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iam.ListGroupsForUserOutput{
		Groups: render(found, func(e identity.Entity) types.Group { return *group(&e) }), Marker: optional(next), IsTruncated: next != "",
	}, nil
}

// UpdateGroup gives a group another name or path.
func (a *API) UpdateGroup(ctx context.Context, c call, in *iam.UpdateGroupInput) (*iam.UpdateGroupOutput, error) {
	return nil, a.directory.Rename(ctx, c, identity.Group, value(in.GroupName), value(in.NewGroupName), value(in.NewPath))
}

// DeleteGroup deletes a group.
func (a *API) DeleteGroup(ctx context.Context, c call, in *iam.DeleteGroupInput) (*iam.DeleteGroupOutput, error) {
	return nil, a.directory.Delete(ctx, c, identity.Group, value(in.GroupName))
}

// AddUserToGroup makes a user a member of a group.
func (a *API) AddUserToGroup(ctx context.Context, c call, in *iam.AddUserToGroupInput) (*iam.AddUserToGroupOutput, error) {
	return nil, a.directory.AddUserToGroup(ctx, c, value(in.GroupName), value(in.UserName))
}

// RemoveUserFromGroup ends a membership.
func (a *API) RemoveUserFromGroup(ctx context.Context, c call, in *iam.RemoveUserFromGroupInput) (*iam.RemoveUserFromGroupOutput, error) {
	return nil, a.directory.RemoveUserFromGroup(ctx, c, value(in.GroupName), value(in.UserName))
}

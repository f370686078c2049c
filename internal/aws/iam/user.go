package iam

import (
	"context"

	"berth/internal/identity"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// user renders a user. What an account's root is called is its account.
func user(e *identity.Entity) *types.User {
	out := &types.User{UserId: &e.ID, UserName: &e.Name, Path: &e.Path, CreateDate: &e.CreatedAt, Arn: new(e.ARN())}
	if e.Kind != identity.User {
		out.UserName, out.Path = &e.Account, new("/")
	}
	return out
}

// whole is user with what listings leave out.
func whole(e *identity.Entity) *types.User {
	out := user(e)
	out.PermissionsBoundary, out.Tags = boundary(e.Boundary), own(e.Tags)
	return out
}

// CreateUser makes a user.
func (a *API) CreateUser(ctx context.Context, c call, in *iam.CreateUserInput) (*iam.CreateUserOutput, error) {
	e, err := a.directory.Create(ctx, c, identity.User, identity.NewEntity{
		Name: value(in.UserName), Path: value(in.Path), Tags: tags(in.Tags), Boundary: value(in.PermissionsBoundary),
	})
	if err != nil {
		return nil, err
	}
	return &iam.CreateUserOutput{User: whole(e)}, nil
}

// GetUser returns a user, or who asks.
func (a *API) GetUser(ctx context.Context, c call, in *iam.GetUserInput) (*iam.GetUserOutput, error) {
	e, err := a.directory.Get(ctx, c, identity.User, value(in.UserName))
	if err != nil {
		return nil, err
	}
	return &iam.GetUserOutput{User: whole(e)}, nil
}

// ListUsers lists users.
func (a *API) ListUsers(ctx context.Context, c call, in *iam.ListUsersInput) (*iam.ListUsersOutput, error) {
	found, next, err := a.directory.List(ctx, c, identity.User, value(in.PathPrefix), page(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iam.ListUsersOutput{
		Users: render(found, func(e identity.Entity) types.User { return *user(&e) }), Marker: optional(next), IsTruncated: next != "",
	}, nil
}

// UpdateUser gives a user another name or path.
func (a *API) UpdateUser(ctx context.Context, c call, in *iam.UpdateUserInput) (*iam.UpdateUserOutput, error) {
	return nil, a.directory.Rename(ctx, c, identity.User, value(in.UserName), value(in.NewUserName), value(in.NewPath))
}

// DeleteUser deletes a user.
func (a *API) DeleteUser(ctx context.Context, c call, in *iam.DeleteUserInput) (*iam.DeleteUserOutput, error) {
	return nil, a.directory.Delete(ctx, c, identity.User, value(in.UserName))
}

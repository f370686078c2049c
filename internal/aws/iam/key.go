package iam

import (
	"context"

	"berth/internal/identity"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// rootUser is what IAM calls the root of an account where it names the user of a
// key.
const rootUser = "<root_account>"

func status(active bool) types.StatusType {
	if active {
		return types.StatusTypeActive
	}
	return types.StatusTypeInactive
}

// CreateAccessKey makes a key.
func (a *API) CreateAccessKey(ctx context.Context, c call, in *iam.CreateAccessKeyInput) (*iam.CreateAccessKeyOutput, error) {
	k, err := a.directory.CreateAccessKey(ctx, c, value(in.UserName))
	if err != nil {
		return nil, err
	}
	return &iam.CreateAccessKeyOutput{AccessKey: &types.AccessKey{
		AccessKeyId: &k.AccessKey.ID, SecretAccessKey: &k.Secret, Status: status(k.Active), CreateDate: &k.CreatedAt, UserName: optional(k.User),
	}}, nil
}

// ListAccessKeys lists keys.
func (a *API) ListAccessKeys(ctx context.Context, c call, in *iam.ListAccessKeysInput) (*iam.ListAccessKeysOutput, error) {
	name, keys, next, err := a.directory.ListAccessKeys(ctx, c, value(in.UserName), page(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iam.ListAccessKeysOutput{
		AccessKeyMetadata: render(keys, func(k identity.Key) types.AccessKeyMetadata {
			return types.AccessKeyMetadata{AccessKeyId: &k.ID, CreateDate: &k.CreatedAt, Status: status(k.Active), UserName: optional(name)}
		}), Marker: optional(next), IsTruncated: next != "",
	}, nil
}

// UpdateAccessKey makes a key work, or no longer work.
func (a *API) UpdateAccessKey(ctx context.Context, c call, in *iam.UpdateAccessKeyInput) (*iam.UpdateAccessKeyOutput, error) {
	return nil, a.directory.UpdateAccessKey(ctx, c, value(in.UserName), value(in.AccessKeyId), in.Status == types.StatusTypeActive)
}

// DeleteAccessKey deletes a key.
func (a *API) DeleteAccessKey(ctx context.Context, c call, in *iam.DeleteAccessKeyInput) (*iam.DeleteAccessKeyOutput, error) {
	return nil, a.directory.DeleteAccessKey(ctx, c, value(in.UserName), value(in.AccessKeyId))
}

// GetAccessKeyLastUsed says when and for what a key was used last.
func (a *API) GetAccessKeyLastUsed(ctx context.Context, c call, in *iam.GetAccessKeyLastUsedInput) (*iam.GetAccessKeyLastUsedOutput, error) {
	name, use, err := a.directory.GetAccessKeyLastUsed(ctx, c, value(in.AccessKeyId))
	if err != nil {
		return nil, err
	}
	if name == "" {
		name = rootUser
	}
	last := &types.AccessKeyLastUsed{Region: new("N/A"), ServiceName: new("N/A")}
	if !use.At.IsZero() {
		last = &types.AccessKeyLastUsed{LastUsedDate: &use.At, Region: &use.Region, ServiceName: &use.Service}
	}
	return &iam.GetAccessKeyLastUsedOutput{UserName: &name, AccessKeyLastUsed: last}, nil
}

package kms

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// CreateAlias gives a key another name.
func (a *API) CreateAlias(ctx context.Context, c call, in *kms.CreateAliasInput) (*kms.CreateAliasOutput, error) {
	return nil, a.keys.CreateAlias(ctx, c, value(in.AliasName), value(in.TargetKeyId))
}

// UpdateAlias makes an alias name another key.
func (a *API) UpdateAlias(ctx context.Context, c call, in *kms.UpdateAliasInput) (*kms.UpdateAliasOutput, error) {
	return nil, a.keys.UpdateAlias(ctx, c, value(in.AliasName), value(in.TargetKeyId))
}

// DeleteAlias takes a name away.
func (a *API) DeleteAlias(ctx context.Context, c call, in *kms.DeleteAliasInput) (*kms.DeleteAliasOutput, error) {
	return nil, a.keys.DeleteAlias(ctx, c, value(in.AliasName))
}

// ListAliases lists aliases.
func (a *API) ListAliases(ctx context.Context, c call, in *kms.ListAliasesInput) (*kms.ListAliasesOutput, error) {
	found, next, err := a.keys.ListAliases(ctx, c, value(in.KeyId), page(in.Marker, in.Limit))
	if err != nil {
		return nil, err
	}
	out := &kms.ListAliasesOutput{Aliases: []types.AliasListEntry{}, NextMarker: optional(next), Truncated: next != ""}
	for _, e := range found {
		out.Aliases = append(out.Aliases, types.AliasListEntry{
			AliasName: &e.Name, AliasArn: new(e.ARN()), TargetKeyId: &e.Key, CreationDate: &e.CreatedAt, LastUpdatedDate: &e.UpdatedAt,
		})
	}
	return out, nil
}

package kms

import (
	"context"

	"berth/internal/aws"
	"berth/internal/fault"
	"berth/internal/keys"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

func grant(g keys.Grant, arn string) types.GrantListEntry {
	out := types.GrantListEntry{
		KeyId: &arn, GrantId: &g.ID, Name: &g.Name, CreationDate: &g.CreatedAt, GranteePrincipal: &g.Grantee, RetiringPrincipal: optional(g.Retiring),
		IssuingAccount: new("arn:aws:iam::" + g.Issuer + ":root"),
	}
	for _, o := range g.Operations {
		out.Operations = append(out.Operations, types.GrantOperation(o))
	}
	if len(g.Subset)+len(g.Equal) > 0 {
		out.Constraints = &types.GrantConstraints{EncryptionContextSubset: g.Subset, EncryptionContextEquals: g.Equal}
	}
	return out
}

// CreateGrant lets a principal use a key.
func (a *API) CreateGrant(ctx context.Context, c call, in *kms.CreateGrantInput) (*kms.CreateGrantOutput, error) {
	grantee, err := oneOf("GranteePrincipal", in.GranteePrincipal, in.GranteeServicePrincipal)
	if err == nil && grantee == "" {
		err = aws.Unheard(fault.New(fault.Invalid, "ValidationException", "GranteePrincipal must be given."))
	}
	if err != nil {
		return nil, err
	}
	retiring, err := oneOf("RetiringPrincipal", in.RetiringPrincipal, in.RetiringServicePrincipal)
	if err != nil {
		return nil, err
	}
	create := keys.CreateGrantInput{
		Key: value(in.KeyId), Grantee: grantee, Retiring: retiring, Tokens: in.GrantTokens, Name: value(in.Name), DryRun: value(in.DryRun),
	}
	for _, o := range in.Operations {
		create.Operations = append(create.Operations, string(o))
	}
	if in.Constraints != nil {
		if in.Constraints.SourceArn != nil {
			return nil, unsupported("The constraint SourceArn is not supported.")
		}
		create.Subset, create.Equal = in.Constraints.EncryptionContextSubset, in.Constraints.EncryptionContextEquals
	}
	id, token, err := a.keys.CreateGrant(ctx, c, create)
	if err != nil {
		return nil, err
	}
	return &kms.CreateGrantOutput{GrantId: &id, GrantToken: &token}, nil
}

// oneOf returns the one of two members that is there, "" if none is.
func oneOf(name string, a, b *string) (string, error) {
	if a != nil && b != nil {
		return "", aws.Unheard(fault.New(fault.Invalid, "ValidationException", "%s and its form for services must not be given both.", name))
	}
	if a != nil {
		return *a, nil
	}
	return value(b), nil
}

// ListGrants lists the grants on a key.
func (a *API) ListGrants(ctx context.Context, c call, in *kms.ListGrantsInput) (*kms.ListGrantsOutput, error) {
	grantee, err := oneOf("GranteePrincipal", in.GranteePrincipal, in.GranteeServicePrincipal)
	if err != nil {
		return nil, err
	}
	found, arn, next, err := a.keys.ListGrants(ctx, c, value(in.KeyId), value(in.GrantId), grantee, page(in.Marker, in.Limit))
	if err != nil {
		return nil, err
	}
	out := &kms.ListGrantsOutput{Grants: []types.GrantListEntry{}, NextMarker: optional(next), Truncated: next != ""}
	for _, g := range found {
		out.Grants = append(out.Grants, grant(g, arn))
	}
	return out, nil
}

// ListRetirableGrants lists the grants that a principal may retire.
func (a *API) ListRetirableGrants(ctx context.Context, c call, in *kms.ListRetirableGrantsInput) (*kms.ListRetirableGrantsOutput, error) {
	retiring, err := oneOf("RetiringPrincipal", in.RetiringPrincipal, in.RetiringServicePrincipal)
	if err != nil {
		return nil, err
	}
	found, next, err := a.keys.ListRetirableGrants(ctx, c, retiring, page(in.Marker, in.Limit))
	if err != nil {
		return nil, err
	}
	out := &kms.ListRetirableGrantsOutput{Grants: []types.GrantListEntry{}, NextMarker: optional(next), Truncated: next != ""}
	for _, g := range found {
		out.Grants = append(out.Grants, grant(g.Grant, g.KeyARN()))
	}
	return out, nil
}

// RevokeGrant ends a grant.
func (a *API) RevokeGrant(ctx context.Context, c call, in *kms.RevokeGrantInput) (*kms.RevokeGrantOutput, error) {
	return nil, a.keys.RevokeGrant(ctx, c, value(in.KeyId), value(in.GrantId), value(in.DryRun))
}

// RetireGrant ends a grant that is not needed any more.
func (a *API) RetireGrant(ctx context.Context, c call, in *kms.RetireGrantInput) (*kms.RetireGrantOutput, error) {
	return nil, a.keys.RetireGrant(ctx, c, value(in.KeyId), value(in.GrantId), value(in.GrantToken), value(in.DryRun))
}

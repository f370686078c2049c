// Package sts is the front for AWS STS's API: a method for each operation, with
// the SDK's types, that calls one verb of package identity.
package sts

import (
	"context"
	_ "embed"

	"berth/internal/access"
	"berth/internal/aws"
	"berth/internal/fault"
	"berth/internal/identity"

	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
)

//go:embed model.json
var model []byte

// API has the operations of STS. It is safe for concurrent use.
type API struct {
	directory *identity.Directory
}

// New returns the API.
func New(d *identity.Directory) *API { return &API{d} }

type call = access.Call

// Service returns the table of operations.
func (a *API) Service() (aws.Service[call], error) {
	m, err := aws.ParseModel(model)
	return aws.Service[call]{
		Name: "sts", Protocol: aws.Query, Version: "2011-06-15", Namespace: "https://sts.amazonaws.com/doc/2011-06-15/", Model: m,
		Operations: []aws.Operation[call]{
			aws.Op("AssumeRole", a.AssumeRole),
			aws.Op("AssumeRoleWithSAML", a.AssumeRoleWithSAML).WithoutSignature(),
			aws.Op("AssumeRoleWithWebIdentity", a.AssumeRoleWithWebIdentity).WithoutSignature(),
			aws.Op("GetCallerIdentity", a.GetCallerIdentity),
			aws.Op("GetAccessKeyInfo", a.GetAccessKeyInfo),
			aws.Op("GetFederationToken", a.GetFederationToken),
			aws.Op("GetSessionToken", a.GetSessionToken),
			{Name: "AssumeRoot", Refused: "each account's root has its own key"},
			{Name: "DecodeAuthorizationMessage", Refused: "refusals are not encoded"},
			{Name: "GetDelegatedAccessToken", Refused: "there is no delegation to partners"},
			{Name: "GetWebIdentityToken", Refused: "Berth is no provider of identity tokens"},
		},
	}, err
}

// GetCallerIdentity says who is asking.
func (a *API) GetCallerIdentity(ctx context.Context, c call, _ *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
	who := a.directory.GetCallerIdentity(ctx, c)
	return &sts.GetCallerIdentityOutput{Account: &who.Account, Arn: &who.ARN, UserId: &who.ID}, nil
}

// AssumeRole issues temporary credentials of a role.
func (a *API) AssumeRole(ctx context.Context, c call, in *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error) {
	if len(in.ProvidedContexts) > 0 {
		return nil, fault.New(fault.Invalid, "ValidationException", "Berth takes no provided contexts.")
	}
	made, err := a.directory.AssumeRole(ctx, c, identity.AssumeRoleInput{
		RoleARN: value(in.RoleArn), SessionName: value(in.RoleSessionName), Policy: value(in.Policy), PolicyARNs: arns(in.PolicyArns),
		Tags: tags(in.Tags), Transitive: in.TransitiveTagKeys, ExternalID: value(in.ExternalId), SourceIdentity: value(in.SourceIdentity),
		Seconds: int64(value(in.DurationSeconds)), MFA: in.SerialNumber != nil || in.TokenCode != nil,
	})
	if err != nil {
		return nil, err
	}
	return &sts.AssumeRoleOutput{
		Credentials: credentials(made.Credentials), AssumedRoleUser: &types.AssumedRoleUser{Arn: &made.ARN, AssumedRoleId: &made.ID},
		PackedPolicySize: made.Packed, SourceIdentity: optional(made.SourceIdentity),
	}, nil
}

// AssumeRoleWithWebIdentity issues temporary credentials of a role to who has an
// identity token.
func (a *API) AssumeRoleWithWebIdentity(ctx context.Context, c call, in *sts.AssumeRoleWithWebIdentityInput) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	if in.ProviderId != nil {
		return nil, fault.New(fault.Invalid, "ValidationException", "A provider id goes with access tokens of OAuth 2.0, which Berth does not take.")
	}
	made, err := a.directory.AssumeRoleWithWebIdentity(ctx, c, identity.WebIdentityInput{
		RoleARN: value(in.RoleArn), SessionName: value(in.RoleSessionName), Token: value(in.WebIdentityToken),
		Policy: value(in.Policy), PolicyARNs: arns(in.PolicyArns), Seconds: int64(value(in.DurationSeconds)),
	})
	if err != nil {
		return nil, err
	}
	return &sts.AssumeRoleWithWebIdentityOutput{
		Credentials: credentials(made.Credentials), AssumedRoleUser: &types.AssumedRoleUser{Arn: &made.ARN, AssumedRoleId: &made.ID},
		PackedPolicySize: made.Packed, SourceIdentity: optional(made.SourceIdentity),
		SubjectFromWebIdentityToken: &made.Subject, Provider: &made.Provider, Audience: &made.Audience,
	}, nil
}

// AssumeRoleWithSAML refuses every assertion: there are no SAML providers.
func (a *API) AssumeRoleWithSAML(context.Context, call, *sts.AssumeRoleWithSAMLInput) (*sts.AssumeRoleWithSAMLOutput, error) {
	return nil, fault.New(fault.Invalid, "InvalidIdentityToken",
		"Berth does not take SAML assertions: use AssumeRoleWithWebIdentity with a token of an OpenID Connect provider.")
}

// GetSessionToken issues temporary credentials of who asks.
func (a *API) GetSessionToken(ctx context.Context, c call, in *sts.GetSessionTokenInput) (*sts.GetSessionTokenOutput, error) {
	made, err := a.directory.GetSessionToken(ctx, c, int64(value(in.DurationSeconds)), in.SerialNumber != nil || in.TokenCode != nil)
	if err != nil {
		return nil, err
	}
	return &sts.GetSessionTokenOutput{Credentials: credentials(made)}, nil
}

// GetFederationToken issues temporary credentials of somebody whom the caller
// vouches for.
func (a *API) GetFederationToken(ctx context.Context, c call, in *sts.GetFederationTokenInput) (*sts.GetFederationTokenOutput, error) {
	made, err := a.directory.GetFederationToken(ctx, c, identity.FederationInput{
		Name: value(in.Name), Policy: value(in.Policy), PolicyARNs: arns(in.PolicyArns), Tags: tags(in.Tags), Seconds: int64(value(in.DurationSeconds)),
	})
	if err != nil {
		return nil, err
	}
	return &sts.GetFederationTokenOutput{
		Credentials: credentials(made.Credentials), FederatedUser: &types.FederatedUser{Arn: &made.ARN, FederatedUserId: &made.ID},
		PackedPolicySize: made.Packed,
	}, nil
}

// GetAccessKeyInfo says which account a key belongs to.
func (a *API) GetAccessKeyInfo(ctx context.Context, c call, in *sts.GetAccessKeyInfoInput) (*sts.GetAccessKeyInfoOutput, error) {
	account, err := a.directory.GetAccessKeyInfo(ctx, c, value(in.AccessKeyId))
	if err != nil {
		return nil, err
	}
	return &sts.GetAccessKeyInfoOutput{Account: &account}, nil
}

// value returns what a member holds, or the zero value if it is absent.
func value[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}

// optional returns a member that is absent if it is empty.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func credentials(c identity.Credentials) *types.Credentials {
	return &types.Credentials{AccessKeyId: &c.ID, SecretAccessKey: &c.Secret, SessionToken: &c.Token, Expiration: &c.Expires}
}

func arns(in []types.PolicyDescriptorType) []string {
	var out []string
	for _, p := range in {
		out = append(out, value(p.Arn))
	}
	return out
}

func tags(in []types.Tag) []identity.Tag {
	var out []identity.Tag
	for _, t := range in {
		out = append(out, identity.Tag{Key: value(t.Key), Value: value(t.Value)})
	}
	return out
}

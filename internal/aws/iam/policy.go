package iam

import (
	"context"

	"berth/internal/identity"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

func policy(p identity.ManagedPolicy) *types.Policy {
	return &types.Policy{
		PolicyId: &p.ID, PolicyName: &p.Name, Path: &p.Path, Arn: new(p.ARN()), CreateDate: &p.CreatedAt, UpdateDate: &p.UpdatedAt,
		DefaultVersionId: new(identity.Version{Number: p.DefaultVersion}.ID()), IsAttachable: true,
		AttachmentCount: new(int32(p.Attached)), PermissionsBoundaryUsageCount: new(int32(p.Boundaries)),
	}
}

// version renders a version of a policy without its document.
func version(e *identity.Entity, v identity.Version) *types.PolicyVersion {
	return &types.PolicyVersion{VersionId: new(v.ID()), CreateDate: &v.CreatedAt, IsDefaultVersion: v.Number == e.DefaultVersion}
}

// CreatePolicy makes a managed policy.
func (a *API) CreatePolicy(ctx context.Context, c call, in *iam.CreatePolicyInput) (*iam.CreatePolicyOutput, error) {
	e, err := a.directory.Create(ctx, c, identity.Policy, identity.NewEntity{
		Name: value(in.PolicyName), Path: value(in.Path), Description: value(in.Description), Tags: tags(in.Tags), Document: value(in.PolicyDocument),
	})
	if err != nil {
		return nil, err
	}
	out := policy(identity.ManagedPolicy{Entity: *e})
	out.Tags = own(e.Tags)
	return &iam.CreatePolicyOutput{Policy: out}, nil
}

// GetPolicy returns a managed policy.
func (a *API) GetPolicy(ctx context.Context, c call, in *iam.GetPolicyInput) (*iam.GetPolicyOutput, error) {
	p, err := a.directory.GetPolicy(ctx, c, value(in.PolicyArn))
	if err != nil {
		return nil, err
	}
	out := policy(p)
	out.Description, out.Tags = optional(p.Description), tagList(p.Tags)
	return &iam.GetPolicyOutput{Policy: out}, nil
}

// ListPolicies lists managed policies.
func (a *API) ListPolicies(ctx context.Context, c call, in *iam.ListPoliciesInput) (*iam.ListPoliciesOutput, error) {
	f := identity.PolicyFilter{Scope: string(in.Scope), Prefix: value(in.PathPrefix), Attached: in.OnlyAttached, Usage: string(in.PolicyUsageFilter)}
	found, next, err := a.directory.ListPolicies(ctx, c, f, page(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iam.ListPoliciesOutput{
		Policies: render(found, func(p identity.ManagedPolicy) types.Policy { return *policy(p) }), Marker: optional(next), IsTruncated: next != "",
	}, nil
}

// DeletePolicy deletes a managed policy.
func (a *API) DeletePolicy(ctx context.Context, c call, in *iam.DeletePolicyInput) (*iam.DeletePolicyOutput, error) {
	return nil, a.directory.DeletePolicy(ctx, c, value(in.PolicyArn))
}

// CreatePolicyVersion adds a version to a managed policy.
func (a *API) CreatePolicyVersion(ctx context.Context, c call, in *iam.CreatePolicyVersionInput) (*iam.CreatePolicyVersionOutput, error) {
	v, err := a.directory.CreatePolicyVersion(ctx, c, value(in.PolicyArn), value(in.PolicyDocument), in.SetAsDefault)
	if err != nil {
		return nil, err
	}
	return &iam.CreatePolicyVersionOutput{PolicyVersion: &types.PolicyVersion{
		VersionId: new(v.ID()), CreateDate: &v.CreatedAt, IsDefaultVersion: in.SetAsDefault,
	}}, nil
}

// GetPolicyVersion returns a version of a managed policy.
func (a *API) GetPolicyVersion(ctx context.Context, c call, in *iam.GetPolicyVersionInput) (*iam.GetPolicyVersionOutput, error) {
	e, v, err := a.directory.GetPolicyVersion(ctx, c, value(in.PolicyArn), value(in.VersionId))
	if err != nil {
		return nil, err
	}
	out := version(e, v)
	out.Document = encoded(v.Document)
	return &iam.GetPolicyVersionOutput{PolicyVersion: out}, nil
}

// ListPolicyVersions lists the versions of a managed policy.
func (a *API) ListPolicyVersions(ctx context.Context, c call, in *iam.ListPolicyVersionsInput) (*iam.ListPolicyVersionsOutput, error) {
	e, found, next, err := a.directory.ListPolicyVersions(ctx, c, value(in.PolicyArn), page(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iam.ListPolicyVersionsOutput{
		Versions: render(found, func(v identity.Version) types.PolicyVersion { return *version(e, v) }), Marker: optional(next), IsTruncated: next != "",
	}, nil
}

// SetDefaultPolicyVersion puts a version of a managed policy in force.
func (a *API) SetDefaultPolicyVersion(ctx context.Context, c call, in *iam.SetDefaultPolicyVersionInput) (*iam.SetDefaultPolicyVersionOutput, error) {
	return nil, a.directory.SetDefaultPolicyVersion(ctx, c, value(in.PolicyArn), value(in.VersionId))
}

// DeletePolicyVersion deletes a version of a managed policy.
func (a *API) DeletePolicyVersion(ctx context.Context, c call, in *iam.DeletePolicyVersionInput) (*iam.DeletePolicyVersionOutput, error) {
	return nil, a.directory.DeletePolicyVersion(ctx, c, value(in.PolicyArn), value(in.VersionId))
}

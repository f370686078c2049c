package organizations

import (
	"context"

	"berth/internal/identity"

	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"
)

func summary(p identity.ControlView) types.PolicySummary {
	return types.PolicySummary{
		Id: &p.ControlPolicy.ID, Arn: new(p.ARN()), Name: &p.Name, Description: &p.Description, Type: types.PolicyType(p.Type), AwsManaged: p.AWSManaged,
	}
}

func policy(p identity.ControlView) *types.Policy {
	return &types.Policy{PolicySummary: new(summary(p)), Content: &p.Content}
}

// CreatePolicy makes a policy.
func (a *API) CreatePolicy(ctx context.Context, c call, in *organizations.CreatePolicyInput) (*organizations.CreatePolicyOutput, error) {
	if err := untagged(in.Tags); err != nil {
		return nil, err
	}
	p, err := a.directory.CreateControl(ctx, c, identity.ControlPolicy{
		Type: identity.ControlType(in.Type), Name: value(in.Name), Description: value(in.Description), Content: value(in.Content),
	})
	if err != nil {
		return nil, err
	}
	return &organizations.CreatePolicyOutput{Policy: policy(p)}, nil
}

// UpdatePolicy changes a policy.
func (a *API) UpdatePolicy(ctx context.Context, c call, in *organizations.UpdatePolicyInput) (*organizations.UpdatePolicyOutput, error) {
	p, err := a.directory.UpdateControl(ctx, c, value(in.PolicyId), identity.ControlChange{Name: in.Name, Description: in.Description, Content: in.Content})
	if err != nil {
		return nil, err
	}
	return &organizations.UpdatePolicyOutput{Policy: policy(p)}, nil
}

// DeletePolicy deletes a policy.
func (a *API) DeletePolicy(ctx context.Context, c call, in *organizations.DeletePolicyInput) (*organizations.DeletePolicyOutput, error) {
	return nil, a.directory.DeleteControl(ctx, c, value(in.PolicyId))
}

// DescribePolicy returns a policy.
func (a *API) DescribePolicy(ctx context.Context, c call, in *organizations.DescribePolicyInput) (*organizations.DescribePolicyOutput, error) {
	p, err := a.directory.DescribeControl(ctx, c, value(in.PolicyId))
	if err != nil {
		return nil, err
	}
	return &organizations.DescribePolicyOutput{Policy: policy(p)}, nil
}

// ListPolicies lists the policies of a type.
func (a *API) ListPolicies(ctx context.Context, c call, in *organizations.ListPoliciesInput) (*organizations.ListPoliciesOutput, error) {
	found, next, err := a.directory.ListControls(ctx, c, identity.ControlType(in.Filter), page(in.NextToken, in.MaxResults))
	if err != nil {
		return nil, err
	}
	return &organizations.ListPoliciesOutput{Policies: render(found, summary), NextToken: optional(next)}, nil
}

// AttachPolicy attaches a policy.
func (a *API) AttachPolicy(ctx context.Context, c call, in *organizations.AttachPolicyInput) (*organizations.AttachPolicyOutput, error) {
	return nil, a.directory.AttachControl(ctx, c, value(in.PolicyId), value(in.TargetId))
}

// DetachPolicy detaches a policy.
func (a *API) DetachPolicy(ctx context.Context, c call, in *organizations.DetachPolicyInput) (*organizations.DetachPolicyOutput, error) {
	return nil, a.directory.DetachControl(ctx, c, value(in.PolicyId), value(in.TargetId))
}

// ListPoliciesForTarget lists the policies of a type that something has.
func (a *API) ListPoliciesForTarget(ctx context.Context, c call, in *organizations.ListPoliciesForTargetInput) (*organizations.ListPoliciesForTargetOutput, error) {
	found, next, err := a.directory.ListControlsOf(ctx, c, value(in.TargetId), identity.ControlType(in.Filter), page(in.NextToken, in.MaxResults))
	if err != nil {
		return nil, err
	}
	return &organizations.ListPoliciesForTargetOutput{Policies: render(found, summary), NextToken: optional(next)}, nil
}

// ListTargetsForPolicy lists what has a policy.
func (a *API) ListTargetsForPolicy(ctx context.Context, c call, in *organizations.ListTargetsForPolicyInput) (*organizations.ListTargetsForPolicyOutput, error) {
	found, next, err := a.directory.ListTargets(ctx, c, value(in.PolicyId), page(in.NextToken, in.MaxResults))
	if err != nil {
		return nil, err
	}
	return &organizations.ListTargetsForPolicyOutput{NextToken: optional(next), Targets: render(found, target)}, nil
}

func target(t identity.Target) types.PolicyTargetSummary {
	kind := types.TargetTypeAccount
	switch t.ID[:2] {
	case "r-":
		kind = types.TargetTypeRoot
	case "ou":
		kind = types.TargetTypeOrganizationalUnit
	}
	return types.PolicyTargetSummary{TargetId: &t.ID, Arn: &t.ARN, Name: &t.Name, Type: kind}
}

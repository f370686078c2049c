package iam

import (
	"context"
	"strings"

	"berth/internal/identity"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// SimulatePrincipalPolicy decides requests by the policies of a user, a group or a
// role.
func (a *API) SimulatePrincipalPolicy(ctx context.Context, c call, in *iam.SimulatePrincipalPolicyInput) (*iam.SimulatePrincipalPolicyOutput, error) {
	found, next, err := a.directory.SimulatePrincipalPolicy(ctx, c, identity.Simulation{
		Source: value(in.PolicySourceArn), Policies: in.PolicyInputList, Boundary: in.PermissionsBoundaryPolicyInputList,
		Actions: in.ActionNames, Resources: in.ResourceArns, Entries: entries(in.ContextEntries), Resource: value(in.ResourcePolicy),
		Owner: value(in.ResourceOwner), Caller: value(in.CallerArn), Handling: value(in.ResourceHandlingOption),
		Exclusions: len(in.PolicyExclusionList), Page: page(in.Marker, in.MaxItems),
	})
	if err != nil {
		return nil, err
	}
	return &iam.SimulatePrincipalPolicyOutput{EvaluationResults: render(found, evaluation), Marker: optional(next), IsTruncated: next != ""}, nil
}

// SimulateCustomPolicy decides requests by policies that are given.
func (a *API) SimulateCustomPolicy(ctx context.Context, c call, in *iam.SimulateCustomPolicyInput) (*iam.SimulateCustomPolicyOutput, error) {
	found, next, err := a.directory.SimulateCustomPolicy(ctx, c, identity.Simulation{
		Policies: in.PolicyInputList, Boundary: in.PermissionsBoundaryPolicyInputList,
		Actions: in.ActionNames, Resources: in.ResourceArns, Entries: entries(in.ContextEntries), Resource: value(in.ResourcePolicy),
		Owner: value(in.ResourceOwner), Caller: value(in.CallerArn), Handling: value(in.ResourceHandlingOption), Page: page(in.Marker, in.MaxItems),
	})
	if err != nil {
		return nil, err
	}
	return &iam.SimulateCustomPolicyOutput{EvaluationResults: render(found, evaluation), Marker: optional(next), IsTruncated: next != ""}, nil
}

func entries(in []types.ContextEntry) []identity.ContextEntry {
	return render(in, func(e types.ContextEntry) identity.ContextEntry {
		return identity.ContextEntry{Key: value(e.ContextKeyName), Type: string(e.ContextKeyType), Values: e.ContextKeyValues}
	})
}

func evaluation(e identity.Evaluation) types.EvaluationResult {
	return types.EvaluationResult{
		EvalActionName: &e.Action, EvalResourceName: new(template(e)), EvalDecision: decision(e.Decision),
		MatchedStatements: render(e.Matched, statement), MissingContextValues: e.Missing,
		PermissionsBoundaryDecisionDetail: byBoundary(e.Boundary), OrganizationsDecisionDetail: byOrganization(e.Organization),
		ResourceSpecificResults: render(e.Each, specific),
	}
}

func specific(r identity.Resource) types.ResourceSpecificResult {
	return types.ResourceSpecificResult{
		EvalResourceName: &r.ARN, EvalResourceDecision: decision(r.Decision), MatchedStatements: render(r.Matched, statement),
		MissingContextValues: r.Missing, PermissionsBoundaryDecisionDetail: byBoundary(r.Boundary),
	}
}

func decision(v identity.Verdict) types.PolicyEvaluationDecisionType {
	return types.PolicyEvaluationDecisionType(v.String())
}

func statement(m identity.MatchedStatement) types.Statement {
	kind := types.PolicySourceType("IAM Policy") // as IAM answers, whatever its model says
	if m.Resource {
		kind = "Resource Policy"
	}
	return types.Statement{
		SourcePolicyId: &m.Policy, SourcePolicyType: kind,
		StartPosition: &types.Position{Line: m.Start.Line, Column: m.Start.Column}, EndPosition: &types.Position{Line: m.End.Line, Column: m.End.Column},
	}
}

func byBoundary(allowed *bool) *types.PermissionsBoundaryDecisionDetail {
	if allowed == nil {
		return nil
	}
	return &types.PermissionsBoundaryDecisionDetail{AllowedByPermissionsBoundary: *allowed}
}

func byOrganization(allowed *bool) *types.OrganizationsDecisionDetail {
	if allowed == nil {
		return nil
	}
	return &types.OrganizationsDecisionDetail{AllowedByOrganizations: *allowed}
}

// template is what results call all resources: the form of a repository's ARN if
// one is asked about, else *.
func template(e identity.Evaluation) string {
	for _, r := range e.Each {
		switch {
		case strings.HasPrefix(r.ARN, "arn:aws:ecr:"):
			return "arn:${Partition}:ecr:${Region}:${Account}:repository/${RepositoryName}"
		case strings.HasPrefix(r.ARN, "arn:aws:ecr-public:"):
			return "arn:${Partition}:ecr-public::${Account}:repository/${RepositoryName}"
		}
	}
	return "*"
}

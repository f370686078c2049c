// Package organizations is the front for the API of AWS Organizations, as far as
// it is about units, accounts and the policies that limit them: a method for each
// operation, with the SDK's types, that calls one verb of package identity.
package organizations

import (
	"context"
	_ "embed"

	"berth/internal/access"
	"berth/internal/aws"
	"berth/internal/fault"
	"berth/internal/identity"

	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"
)

//go:embed model.json
var model []byte

// API has the operations of Organizations. It is safe for concurrent use.
type API struct {
	directory *identity.Directory
}

// New returns the API.
func New(d *identity.Directory) *API { return &API{d} }

type call = access.Call

// Service returns the table of operations.
func (a *API) Service() (aws.Service[call], error) {
	m, err := aws.ParseModel(model)
	s := aws.Service[call]{
		Name: "organizations", TargetPrefix: "AWSOrganizationsV20161128", ErrorMember: "Message", Model: m,
		Operations: []aws.Operation[call]{
			aws.Op("AttachPolicy", a.AttachPolicy),
			aws.Op("CreateOrganization", a.CreateOrganization),
			aws.Op("CreateOrganizationalUnit", a.CreateOrganizationalUnit),
			aws.Op("CreatePolicy", a.CreatePolicy),
			aws.Op("DeleteOrganizationalUnit", a.DeleteOrganizationalUnit),
			aws.Op("DeletePolicy", a.DeletePolicy),
			aws.Op("DescribeAccount", a.DescribeAccount),
			aws.Op("DescribeOrganization", a.DescribeOrganization),
			aws.Op("DescribeOrganizationalUnit", a.DescribeOrganizationalUnit),
			aws.Op("DescribePolicy", a.DescribePolicy),
			aws.Op("DetachPolicy", a.DetachPolicy),
			aws.Op("DisablePolicyType", a.DisablePolicyType),
			aws.Op("EnablePolicyType", a.EnablePolicyType),
			aws.Op("ListAccounts", a.ListAccounts),
			aws.Op("ListAccountsForParent", a.ListAccountsForParent),
			aws.Op("ListChildren", a.ListChildren),
			aws.Op("ListOrganizationalUnitsForParent", a.ListOrganizationalUnitsForParent),
			aws.Op("ListParents", a.ListParents),
			aws.Op("ListPolicies", a.ListPolicies),
			aws.Op("ListPoliciesForTarget", a.ListPoliciesForTarget),
			aws.Op("ListRoots", a.ListRoots),
			aws.Op("ListTargetsForPolicy", a.ListTargetsForPolicy),
			aws.Op("MoveAccount", a.MoveAccount),
			aws.Op("UpdateOrganizationalUnit", a.UpdateOrganizationalUnit),
			aws.Op("UpdatePolicy", a.UpdatePolicy),
		},
	}
	for reason, names := range refused {
		for _, name := range names {
			s.Operations = append(s.Operations, aws.Operation[call]{Name: name, Refused: reason})
		}
	}
	return s, err
}

// refused are the operations that Berth does not have, by the reason.
var refused = map[string][]string{
	"accounts are made with berth account create": {
		"CreateAccount", "CreateGovCloudAccount", "DescribeCreateAccountStatus", "ListCreateAccountStatus",
	},
	"accounts and the organization stay": {"CloseAccount", "DeleteOrganization", "LeaveOrganization", "RemoveAccountFromOrganization"},
	"accounts join by being made": {
		"AcceptHandshake", "CancelHandshake", "DeclineHandshake", "DescribeHandshake", "InviteAccountToOrganization",
		"ListHandshakesForAccount", "ListHandshakesForOrganization", "EnableAllFeatures",
	},
	"only the management account manages the organization": {
		"DeregisterDelegatedAdministrator", "ListDelegatedAdministrators", "ListDelegatedServicesForAccount", "RegisterDelegatedAdministrator",
		"DeleteResourcePolicy", "DescribeResourcePolicy", "PutResourcePolicy",
	},
	"no service acts for the organization":                   {"DisableAWSServiceAccess", "EnableAWSServiceAccess", "ListAWSServiceAccessForOrganization"},
	"nothing of an organization has tags":                    {"ListTagsForResource", "TagResource", "UntagResource"},
	"control policies do not add up to one: each must allow": {"DescribeEffectivePolicy", "ListAccountsWithInvalidEffectivePolicy", "ListEffectivePolicyValidationErrors"},
	"there are no bills": {
		"DescribeResponsibilityTransfer", "InviteOrganizationToTransferResponsibility", "ListInboundResponsibilityTransfers",
		"ListOutboundResponsibilityTransfers", "TerminateResponsibilityTransfer", "UpdateResponsibilityTransfer",
	},
}

// value returns what a member holds, or the zero value if it is absent.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// optional returns what a member is set to that is absent if the text is empty.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func page(token *string, most *int32) identity.Page {
	return identity.Page{Marker: value(token), Max: int(value(most))}
}

func render[T, U any](list []T, one func(T) U) []U {
	out := make([]U, 0, len(list))
	for _, v := range list {
		out = append(out, one(v))
	}
	return out
}

// untagged refuses tags, which would be lost.
func untagged(tags []types.Tag) error {
	if len(tags) == 0 {
		return nil
	}
	return aws.Unheard(fault.New(fault.Invalid, "InvalidInputException", "Nothing of an organization has tags."))
}

func policyTypes(o identity.Organization) []types.PolicyTypeSummary {
	return render(o.Types, func(t identity.ControlType) types.PolicyTypeSummary {
		return types.PolicyTypeSummary{Type: types.PolicyType(t), Status: types.PolicyTypeStatusEnabled}
	})
}

func organization(o identity.Organization) *types.Organization {
	return &types.Organization{
		Id: &o.ID, Arn: new(identity.OrganizationARN(o.Management, "organization", o.ID)), FeatureSet: types.OrganizationFeatureSetAll,
		MasterAccountId: &o.Management, MasterAccountArn: new(identity.OrganizationARN(o.Management, "account", o.ID, o.Management)),
		AvailablePolicyTypes: policyTypes(o),
	}
}

// CreateOrganization makes the organization.
func (a *API) CreateOrganization(ctx context.Context, c call, in *organizations.CreateOrganizationInput) (*organizations.CreateOrganizationOutput, error) {
	if in.FeatureSet == types.OrganizationFeatureSetConsolidatedBilling {
		return nil, aws.Unheard(fault.New(fault.Unsupported, "InvalidInputException", "There are no bills: an organization has all features."))
	}
	o, err := a.directory.CreateOrganization(ctx, c)
	if err != nil {
		return nil, err
	}
	return &organizations.CreateOrganizationOutput{Organization: organization(o)}, nil
}

// DescribeOrganization returns the organization.
func (a *API) DescribeOrganization(ctx context.Context, c call, _ *organizations.DescribeOrganizationInput) (*organizations.DescribeOrganizationOutput, error) {
	o, err := a.directory.DescribeOrganization(ctx, c)
	if err != nil {
		return nil, err
	}
	return &organizations.DescribeOrganizationOutput{Organization: organization(o)}, nil
}

func root(o identity.Organization, u identity.Unit) *types.Root {
	return &types.Root{Id: &u.ID, Arn: new(identity.UnitView{Organization: o, Unit: u}.ARN()), Name: &u.Name, PolicyTypes: policyTypes(o)}
}

// ListRoots returns the root.
func (a *API) ListRoots(ctx context.Context, c call, _ *organizations.ListRootsInput) (*organizations.ListRootsOutput, error) {
	o, u, err := a.directory.Root(ctx, c)
	if err != nil {
		return nil, err
	}
	return &organizations.ListRootsOutput{Roots: []types.Root{*root(o, u)}}, nil
}

// EnablePolicyType enables a type of policies.
func (a *API) EnablePolicyType(ctx context.Context, c call, in *organizations.EnablePolicyTypeInput) (*organizations.EnablePolicyTypeOutput, error) {
	o, u, err := a.directory.EnableControls(ctx, c, value(in.RootId), identity.ControlType(in.PolicyType))
	if err != nil {
		return nil, err
	}
	return &organizations.EnablePolicyTypeOutput{Root: root(o, u)}, nil
}

// DisablePolicyType disables a type of policies.
func (a *API) DisablePolicyType(ctx context.Context, c call, in *organizations.DisablePolicyTypeInput) (*organizations.DisablePolicyTypeOutput, error) {
	o, u, err := a.directory.DisableControls(ctx, c, value(in.RootId), identity.ControlType(in.PolicyType))
	if err != nil {
		return nil, err
	}
	return &organizations.DisablePolicyTypeOutput{Root: root(o, u)}, nil
}

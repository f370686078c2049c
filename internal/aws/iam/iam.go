// Package iam is the front for AWS IAM's API: a method for each operation, with
// the SDK's types, that calls one verb of package identity.
package iam

import (
	_ "embed"
	"net/url"
	"strings"

	"berth/internal/access"
	"berth/internal/aws"
	"berth/internal/identity"

	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

//go:embed model.json
var model []byte

// API has the operations of IAM. It is safe for concurrent use.
type API struct {
	directory *identity.Directory
}

// New returns the API.
func New(d *identity.Directory) *API { return &API{d} }

type call = access.Call

// Service returns the table of operations. What is not in it is unknown.
func (a *API) Service() (aws.Service[call], error) {
	m, err := aws.ParseModel(model)
	return aws.Service[call]{
		Name: "iam", Protocol: aws.Query, Version: "2010-05-08", Namespace: "https://iam.amazonaws.com/doc/2010-05-08/", Model: m,
		Operations: []aws.Operation[call]{
			aws.Op("AddClientIDToOpenIDConnectProvider", a.AddClientIDToOpenIDConnectProvider),
			aws.Op("AddUserToGroup", a.AddUserToGroup),
			aws.Op("AttachGroupPolicy", a.AttachGroupPolicy),
			aws.Op("AttachRolePolicy", a.AttachRolePolicy),
			aws.Op("AttachUserPolicy", a.AttachUserPolicy),
			aws.Op("CreateAccessKey", a.CreateAccessKey),
			aws.Op("CreateAccountAlias", a.CreateAccountAlias),
			aws.Op("CreateGroup", a.CreateGroup),
			aws.Op("CreateOpenIDConnectProvider", a.CreateOpenIDConnectProvider),
			aws.Op("CreatePolicy", a.CreatePolicy),
			aws.Op("CreatePolicyVersion", a.CreatePolicyVersion),
			aws.Op("CreateRole", a.CreateRole),
			aws.Op("CreateServiceLinkedRole", a.CreateServiceLinkedRole),
			aws.Op("CreateUser", a.CreateUser),
			aws.Op("DeleteAccessKey", a.DeleteAccessKey),
			aws.Op("DeleteAccountAlias", a.DeleteAccountAlias),
			aws.Op("DeleteGroup", a.DeleteGroup),
			aws.Op("DeleteGroupPolicy", a.DeleteGroupPolicy),
			aws.Op("DeleteOpenIDConnectProvider", a.DeleteOpenIDConnectProvider),
			aws.Op("DeletePolicy", a.DeletePolicy),
			aws.Op("DeletePolicyVersion", a.DeletePolicyVersion),
			aws.Op("DeleteRole", a.DeleteRole),
			aws.Op("DeleteRolePermissionsBoundary", a.DeleteRolePermissionsBoundary),
			aws.Op("DeleteRolePolicy", a.DeleteRolePolicy),
			aws.Op("DeleteServiceLinkedRole", a.DeleteServiceLinkedRole),
			aws.Op("DeleteUser", a.DeleteUser),
			aws.Op("DeleteUserPermissionsBoundary", a.DeleteUserPermissionsBoundary),
			aws.Op("DeleteUserPolicy", a.DeleteUserPolicy),
			aws.Op("DetachGroupPolicy", a.DetachGroupPolicy),
			aws.Op("DetachRolePolicy", a.DetachRolePolicy),
			aws.Op("DetachUserPolicy", a.DetachUserPolicy),
			aws.Op("GetAccessKeyLastUsed", a.GetAccessKeyLastUsed),
			aws.Op("GetAccountSummary", a.GetAccountSummary),
			aws.Op("GetGroup", a.GetGroup),
			aws.Op("GetGroupPolicy", a.GetGroupPolicy),
			aws.Op("GetOpenIDConnectProvider", a.GetOpenIDConnectProvider),
			aws.Op("GetPolicy", a.GetPolicy),
			aws.Op("GetPolicyVersion", a.GetPolicyVersion),
			aws.Op("GetRole", a.GetRole),
			aws.Op("GetRolePolicy", a.GetRolePolicy),
			aws.Op("GetServiceLinkedRoleDeletionStatus", a.GetServiceLinkedRoleDeletionStatus),
			aws.Op("GetUser", a.GetUser),
			aws.Op("GetUserPolicy", a.GetUserPolicy),
			aws.Op("ListAccessKeys", a.ListAccessKeys),
			aws.Op("ListAccountAliases", a.ListAccountAliases),
			aws.Op("ListAttachedGroupPolicies", a.ListAttachedGroupPolicies),
			aws.Op("ListAttachedRolePolicies", a.ListAttachedRolePolicies),
			aws.Op("ListAttachedUserPolicies", a.ListAttachedUserPolicies),
			aws.Op("ListEntitiesForPolicy", a.ListEntitiesForPolicy),
			aws.Op("ListGroupPolicies", a.ListGroupPolicies),
			aws.Op("ListGroups", a.ListGroups),
			aws.Op("ListGroupsForUser", a.ListGroupsForUser),
			aws.Op("ListInstanceProfilesForRole", a.ListInstanceProfilesForRole),
			aws.Op("ListOpenIDConnectProviderTags", a.ListOpenIDConnectProviderTags),
			aws.Op("ListOpenIDConnectProviders", a.ListOpenIDConnectProviders),
			aws.Op("ListPolicies", a.ListPolicies),
			aws.Op("ListPolicyTags", a.ListPolicyTags),
			aws.Op("ListPolicyVersions", a.ListPolicyVersions),
			aws.Op("ListRolePolicies", a.ListRolePolicies),
			aws.Op("ListRoleTags", a.ListRoleTags),
			aws.Op("ListRoles", a.ListRoles),
			aws.Op("ListUserPolicies", a.ListUserPolicies),
			aws.Op("ListUserTags", a.ListUserTags),
			aws.Op("ListUsers", a.ListUsers),
			aws.Op("PutGroupPolicy", a.PutGroupPolicy),
			aws.Op("PutRolePermissionsBoundary", a.PutRolePermissionsBoundary),
			aws.Op("PutRolePolicy", a.PutRolePolicy),
			aws.Op("PutUserPermissionsBoundary", a.PutUserPermissionsBoundary),
			aws.Op("PutUserPolicy", a.PutUserPolicy),
			aws.Op("RemoveClientIDFromOpenIDConnectProvider", a.RemoveClientIDFromOpenIDConnectProvider),
			aws.Op("RemoveUserFromGroup", a.RemoveUserFromGroup),
			aws.Op("SetDefaultPolicyVersion", a.SetDefaultPolicyVersion),
			aws.Op("SimulateCustomPolicy", a.SimulateCustomPolicy),
			aws.Op("SimulatePrincipalPolicy", a.SimulatePrincipalPolicy),
			aws.Op("TagOpenIDConnectProvider", a.TagOpenIDConnectProvider),
			aws.Op("TagPolicy", a.TagPolicy),
			aws.Op("TagRole", a.TagRole),
			aws.Op("TagUser", a.TagUser),
			aws.Op("UntagOpenIDConnectProvider", a.UntagOpenIDConnectProvider),
			aws.Op("UntagPolicy", a.UntagPolicy),
			aws.Op("UntagRole", a.UntagRole),
			aws.Op("UntagUser", a.UntagUser),
			aws.Op("UpdateAccessKey", a.UpdateAccessKey),
			aws.Op("UpdateAssumeRolePolicy", a.UpdateAssumeRolePolicy),
			aws.Op("UpdateGroup", a.UpdateGroup),
			aws.Op("UpdateOpenIDConnectProviderThumbprint", a.UpdateOpenIDConnectProviderThumbprint),
			aws.Op("UpdateRole", a.UpdateRole).WithResult(),
			aws.Op("UpdateRoleDescription", a.UpdateRoleDescription),
			aws.Op("UpdateUser", a.UpdateUser),
		},
	}, err
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

func page(marker *string, most *int32) identity.Page {
	return identity.Page{Marker: value(marker), Max: int(value(most))}
}

// encoded returns a policy document as IAM's answers have it.
func encoded(document string) *string {
	s := strings.ReplaceAll(url.QueryEscape(document), "+", "%20")
	return &s
}

func tags(in []types.Tag) []identity.Tag {
	var out []identity.Tag
	for _, t := range in {
		out = append(out, identity.Tag{Key: value(t.Key), Value: value(t.Value)})
	}
	return out
}

func tagList(in []identity.Tag) []types.Tag {
	out := []types.Tag{}
	for _, t := range in {
		out = append(out, types.Tag{Key: &t.Key, Value: &t.Value})
	}
	return out
}

// own is tagList for a member that is absent if there are no tags.
func own(in []identity.Tag) []types.Tag {
	if len(in) == 0 {
		return nil
	}
	return tagList(in)
}

// render applies a function to every item of a listing.
func render[I, O any](in []I, one func(I) O) []O {
	out := make([]O, 0, len(in))
	for _, i := range in {
		out = append(out, one(i))
	}
	return out
}

func boundary(arn string) *types.AttachedPermissionsBoundary {
	if arn == "" {
		return nil
	}
	return &types.AttachedPermissionsBoundary{
		PermissionsBoundaryArn: &arn, PermissionsBoundaryType: types.PermissionsBoundaryAttachmentTypePolicy,
	}
}

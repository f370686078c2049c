package iam_test

import (
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

func TestRoles(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.IAM(), t.Context()
		get := func() *types.Role {
			t.Helper()
			return ok[*iam.GetRoleOutput](t)(c.GetRole(ctx, &iam.GetRoleInput{RoleName: new("build")})).Role
		}
		r := ok[*iam.CreateRoleOutput](t)(c.CreateRole(ctx, &iam.CreateRoleInput{
			RoleName: new("build"), Path: new("/ci/"), AssumeRolePolicyDocument: new(trust), Description: new("builds\nit"),
			Tags: []types.Tag{{Key: new("a"), Value: new("b")}},
		})).Role
		equal(t, "CreateRole", []any{*r.Arn, (*r.RoleId)[:4], len(*r.RoleId), *r.MaxSessionDuration, decoded(t, r.AssumeRolePolicyDocument)},
			[]any{arn + "role/ci/build", "AROA", 21, 3600, trust})
		for name, tt := range map[string]struct {
			in         iam.CreateRoleInput
			code, text string
		}{
			"again": {iam.CreateRoleInput{RoleName: new("Build"), AssumeRolePolicyDocument: new(trust)},
				"EntityAlreadyExists", "Role with name Build already exists."},
			"with text for a policy": {iam.CreateRoleInput{RoleName: new("x"), AssumeRolePolicyDocument: new("x")},
				"MalformedPolicyDocument", "the document is not JSON"},
			"with two policies": {iam.CreateRoleInput{RoleName: new("x"), AssumeRolePolicyDocument: new("{}{}")},
				"MalformedPolicyDocument", "the document is not JSON"},
			"with a deep policy": {iam.CreateRoleInput{RoleName: new("x"), AssumeRolePolicyDocument: new(`{"a":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + "}")},
				"MalformedPolicyDocument", "the document nests too deeply"},
			"with a policy that says what to do to what": {iam.CreateRoleInput{RoleName: new("x"), AssumeRolePolicyDocument: new(some)},
				"MalformedPolicyDocument", "statement 1, Principal: is missing"},
			"with a long policy": {iam.CreateRoleInput{RoleName: new("x"), AssumeRolePolicyDocument: new(padded(trust, 2049))},
				"LimitExceeded", "Cannot exceed quota for ACLSizePerRole: 2048"},
			"with a short session": {iam.CreateRoleInput{RoleName: new("x"), AssumeRolePolicyDocument: new(trust), MaxSessionDuration: new(int32(3599))},
				"ValidationError", "1 validation error detected: Value '3599' at 'maxSessionDuration' failed to satisfy constraint: Member must have value greater than or equal to 3600"},
			"below the path of services": {iam.CreateRoleInput{RoleName: new("x"), AssumeRolePolicyDocument: new(trust), Path: new("/aws-service-role/x/")},
				"ValidationError", "The path /aws-service-role/ is for service-linked roles: make them with CreateServiceLinkedRole."},
		} {
			_, err := c.CreateRole(ctx, &tt.in)
			refused(t, "CreateRole "+name, err, tt.code, tt.text)
		}
		must(t, second(c.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: new("build"), PolicyDocument: new(padded(trust, 2048))})))
		equal(t, "the trust policy", decoded(t, get().AssumeRolePolicyDocument), padded(trust, 2048))
		must(t, second(c.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: new("build"), Description: new("other"), MaxSessionDuration: new(int32(43200))})))
		equal(t, "GetRole", []any{*get().Description, *get().MaxSessionDuration, *get().Tags[0].Key}, "[other 43200 a]")
		d := ok[*iam.UpdateRoleDescriptionOutput](t)(c.UpdateRoleDescription(ctx, &iam.UpdateRoleDescriptionInput{RoleName: new("build"), Description: new("third")}))
		equal(t, "UpdateRoleDescription", *d.Role.Description, "third")
		must(t, second(c.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: new("build")})))
		if r := get(); r.Description != nil || *r.MaxSessionDuration != 3600 {
			t.Errorf("GetRole = %v, %d, want no description and an hour", r.Description, *r.MaxSessionDuration)
		}
		must(t, second(c.TagRole(ctx, &iam.TagRoleInput{RoleName: new("build"), Tags: []types.Tag{{Key: new("c"), Value: new("d")}}})))
		must(t, second(c.UntagRole(ctx, &iam.UntagRoleInput{RoleName: new("build"), TagKeys: []string{"a"}})))
		equal(t, "ListRoleTags", *ok[*iam.ListRoleTagsOutput](t)(c.ListRoleTags(ctx, &iam.ListRoleTagsInput{RoleName: new("build")})).Tags[0].Key, "c")
		equal(t, "ListInstanceProfilesForRole", len(ok[*iam.ListInstanceProfilesForRoleOutput](t)(
			c.ListInstanceProfilesForRole(ctx, &iam.ListInstanceProfilesForRoleInput{RoleName: new("build")})).InstanceProfiles), 0)
		must(t, second(c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: new("build")})))
		_, err := c.GetRole(ctx, &iam.GetRoleInput{RoleName: new("build")})
		refused(t, "GetRole", err, "NoSuchEntity", "The role with name build cannot be found.")
	})
}

func TestServiceLinkedRoles(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.IAM(), t.Context()
		for service, name := range map[string]string{
			"replication.ecr.amazonaws.com":      "AWSServiceRoleForECRReplication",
			"pullthroughcache.ecr.amazonaws.com": "AWSServiceRoleForECRPullThroughCache",
		} {
			r := ok[*iam.CreateServiceLinkedRoleOutput](t)(c.CreateServiceLinkedRole(ctx, &iam.CreateServiceLinkedRoleInput{AWSServiceName: &service})).Role
			equal(t, "CreateServiceLinkedRole", *r.Arn, arn+"role/aws-service-role/"+service+"/"+name)
			if !strings.Contains(decoded(t, r.AssumeRolePolicyDocument), service) {
				t.Errorf("the trust policy of %s does not trust it", name)
			}
			_, err := c.CreateServiceLinkedRole(ctx, &iam.CreateServiceLinkedRoleInput{AWSServiceName: &service})
			refused(t, "CreateServiceLinkedRole again", err, "InvalidInput",
				"Service role name "+name+" has been taken in this account, please try a different suffix.")
			protected := "Cannot perform the operation on the protected role '" + name + "' - this role is only modifiable by AWS"
			for what, err := range map[string]error{
				"DeleteRole":             second(c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: &name})),
				"UpdateAssumeRolePolicy": second(c.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: &name, PolicyDocument: new(trust)})),
				"PutRolePolicy": second(c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{
					RoleName: &name, PolicyName: new("p"), PolicyDocument: new(some)})),
				"AttachRolePolicy": second(c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{
					RoleName: &name, PolicyArn: new("arn:aws:iam::aws:policy/AdministratorAccess")})),
			} {
				refused(t, what, err, "UnmodifiableEntity", protected)
			}
			attached := ok[*iam.ListAttachedRolePoliciesOutput](t)(c.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: &name}))
			equal(t, "attached policies", len(attached.AttachedPolicies), 1)
			task := ok[*iam.DeleteServiceLinkedRoleOutput](t)(c.DeleteServiceLinkedRole(ctx, &iam.DeleteServiceLinkedRoleInput{RoleName: &name})).DeletionTaskId
			st := ok[*iam.GetServiceLinkedRoleDeletionStatusOutput](t)(
				c.GetServiceLinkedRoleDeletionStatus(ctx, &iam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: task}))
			equal(t, "GetServiceLinkedRoleDeletionStatus", st.Status, "SUCCEEDED")
		}
		_, err := c.CreateServiceLinkedRole(ctx, &iam.CreateServiceLinkedRoleInput{AWSServiceName: new("ec2.amazonaws.com")})
		refused(t, "CreateServiceLinkedRole", err, "InvalidInput", "There is no service-linked role for the service ec2.amazonaws.com.")
		_, err = c.GetServiceLinkedRoleDeletionStatus(ctx, &iam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: new("task/none")})
		refused(t, "GetServiceLinkedRoleDeletionStatus", err, "NoSuchEntity", "The deletion task with id task/none cannot be found.")
	})
}

func TestAliases(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.IAM(), t.Context()
		aliases := func() []string {
			t.Helper()
			return ok[*iam.ListAccountAliasesOutput](t)(c.ListAccountAliases(ctx, &iam.ListAccountAliasesInput{})).AccountAliases
		}
		equal(t, "ListAccountAliases", aliases(), "[]")
		must(t, second(c.CreateAccountAlias(ctx, &iam.CreateAccountAliasInput{AccountAlias: new("acme")})))
		must(t, second(c.CreateAccountAlias(ctx, &iam.CreateAccountAliasInput{AccountAlias: new("acme-2")})))
		equal(t, "ListAccountAliases", aliases(), "[acme-2]")
		_, err := c.CreateAccountAlias(ctx, &iam.CreateAccountAliasInput{AccountAlias: new("acme-2")})
		refused(t, "CreateAccountAlias again", err, "EntityAlreadyExists", "The account alias acme-2 already exists.")
		_, err = c.CreateAccountAlias(ctx, &iam.CreateAccountAliasInput{AccountAlias: new("123456789012")})
		equal(t, "CreateAccountAlias", servertest.ErrorCode(err), "InvalidInput")
		_, err = c.CreateAccountAlias(ctx, &iam.CreateAccountAliasInput{AccountAlias: new("a--b")})
		equal(t, "CreateAccountAlias", servertest.ErrorCode(err), "ValidationError")
		_, err = c.DeleteAccountAlias(ctx, &iam.DeleteAccountAliasInput{AccountAlias: new("acme")})
		refused(t, "DeleteAccountAlias", err, "NoSuchEntity", "The account alias with name acme cannot be found.")
		must(t, second(c.DeleteAccountAlias(ctx, &iam.DeleteAccountAliasInput{AccountAlias: new("acme-2")})))
		equal(t, "ListAccountAliases", aliases(), "[]")
		m := ok[*iam.GetAccountSummaryOutput](t)(c.GetAccountSummary(ctx, &iam.GetAccountSummaryInput{})).SummaryMap
		equal(t, "GetAccountSummary", []int32{m["Users"], m["UsersQuota"], m["AccountAccessKeysPresent"], m["PolicySizeQuota"]}, "[0 5000 1 6144]")
	})
}

func TestProviders(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.IAM(), t.Context()
		print := strings.Repeat("0aF", 14)[:40]
		made := ok[*iam.CreateOpenIDConnectProviderOutput](t)(c.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{
			Url: new("https://token.example.com/ci"), ClientIDList: []string{"sts.amazonaws.com"}, ThumbprintList: []string{print},
			Tags: []types.Tag{{Key: new("a"), Value: new("b")}},
		}))
		id := made.OpenIDConnectProviderArn
		equal(t, "CreateOpenIDConnectProvider", *id, arn+"oidc-provider/token.example.com/ci")
		_, err := c.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: new("https://token.example.com/ci")})
		refused(t, "CreateOpenIDConnectProvider again", err, "EntityAlreadyExists", "Provider with url https://token.example.com/ci already exists.")
		for _, url := range []string{"http://a.example.com", "https://", "https://a.example.com?x", "https://a.example.com#x", "https://u@a.example.com", "%"} {
			_, err := c.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: &url})
			refused(t, "CreateOpenIDConnectProvider of "+url, err, "InvalidInput", "Invalid Open ID Connect Provider URL")
		}
		must(t, second(c.AddClientIDToOpenIDConnectProvider(ctx, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: id, ClientID: new("c2")})))
		must(t, second(c.AddClientIDToOpenIDConnectProvider(ctx, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: id, ClientID: new("c2")})))
		must(t, second(c.RemoveClientIDFromOpenIDConnectProvider(ctx, &iam.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: id, ClientID: new("sts.amazonaws.com")})))
		_, err = c.UpdateOpenIDConnectProviderThumbprint(ctx, &iam.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: id, ThumbprintList: []string{strings.Repeat("x", 40)}})
		equal(t, "UpdateOpenIDConnectProviderThumbprint", servertest.ErrorCode(err), "InvalidInput")
		must(t, second(c.UpdateOpenIDConnectProviderThumbprint(ctx, &iam.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: id, ThumbprintList: []string{print, print}})))
		must(t, second(c.TagOpenIDConnectProvider(ctx, &iam.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: id, Tags: []types.Tag{{Key: new("c"), Value: new("d")}}})))
		must(t, second(c.UntagOpenIDConnectProvider(ctx, &iam.UntagOpenIDConnectProviderInput{OpenIDConnectProviderArn: id, TagKeys: []string{"a"}})))
		p := ok[*iam.GetOpenIDConnectProviderOutput](t)(c.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: id}))
		equal(t, "GetOpenIDConnectProvider", []any{*p.Url, p.ClientIDList, len(p.ThumbprintList), *p.Tags[0].Key, len(p.Tags)}, "[token.example.com/ci [c2] 2 c 1]")
		tags := ok[*iam.ListOpenIDConnectProviderTagsOutput](t)(c.ListOpenIDConnectProviderTags(ctx, &iam.ListOpenIDConnectProviderTagsInput{OpenIDConnectProviderArn: id}))
		equal(t, "ListOpenIDConnectProviderTags", *tags.Tags[0].Value, "d")
		list := ok[*iam.ListOpenIDConnectProvidersOutput](t)(c.ListOpenIDConnectProviders(ctx, &iam.ListOpenIDConnectProvidersInput{}))
		equal(t, "ListOpenIDConnectProviders", *list.OpenIDConnectProviderList[0].Arn, *id)
		must(t, second(c.DeleteOpenIDConnectProvider(ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: id})))
		_, err = c.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: id})
		refused(t, "GetOpenIDConnectProvider", err, "NoSuchEntity", "OpenIDConnect Provider not found for arn "+*id)
		_, err = c.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: new("arn:aws:iam::123456789012:role/x")})
		equal(t, "GetOpenIDConnectProvider of a role", servertest.ErrorCode(err), "InvalidInput")
	})
}

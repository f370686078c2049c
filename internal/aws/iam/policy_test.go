package iam_test

import (
	"fmt"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

func TestManagedPoliciesAndTheirVersions(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.IAM(), t.Context()
		p := ok[*iam.CreatePolicyOutput](t)(c.CreatePolicy(ctx, &iam.CreatePolicyInput{
			PolicyName: new("push"), Path: new("/ci/"), PolicyDocument: new(document(6144)), Description: new("pushes"), Tags: []types.Tag{{Key: new("a"), Value: new("b")}},
		})).Policy
		equal(t, "CreatePolicy", []any{*p.Arn, (*p.PolicyId)[:4], *p.DefaultVersionId, *p.AttachmentCount, p.IsAttachable, *p.Tags[0].Key},
			[]any{arn + "policy/ci/push", "ANPA", "v1", 0, true, "a"})
		_, err := c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("Push"), PolicyDocument: new(some)})
		refused(t, "CreatePolicy again", err, "EntityAlreadyExists", "A policy called Push already exists. Duplicate names are not allowed.")
		_, err = c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("x"), PolicyDocument: new(document(6145))})
		refused(t, "CreatePolicy of a long one", err, "LimitExceeded", "Cannot exceed quota for PolicySize: 6144")
		_, err = c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("x"), PolicyDocument: new("[]")})
		refused(t, "CreatePolicy of a list", err, "MalformedPolicyDocument", "the policy: must be an object")
		for i := 2; i <= 5; i++ {
			v := ok[*iam.CreatePolicyVersionOutput](t)(c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{
				PolicyArn: p.Arn, PolicyDocument: new(some), SetAsDefault: i == 3})).PolicyVersion
			equal(t, "CreatePolicyVersion", []any{*v.VersionId, v.IsDefaultVersion}, []any{fmt.Sprint("v", i), i == 3})
		}
		_, err = c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: p.Arn, PolicyDocument: new(some)})
		refused(t, "CreatePolicyVersion of a sixth", err, "LimitExceeded",
			"A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.")
		_, err = c.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: p.Arn, VersionId: new("v3")})
		refused(t, "DeletePolicyVersion of the default", err, "DeleteConflict", "Cannot delete the default version of a policy.")
		_, err = c.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: p.Arn})
		refused(t, "DeletePolicy", err, "DeleteConflict", "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. "+
			"The default version is deleted with the policy.")
		must(t, second(c.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: p.Arn, VersionId: new("v1")})))
		must(t, second(c.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: p.Arn, VersionId: new("v5")})))
		v := ok[*iam.CreatePolicyVersionOutput](t)(c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: p.Arn, PolicyDocument: new(some)}))
		equal(t, "a number is not used again", *v.PolicyVersion.VersionId, "v6")
		var ids []string
		for pages := iam.NewListPolicyVersionsPaginator(c, &iam.ListPolicyVersionsInput{PolicyArn: p.Arn, MaxItems: new(int32(2))}); pages.HasMorePages(); {
			for _, v := range ok[*iam.ListPolicyVersionsOutput](t)(pages.NextPage(ctx)).Versions {
				ids = append(ids, *v.VersionId)
			}
		}
		equal(t, "ListPolicyVersions", ids, "[v6 v4 v3 v2 v1]")
		got := ok[*iam.GetPolicyVersionOutput](t)(c.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: p.Arn, VersionId: new("v1")})).PolicyVersion
		equal(t, "GetPolicyVersion", []any{decoded(t, got.Document), got.IsDefaultVersion}, []any{document(6144), true})
		_, err = c.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: p.Arn, VersionId: new("v5")})
		refused(t, "GetPolicyVersion", err, "NoSuchEntity", "Policy "+*p.Arn+" version v5 does not exist or is not attachable.")
		must(t, second(c.TagPolicy(ctx, &iam.TagPolicyInput{PolicyArn: p.Arn, Tags: []types.Tag{{Key: new("c"), Value: new("d")}}})))
		must(t, second(c.UntagPolicy(ctx, &iam.UntagPolicyInput{PolicyArn: p.Arn, TagKeys: []string{"a"}})))
		equal(t, "ListPolicyTags", *ok[*iam.ListPolicyTagsOutput](t)(c.ListPolicyTags(ctx, &iam.ListPolicyTagsInput{PolicyArn: p.Arn})).Tags[0].Key, "c")
		for _, id := range ids[:4] {
			must(t, second(c.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: p.Arn, VersionId: &id})))
		}
		must(t, second(c.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: p.Arn})))
		for what, err := range map[string]error{
			"GetPolicy":    second(c.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: p.Arn})),
			"DeletePolicy": second(c.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: p.Arn})),
		} {
			refused(t, what, err, "NoSuchEntity", "Policy "+*p.Arn+" was not found.")
		}
		_, err = c.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: new("arn:aws:iam::123456789012:role/x")})
		refused(t, "GetPolicy of a role", err, "InvalidInput", "ARN arn:aws:iam::123456789012:role/x is not valid.")
	})
}

func TestThePoliciesOfAWSAreThere(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	c, ctx := s.IAM(), t.Context()
	for _, name := range []string{
		"AdministratorAccess", "IAMFullAccess", "AmazonEC2ContainerRegistryFullAccess", "AmazonEC2ContainerRegistryPowerUser",
		"AmazonEC2ContainerRegistryReadOnly", "AmazonEC2ContainerRegistryPullOnly", "AmazonElasticContainerRegistryPublicFullAccess",
		"AmazonElasticContainerRegistryPublicPowerUser", "AmazonElasticContainerRegistryPublicReadOnly", "service-role/AmazonECSTaskExecutionRolePolicy",
	} {
		id := new("arn:aws:iam::aws:policy/" + name)
		p := ok[*iam.GetPolicyOutput](t)(c.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: id})).Policy
		v := ok[*iam.GetPolicyVersionOutput](t)(c.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: id, VersionId: p.DefaultVersionId}))
		if !strings.Contains(decoded(t, v.PolicyVersion.Document), `"Effect":"Allow"`) {
			t.Errorf("%s allows nothing", name)
		}
		for what, err := range map[string]error{
			"DeletePolicy":        second(c.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: id})),
			"CreatePolicyVersion": second(c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: id, PolicyDocument: new(some)})),
			"TagPolicy":           second(c.TagPolicy(ctx, &iam.TagPolicyInput{PolicyArn: id, Tags: []types.Tag{{Key: new("a"), Value: new("b")}}})),
		} {
			refused(t, what, err, "UnmodifiableEntity", "Policy "+*id+" is managed by AWS and cannot be changed.")
		}
	}
}

func TestListPolicies(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.IAM(), t.Context()
		for _, name := range []string{"c", "B", "a"} {
			must(t, second(c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: &name, Path: new("/own/"), PolicyDocument: new(some)})))
		}
		must(t, second(c.CreateUser(ctx, &iam.CreateUserInput{UserName: new("u"), PermissionsBoundary: new(arn + "policy/own/a")})))
		must(t, second(c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("u"), PolicyArn: new(arn + "policy/own/B")})))
		must(t, second(c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("u"), PolicyArn: new("arn:aws:iam::aws:policy/AdministratorAccess")})))
		for _, tt := range []struct {
			in   iam.ListPoliciesInput
			want string
		}{
			{iam.ListPoliciesInput{Scope: types.PolicyScopeTypeLocal}, "[a B c]"},
			{iam.ListPoliciesInput{PathPrefix: new("/own/")}, "[a B c]"},
			{iam.ListPoliciesInput{OnlyAttached: true}, "[AdministratorAccess B]"},
			{iam.ListPoliciesInput{OnlyAttached: true, Scope: types.PolicyScopeTypeAws}, "[AdministratorAccess]"},
			{iam.ListPoliciesInput{PolicyUsageFilter: types.PolicyUsageTypePermissionsBoundary}, "[a]"},
			{iam.ListPoliciesInput{PathPrefix: new("/service-role/")}, "[AmazonECSTaskExecutionRolePolicy]"},
		} {
			var names []string
			tt.in.MaxItems = new(int32(1))
			for p := iam.NewListPoliciesPaginator(c, &tt.in); p.HasMorePages(); {
				for _, p := range ok[*iam.ListPoliciesOutput](t)(p.NextPage(ctx)).Policies {
					names = append(names, *p.PolicyName)
				}
			}
			equal(t, fmt.Sprintf("ListPolicies(%q %t %q)", tt.in.Scope, tt.in.OnlyAttached, tt.in.PolicyUsageFilter), names, tt.want)
		}
	})
}

func TestInlinePolicies(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx, n := s.IAM(), t.Context(), new("n")
		must(t, second(c.CreateUser(ctx, &iam.CreateUserInput{UserName: n})))
		must(t, second(c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: n})))
		must(t, second(c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: n, AssumeRolePolicyDocument: new(trust)})))
		for _, tt := range []struct {
			kind   string
			limit  int
			put    func(name, document string) error
			get    func(name string) (*string, error)
			list   func() ([]string, error)
			delete func(name string) error
			remove func() error
		}{
			{"user", 2048, func(name, d string) error {
				return second(c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: n, PolicyName: &name, PolicyDocument: &d}))
			}, func(name string) (*string, error) {
				out, err := c.GetUserPolicy(ctx, &iam.GetUserPolicyInput{UserName: n, PolicyName: &name})
				if err != nil {
					return nil, err
				}
				return out.PolicyDocument, nil
			}, func() (all []string, err error) {
				for p := iam.NewListUserPoliciesPaginator(c, &iam.ListUserPoliciesInput{UserName: n, MaxItems: new(int32(1))}); p.HasMorePages(); {
					all = append(all, ok[*iam.ListUserPoliciesOutput](t)(p.NextPage(ctx)).PolicyNames...)
				}
				return all, nil
			}, func(name string) error {
				return second(c.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: n, PolicyName: &name}))
			}, func() error { return second(c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: n})) }},
			{"group", 5120, func(name, d string) error {
				return second(c.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: n, PolicyName: &name, PolicyDocument: &d}))
			}, func(name string) (*string, error) {
				out, err := c.GetGroupPolicy(ctx, &iam.GetGroupPolicyInput{GroupName: n, PolicyName: &name})
				if err != nil {
					return nil, err
				}
				return out.PolicyDocument, nil
			}, func() ([]string, error) {
				return ok[*iam.ListGroupPoliciesOutput](t)(c.ListGroupPolicies(ctx, &iam.ListGroupPoliciesInput{GroupName: n})).PolicyNames, nil
			}, func(name string) error {
				return second(c.DeleteGroupPolicy(ctx, &iam.DeleteGroupPolicyInput{GroupName: n, PolicyName: &name}))
			}, func() error { return second(c.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: n})) }},
			{"role", 10240, func(name, d string) error {
				return second(c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: n, PolicyName: &name, PolicyDocument: &d}))
			}, func(name string) (*string, error) {
				out, err := c.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: n, PolicyName: &name})
				if err != nil {
					return nil, err
				}
				return out.PolicyDocument, nil
			}, func() ([]string, error) {
				return ok[*iam.ListRolePoliciesOutput](t)(c.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: n})).PolicyNames, nil
			}, func(name string) error {
				return second(c.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: n, PolicyName: &name}))
			}, func() error { return second(c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: n})) }},
		} {
			must(t, tt.put("b", document(1000)))
			must(t, tt.put("a", document(tt.limit-1000)))
			must(t, tt.put("a", document(tt.limit-1000))) // in place of itself
			refused(t, "a policy too long for a "+tt.kind, tt.put("a", document(tt.limit-999)), "LimitExceeded",
				fmt.Sprintf("Maximum policy size of %d bytes exceeded for %s n", tt.limit, tt.kind))
			refused(t, "a policy that is none", tt.put("c", "{"), "MalformedPolicyDocument", "the document is not JSON")
			equal(t, "names", ok[[]string](t)(tt.list()), "[a b]")
			equal(t, "document", decoded(t, ok[*string](t)(tt.get("b"))), document(1000))
			_, err := tt.get("c")
			refused(t, "Get", err, "NoSuchEntity", "The "+tt.kind+" policy with name c cannot be found.")
			refused(t, "Delete", tt.delete("c"), "NoSuchEntity", "The "+tt.kind+" policy with name c cannot be found.")
			refused(t, "Delete of the "+tt.kind, tt.remove(), "DeleteConflict", "Cannot delete entity, must delete policies first.")
			must(t, tt.delete("a"))
			must(t, tt.delete("b"))
			must(t, tt.remove())
			refused(t, "put to nobody", tt.put("a", some), "NoSuchEntity", "The "+tt.kind+" with name n cannot be found.")
		}
	})
}

func TestAttachmentsAndBoundaries(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx, n := s.IAM(), t.Context(), new("n")
		must(t, second(c.CreateUser(ctx, &iam.CreateUserInput{UserName: n})))
		must(t, second(c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: n, Path: new("/g/")})))
		must(t, second(c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: n, AssumeRolePolicyDocument: new(trust)})))
		p := new(arn + "policy/p")
		must(t, second(c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("p"), PolicyDocument: new(some)})))
		for range 2 { // the second changes nothing
			must(t, second(c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: n, PolicyArn: p})))
			must(t, second(c.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: n, PolicyArn: p})))
			must(t, second(c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: n, PolicyArn: p})))
		}
		equal(t, "AttachmentCount", *ok[*iam.GetPolicyOutput](t)(c.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: p})).Policy.AttachmentCount, 3)
		entities := func(in iam.ListEntitiesForPolicyInput) string {
			t.Helper()
			in.PolicyArn, in.MaxItems = p, new(int32(1))
			users, groups, roles := 0, 0, 0
			for pages := iam.NewListEntitiesForPolicyPaginator(c, &in); pages.HasMorePages(); {
				out := ok[*iam.ListEntitiesForPolicyOutput](t)(pages.NextPage(ctx))
				users, groups, roles = users+len(out.PolicyUsers), groups+len(out.PolicyGroups), roles+len(out.PolicyRoles)
			}
			return fmt.Sprint(users, groups, roles)
		}
		equal(t, "ListEntitiesForPolicy", entities(iam.ListEntitiesForPolicyInput{}), "1 1 1")
		equal(t, "ListEntitiesForPolicy", entities(iam.ListEntitiesForPolicyInput{EntityFilter: types.EntityTypeRole}), "0 0 1")
		equal(t, "ListEntitiesForPolicy", entities(iam.ListEntitiesForPolicyInput{PathPrefix: new("/g/")}), "0 1 0")
		equal(t, "ListEntitiesForPolicy", entities(iam.ListEntitiesForPolicyInput{PolicyUsageFilter: types.PolicyUsageTypePermissionsBoundary}), "0 0 0")

		none := new(arn + "policy/none")
		_, err := c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: n, PolicyArn: none})
		refused(t, "AttachRolePolicy", err, "NoSuchEntity", "Policy "+*none+" does not exist or is not attachable.")
		_, err = c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: n, PolicyArn: new("arn:aws:iam::210987654321:policy/p")})
		refused(t, "AttachRolePolicy", err, "NoSuchEntity", "Policy arn:aws:iam::210987654321:policy/p does not exist or is not attachable.")
		_, err = c.DetachGroupPolicy(ctx, &iam.DetachGroupPolicyInput{GroupName: n, PolicyArn: none})
		refused(t, "DetachGroupPolicy", err, "NoSuchEntity", "Policy "+*none+" was not found.")
		_, err = c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("none"), PolicyArn: p})
		refused(t, "AttachUserPolicy", err, "NoSuchEntity", "The user with name none cannot be found.")
		for i := range 9 {
			name := fmt.Sprint("p", i)
			must(t, second(c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: &name, Path: new("/more/"), PolicyDocument: new(some)})))
			must(t, second(c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: n, PolicyArn: new(arn + "policy/more/" + name)})))
		}
		_, err = c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: n, PolicyArn: new("arn:aws:iam::aws:policy/IAMFullAccess")})
		refused(t, "AttachUserPolicy of an eleventh", err, "LimitExceeded", "Cannot exceed quota for PoliciesPerUser: 10")
		var names []string
		for pages := iam.NewListAttachedUserPoliciesPaginator(c, &iam.ListAttachedUserPoliciesInput{UserName: n, PathPrefix: new("/more/"), MaxItems: new(int32(4))}); pages.HasMorePages(); {
			for _, a := range ok[*iam.ListAttachedUserPoliciesOutput](t)(pages.NextPage(ctx)).AttachedPolicies {
				names = append(names, *a.PolicyName)
			}
		}
		equal(t, "ListAttachedUserPolicies", names, "[p0 p1 p2 p3 p4 p5 p6 p7 p8]")

		must(t, second(c.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: n, PermissionsBoundary: p})))
		must(t, second(c.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: n, PermissionsBoundary: p})))
		equal(t, "the boundary", *ok[*iam.GetUserOutput](t)(c.GetUser(ctx, &iam.GetUserInput{UserName: n})).User.PermissionsBoundary.PermissionsBoundaryArn, *p)
		equal(t, "the boundary", *ok[*iam.GetRoleOutput](t)(c.GetRole(ctx, &iam.GetRoleInput{RoleName: n})).Role.PermissionsBoundary.PermissionsBoundaryArn, *p)
		equal(t, "ListEntitiesForPolicy", entities(iam.ListEntitiesForPolicyInput{PolicyUsageFilter: types.PolicyUsageTypePermissionsBoundary}), "1 0 1")
		_, err = c.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: n, PermissionsBoundary: none})
		equal(t, "PutUserPermissionsBoundary", servertest.ErrorCode(err), "NoSuchEntity")
		must(t, second(c.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: n, PolicyArn: p})))
		must(t, second(c.DetachGroupPolicy(ctx, &iam.DetachGroupPolicyInput{GroupName: n, PolicyArn: p})))
		_, err = c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: n})
		refused(t, "DeleteRole", err, "DeleteConflict", "Cannot delete entity, must detach all policies first.")
		must(t, second(c.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: n, PolicyArn: p})))
		_, err = c.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: p})
		refused(t, "DeletePolicy of a boundary", err, "DeleteConflict", "Cannot delete a policy attached to entities.")
		must(t, second(c.DeleteUserPermissionsBoundary(ctx, &iam.DeleteUserPermissionsBoundaryInput{UserName: n})))
		must(t, second(c.DeleteRolePermissionsBoundary(ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: n})))
		_, err = c.DeleteRolePermissionsBoundary(ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: n})
		refused(t, "DeleteRolePermissionsBoundary", err, "NoSuchEntity", "Role n does not have a permissions boundary.")
		must(t, second(c.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: p})))
		must(t, second(c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: n})))
	})
}

package iam_test

import (
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// Who may make users and roles under a boundary only makes none that may more, and
// takes the boundary from none.
func TestADelegateMakesNobodyWhoMayMore(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		root, ctx := s.IAM(), t.Context()
		managed := func(name, document string) *string {
			return ok[*iam.CreatePolicyOutput](t)(root.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: &name, PolicyDocument: &document})).Policy.Arn
		}
		const everything = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
		limit, wide := managed("limit", servertest.Allow("ecr:Describe*")), managed("wide", everything)
		under := `"Condition":{"StringEquals":{"iam:PermissionsBoundary":"` + *limit + `"}}`
		delegate := s.CreateUserOf(t, s.AWS(), "delegate", `{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Resource":"*","Action":["iam:CreateAccessKey","iam:UpdateAssumeRolePolicy","iam:Delete*PermissionsBoundary"]},
			{"Effect":"Allow","Resource":"*","Action":["iam:CreateUser","iam:CreateRole","iam:Put*Policy","iam:Attach*Policy","iam:Detach*Policy","iam:Put*PermissionsBoundary"],`+under+`},
			{"Effect":"Deny","Resource":"*","Action":"iam:Delete*PermissionsBoundary",`+under+`}]}`)
		c := iam.NewFromConfig(delegate)
		s.CreateUser(t, "other")
		trust := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"}}`

		must(t, second(c.CreateUser(ctx, &iam.CreateUserInput{UserName: new("made"), PermissionsBoundary: limit})))
		must(t, second(c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("made"), AssumeRolePolicyDocument: &trust, PermissionsBoundary: limit})))
		must(t, second(c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: new("made"), PolicyName: new("p"), PolicyDocument: new(everything)})))
		must(t, second(c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: new("made"), PolicyName: new("p"), PolicyDocument: new(everything)})))
		must(t, second(c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("made"), PolicyArn: wide})))
		must(t, second(c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: new("made"), PolicyArn: wide})))
		must(t, second(c.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: new("made"), PolicyArn: wide})))
		must(t, second(c.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: new("made"), PermissionsBoundary: limit})))

		for what, err := range map[string]error{
			"a user without a boundary":    second(c.CreateUser(ctx, &iam.CreateUserInput{UserName: new("free")})),
			"a user with another one":      second(c.CreateUser(ctx, &iam.CreateUserInput{UserName: new("free"), PermissionsBoundary: wide})),
			"a role without a boundary":    second(c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("free"), AssumeRolePolicyDocument: &trust})),
			"a policy of its own":          second(c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: new("delegate"), PolicyName: new("p"), PolicyDocument: new(everything)})),
			"a policy of another user":     second(c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: new("other"), PolicyName: new("p"), PolicyDocument: new(everything)})),
			"a managed policy of its own":  second(c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("delegate"), PolicyArn: wide})),
			"a policy of no user":          second(c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: new("never"), PolicyName: new("p"), PolicyDocument: new(everything)})),
			"another boundary of a user":   second(c.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: new("made"), PermissionsBoundary: wide})),
			"another boundary of a role":   second(c.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: new("made"), PermissionsBoundary: wide})),
			"no boundary of a user":        second(c.DeleteUserPermissionsBoundary(ctx, &iam.DeleteUserPermissionsBoundaryInput{UserName: new("made")})),
			"no boundary of a role":        second(c.DeleteRolePermissionsBoundary(ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: new("made")})),
			"a new version of the limit":   second(c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: limit, PolicyDocument: new(everything), SetAsDefault: true})),
			"a group that may more, to be": second(c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: new("g"), UserName: new("delegate")})),
		} {
			if servertest.ErrorCode(err) != "AccessDenied" {
				t.Errorf("%s = %v, want AccessDenied", what, err)
			}
		}

		k := ok[*iam.CreateAccessKeyOutput](t)(c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("made")})).AccessKey
		made := ecr.NewFromConfig(s.As(*k.AccessKeyId, *k.SecretAccessKey))
		must(t, second(made.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{})))
		if err := second(made.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: new("app")})); servertest.ErrorCode(err) != "AccessDeniedException" {
			t.Errorf("CreateRepository beyond the boundary = %v, want AccessDeniedException", err)
		}
	})
}

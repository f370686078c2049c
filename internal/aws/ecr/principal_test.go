package ecr_test

import (
	"testing"

	"berth/internal/servertest"

	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// Who is named in a policy must be there, as far as that can be known. Services are.
func TestPoliciesNameWhoIsThere(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.ECR(), t.Context()
		createRepository(t, c, "app")
		other := s.CreateAccount(t, "111122223333")
		s.CreateUserOf(t, other, "bob", "")
		people := iam.NewFromConfig(s.AWS())
		must(people.CreateUser(ctx, &iam.CreateUserInput{UserName: new("alice"), Path: new("/team/")}))(t)
		must(people.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("ci"), AssumeRolePolicyDocument: new(
			`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"codebuild.amazonaws.com"},"Action":"sts:AssumeRole"}}`)}))(t)
		const invalid = "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid "
		for principal, known := range map[string]bool{
			`{"Service":"codebuild.amazonaws.com"}`:                                                           true,
			`{"Service":["lambda.amazonaws.com","ecs-tasks.amazonaws.com"]}`:                                  true,
			`{"AWS":"arn:aws:iam::123456789012:user/team/alice"}`:                                             true,
			`{"AWS":["arn:aws:iam::123456789012:role/ci","arn:aws:sts::123456789012:assumed-role/ci/build"]}`: true,
			`{"AWS":["arn:aws:iam::111122223333:user/bob","111122223333","arn:aws:iam::111122223333:root"]}`:  true,
			`{"AWS":"arn:aws:iam::999999999999:user/anybody"}`:                                                true,
			`{"AWS":["999999999999","arn:aws:iam::999999999999:role/r"]}`:                                     true,
			`"*"`: true,
			`{"AWS":"arn:aws:iam::123456789012:user/alice"}`:                                               false,
			`{"AWS":"arn:aws:iam::123456789012:user/team/Alice"}`:                                          false,
			`{"AWS":"arn:aws:iam::123456789012:user/bob"}`:                                                 false,
			`{"AWS":"arn:aws:iam::123456789012:role/alice"}`:                                               false,
			`{"AWS":"arn:aws:sts::123456789012:assumed-role/none/build"}`:                                  false,
			`{"AWS":["arn:aws:iam::123456789012:user/team/alice","arn:aws:iam::111122223333:user/alice"]}`: false,
			`{"AWS":"arn:aws-cn:iam::123456789012:user/team/alice"}`:                                       false,
			`{"Service":"codebuild"}`:                                                                      false,
		} {
			check := func(kind string, err error) {
				t.Helper()
				if known && err != nil {
					t.Errorf("%s policy with %s = %v", kind, principal, err)
				} else if !known {
					wantError(t, err, "InvalidParameterException", invalid+kind+" policy provided'")
				}
			}
			text := share("Allow", principal, "ecr:BatchGetImage")
			check("repository", setPolicy(t, c, "app", text, true))
			_, err := c.PutRegistryPolicy(ctx, &awsecr.PutRegistryPolicyInput{PolicyText: new(
				`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":"ecr:BatchGetImage","Resource":"*"}]}`)})
			check("registry", err)
		}
		must(c.DeleteRegistryPolicy(ctx, &awsecr.DeleteRegistryPolicyInput{}))(t)

		// Who may not put a policy does not learn who is there.
		user := awsecr.NewFromConfig(s.CreateUserOf(t, s.AWS(), "mallory", servertest.Allow("ecr:Get*")))
		for _, name := range []string{"team/alice", "none"} {
			err := setPolicy(t, user, "app", share("Allow", `{"AWS":"arn:aws:iam::123456789012:user/`+name+`"}`, "ecr:BatchGetImage"), true)
			wantError(t, err, "AccessDeniedException", "User: arn:aws:iam::123456789012:user/mallory is not authorized to perform: ecr:SetRepositoryPolicy on resource: "+
				appARN+lacking("ecr:SetRepositoryPolicy"))
		}

		// What names somebody who is gone stays as it is, and cannot be put again.
		text := share("Allow", `{"AWS":"arn:aws:iam::123456789012:user/team/alice"}`, "ecr:BatchGetImage")
		if err := setPolicy(t, c, "app", text, false); err != nil {
			t.Fatal(err)
		}
		must(people.DeleteUser(ctx, &iam.DeleteUserInput{UserName: new("alice")}))(t)
		wantError(t, setPolicy(t, c, "app", text, false), "InvalidParameterException", invalid+"repository policy provided'")
		out := must(c.GetRepositoryPolicy(ctx, &awsecr.GetRepositoryPolicyInput{RepositoryName: new("app")}))(t)
		wantEqual(t, "the policy", *out.PolicyText, text)
	})
}

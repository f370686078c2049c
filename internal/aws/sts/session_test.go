package sts_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
)

func TestSessionPoliciesLimit(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		alice := s.CreateUserOf(t, s.AWS(), "alice", policy("sts:*"))
		role := s.CreateRole(t, s.AWS(), "r", trustAll, policy("ecr:ListImages", "ecr:DescribeImages"))
		own, err := s.IAM().CreatePolicy(t.Context(), &iam.CreatePolicyInput{PolicyName: new("own"), PolicyDocument: new(policy("ecr:DescribeImages"))})
		if err != nil {
			t.Fatal(err)
		}
		arns := func(all ...string) (out []types.PolicyDescriptorType) {
			for _, a := range all {
				out = append(out, types.PolicyDescriptorType{Arn: &a})
			}
			return out
		}
		for what, tt := range map[string]struct {
			in             sts.AssumeRoleInput
			list, describe bool
		}{
			"none":                     {sts.AssumeRoleInput{}, true, true},
			"one inline":               {sts.AssumeRoleInput{Policy: new(policy("ecr:ListImages", "ecr:PutImage"))}, true, false},
			"one that adds":            {sts.AssumeRoleInput{Policy: new(policy("ecr:CreateRepository"))}, false, false},
			"one managed":              {sts.AssumeRoleInput{PolicyArns: arns(*own.Policy.Arn)}, false, true},
			"one of AWS's":             {sts.AssumeRoleInput{PolicyArns: arns("arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly")}, true, true},
			"an inline and a managed":  {sts.AssumeRoleInput{Policy: new(policy("ecr:ListImages")), PolicyArns: arns(*own.Policy.Arn)}, true, true},
			"another of AWS's, no use": {sts.AssumeRoleInput{PolicyArns: arns("arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPullOnly")}, false, false},
		} {
			tt.in.RoleArn = &role
			session, _ := assume(t, s, alice, &tt.in)
			list := listImages(t, session)
			_, describe := ecr.NewFromConfig(session).DescribeImages(t.Context(), &ecr.DescribeImagesInput{RepositoryName: new("app")})
			if (list == nil) != tt.list || (describe == nil) != tt.describe {
				t.Errorf("%s: ListImages = %v, DescribeImages = %v, want %v, %v", what, list, describe, tt.list, tt.describe)
			}
			_, err := ecr.NewFromConfig(session).CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: new("other")})
			if servertest.ErrorCode(err) != "AccessDeniedException" {
				t.Errorf("%s: CreateRepository = %v, want AccessDeniedException", what, err)
			}
			if !tt.list {
				wantError(t, what, list, "AccessDeniedException", "because no session policy allows the ecr:ListImages action")
			}
		}
	})
}

func TestTheConditionKeysOfASession(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		ctx := t.Context()
		s.CreateRepository(t, "app")
		alice := s.CreateUserOf(t, s.AWS(), "alice", policy("sts:*"))
		const arn = "arn:aws:iam::" + home + ":role/"
		role := s.CreateRole(t, s.AWS(), "r", trustAll, "")
		if _, err := s.IAM().TagRole(ctx, &iam.TagRoleInput{RoleName: new("r"), Tags: iamTags("team", "a", "stage", "dev")}); err != nil {
			t.Fatal(err)
		}
		session, out := assume(t, s, alice, &sts.AssumeRoleInput{
			RoleArn: &role, SourceIdentity: new("alice"), Tags: stsTags("TEAM", "b", "more", "c"),
		})
		if out.SourceIdentity == nil || *out.SourceIdentity != "alice" {
			t.Errorf("SourceIdentity = %v, want alice", out.SourceIdentity)
		}
		issued := s.Clock.Now().Format("2006-01-02T15:04:05Z")
		for condition, want := range map[string]bool{
			`"ArnEquals":{"aws:PrincipalArn":"` + arn + `r"}`:                                            true,
			`"ArnLike":{"aws:PrincipalArn":"arn:aws:sts::*:assumed-role/*"}`:                             false,
			`"StringEquals":{"aws:userid":"` + *out.AssumedRoleUser.AssumedRoleId + `"}`:                 true,
			`"StringEquals":{"aws:PrincipalType":"AssumedRole","aws:PrincipalAccount":"123456789012"}`:   true,
			`"StringEquals":{"aws:SourceIdentity":"alice"}`:                                              true,
			`"StringEquals":{"aws:PrincipalTag/team":"b","aws:PrincipalTag/stage":"dev"}`:                true,
			`"StringEquals":{"aws:PrincipalTag/more":"c"}`:                                               true,
			`"StringEquals":{"aws:PrincipalTag/team":"a"}`:                                               false,
			`"Bool":{"aws:MultiFactorAuthPresent":"false"}`:                                              true,
			`"DateEquals":{"aws:TokenIssueTime":"` + issued + `"}`:                                       true,
			`"Null":{"aws:username":"true","aws:FederatedProvider":"true","sts:RoleSessionName":"true"}`: true,
			`"StringLike":{"aws:PrincipalArn":"` + arn + `other"}`:                                       false,
		} {
			document := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*","Resource":"*","Condition":{` + condition + `}}]}`
			if _, err := s.IAM().PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: new("r"), PolicyName: new("p"), PolicyDocument: &document}); err != nil {
				t.Fatal(err)
			}
			if err := listImages(t, session); (err == nil) != want {
				t.Errorf("ListImages if %s = %v, want allowed: %v", condition, err, want)
			}
		}
	})
}

func TestResourcePoliciesThatNameASession(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		foreign := s.CreateAccount(t, "111122223333")
		user := s.CreateUserOf(t, foreign, "u", policy("sts:*"))
		role := s.CreateRole(t, foreign, "r", strings.ReplaceAll(trustAll, home, "111122223333"), policy("ecr:ListImages"))
		s.CreateRole(t, foreign, "other", strings.ReplaceAll(trustAll, home, "111122223333"), "")
		session, _ := assume(t, s, user, &sts.AssumeRoleInput{RoleArn: &role})
		list := func() error {
			_, err := ecr.NewFromConfig(session).ListImages(t.Context(), &ecr.ListImagesInput{RegistryId: new(home), RepositoryName: new("app")})
			return err
		}
		wantError(t, "ListImages without a policy", list(), "AccessDeniedException", "no resource-based policy")
		for principal, want := range map[string]bool{
			role: true, "111122223333": true, "arn:aws:sts::111122223333:assumed-role/r/build": true, "arn:aws:sts::111122223333:assumed-role/r/other": false,
			"arn:aws:iam::111122223333:role/other": false, home: false,
		} {
			text := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"ecr:ListImages"}]}`
			if _, err := s.ECR().SetRepositoryPolicy(t.Context(), &ecr.SetRepositoryPolicyInput{RepositoryName: new("app"), PolicyText: &text, Force: true}); err != nil {
				t.Fatal(err)
			}
			if err := list(); (err == nil) != want {
				t.Errorf("ListImages if the policy names %s = %v, want allowed: %v", principal, err, want)
			}
		}
	})
}

func TestRoleChaining(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		alice := s.CreateUserOf(t, s.AWS(), "alice", policy("sts:*"))
		first := s.CreateRole(t, s.AWS(), "first", trustAll, policy("sts:*"))
		second := s.CreateRole(t, s.AWS(), "second", trustAll, policy("sts:*"))
		untagged := s.CreateRole(t, s.AWS(), "untagged", strings.Replace(trustAll, `"sts:TagSession",`, "", 1), policy("sts:*"))
		unnamed := s.CreateRole(t, s.AWS(), "unnamed", strings.Replace(trustAll, `,"sts:SetSourceIdentity"`, "", 1), policy("sts:*"))
		session, _ := assume(t, s, alice, &sts.AssumeRoleInput{
			RoleArn: &first, Tags: stsTags("team", "a", "job", "1"), TransitiveTagKeys: []string{"team"}, SourceIdentity: new("alice"),
		})
		chain := func(in sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error) {
			in.RoleSessionName = new("chained")
			return sts.NewFromConfig(session).AssumeRole(t.Context(), &in)
		}
		_, err := chain(sts.AssumeRoleInput{RoleArn: &second, Tags: stsTags("Team", "b")})
		wantError(t, "another value of the tag", err, "InvalidParameterValue", "conflicts with a transitive tag key from the calling session")
		_, err = chain(sts.AssumeRoleInput{RoleArn: &second, SourceIdentity: new("bob")})
		wantError(t, "another source identity", err, "ValidationError", "cannot be changed")
		_, err = chain(sts.AssumeRoleInput{RoleArn: &untagged})
		wantError(t, "a role that takes no tags", err, "AccessDenied", "sts:TagSession")
		_, err = chain(sts.AssumeRoleInput{RoleArn: &unnamed})
		wantError(t, "a role that takes no source identity", err, "AccessDenied", "sts:SetSourceIdentity")
		s.Decisions()
		out, err := chain(sts.AssumeRoleInput{RoleArn: &second, Tags: stsTags("x", "y")})
		if err != nil || *out.SourceIdentity != "alice" {
			t.Fatalf("AssumeRole = %v, %v, want a session with the source identity", out, err)
		}
		var actions []string
		for _, d := range s.Decisions() {
			actions = append(actions, d.Action)
		}
		if got := strings.Join(actions, " "); got != "sts:AssumeRole sts:TagSession sts:SetSourceIdentity" {
			t.Errorf("AssumeRole asked about %s", got)
		}
		document := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*","Resource":"*","Condition":` +
			`{"StringEquals":{"aws:PrincipalTag/team":"a","aws:PrincipalTag/x":"y","aws:SourceIdentity":"alice"},"Null":{"aws:PrincipalTag/job":"true"}}}]}`
		if _, err := s.IAM().PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: new("second"), PolicyName: new("p"), PolicyDocument: &document}); err != nil {
			t.Fatal(err)
		}
		s.CreateRepository(t, "app")
		if err := listImages(t, s.AsSession(out.Credentials)); err != nil {
			t.Errorf("ListImages with the tags of the chain = %v", err)
		}
	})
}

// A session may never do what its role may not.
func TestASessionPolicyNeverAdds(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	s.CreateRepository(t, "app")
	alice := s.CreateUserOf(t, s.AWS(), "alice", policy("sts:*"))
	actions := []string{"ecr:ListImages", "ecr:DescribeImages", "ecr:*", "ecr:List*", "*", "ecr:PutImage"}
	random := rand.New(rand.NewPCG(1, 2))
	statements := func() string {
		var out []string
		for range 1 + random.IntN(3) {
			member, effect := "Action", "Allow"
			if random.IntN(4) == 0 {
				member = "NotAction"
			}
			if random.IntN(4) == 0 {
				effect = "Deny"
			}
			out = append(out, fmt.Sprintf(`{"Effect":%q,%q:%q,"Resource":"*"}`, effect, member, actions[random.IntN(len(actions))]))
		}
		return `{"Version":"2012-10-17","Statement":[` + strings.Join(out, ",") + `]}`
	}
	allowed := 0
	for i := range 40 {
		own, limit := statements(), statements()
		role := s.CreateRole(t, s.AWS(), fmt.Sprintf("r%d", i), trustAll, own)
		whole, _ := assume(t, s, alice, &sts.AssumeRoleInput{RoleArn: &role})
		less, _ := assume(t, s, alice, &sts.AssumeRoleInput{RoleArn: &role, Policy: &limit})
		may, mayLess := listImages(t, whole) == nil, listImages(t, less) == nil
		if mayLess && !may {
			t.Errorf("the session policy %s adds to %s", limit, own)
		}
		if mayLess {
			allowed++
		}
	}
	if allowed == 0 || allowed == 40 {
		t.Errorf("%d of 40 sessions were allowed", allowed)
	}
}

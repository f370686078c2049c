package organizations_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"
)

// wantRefused fails the test unless a call was refused for a reason; "" for a call
// that succeeds.
func wantRefused(t *testing.T, what string, err error, because string) {
	t.Helper()
	switch m := servertest.ErrorMessage(err); {
	case because == "" && err != nil, because != "" && (servertest.ErrorCode(err) != "AccessDeniedException" || !strings.HasSuffix(m, because)):
		t.Errorf("%s: %v, want it refused %q", what, err, because)
	}
}

func describe(t *testing.T, as aws.Config) error {
	_, err := ecr.NewFromConfig(as).DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{})
	return err
}

func create(t *testing.T, as aws.Config, name string) error {
	_, err := ecr.NewFromConfig(as).CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: &name})
	return err
}

func remove(t *testing.T, as aws.Config, name string) error {
	_, err := ecr.NewFromConfig(as).DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: &name, Force: true})
	return err
}

func TestServiceControlPoliciesLimitMembers(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		root := s.CreateAccount(t, member)
		user := s.CreateUserOf(t, root, "alice", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*","Resource":"*"}]}`)
		c, top := begin(t, s)
		unit := createUnit(t, c, top, "dev")
		const scp = types.PolicyTypeServiceControlPolicy
		id := createPolicy(t, c, scp, "no-deletes", deny)
		const denied = " with an explicit deny in a service control policy"
		for _, target := range []string{top, unit, member} {
			move := func(from, to string) {
				if target == unit {
					move(t, c, member, from, to)
				}
			}
			wantRefused(t, "create", create(t, root, "app"), "")
			move(top, unit)
			attach(t, c, id, target)
			wantRefused(t, "a root deletes", remove(t, root, "app"), denied)
			wantRefused(t, "a user deletes", remove(t, user, "app"), denied)
			wantRefused(t, "a root lists", describe(t, root), "")
			wantRefused(t, "a user lists", describe(t, user), "")
			s.CreateRepository(t, "app")
			wantRefused(t, "the management account deletes", remove(t, s.AWS(), "app"), "")
			if target == unit {
				move(unit, top)
				wantRefused(t, "a user deletes, out of the unit", remove(t, user, "app"), "")
				continue
			}
			detach(t, c, id, target)
			wantRefused(t, "a user deletes again", remove(t, user, "app"), "")
		}

		// Each level must allow.
		only := createPolicy(t, c, scp, "reads", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ecr:Describe*","iam:*"],"Resource":"*"}]}`)
		move(t, c, member, top, unit)
		attach(t, c, only, unit)
		wantRefused(t, "create with both", create(t, root, "app"), "")
		detach(t, c, "p-FullAWSAccess", unit)
		detach(t, c, id, unit)
		const lacks = " because no service control policy allows the ecr:DeleteRepository action"
		wantRefused(t, "a root deletes", remove(t, root, "app"), lacks)
		wantRefused(t, "a user deletes", remove(t, user, "app"), lacks)
		wantRefused(t, "a user lists", describe(t, user), "")
		simulated := func(as aws.Config, source string) *iamtypes.OrganizationsDecisionDetail {
			out := must(iam.NewFromConfig(as).SimulatePrincipalPolicy(t.Context(), &iam.SimulatePrincipalPolicyInput{
				PolicySourceArn: &source, ActionNames: []string{"ecr:DeleteRepository", "ecr:DescribeRepositories"},
			}))(t)
			if reads := out.EvaluationResults[1].OrganizationsDecisionDetail; !reads.AllowedByOrganizations {
				t.Errorf("%s: the organization does not allow what it does: %v", source, reads)
			}
			return out.EvaluationResults[0].OrganizationsDecisionDetail
		}
		if d := simulated(root, "arn:aws:iam::"+member+":user/alice"); d.AllowedByOrganizations {
			t.Error("a simulation is allowed by the organization, and is not")
		}
		s.CreateUserOf(t, s.AWS(), "manager", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*","Resource":"*"}]}`)
		if d := simulated(s.AWS(), "arn:aws:iam::123456789012:user/manager"); !d.AllowedByOrganizations {
			t.Error("a simulation in the management account is not allowed by the organization")
		}
		custom := must(iam.NewFromConfig(root).SimulateCustomPolicy(t.Context(), &iam.SimulateCustomPolicyInput{
			PolicyInputList: []string{strings.Replace(deny, "Deny", "Allow", 1)}, ActionNames: []string{"ecr:DeleteRepository"},
		}))(t).EvaluationResults[0]
		if custom.OrganizationsDecisionDetail != nil || custom.EvalDecision != iamtypes.PolicyEvaluationDecisionTypeAllowed {
			t.Errorf("a custom policy is %s, %v", custom.EvalDecision, custom.OrganizationsDecisionDetail)
		}
		must(c.UpdatePolicy(t.Context(), &organizations.UpdatePolicyInput{PolicyId: &only, Content: new(strings.Replace(deny, "Deny", "Allow", 1))}))(t)
		wantRefused(t, "a user lists", describe(t, user), " because no service control policy allows the ecr:DescribeRepositories action")
		_, err := iam.NewFromConfig(root).ListUsers(t.Context(), &iam.ListUsersInput{})
		if m := servertest.ErrorMessage(err); !strings.HasSuffix(m, " because no service control policy allows the iam:ListUsers action") {
			t.Errorf("ListUsers = %v", err)
		}
		wantRefused(t, "a user deletes", remove(t, user, "app"), "")
		must(c.DisablePolicyType(t.Context(), &organizations.DisablePolicyTypeInput{RootId: &top, PolicyType: scp}))(t)
		wantRefused(t, "a user lists without service control policies", describe(t, user), "")
	})
}

func TestResourceControlPoliciesLimitWhatIsDoneToMembers(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		root := s.CreateAccount(t, member)
		c, top := begin(t, s)
		const rcp = types.PolicyTypeResourceControlPolicy
		must(c.EnablePolicyType(t.Context(), &organizations.EnablePolicyTypeInput{RootId: &top, PolicyType: rcp}))(t)
		id := createPolicy(t, c, rcp, "no-deletes", strings.Replace(deny, `"Action"`, `"Principal":"*","Action"`, 1))
		wantRefused(t, "create", create(t, root, "app"), "")
		share := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"ecr:*"}]}`
		must(ecr.NewFromConfig(root).SetRepositoryPolicy(t.Context(), &ecr.SetRepositoryPolicyInput{RepositoryName: new("app"), PolicyText: &share}))(t)
		attach(t, c, id, top)
		const denied = " with an explicit deny in a resource control policy"
		wantRefused(t, "the owner deletes", remove(t, root, "app"), denied)
		_, err := s.ECR().DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RegistryId: new(member), RepositoryName: new("app")})
		wantRefused(t, "the management account deletes a member's", err, denied)
		s.CreateRepository(t, "app")
		wantRefused(t, "the management account deletes its own", remove(t, s.AWS(), "app"), "")
		wantRefused(t, "the owner lists", describe(t, root), "")
		detach(t, c, id, top)
		attach(t, c, id, "123456789012")
		wantRefused(t, "the owner deletes", remove(t, root, "app"), "")
	})
}

func TestConditionsAboutOrganizations(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		root := s.CreateAccount(t, member)
		user := s.CreateUserOf(t, root, "alice", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*","Resource":"*"}]}`)
		s.CreateRepository(t, "app")
		list := func() error {
			_, err := ecr.NewFromConfig(user).ListImages(t.Context(), &ecr.ListImagesInput{RegistryId: new("123456789012"), RepositoryName: new("app")})
			return err
		}
		const none = " because no resource-based policy allows the ecr:ListImages action"
		shared := func(condition string) {
			t.Helper()
			text := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"ecr:ListImages","Resource":"*","Condition":{` + condition + `}}]}`
			must(s.ECR().PutRegistryPolicy(t.Context(), &ecr.PutRegistryPolicyInput{PolicyText: &text}))(t)
		}
		shared(`"StringLike":{"aws:PrincipalOrgID":"o-*"}`)
		wantRefused(t, "without an organization", list(), none)
		c, top := begin(t, s)
		wantRefused(t, "in the organization", list(), "")
		o := *must(c.DescribeOrganization(t.Context(), &organizations.DescribeOrganizationInput{}))(t).Organization.Id
		shared(`"StringEquals":{"aws:PrincipalOrgID":"o-0000000000"}`)
		wantRefused(t, "in another organization", list(), none)
		shared(`"StringEquals":{"aws:PrincipalOrgID":"` + o + `","aws:ResourceOrgID":"${aws:PrincipalOrgID}","aws:ResourceAccount":"123456789012"}`)
		wantRefused(t, "in the same organization", list(), "")
		unit := createUnit(t, c, top, "dev")
		shared(`"ForAnyValue:StringLike":{"aws:PrincipalOrgPaths":"` + o + "/" + top + "/" + unit + `/*"}`)
		wantRefused(t, "out of the unit", list(), none)
		move(t, c, member, top, unit)
		wantRefused(t, "in the unit", list(), "")
		shared(`"ForAnyValue:StringEquals":{"aws:ResourceOrgPaths":"` + o + "/" + top + `/"}`)
		wantRefused(t, "of a resource in the root", list(), "")
	})
}

func TestAPolicyBitesOnTheOtherServersToo(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Postgres: true})
	root := s.CreateAccount(t, member)
	other := servertest.Start(t, servertest.Options{Configure: func(c *config.Config) { c.Database = s.Config.Database }})
	root.BaseEndpoint = &other.URL
	wantRefused(t, "create", create(t, root, "app"), "")
	c, _ := begin(t, s)
	attach(t, c, createPolicy(t, c, types.PolicyTypeServiceControlPolicy, "no-deletes", deny), member)
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(10 * time.Millisecond) {
		if err := remove(t, root, "app"); servertest.ErrorCode(err) == "AccessDeniedException" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the policy does not bite")
		}
		_ = create(t, root, "app") // it was deleted before the policy was read
	}
}

func TestTagsAreRefusedOnTheRecord(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	c, root := begin(t, s)
	_, err := c.CreateOrganizationalUnit(t.Context(), &organizations.CreateOrganizationalUnitInput{
		ParentId: &root, Name: new("x"), Tags: []types.Tag{{Key: new("a"), Value: new("b")}},
	})
	wantError(t, "tags", err, "InvalidInputException")
	records := s.AuditRecords(t)
	if !slices.ContainsFunc(records, func(r string) bool {
		return strings.Contains(r, `"CreateOrganizationalUnit"`) && strings.Contains(r, `"InvalidInputException"`)
	}) {
		t.Errorf("there is no record of the call: %q", records)
	}
}

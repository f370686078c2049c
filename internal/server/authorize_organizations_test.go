package server_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	awsorganizations "berth/internal/aws/organizations"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/organizations"
)

// organizationAsks says what an operation of Organizations asks the authorizer
// about.
type organizationAsks struct {
	input     string   // JSON with ROOT, UNIT, POLICY and ACCOUNT for what there is
	resources []string // what is asked about: the ends of ARNs, or "*"
}

const memberAccount = "111122223333"

// organizationOperations are those of Organizations that Berth has. A new one must
// be added here.
var organizationOperations = map[string]organizationAsks{
	"AttachPolicy":                     {`{"PolicyId":"POLICY","TargetId":"ACCOUNT"}`, []string{"POLICY", "ACCOUNT"}},
	"CreateOrganization":               {`{}`, []string{"*"}},
	"CreateOrganizationalUnit":         {`{"ParentId":"ROOT","Name":"n"}`, []string{"ROOT"}},
	"CreatePolicy":                     {`{"Name":"n","Description":"","Type":"SERVICE_CONTROL_POLICY","Content":"SOME"}`, []string{"*"}},
	"DeleteOrganizationalUnit":         {`{"OrganizationalUnitId":"UNIT"}`, []string{"UNIT"}},
	"DeletePolicy":                     {`{"PolicyId":"POLICY"}`, []string{"POLICY"}},
	"DescribeAccount":                  {`{"AccountId":"ACCOUNT"}`, []string{"ACCOUNT"}},
	"DescribeOrganization":             {`{}`, []string{"*"}},
	"DescribeOrganizationalUnit":       {`{"OrganizationalUnitId":"UNIT"}`, []string{"UNIT"}},
	"DescribePolicy":                   {`{"PolicyId":"POLICY"}`, []string{"POLICY"}},
	"DetachPolicy":                     {`{"PolicyId":"POLICY","TargetId":"ACCOUNT"}`, []string{"POLICY", "ACCOUNT"}},
	"DisablePolicyType":                {`{"RootId":"ROOT","PolicyType":"SERVICE_CONTROL_POLICY"}`, []string{"ROOT"}},
	"EnablePolicyType":                 {`{"RootId":"ROOT","PolicyType":"SERVICE_CONTROL_POLICY"}`, []string{"ROOT"}},
	"ListAccounts":                     {`{}`, []string{"*"}},
	"ListAccountsForParent":            {`{"ParentId":"ROOT"}`, []string{"ROOT"}},
	"ListChildren":                     {`{"ParentId":"UNIT","ChildType":"ACCOUNT"}`, []string{"UNIT"}},
	"ListOrganizationalUnitsForParent": {`{"ParentId":"ROOT"}`, []string{"ROOT"}},
	"ListParents":                      {`{"ChildId":"UNIT"}`, []string{"UNIT"}},
	"ListPolicies":                     {`{"Filter":"SERVICE_CONTROL_POLICY"}`, []string{"*"}},
	"ListPoliciesForTarget":            {`{"TargetId":"ACCOUNT","Filter":"SERVICE_CONTROL_POLICY"}`, []string{"ACCOUNT"}},
	"ListRoots":                        {`{}`, []string{"*"}},
	"ListTargetsForPolicy":             {`{"PolicyId":"POLICY"}`, []string{"POLICY"}},
	"MoveAccount":                      {`{"AccountId":"ACCOUNT","SourceParentId":"ROOT","DestinationParentId":"UNIT"}`, []string{"ACCOUNT", "ROOT", "UNIT"}},
	"UpdateOrganizationalUnit":         {`{"OrganizationalUnitId":"UNIT","Name":"n"}`, []string{"UNIT"}},
	"UpdatePolicy":                     {`{"PolicyId":"POLICY","Name":"n"}`, []string{"POLICY"}},
}

// fillOrganization makes an organization with a unit and a policy, and returns
// what fills the inputs of the table: what there is, and what there is not.
func fillOrganization(t *testing.T, s *servertest.Server) (there, absent *strings.Replacer) {
	t.Helper()
	c, ctx := organizations.NewFromConfig(s.AWS()), t.Context()
	if _, err := c.CreateOrganization(ctx, &organizations.CreateOrganizationInput{}); err != nil {
		t.Fatal(err)
	}
	roots, err := c.ListRoots(ctx, &organizations.ListRootsInput{})
	if err != nil {
		t.Fatal(err)
	}
	root := *roots.Roots[0].Id
	unit, err := c.CreateOrganizationalUnit(ctx, &organizations.CreateOrganizationalUnitInput{ParentId: &root, Name: new("u")})
	if err != nil {
		t.Fatal(err)
	}
	some := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"ecr:*","Resource":"*"}]}`
	p, err := c.CreatePolicy(ctx, &organizations.CreatePolicyInput{Name: new("p"), Description: new(""), Type: "SERVICE_CONTROL_POLICY", Content: &some})
	if err != nil {
		t.Fatal(err)
	}
	fill := func(root, unit, account, policy string) *strings.Replacer {
		return strings.NewReplacer(`"ROOT"`, `"`+root+`"`, `"UNIT"`, `"`+unit+`"`, `Id":"ACCOUNT"`, `Id":"`+account+`"`, `"POLICY"`, `"`+policy+`"`, "SOME", quoted(some))
	}
	return fill(root, *unit.OrganizationalUnit.Id, memberAccount, *p.Policy.PolicySummary.Id), fill("r-0000", "ou-0000-00000000", "999999999999", "p-00000000")
}

// Who may not is refused every operation, before anything else is said, and so is
// who asks about what there is not.
func TestEveryOperationOfOrganizationsAsksTheAuthorizer(t *testing.T) {
	t.Parallel()
	service, err := awsorganizations.New(nil).Service()
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range service.Operations {
		if _, listed := organizationOperations[op.Name]; !listed && op.Refused == "" {
			t.Errorf("%s is not in this test's table", op.Name)
		}
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		user := s.CreateUser(t, "stranger")
		member := s.CreateAccount(t, memberAccount)
		fill := map[string]*strings.Replacer{}
		fill["there"], fill["absent"] = fillOrganization(t, s)
		for operation, want := range organizationOperations {
			for name, r := range fill {
				s.Decisions()
				_, err := invoke(t.Context(), organizations.NewFromConfig(user), operation, r.Replace(want.input))
				m := servertest.ErrorMessage(err)
				if servertest.ErrorCode(err) != "AccessDeniedException" || !strings.HasPrefix(m, "User: arn:aws:iam::123456789012:user/stranger is not authorized to perform: organizations:"+operation+" on resource: ") {
					t.Errorf("%s by a user, %s = %v", operation, name, err)
				}
				if d := s.Decisions(); len(d) != 1 || d[0].Action != "organizations:"+operation || d[0].Account != servertest.Account {
					t.Errorf("%s by a user asked about %v", operation, d)
				}
				_, err = invoke(t.Context(), organizations.NewFromConfig(member), operation, r.Replace(want.input))
				if open := operation == "DescribeOrganization"; (servertest.ErrorCode(err) != "AccessDeniedException") != open {
					t.Errorf("%s by a member's root, %s = %v", operation, name, err)
				}
			}
			s.Decisions()
			input := fill["there"].Replace(want.input)
			_, _ = invoke(t.Context(), organizations.NewFromConfig(s.AWS()), operation, input)
			var asked []string
			for _, d := range s.Decisions() {
				asked = append(asked, d.Resource[strings.LastIndexByte(d.Resource, '/')+1:])
			}
			var ids []string
			for _, w := range want.resources {
				_, id, _ := strings.Cut(fill["there"].Replace(`Id":"`+w+`"`), `Id":"`)
				ids = append(ids, strings.TrimSuffix(id, `"`))
			}
			if !slices.Equal(asked, ids) {
				t.Errorf("%s asked about %v, want %v", operation, asked, ids)
			}
		}
	})
}

// Whatever is asked, the answer is a refusal or an answer: never a fault of ours,
// which the server would log.
func TestNastyInputIsNoFaultOfOrganizations(t *testing.T) {
	t.Parallel()
	if raced {
		t.Skip("thousands of requests, one after the other, find no races: they are made without the detector")
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateAccount(t, memberAccount)
		there, _ := fillOrganization(t, s)
		client := organizations.NewFromConfig(s.AWS())
		for operation, asks := range organizationOperations {
			members := map[string]json.RawMessage{}
			if err := json.Unmarshal([]byte(there.Replace(asks.input)), &members); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(operation, "List") {
				members["NextToken"] = json.RawMessage(`""`)
			}
			for name, good := range members {
				for _, value := range nasty {
					members[name] = servertest.JSON(value)
					_, err := invoke(t.Context(), client, operation, string(servertest.JSON(members)))
					if code := servertest.ErrorCode(err); code == "InternalFailure" || code == "ServiceException" || strings.Contains(code, "StatusCode: 500") {
						t.Errorf("%s%s = %v", operation, servertest.JSON(members), err)
					}
				}
				members[name] = good
			}
		}
		if _, err := client.ListAccounts(t.Context(), &organizations.ListAccountsInput{}); err != nil {
			t.Error(err)
		}
	})
}

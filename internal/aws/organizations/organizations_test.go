package organizations_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"
)

const (
	member  = "111122223333"
	another = "444455556666"
	deny    = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"ecr:DeleteRepository","Resource":"*"}]}`
)

// must returns a function that returns v, or fails the test if err is not nil.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// raw makes a call of the root without the SDK and returns the response's text.
func raw(t *testing.T, s *servertest.Server, operation, body string) string {
	t.Helper()
	_, text := s.Call(t, "organizations", "AWSOrganizationsV20161128."+operation, body)
	return text
}

func wantError(t *testing.T, what string, err error, code string) {
	t.Helper()
	if servertest.ErrorCode(err) != code || code != "" && servertest.ErrorMessage(err) == "" {
		t.Errorf("%s = %v, want %s", what, err, code)
	}
}

// begin makes the organization and returns a client of the management account and
// the root's id.
func begin(t *testing.T, s *servertest.Server) (*organizations.Client, string) {
	t.Helper()
	c := organizations.NewFromConfig(s.AWS())
	must(c.CreateOrganization(t.Context(), &organizations.CreateOrganizationInput{}))(t)
	roots := must(c.ListRoots(t.Context(), &organizations.ListRootsInput{}))(t).Roots
	return c, *roots[0].Id
}

func createUnit(t *testing.T, c *organizations.Client, parent, name string) string {
	t.Helper()
	out := must(c.CreateOrganizationalUnit(t.Context(), &organizations.CreateOrganizationalUnitInput{ParentId: &parent, Name: &name}))(t)
	return *out.OrganizationalUnit.Id
}

func createPolicy(t *testing.T, c *organizations.Client, kind types.PolicyType, name, content string) string {
	t.Helper()
	out := must(c.CreatePolicy(t.Context(), &organizations.CreatePolicyInput{Type: kind, Name: &name, Description: new(""), Content: &content}))(t)
	return *out.Policy.PolicySummary.Id
}

func attach(t *testing.T, c *organizations.Client, policy, target string) {
	t.Helper()
	must(c.AttachPolicy(t.Context(), &organizations.AttachPolicyInput{PolicyId: &policy, TargetId: &target}))(t)
}

func detach(t *testing.T, c *organizations.Client, policy, target string) {
	t.Helper()
	must(c.DetachPolicy(t.Context(), &organizations.DetachPolicyInput{PolicyId: &policy, TargetId: &target}))(t)
}

func move(t *testing.T, c *organizations.Client, account, from, to string) {
	t.Helper()
	must(c.MoveAccount(t.Context(), &organizations.MoveAccountInput{AccountId: &account, SourceParentId: &from, DestinationParentId: &to}))(t)
}

func TestTheOrganization(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		ctx := t.Context()
		before := s.CreateAccount(t, member)
		c := organizations.NewFromConfig(s.AWS())
		_, err := c.DescribeOrganization(ctx, &organizations.DescribeOrganizationInput{})
		wantError(t, "DescribeOrganization without one", err, "AWSOrganizationsNotInUseException")
		_, err = c.ListRoots(ctx, &organizations.ListRootsInput{})
		wantError(t, "ListRoots without one", err, "AWSOrganizationsNotInUseException")
		_, err = organizations.NewFromConfig(before).CreateOrganization(ctx, &organizations.CreateOrganizationInput{})
		wantError(t, "CreateOrganization by another account", err, "AccessDeniedException")
		_, err = c.CreateOrganization(ctx, &organizations.CreateOrganizationInput{FeatureSet: types.OrganizationFeatureSetConsolidatedBilling})
		wantError(t, "CreateOrganization for bills", err, "InvalidInputException")
		made := must(c.CreateOrganization(ctx, &organizations.CreateOrganizationInput{}))(t).Organization
		_, err = c.CreateOrganization(ctx, &organizations.CreateOrganizationInput{})
		wantError(t, "a second CreateOrganization", err, "AlreadyInOrganizationException")
		s.CreateAccount(t, another)
		s.Restart(t)
		for who, as := range map[string]aws.Config{"the management account": s.AWS(), "a member": before} {
			o := must(organizations.NewFromConfig(as).DescribeOrganization(ctx, &organizations.DescribeOrganizationInput{}))(t).Organization
			if *o.Id != *made.Id || *o.MasterAccountId != "123456789012" || *o.Arn != "arn:aws:organizations::123456789012:organization/"+*o.Id ||
				len(o.AvailablePolicyTypes) != 1 || o.AvailablePolicyTypes[0].Type != types.PolicyTypeServiceControlPolicy {
				t.Errorf("DescribeOrganization by %s = %+v", who, o)
			}
		}
		roots := must(c.ListRoots(ctx, &organizations.ListRootsInput{}))(t).Roots
		root := *roots[0].Id
		if len(roots) != 1 || *roots[0].Arn != "arn:aws:organizations::123456789012:root/"+*made.Id+"/"+root || *roots[0].Name != "Root" {
			t.Errorf("ListRoots = %+v", roots)
		}
		var ids []string
		pages := organizations.NewListAccountsPaginator(c, &organizations.ListAccountsInput{MaxResults: new(int32(2))})
		for pages.HasMorePages() {
			for _, a := range must(pages.NextPage(ctx))(t).Accounts {
				ids = append(ids, *a.Id)
				if *a.Arn != "arn:aws:organizations::123456789012:account/"+*made.Id+"/"+*a.Id || a.Status != types.AccountStatusActive ||
					!slices.Equal(a.Paths, []string{*made.Id + "/" + root + "/" + *a.Id + "/"}) {
					t.Errorf("account %+v", a)
				}
			}
		}
		if !slices.Equal(ids, []string{member, "123456789012", another}) {
			t.Errorf("ListAccounts = %v", ids)
		}
		_, err = c.ListAccounts(ctx, &organizations.ListAccountsInput{NextToken: new("x")})
		wantError(t, "ListAccounts with a bad token", err, "InvalidInputException")
		_, err = organizations.NewFromConfig(before).ListAccounts(ctx, &organizations.ListAccountsInput{})
		wantError(t, "ListAccounts by a member", err, "AccessDeniedException")
		_, err = c.DescribeAccount(ctx, &organizations.DescribeAccountInput{AccountId: new("999999999999")})
		wantError(t, "DescribeAccount of none", err, "AccountNotFoundException")
		_, err = c.CreateAccount(ctx, &organizations.CreateAccountInput{AccountName: new("a"), Email: new("a@example.com")})
		wantError(t, "CreateAccount", err, "UnsupportedCommandException")
	})
}

func TestUnits(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		ctx := t.Context()
		s.CreateAccount(t, member)
		c, root := begin(t, s)
		dev := createUnit(t, c, root, "dev")
		team := createUnit(t, c, dev, "team")
		create := func(parent, name string) error {
			_, err := c.CreateOrganizationalUnit(ctx, &organizations.CreateOrganizationalUnitInput{ParentId: &parent, Name: &name})
			return err
		}
		wantError(t, "the same name", create(root, "dev"), "DuplicateOrganizationalUnitException")
		wantError(t, "no parent", create("ou-0000-00000000", "x"), "ParentNotFoundException")
		wantError(t, "no parent's id", create("nothing", "x"), "InvalidInputException")
		wantError(t, "a NUL", create(root, "a\x00"), "InvalidInputException")
		_, err := c.CreateOrganizationalUnit(ctx, &organizations.CreateOrganizationalUnitInput{ParentId: &root, Name: new("x"), Tags: []types.Tag{{Key: new("a"), Value: new("b")}}})
		wantError(t, "tags", err, "InvalidInputException")
		deep := team
		for range 3 {
			deep = createUnit(t, c, deep, "deeper")
		}
		wantError(t, "too deep", create(deep, "x"), "ConstraintViolationException")

		u := must(c.DescribeOrganizationalUnit(ctx, &organizations.DescribeOrganizationalUnitInput{OrganizationalUnitId: &dev}))(t).OrganizationalUnit
		if *u.Name != "dev" || !strings.HasSuffix(*u.Arn, "/"+dev) || !strings.HasPrefix(dev, "ou-"+root[2:]+"-") {
			t.Errorf("DescribeOrganizationalUnit = %+v", u)
		}
		_, err = c.DescribeOrganizationalUnit(ctx, &organizations.DescribeOrganizationalUnitInput{OrganizationalUnitId: new("ou-0000-00000000")})
		wantError(t, "DescribeOrganizationalUnit of none", err, "OrganizationalUnitNotFoundException")
		u = must(c.UpdateOrganizationalUnit(ctx, &organizations.UpdateOrganizationalUnitInput{OrganizationalUnitId: &dev, Name: new("prod")}))(t).OrganizationalUnit
		if *u.Name != "prod" {
			t.Errorf("UpdateOrganizationalUnit = %+v", u)
		}
		other := createUnit(t, c, root, "other")
		_, err = c.UpdateOrganizationalUnit(ctx, &organizations.UpdateOrganizationalUnitInput{OrganizationalUnitId: &other, Name: new("prod")})
		wantError(t, "a name that is taken", err, "DuplicateOrganizationalUnitException")
		var names []string
		pages := organizations.NewListOrganizationalUnitsForParentPaginator(c, &organizations.ListOrganizationalUnitsForParentInput{ParentId: &root, MaxResults: new(int32(1))})
		for pages.HasMorePages() {
			for _, u := range must(pages.NextPage(ctx))(t).OrganizationalUnits {
				names = append(names, *u.Name)
			}
		}
		if slices.Sort(names); !slices.Equal(names, []string{"other", "prod"}) {
			t.Errorf("ListOrganizationalUnitsForParent = %v", names)
		}

		moves := func(account, from, to string) error {
			_, err := c.MoveAccount(ctx, &organizations.MoveAccountInput{AccountId: &account, SourceParentId: &from, DestinationParentId: &to})
			return err
		}
		wantError(t, "MoveAccount", moves(member, root, team), "")
		wantError(t, "MoveAccount of none", moves("999999999999", root, team), "AccountNotFoundException")
		wantError(t, "MoveAccount from elsewhere", moves(member, root, team), "SourceParentNotFoundException")
		wantError(t, "MoveAccount to nowhere", moves(member, team, "ou-0000-00000000"), "DestinationParentNotFoundException")
		wantError(t, "MoveAccount to where it is", moves(member, team, team), "DuplicateAccountException")
		for child, want := range map[string]types.Parent{
			member: {Id: &team, Type: types.ParentTypeOrganizationalUnit}, dev: {Id: &root, Type: types.ParentTypeRoot},
		} {
			p := must(c.ListParents(ctx, &organizations.ListParentsInput{ChildId: &child}))(t).Parents
			if len(p) != 1 || *p[0].Id != *want.Id || p[0].Type != want.Type {
				t.Errorf("ListParents of %s = %+v", child, p)
			}
		}
		_, err = c.ListParents(ctx, &organizations.ListParentsInput{ChildId: new("999999999999")})
		wantError(t, "ListParents of none", err, "ChildNotFoundException")
		children := must(c.ListChildren(ctx, &organizations.ListChildrenInput{ParentId: &team, ChildType: types.ChildTypeAccount}))(t).Children
		if len(children) != 1 || *children[0].Id != member {
			t.Errorf("ListChildren = %+v", children)
		}
		children = must(c.ListChildren(ctx, &organizations.ListChildrenInput{ParentId: &dev, ChildType: types.ChildTypeOrganizationalUnit}))(t).Children
		if len(children) != 1 || *children[0].Id != team {
			t.Errorf("ListChildren = %+v", children)
		}
		in := must(c.ListAccountsForParent(ctx, &organizations.ListAccountsForParentInput{ParentId: &team}))(t).Accounts
		if len(in) != 1 || *in[0].Id != member {
			t.Errorf("ListAccountsForParent = %+v", in)
		}
		_, err = c.DeleteOrganizationalUnit(ctx, &organizations.DeleteOrganizationalUnitInput{OrganizationalUnitId: &dev})
		wantError(t, "DeleteOrganizationalUnit of one with others", err, "OrganizationalUnitNotEmptyException")
		_, err = c.DeleteOrganizationalUnit(ctx, &organizations.DeleteOrganizationalUnitInput{OrganizationalUnitId: &other})
		wantError(t, "DeleteOrganizationalUnit", err, "")
		_, err = c.DeleteOrganizationalUnit(ctx, &organizations.DeleteOrganizationalUnitInput{OrganizationalUnitId: &other})
		wantError(t, "DeleteOrganizationalUnit again", err, "OrganizationalUnitNotFoundException")
	})
}

func TestControlPolicies(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		ctx := t.Context()
		s.CreateAccount(t, member)
		c, root := begin(t, s)
		const scp, rcp = types.PolicyTypeServiceControlPolicy, types.PolicyTypeResourceControlPolicy
		id := createPolicy(t, c, scp, "no-deletes", deny)
		create := func(kind types.PolicyType, name, content string) error {
			_, err := c.CreatePolicy(ctx, &organizations.CreatePolicyInput{Type: kind, Name: &name, Description: new(""), Content: &content})
			return err
		}
		wantError(t, "the same name", create(scp, "no-deletes", deny), "DuplicatePolicyException")
		wantError(t, "a principal", create(scp, "x", strings.Replace(deny, `"Action"`, `"Principal":"*","Action"`, 1)), "MalformedPolicyDocumentException")
		wantError(t, "no document", create(scp, "x", "x"), "MalformedPolicyDocumentException")
		wantError(t, "a long document", create(scp, "x", deny+strings.Repeat(" ", 5120)), "ConstraintViolationException")
		wantError(t, "another type", create(types.PolicyTypeTagPolicy, "x", deny), "PolicyTypeNotAvailableForOrganizationException")
		wantError(t, "no principal", create(rcp, "x", deny), "MalformedPolicyDocumentException")
		bites := strings.Replace(deny, `"Action"`, `"Principal":"*","Action"`, 1)
		wantError(t, "a resource control policy that allows", create(rcp, "x", strings.Replace(bites, "Deny", "Allow", 1)), "MalformedPolicyDocumentException")
		wantError(t, "a NUL", create(scp, "a\x00", deny), "InvalidInputException")

		p := must(c.DescribePolicy(ctx, &organizations.DescribePolicyInput{PolicyId: &id}))(t).Policy
		if *p.Content != deny || *p.PolicySummary.Name != "no-deletes" || !strings.HasSuffix(*p.PolicySummary.Arn, "/service_control_policy/"+id) || p.PolicySummary.AwsManaged {
			t.Errorf("DescribePolicy = %+v", p)
		}
		p = must(c.UpdatePolicy(ctx, &organizations.UpdatePolicyInput{PolicyId: &id, Description: new("d")}))(t).Policy
		if *p.Content != deny || *p.PolicySummary.Description != "d" {
			t.Errorf("UpdatePolicy = %+v", p)
		}
		_, err := c.UpdatePolicy(ctx, &organizations.UpdatePolicyInput{PolicyId: new("p-FullAWSAccess"), Name: new("x")})
		wantError(t, "UpdatePolicy of AWS's", err, "InvalidInputException")
		_, err = c.UpdatePolicy(ctx, &organizations.UpdatePolicyInput{PolicyId: new("p-00000000"), Name: new("x")})
		wantError(t, "UpdatePolicy of none", err, "PolicyNotFoundException")
		list := must(c.ListPolicies(ctx, &organizations.ListPoliciesInput{Filter: scp}))(t).Policies
		if text := raw(t, s, "ListPolicies", `{"Filter":"SERVICE_CONTROL_POLICY"}`); !strings.Contains(text, `"AwsManaged":true`) || !strings.Contains(text, `"AwsManaged":false`) {
			t.Errorf("ListPolicies sends %s", text)
		}
		for body, reason := range map[string]string{
			`{}`: "INPUT_REQUIRED", `{"Filter":"x"}`: "INVALID_ENUM", `{"Filter":"TAG_POLICY","MaxResults":0}`: "MIN_VALUE_EXCEEDED",
			`{"Filter":"TAG_POLICY","MaxResults":21}`: "MAX_VALUE_EXCEEDED",
		} {
			if text := raw(t, s, "ListPolicies", body); !strings.Contains(text, `"Reason":"`+reason+`"`) {
				t.Errorf("ListPolicies %s sends %s, want %s", body, text, reason)
			}
		}
		names := map[string]bool{} // and whether it is AWS's
		for _, p := range list {
			names[*p.Name] = p.AwsManaged
		}
		if len(list) != 2 || len(names) != 2 || !names["FullAWSAccess"] || names["no-deletes"] {
			t.Errorf("ListPolicies = %v", names)
		}
		attaches := func(policy, target string) error {
			_, err := c.AttachPolicy(ctx, &organizations.AttachPolicyInput{PolicyId: &policy, TargetId: &target})
			return err
		}
		detaches := func(policy, target string) error {
			_, err := c.DetachPolicy(ctx, &organizations.DetachPolicyInput{PolicyId: &policy, TargetId: &target})
			return err
		}
		wantError(t, "AttachPolicy", attaches(id, member), "")
		wantError(t, "AttachPolicy again", attaches(id, member), "DuplicatePolicyAttachmentException")
		wantError(t, "AttachPolicy to nothing", attaches(id, "999999999999"), "TargetNotFoundException")
		wantError(t, "AttachPolicy of nothing", attaches("p-00000000", member), "PolicyNotFoundException")
		resources := createPolicy(t, c, rcp, "no-deletes", bites)
		wantError(t, "AttachPolicy of a type that is not enabled", attaches(resources, member), "PolicyTypeNotEnabledException")
		for i := range 3 {
			attach(t, c, createPolicy(t, c, scp, "more"+strconv.Itoa(i), deny), member)
		}
		wantError(t, "AttachPolicy of too many", attaches(createPolicy(t, c, scp, "sixth", deny), member), "ConstraintViolationException")
		of := must(c.ListPoliciesForTarget(ctx, &organizations.ListPoliciesForTargetInput{TargetId: new(member), Filter: scp}))(t).Policies
		if len(of) != 5 {
			t.Errorf("ListPoliciesForTarget = %+v", of)
		}
		targets := must(c.ListTargetsForPolicy(ctx, &organizations.ListTargetsForPolicyInput{PolicyId: new("p-FullAWSAccess")}))(t).Targets
		if len(targets) != 3 || *targets[0].TargetId != member || targets[0].Type != types.TargetTypeAccount || *targets[2].TargetId != root || targets[2].Type != types.TargetTypeRoot {
			t.Errorf("ListTargetsForPolicy = %+v", targets)
		}
		_, err = c.DeletePolicy(ctx, &organizations.DeletePolicyInput{PolicyId: &id})
		wantError(t, "DeletePolicy of one in use", err, "PolicyInUseException")
		wantError(t, "DetachPolicy", detaches(id, member), "")
		wantError(t, "DetachPolicy again", detaches(id, member), "PolicyNotAttachedException")
		wantError(t, "DetachPolicy of the last", detaches("p-FullAWSAccess", root), "ConstraintViolationException")
		_, err = c.DeletePolicy(ctx, &organizations.DeletePolicyInput{PolicyId: &id})
		wantError(t, "DeletePolicy", err, "")
		_, err = c.DescribePolicy(ctx, &organizations.DescribePolicyInput{PolicyId: &id})
		wantError(t, "DescribePolicy of a deleted one", err, "PolicyNotFoundException")

		enables := func(root string, kind types.PolicyType) error {
			_, err := c.EnablePolicyType(ctx, &organizations.EnablePolicyTypeInput{RootId: &root, PolicyType: kind})
			return err
		}
		wantError(t, "EnablePolicyType", enables(root, rcp), "")
		wantError(t, "EnablePolicyType again", enables(root, rcp), "PolicyTypeAlreadyEnabledException")
		wantError(t, "EnablePolicyType elsewhere", enables("r-0000", rcp), "RootNotFoundException")
		wantError(t, "EnablePolicyType of another type", enables(root, types.PolicyTypeTagPolicy), "PolicyTypeNotAvailableForOrganizationException")
		wantError(t, "AttachPolicy", attaches(resources, member), "")
		wantError(t, "DetachPolicy of what stays", detaches("p-RCPFullAWSAccess", member), "InvalidInputException")
		out := must(c.DisablePolicyType(ctx, &organizations.DisablePolicyTypeInput{RootId: &root, PolicyType: rcp}))(t)
		if len(out.Root.PolicyTypes) != 1 {
			t.Errorf("DisablePolicyType = %+v", out.Root)
		}
		_, err = c.DisablePolicyType(ctx, &organizations.DisablePolicyTypeInput{RootId: &root, PolicyType: rcp})
		wantError(t, "DisablePolicyType again", err, "PolicyTypeNotEnabledException")
		_, err = c.DeletePolicy(ctx, &organizations.DeletePolicyInput{PolicyId: &resources})
		wantError(t, "DeletePolicy of one whose type is disabled", err, "")
	})
}

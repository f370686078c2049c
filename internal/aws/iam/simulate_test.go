package iam_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

const (
	appARN  = "arn:aws:ecr:us-east-1:123456789012:repository/app"
	all     = `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	blueARN = "arn:aws:ecr:us-east-1:123456789012:repository/blue"
)

// outcome prints the essence of a result: the decision, the policies of the
// statements that matched, and the keys that are missing.
func outcome(d types.PolicyEvaluationDecisionType, matched []types.Statement, missing []string) string {
	out := string(d)
	for _, m := range matched {
		out += " " + *m.SourcePolicyId
	}
	for _, key := range missing {
		out += " -" + key
	}
	return out
}

func TestSimulatePrincipalPolicy(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.IAM(), t.Context()
		must(t, second(c.CreateUser(ctx, &iam.CreateUserInput{UserName: new("alice"), Path: new("/t/"), Tags: []types.Tag{{Key: new("team"), Value: new("red")}}})))
		must(t, second(c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: new("g")})))
		must(t, second(c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: new("g"), UserName: new("alice")})))
		put := func(name, statements string) {
			must(t, second(c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: new("alice"), PolicyName: &name,
				PolicyDocument: new(`{"Version":"2012-10-17","Statement":[` + statements + `]}`)})))
		}
		put("push", `{"Effect":"Allow","Action":"ecr:PutImage","Resource":"arn:aws:ecr:*:*:repository/app","Condition":{"StringEquals":{"aws:PrincipalTag/team":"red"}}}`)
		put("office", `{"Effect":"Allow","Action":"ecr:DeleteRepository","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}`)
		must(t, second(c.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: new("g"), PolicyName: new("no"),
			PolicyDocument: new(`{"Statement":{"Effect":"Deny","Action":"*","Resource":"` + blueARN + `"}}`)})))
		must(t, second(c.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: new("g"),
			PolicyArn: new("arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly")})))

		simulate := func(in *iam.SimulatePrincipalPolicyInput) []types.EvaluationResult {
			t.Helper()
			in.PolicySourceArn = new(arn + "user/t/alice")
			return ok[*iam.SimulatePrincipalPolicyOutput](t)(c.SimulatePrincipalPolicy(ctx, in)).EvaluationResults
		}
		got := simulate(&iam.SimulatePrincipalPolicyInput{ActionNames: []string{"ecr:PutImage", "ecr:BatchGetImage"}, ResourceArns: []string{appARN, blueARN}})
		var each []string
		for _, r := range got {
			each = append(each, *r.EvalActionName+" "+outcome(r.EvalDecision, r.MatchedStatements, r.MissingContextValues))
			for _, one := range r.ResourceSpecificResults {
				each = append(each, strings.TrimPrefix(*one.EvalResourceName, "arn:aws:ecr:us-east-1:123456789012:repository/")+" "+outcome(one.EvalResourceDecision, one.MatchedStatements, one.MissingContextValues))
			}
		}
		equal(t, "SimulatePrincipalPolicy", strings.Join(each, "\n"), strings.Join([]string{
			"ecr:PutImage explicitDeny group_g_no", "app allowed user_alice_push", "blue explicitDeny group_g_no",
			"ecr:BatchGetImage explicitDeny group_g_no", "app allowed AmazonEC2ContainerRegistryReadOnly", "blue explicitDeny group_g_no",
		}, "\n"))
		first := got[0].ResourceSpecificResults[0].MatchedStatements[0]
		equal(t, "the statement", []any{first.SourcePolicyType, first.StartPosition.Line, first.StartPosition.Column, first.EndPosition.Column > 100},
			[]any{"IAM Policy", 1, 38, true})
		equal(t, "EvalResourceName", *got[0].EvalResourceName, "arn:${Partition}:ecr:${Region}:${Account}:repository/${RepositoryName}")

		one := func(in *iam.SimulatePrincipalPolicyInput) string {
			t.Helper()
			r := simulate(in)[0]
			out := outcome(r.EvalDecision, r.MatchedStatements, r.MissingContextValues)
			if b := r.PermissionsBoundaryDecisionDetail; b != nil {
				out += fmt.Sprint(" boundary ", b.AllowedByPermissionsBoundary)
			}
			return out
		}
		from := func(ip string) []types.ContextEntry {
			return []types.ContextEntry{{ContextKeyName: new("AWS:sourceip"), ContextKeyType: "ip", ContextKeyValues: []string{ip}}}
		}
		remove := []string{"ecr:DeleteRepository"}
		equal(t, "without a key", one(&iam.SimulatePrincipalPolicyInput{ActionNames: remove}), "implicitDeny -aws:SourceIp")
		equal(t, "with the key", one(&iam.SimulatePrincipalPolicyInput{ActionNames: remove, ContextEntries: from("10.1.2.3")}), "allowed user_alice_office")
		equal(t, "with another value", one(&iam.SimulatePrincipalPolicyInput{ActionNames: remove, ContextEntries: from("11.1.2.3")}), "implicitDeny")
		equal(t, "with a policy more", one(&iam.SimulatePrincipalPolicyInput{ActionNames: remove, PolicyInputList: []string{all}}), "allowed PolicyInputList.1 -aws:SourceIp")
		equal(t, "with a boundary", one(&iam.SimulatePrincipalPolicyInput{ActionNames: remove, ContextEntries: from("10.1.2.3"), PermissionsBoundaryPolicyInputList: []string{
			`{"Statement":{"Effect":"Allow","Action":"ecr:Get*","Resource":"*"}}`}}), "implicitDeny boundary false")

		// The user's own boundary counts unless another is given.
		must(t, second(c.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: new("alice"),
			PermissionsBoundary: new("arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly")})))
		equal(t, "within the boundary", one(&iam.SimulatePrincipalPolicyInput{ActionNames: []string{"ecr:PutImage"}, ResourceArns: []string{appARN}}), "implicitDeny boundary false")
		equal(t, "with another boundary", one(&iam.SimulatePrincipalPolicyInput{ActionNames: []string{"ecr:PutImage"}, ResourceArns: []string{appARN},
			PermissionsBoundaryPolicyInputList: []string{all}}), "allowed user_alice_push boundary true")

		// As somebody else with these policies.
		sharing := `{"Statement":{"Effect":"Allow","Principal":{"AWS":"` + arn + `user/bob"},"Action":"ecr:DeleteRepository"}}`
		equal(t, "with a policy of the resource", one(&iam.SimulatePrincipalPolicyInput{ActionNames: remove, ResourceArns: []string{appARN}, ResourcePolicy: &sharing}),
			"implicitDeny -aws:SourceIp boundary false")
		equal(t, "as who it names", one(&iam.SimulatePrincipalPolicyInput{ActionNames: remove, ResourceArns: []string{appARN}, ResourcePolicy: &sharing, CallerArn: new(arn + "user/bob")}),
			"allowed ResourcePolicy -aws:SourceIp boundary false")

		// A group, a role, and nobody.
		group := ok[*iam.SimulatePrincipalPolicyOutput](t)(c.SimulatePrincipalPolicy(ctx, &iam.SimulatePrincipalPolicyInput{
			PolicySourceArn: new(arn + "group/g"), ActionNames: []string{"ecr:BatchGetImage"}})).EvaluationResults[0]
		equal(t, "a group", outcome(group.EvalDecision, group.MatchedStatements, nil), "allowed AmazonEC2ContainerRegistryReadOnly")
		for _, absent := range []string{arn + "user/alice", arn + "user/bob", arn + "role/alice"} {
			_, err := c.SimulatePrincipalPolicy(ctx, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: &absent, ActionNames: remove})
			refused(t, "what there is not", err, "NoSuchEntity", "The entity "+absent+" cannot be found.")
		}
		_, err := c.SimulatePrincipalPolicy(ctx, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: new("arn:aws:iam::210987654321:user/u"), ActionNames: remove})
		equal(t, "another account", servertest.ErrorCode(err), "AccessDenied")
	})
}

func TestSimulateCustomPolicy(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	c, ctx := s.IAM(), t.Context()
	simulate := func(in *iam.SimulateCustomPolicyInput) string {
		t.Helper()
		if in.ActionNames == nil {
			in.ActionNames = []string{"ecr:PutImage"}
		}
		r := ok[*iam.SimulateCustomPolicyOutput](t)(c.SimulateCustomPolicy(ctx, in)).EvaluationResults[0]
		return outcome(r.EvalDecision, r.MatchedStatements, r.MissingContextValues)
	}
	statement := func(text string) []string { return []string{`{"Version":"2012-10-17","Statement":[` + text + `]}`} }
	own := statement(`{"Effect":"Allow","Action":"*","Resource":"arn:aws:ecr:*:*:repository/${aws:username}"}`)
	alice := new("arn:aws:iam::210987654321:user/alice")
	public := new(`{"Statement":{"Effect":"Allow","Principal":{"AWS":"210987654321"},"Action":"ecr:*"}}`)
	equal(t, "nobody in particular", simulate(&iam.SimulateCustomPolicyInput{PolicyInputList: own}), "implicitDeny -aws:username")
	equal(t, "who has no name", simulate(&iam.SimulateCustomPolicyInput{PolicyInputList: statement(`{"Effect":"Deny","Action":"*","NotResource":"arn:aws:ecr:*:*:repository/${aws:username}"}`),
		ResourceArns: []string{appARN}}), "explicitDeny PolicyInputList.1 -aws:username")
	equal(t, "by name", simulate(&iam.SimulateCustomPolicyInput{PolicyInputList: own, ResourceArns: []string{"arn:aws:ecr:us-east-1:210987654321:repository/alice"}, CallerArn: alice}),
		"allowed PolicyInputList.1")
	equal(t, "across accounts, the one side", simulate(&iam.SimulateCustomPolicyInput{PolicyInputList: []string{all}, ResourceArns: []string{appARN}, CallerArn: alice,
		ResourcePolicy: new(`{"Statement":{"Effect":"Allow","Principal":{"AWS":"333333333333"},"Action":"ecr:*"}}`)}), "implicitDeny")
	equal(t, "across accounts, both sides", simulate(&iam.SimulateCustomPolicyInput{PolicyInputList: []string{all}, ResourceArns: []string{appARN}, CallerArn: alice, ResourcePolicy: public}),
		"allowed PolicyInputList.1 ResourcePolicy")
	equal(t, "an owner that the ARN does not name", simulate(&iam.SimulateCustomPolicyInput{PolicyInputList: statement(`{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}`),
		ActionNames: []string{"s3:GetObject"}, ResourceArns: []string{"arn:aws:s3:::b/k"}, CallerArn: alice, ResourcePolicy: public, ResourceOwner: new("arn:aws:iam::123456789012:root")}), "implicitDeny")
	equal(t, "a role", simulate(&iam.SimulateCustomPolicyInput{PolicyInputList: own, ResourceArns: []string{appARN}, CallerArn: new(arn + "role/r"),
		ResourcePolicy: new(`{"Statement":{"Effect":"Allow","Principal":{"AWS":"` + arn + `role/r"},"Action":"ecr:PutImage"}}`)}), "allowed ResourcePolicy -aws:username")

	var actions, seen []string
	for i := range 25 {
		actions = append(actions, fmt.Sprintf("ecr:Action%d", i))
	}
	in := &iam.SimulateCustomPolicyInput{PolicyInputList: []string{all}, ActionNames: actions, MaxItems: new(int32(10))}
	pages := 0
	for p := iam.NewSimulateCustomPolicyPaginator(c, in); p.HasMorePages(); pages++ {
		for _, r := range ok[*iam.SimulateCustomPolicyOutput](t)(p.NextPage(ctx)).EvaluationResults {
			seen = append(seen, *r.EvalActionName)
		}
	}
	if pages != 3 || !slices.Equal(seen, actions) {
		t.Errorf("%d pages with %q", pages, seen)
	}

	entry := func(key, kind string, values ...string) []types.ContextEntry {
		return []types.ContextEntry{{ContextKeyName: &key, ContextKeyType: types.ContextKeyTypeEnum(kind), ContextKeyValues: values}}
	}
	long := []string{}
	for i := range 40 {
		long = append(long, fmt.Sprintf("arn:aws:ecr:us-east-1:123456789012:repository/app-%d", i))
	}
	for what, tt := range map[string]struct {
		in      iam.SimulateCustomPolicyInput
		message string
	}{
		"no policy":         {iam.SimulateCustomPolicyInput{PolicyInputList: []string{"{}"}}, "Invalid policy PolicyInputList.1: Statement: must be a statement or a list of at least one"},
		"a principal":       {iam.SimulateCustomPolicyInput{PolicyInputList: []string{*public}}, "Invalid policy PolicyInputList.1: statement 1, Principal: must not be in a policy of this kind (identity)"},
		"two boundaries":    {iam.SimulateCustomPolicyInput{PermissionsBoundaryPolicyInputList: []string{all, all}}, "Only one permissions boundary policy can be given."},
		"no caller":         {iam.SimulateCustomPolicyInput{ResourcePolicy: public}, "CallerArn must be given with a resource policy."},
		"a session":         {iam.SimulateCustomPolicyInput{CallerArn: new("arn:aws:sts::123456789012:assumed-role/r/s")}, `Invalid CallerArn: "arn:aws:sts::123456789012:assumed-role/r/s" is not the ARN of a user or a role.`},
		"a root":            {iam.SimulateCustomPolicyInput{CallerArn: new(arn + "root")}, `Invalid CallerArn: "` + arn + `root" is not the ARN of a user or a role.`},
		"an owner":          {iam.SimulateCustomPolicyInput{ResourceOwner: new("me")}, `Invalid ResourceOwner: "me" is neither an account's id nor the ARN of its root.`},
		"a wildcard":        {iam.SimulateCustomPolicyInput{ActionNames: []string{"ecr:*"}}, `Invalid action: "ecr:*" is not the name of an action, as in ecr:PutImage.`},
		"a resource":        {iam.SimulateCustomPolicyInput{ResourceArns: []string{"app"}}, `Invalid resource: "app" is neither an ARN nor *.`},
		"a handling":        {iam.SimulateCustomPolicyInput{ResourceHandlingOption: new("EC2-VPC-EBS")}, `ResourceHandlingOption "EC2-VPC-EBS" is not supported: it is for Amazon EC2.`},
		"an address":        {iam.SimulateCustomPolicyInput{ContextEntries: entry("aws:SourceIp", "ip", "10.0.0.300")}, `The value "10.0.0.300" of the context key aws:SourceIp is not of the type ip.`},
		"a number":          {iam.SimulateCustomPolicyInput{ContextEntries: entry("aws:Number", "numericList", "1", "one")}, `The value "one" of the context key aws:Number is not of the type numericList.`},
		"a date":            {iam.SimulateCustomPolicyInput{ContextEntries: entry("aws:CurrentTime", "date", "today")}, `The value "today" of the context key aws:CurrentTime is not of the type date.`},
		"a truth":           {iam.SimulateCustomPolicyInput{ContextEntries: entry("aws:SecureTransport", "boolean", "maybe")}, `The value "maybe" of the context key aws:SecureTransport is not of the type boolean.`},
		"bytes":             {iam.SimulateCustomPolicyInput{ContextEntries: entry("aws:Bytes", "binary", "!")}, `The value "!" of the context key aws:Bytes is not of the type binary.`},
		"two values of one": {iam.SimulateCustomPolicyInput{ContextEntries: entry("aws:TagKeys", "string", "a", "b")}, "The context key aws:TagKeys is of the type string and has more than one value."},
		"no key":            {iam.SimulateCustomPolicyInput{ContextEntries: entry("TagKeys", "string", "a")}, `Invalid context key: "TagKeys" is not a condition key, as in aws:SourceIp.`},
		"a key twice": {iam.SimulateCustomPolicyInput{ContextEntries: append(entry("aws:SourceIp", "ip", "10.0.0.1"), entry("aws:sourceip", "ip", "10.0.0.2")...)},
			"The context key aws:sourceip is given more than once."},
		"too long": {iam.SimulateCustomPolicyInput{ActionNames: actions, ResourceArns: []string{appARN + strings.Repeat("a", 1900)},
			PolicyInputList: statement(`{"Effect":"Allow","Action":"ecr:*","Resource":"arn:aws:ecr:*:*:` + strings.Repeat("a*", 15_000) + `b"}`)},
			"The simulation is too large: give fewer actions, resources or policies, or a smaller MaxItems."},
		"too much": {iam.SimulateCustomPolicyInput{ActionNames: append(slices.Clone(actions), "a:b"), ResourceArns: long}, "The simulation is too large: give fewer actions, resources or policies, or a smaller MaxItems."},
	} {
		if tt.in.PolicyInputList == nil {
			tt.in.PolicyInputList = []string{all}
		}
		if tt.in.ActionNames == nil {
			tt.in.ActionNames = []string{"ecr:PutImage"}
		}
		_, err := c.SimulateCustomPolicy(ctx, &tt.in)
		refused(t, what, err, "InvalidInput", tt.message)
	}
	for kind, v := range map[string]string{"string": "x", "numeric": "-1.5", "boolean": "TRUE", "ip": "2001:db8::1", "binary": "AAEC", "date": "2026-01-31"} {
		equal(t, kind, simulate(&iam.SimulateCustomPolicyInput{PolicyInputList: []string{all}, ContextEntries: entry("a:key", kind, v)}), "allowed PolicyInputList.1")
	}
}

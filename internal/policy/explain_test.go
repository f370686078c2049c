package policy_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"berth/internal/policy"
)

// attached parses policies of a kind from lists of statements.
func attached(t testing.TB, k policy.Kind, statements ...string) []policy.Attached {
	t.Helper()
	var out []policy.Attached
	for i, s := range statements {
		p, err := policy.Parse(`{"Version":"2012-10-17","Statement":[`+s+`]}`, policy.Options{Kind: k})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, policy.Attached{Name: fmt.Sprint("p", i+1), Policy: p})
	}
	return out
}

const someApp = "arn:aws:ecr:us-east-1:123456789012:repository/app"

func push(account string, context map[string][]string) *policy.Request {
	return &policy.Request{
		Principal: policy.Principal{Type: policy.User, ARN: "arn:aws:iam::" + account + ":user/alice", Account: account},
		Action:    "ecr:PutImage", Resource: someApp, ResourceAccount: "123456789012", Context: policy.NewContext(context),
	}
}

func TestAnExplanationSaysWhatEveryPolicySays(t *testing.T) {
	t.Parallel()
	p := &policy.Policies{
		Identity: attached(t, policy.Identity,
			`{"Sid":"Other","Effect":"Allow","Action":"ecr:GetLifecyclePolicy","Resource":"*"},
			 {"Sid":"Team","Effect":"Allow","Action":"ecr:Put*","Resource":"arn:aws:ecr:*:*:repository/${aws:UserName}*",
			  "Condition":{"StringEquals":{"aws:ResourceTag/team":["red","blue"]},"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}`,
			`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"aws:MultiFactorAuthPresent":true}}}`),
		Repository: attached(t, policy.Repository,
			`{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::123456789012:user/bob"},"Action":"ecr:PutImage"}`),
	}
	e := policy.Explain(push("123456789012", map[string][]string{
		"aws:username": {"app"}, "aws:ResourceTag/team": {"green"}, "aws:SourceIp": {"10.1.2.3"},
	}), p)
	want := policy.Explanation{
		Decision: policy.Decision{Reason: policy.NoAllow, By: policy.Source{Kind: policy.Identity}},
		Policies: []policy.Testimony{
			{Kind: policy.Identity, Index: 1, Policy: "p1", Statements: []policy.StatementTestimony{{
				Statement: 2, Sid: "Team", Effect: "Allow", Principal: true, Conditions: []policy.ConditionResult{
					{Operator: "StringEquals", Key: "aws:ResourceTag/team", Values: []string{"red", "blue"}, Request: []string{"green"}},
					{Operator: "IpAddress", Key: "aws:SourceIp", Values: []string{"10.0.0.0/8"}, Request: []string{"10.1.2.3"}, Holds: true},
				},
			}}},
			{Kind: policy.Identity, Index: 2, Policy: "p2", Missing: []string{"aws:MultiFactorAuthPresent"}, Statements: []policy.StatementTestimony{{
				Statement: 1, Effect: "Allow", Principal: true, Conditions: []policy.ConditionResult{
					{Operator: "Bool", Key: "aws:MultiFactorAuthPresent", Values: []string{"true"}},
				},
			}}},
			{Kind: policy.Repository, Index: 1, Policy: "p1", Statements: []policy.StatementTestimony{{Statement: 1, Effect: "Deny"}}},
		},
	}
	// Through JSON, which is how explanations are kept.
	var got policy.Explanation
	text, err := json.Marshal(e)
	if err == nil {
		err = json.Unmarshal(text, &got)
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Explain = %s, %v\nwant %+v", text, err, want)
	}
	if e.Says("Allow", policy.Identity) || e.Says("Deny", policy.Repository) {
		t.Errorf("a statement applies in %s", text)
	}
	if got := e.Missing(policy.Identity); !reflect.DeepEqual(got, []string{"aws:MultiFactorAuthPresent"}) {
		t.Errorf("Missing = %q", got)
	}
	if got := policy.Explain(push("123456789012", nil), p).Missing(policy.Identity); !reflect.DeepEqual(got, []string{"aws:UserName", "aws:MultiFactorAuthPresent"}) {
		t.Errorf("Missing of a request that no variable matches = %q", got)
	}
}

func TestStatementsAreWhereTheyAre(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]policy.Position{
		`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`:                                               {{Line: 1, Column: 14}, {Line: 1, Column: 60}},
		"{\"Id\":\"[é]\",\n \"Statement\" :\n  [ {\"Effect\":\"Allow\",\n\"Action\":\"*\",\"Resource\":\"*\"}\n]\n}": {{Line: 3, Column: 5}, {Line: 4, Column: 29}},
	} {
		p, err := policy.Parse(text, policy.Options{Kind: policy.Identity})
		if err != nil {
			t.Fatal(err)
		}
		e := policy.Explain(push("123456789012", nil), &policy.Policies{Identity: []policy.Attached{{Policy: p}}})
		if got := e.Policies[0].Statements[0]; got.Start != want[0] || got.End != want[1] {
			t.Errorf("%s is from %v to %v, want %v", text, got.Start, got.End, want)
		}
	}
}

// An explanation decides as Decide does, and its statements are those that decide.
func TestExplanationsAgreeWithDecisions(t *testing.T) {
	t.Parallel()
	for seed := uint64(1); seed <= 3000; seed++ {
		g := &generator{rand.New(rand.NewPCG(seed, 42))}
		o, p, _ := g.policies(t)
		o.request, o.context = g.request()
		o.request.Context = policy.NewContext(o.context)
		e := policy.Explain(&o.request, p)
		if d := policy.Decide(&o.request, p); e.Decision != d {
			t.Fatalf("seed %d: Explain decides %+v, Decide %+v", seed, e.Decision, d)
		}
		for _, source := range []policy.Source{e.By, e.With} {
			if source.Statement == 0 {
				continue
			}
			found := false
			for _, p := range e.Policies {
				for _, s := range p.Statements {
					if p.Kind == source.Kind && p.Level == source.Level && p.Index == source.Index && s.Statement == source.Statement {
						found = s.Applies && s.Sid == source.Sid && (s.Effect == "Allow") == e.Allowed
					}
				}
			}
			if !found {
				t.Fatalf("seed %d: %+v decides, and the explanation says otherwise: %s", seed, source, pretty(e))
			}
		}
		if e.Reason == policy.NoAllow && !o.request.RootRepairs {
			for _, k := range []policy.Kind{policy.Identity, policy.Boundary, policy.Repository, policy.Registry, policy.Session} {
				if e.Says("Deny", k) {
					t.Fatalf("seed %d: nothing denies, and a deny of the kind %s applies", seed, k)
				}
			}
		}
	}
}

// Across accounts, neither side learns of the other's policies and tags.
func TestExplanationsForOneSide(t *testing.T) {
	t.Parallel()
	p := &policy.Policies{
		Identity: attached(t, policy.Identity,
			`{"Sid":"Mine","Effect":"Allow","Action":"ecr:*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/own":"secret-p"}}},
			 {"Sid":"Probe","Effect":"Deny","Action":"ecr:*","Resource":"*","Condition":{"StringEquals":{"ecr:ResourceTag/team":"secret-r"}}},
			 {"Sid":"ProbeByName","Effect":"Allow","Action":"ecr:*","Resource":"arn:aws:ecr:*:*:*/${aws:ResourceTag/team,'app'}"}`),
		Repository: attached(t, policy.Repository,
			`{"Sid":"Theirs","Effect":"Deny","Principal":"*","Action":"ecr:*","Condition":{"StringEquals":{"aws:PrincipalTag/own":"secret-p"}}},
			 {"Sid":"Plain","Effect":"Allow","Principal":"*","Action":"ecr:*","Condition":{"Null":{"aws:ResourceTag/other":"true"}}}`),
	}
	r := push("210987654321", map[string][]string{"aws:PrincipalTag/own": {"secret-p"}, "ecr:ResourceTag/team": {"secret-r"}})
	e := policy.Explain(r, p)
	if e.By.Sid != "Probe" && e.By.Sid != "Theirs" {
		t.Fatalf("Explain = %s", pretty(e))
	}
	owner, caller := pretty(e.ForOwner()), pretty(e.ForPrincipal())
	for text, wants := range map[string]bool{
		"Mine": false, "Probe": false, "secret-r": false, "Theirs": true, `"hidden": true`: true, "Plain": true, "aws:ResourceTag/other": true, "secret-p": false,
	} {
		if strings.Contains(owner, text) != wants {
			t.Errorf("the owner sees %s: %t, want %t\n%s", text, !wants, wants, owner)
		}
	}
	for text, wants := range map[string]bool{
		"Mine": true, "secret-p": true, `"Probe"`: true, "ProbeByName": false, "secret-r": false, "ResourceTag": false, "Theirs": false, "Plain": false, "other": false,
	} {
		if strings.Contains(caller, text) != wants {
			t.Errorf("the principal's account sees %s: %t, want %t\n%s", text, !wants, wants, caller)
		}
	}
	if o, c := e.ForOwner(), e.ForPrincipal(); o.By.Statement != 0 || c.By.Statement != 0 || o.Allowed || c.Allowed {
		t.Errorf("what decided is hidden, and yet it is %+v and %+v", o.By, c.By)
	}
	delete := attached(t, policy.Identity, `{"Sid":"No","Effect":"Deny","Action":"ecr:*","Resource":"*"}`)
	e = policy.Explain(r, &policy.Policies{Identity: delete})
	if o, c := e.ForOwner(), e.ForPrincipal(); o.By != (policy.Source{Kind: policy.Identity}) || c.By.Sid != "No" {
		t.Errorf("a deny of the principal's is %+v to the owner and %+v at home", o.By, c.By)
	}
}

func TestExplanationsAreCutToFit(t *testing.T) {
	t.Parallel()
	values := func(n int, text string) string { return strings.TrimSuffix(strings.Repeat(`"`+text+`",`, n), ",") }
	statement := func(action, values string) string {
		return `{"Effect":"Allow","Action":"` + action + `","Resource":"*","Condition":{"StringNotEquals":{"a:b":[` + values + `]}}}`
	}
	long := strings.Repeat("é", 200)
	for name, tt := range map[string]struct {
		statements string
		cut        bool
		most       int
		left       int // statements
	}{
		"short":               {statement("ecr:*", values(20, "x")), false, 4096, 1},
		"long values":         {statement("ecr:*", values(3, long)), true, 1024, 1},
		"many values":         {statement("ecr:*", values(1000, "x")), true, 1024, 1},
		"many that apply not": {statement("ecr:*", values(1, "x")) + strings.Repeat(","+statement("ecr:*", values(1, "v")), 50), true, 1024, 1},
		"many that apply":     {statement("ecr:*", values(1, "x")) + strings.Repeat(","+statement("ecr:*", values(1, "x")), 50), true, 1024, 0},
	} {
		p := &policy.Policies{Identity: attached(t, policy.Identity, tt.statements)}
		e := policy.Explain(push("123456789012", map[string][]string{"a:b": {"v"}}), p).Within(tt.most)
		text, err := json.Marshal(e)
		left := 0
		for _, p := range e.Policies {
			left += len(p.Statements)
		}
		if err != nil || len(text) > tt.most || e.Cut != tt.cut || left != tt.left || !e.Allowed {
			t.Errorf("%s: %d bytes, cut %t, %d statements, %v: %s", name, len(text), e.Cut, left, err, text)
		}
	}
}

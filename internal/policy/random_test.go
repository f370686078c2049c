package policy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"berth/internal/policy"
)

// How many random policies are compared; make test-all says ORACLE_POLICIES=1000000.
const someRandomPolicies = 20000

// Random policies decide random requests as the oracle does.
func TestDecisionsAreThoseOfTheOracle(t *testing.T) {
	t.Parallel()
	want := someRandomPolicies
	if s := os.Getenv("ORACLE_POLICIES"); s != "" {
		var err error
		if want, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	policies, decisions, differences := 0, 0, 0
	seen := map[string]int{}
	for seed := uint64(1); policies < want; seed++ {
		g := &generator{rand.New(rand.NewPCG(seed, 20121017))}
		o, p, n := g.policies(t)
		policies += n
		for i := range 4 {
			o.request, o.context = g.request()
			o.request.Context = policy.NewContext(o.context)
			if i%2 == 0 { // the keys that the policies read are enough
				o.request.Context = policy.NewContext(those(o.context, p.Keys()))
			}
			d := policy.Decide(&o.request, p)
			allowed, why, kind := o.decide()
			decisions++
			got := by(d)
			if d.Allowed {
				got = ""
			}
			if d.Allowed != allowed || d.Reason != why || got != by(policy.Decision{By: policy.Source{Kind: kind}}) {
				if differences++; differences <= 3 {
					t.Errorf("seed %d: Decide = %+v, the oracle says %t, %d, %s\nrequest %+v\n%s", seed, d, allowed, why, kind, o.request, pretty(o.policies))
				}
			}
			for _, source := range []policy.Source{d.By, d.With} {
				if source.Statement > 0 && !o.wrote(source, d.Allowed) {
					differences++
					t.Errorf("seed %d: Decide = %+v, but that statement does not decide so\nrequest %+v\n%s", seed, d, o.request, pretty(o.policies))
				}
			}
			seen[fmt.Sprintf("%d %s", d.Reason, by(d))]++
		}
	}
	t.Logf("%d policies, %d decisions, %d differences; by reason and kind: %v", policies, decisions, differences, seen)
	for r := policy.NoAllow; r <= policy.ExplicitDeny; r++ {
		for _, k := range oracleOrder {
			name := fmt.Sprintf("%d %s", r, by(policy.Decision{By: policy.Source{Kind: k}}))
			if k != policy.Registry && seen[name] == 0 || k == policy.Registry && r == policy.ExplicitDeny && seen[name] == 0 {
				t.Errorf("no decision was %s: the policies are not random enough", name)
			}
		}
	}
}

// those returns the keys that are in a set.
func those(context map[string][]string, keys policy.Keys) map[string][]string {
	out := map[string][]string{}
	for key, values := range context {
		if keys.Has(strings.ToLower(key)) {
			out[key] = values
		}
	}
	return out
}

// by returns the name of the kind that decided.
func by(d policy.Decision) string {
	name, _ := d.By.Kind.MarshalText()
	if d.By.Kind == 0 {
		return ""
	}
	return string(name)
}

func pretty(v any) string {
	b, _ := json.MarshalIndent(v, "", " ")
	return string(b)
}

// generator makes policies and requests of few words, so that they often meet.
type generator struct{ *rand.Rand }

func pick[T any](g *generator, list ...T) T { return list[g.IntN(len(list))] }

// some returns one value, or a list of up to three.
func some(g *generator, one func() any) any {
	if g.IntN(3) > 0 {
		return one()
	}
	list := []any{one()}
	for range g.IntN(3) {
		list = append(list, one())
	}
	return list
}

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func (g *generator) policies(t *testing.T) (*oracle, *policy.Policies, int) {
	o, p, count := &oracle{policies: map[policy.Kind][][]map[string]any{}}, &policy.Policies{}, 0
	list := func(k policy.Kind, most int) []policy.Attached {
		var out []policy.Attached
		docs := []map[string]any{}
		for range g.IntN(most + 1) {
			doc, parsed := g.policy(t, k)
			docs = append(docs, doc)
			out = append(out, policy.Attached{Policy: parsed})
			count++
		}
		o.policies[k] = append(o.policies[k], docs)
		return out
	}
	p.Identity = list(policy.Identity, 3)
	p.Repository = list(policy.Repository, 1)
	p.Registry = list(policy.Registry, 1)
	if g.chance(30) {
		p.Boundary = list(policy.Boundary, 1)
	}
	if g.chance(30) {
		p.Session = list(policy.Session, 2)
	}
	if g.chance(15) {
		p.Trust = list(policy.Trust, 1)
	}
	if g.chance(15) {
		p.Key = list(policy.Key, 2)
	}
	if g.chance(15) {
		p.Endpoint = list(policy.Endpoint, 1)
	}
	for g.chance(15) {
		p.ServiceControl = append(p.ServiceControl, list(policy.ServiceControl, 2))
	}
	for g.chance(10) {
		p.ResourceControl = append(p.ResourceControl, list(policy.ResourceControl, 2))
	}
	return o, p, count
}

// policy makes a document, and reads its text as the package and as the oracle do.
func (g *generator) policy(t *testing.T, k policy.Kind) (map[string]any, *policy.Policy) {
	doc := map[string]any{}
	variables := g.chance(85)
	if variables {
		doc["Version"] = "2012-10-17"
	} else if g.chance(50) {
		doc["Version"] = "2008-10-17"
	}
	var statements []any
	for range 1 + g.IntN(3) {
		statements = append(statements, g.statement(k, variables))
	}
	doc["Statement"] = statements
	if len(statements) == 1 && g.chance(50) {
		doc["Statement"] = statements[0]
	}
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse(string(text), policy.Options{Kind: k})
	if err != nil {
		t.Fatalf("Parse(%s): %v", text, err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var read map[string]any
	if err := dec.Decode(&read); err != nil {
		t.Fatal(err)
	}
	return read, p
}

func (g *generator) statement(k policy.Kind, variables bool) map[string]any {
	s := map[string]any{"Effect": "Allow"}
	if g.chance(25) {
		s["Effect"] = "Deny"
	}
	g.not(s, "Action", 12, func() any {
		return pick(g, "*", "ecr:*", "ecr:Put*", "ECR:putimage", "ecr:PutImage", "ecr:Batch*Image", "ecr:???Image", "ecr:Get*", "s3:*", "ecr:*i*a*e", "*:*")
	})
	if k != policy.Trust && (k != policy.Repository || g.chance(50)) {
		g.not(s, "Resource", 12, g.resource)
	}
	switch k {
	case policy.ResourceControl:
		s["Principal"] = "*"
	case policy.Repository, policy.Registry, policy.Trust, policy.Endpoint, policy.Key:
		name := "Principal"
		if s["Effect"] == "Deny" && k != policy.Trust && g.chance(40) {
			name = "NotPrincipal"
		}
		s[name] = g.principals()
	}
	if g.chance(45) {
		block := map[string]any{}
		for range 1 + g.IntN(2) {
			op, keys := g.condition(variables)
			block[op] = keys
		}
		s["Condition"] = block
	}
	return s
}

// not sets a member, or sometimes its opposite.
func (g *generator) not(s map[string]any, name string, percent int, one func() any) {
	if g.chance(percent) {
		name = "Not" + name
	}
	s[name] = some(g, one)
}

func (g *generator) resource() any {
	return pick(g, "*", "*", "arn:aws:ecr:*", "arn:aws:ecr", "arn:aws:ecr:us-east-1:111111111111:repository/a", "arn:aws:ecr:us-*-1:111111111111:repository/*",
		"arn:aws:ecr:*:*:repository/?", "arn:aws:ecr:*:*:repository/a/*", "arn:aws:ecr:us-east-1:222222222222:repository/*", "arn:aws:s3:::*",
		"arn:aws:ecr:*:*:repository/${k:s}", "arn:aws:ecr:*:*:repository/${k:s, 'a'}*", "arn:aws:ecr:*:*:repository/*${k:S}*", "arn:aws:ecr:*:*:repository/${*}", "arn:aws:ecr:*:${k:s,'1'}11111111111:*/a*")
}

var entries = []string{
	"111111111111", "222222222222", "arn:aws:iam::111111111111:root", "arn:aws:iam::222222222222:root",
	"arn:aws:iam::111111111111:user/u", "arn:aws:iam::222222222222:user/u", "arn:aws:iam::111111111111:role/p/r", "arn:aws:iam::222222222222:role/r",
	"arn:aws:sts::111111111111:assumed-role/r/s", "arn:aws:sts::222222222222:assumed-role/r/s", "arn:aws:sts::111111111111:federated-user/f", "*",
}

func (g *generator) principals() any {
	if g.chance(15) {
		return "*"
	}
	out := map[string]any{}
	if g.chance(90) {
		out["AWS"] = some(g, func() any { return pick(g, entries...) })
	}
	if len(out) == 0 || g.chance(20) {
		out["Service"] = some(g, func() any { return pick(g, "ecs-tasks.amazonaws.com", "lambda.amazonaws.com") })
	}
	if g.chance(10) {
		out["Federated"] = "accounts.google.com"
	}
	return out
}

// Values that conditions and requests take from.
var (
	words    = []string{"", "a", "A", "b", "ab", "a*b", "a?b", "*", "é", "Ärger", "ärger", "${k:s}", "a:b", "aXb"}
	likes    = []string{"*", "a*", "*b", "a?b", "?", "??", "a*b*", "*é*", "*a*", "", "?rger", "a**b"}
	vars     = []string{"${k:s}", "${K:s}x", "${k:t, 'a'}", "a${*}b", "a${?}b", "${$}{k:s}", "*${k:t}", "${ k:t , 'A' }*", "${k:l}", "${k:none,''}"}
	numbers  = []string{"0", "-0", "1", "1.0", "01", "-1", "10", "9007199254740993", "9007199254740992", "0.5", "-0.5", "1e3", "x", ""}
	dates    = []string{"2026", "2026-01", "2026-01-02", "2026-01-02T03:04Z", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.5+02:00", "2026-01-02T01:04:05.500-00:00", "1767323045", "1767323045.5", "-1", "0", "2026-13-01", "2026-02-30", "x"}
	bools    = []string{"true", "false", "True", "x"}
	binaries = []string{"", "AAEC", "AAED", "AA=="}
	nets     = []string{"10.0.0.0/8", "10.1.2.3", "10.1.2.3/16", "0.0.0.0/0", "2001:db8::/32", "2001:db8::1", "::/0", "::ffff:10.0.0.0/104"}
	ips      = []string{"10.1.2.3", "11.0.0.1", "2001:db8::1", "::ffff:10.9.9.9", "x", ""}
	arns     = []string{"arn:aws:iam::111111111111:role/p/r", "arn:aws:iam::111111111111:user/u", "arn:aws:ecr:us-east-1:111111111111:repository/a:b", "arn:aws:s3:::b", "arn:aws:iam", "x", "a"}
	arnLikes = []string{"*", "arn:aws:iam::*:role/*", "arn:*:*:*:*:*", "arn:aws:iam::1*:user/${k:s}", "${k:a}", "${k:a}*", "arn:aws:iam::111111111111:*", "arn:aws:ecr:us-*:?11111111111:repository/*:b", "arn:aws:s3:*:*:${k:t, 'b'}", "arn:aws:s3:::${k:t,'::'}"}
)

func (g *generator) condition(variables bool) (string, map[string]any) {
	op, key, from := "", "", []string(nil)
	switch g.IntN(9) {
	case 0, 1:
		op, from = pick(g, "StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"), words
	case 2:
		op, from = pick(g, "StringLike", "StringNotLike"), likes
	case 3:
		op, key, from = "Numeric"+pick(g, "Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"), "k:n", numbers[:11]
	case 4:
		op, key, from = "Date"+pick(g, "Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"), "k:d", dates[:11]
	case 5:
		op, key, from = pick(g, "IpAddress", "NotIpAddress"), "k:i", nets
	case 6:
		op, key, from = "Arn"+pick(g, "Equals", "Like", "NotEquals", "NotLike"), "k:a", arnLikes
	case 7:
		if g.chance(50) {
			return "Null", map[string]any{pick(g, "k:s", "k:none", "k:l"): pick[any](g, true, "false", "True", []any{true, false})}
		}
		op, key, from = "Bool", "k:b", bools[:3]
	case 8:
		op, key, from = "BinaryEquals", "k:y", binaries
	}
	texts := key == ""
	if texts {
		key = pick(g, "k:s", "K:S", "k:t", "k:l", "k:l", "k:none")
	}
	value := func() any {
		if texts && g.chance(35) {
			return pick(g, vars...)
		}
		v := pick(g, from...)
		if key == "k:a" && v[0] == '$' && !variables {
			return "arn:aws:iam::${k:none,'1'}*:*/u" // to an old version a variable is text, which is no ARN
		}
		return v
	}
	op = pick(g, "", "", "", "ForAllValues:", "ForAnyValue:") + op + pick(g, "", "", "", "IfExists")
	return op, map[string]any{key: some(g, value)}
}

func (g *generator) request() (policy.Request, map[string][]string) {
	one, two := "111111111111", "222222222222"
	r := policy.Request{
		Action:          pick(g, "ecr:PutImage", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ECR:PUTIMAGE", "s3:GetObject"),
		Resource:        "arn:aws:ecr:us-east-1:" + one + ":repository/" + pick(g, "a", "b", "a/b", "ab", "*"),
		ResourceAccount: one,
		RootRepairs:     g.chance(10),
		Principal: pick(g,
			policy.Principal{Type: policy.User, ARN: "arn:aws:iam::" + one + ":user/u", Account: one},
			policy.Principal{Type: policy.User, ARN: "arn:aws:iam::" + two + ":user/u", Account: two},
			policy.Principal{Type: policy.AssumedRole, ARN: "arn:aws:sts::" + one + ":assumed-role/r/s", Parent: "arn:aws:iam::" + one + ":role/p/r", Account: one},
			policy.Principal{Type: policy.AssumedRole, ARN: "arn:aws:sts::" + two + ":assumed-role/r/s", Parent: "arn:aws:iam::" + two + ":role/r", Account: two},
			policy.Principal{Type: policy.AssumedRole, ARN: "arn:aws:iam::" + one + ":role/p/r", Account: one},
			policy.Principal{Type: policy.AssumedRole, ARN: "arn:aws:sts::" + one + ":assumed-role/l/s", Parent: "arn:aws:iam::" + one + ":role/l", Account: one, ServiceLinked: true},
			policy.Principal{Type: policy.FederatedUser, ARN: "arn:aws:sts::" + one + ":federated-user/f", Parent: "arn:aws:iam::" + one + ":user/u", Account: one},
			policy.Principal{Type: policy.Root, ARN: "arn:aws:iam::" + one + ":root", Account: one},
			policy.Principal{Type: policy.Root, ARN: "arn:aws:iam::" + two + ":root", Account: two},
			policy.Principal{Type: policy.Service, Name: "ecs-tasks.amazonaws.com"},
			policy.Principal{Type: policy.Federated, Name: "accounts.google.com"},
			policy.Principal{}),
	}
	if g.chance(10) {
		r.Resource, r.ResourceAccount = "*", r.Principal.Account
	}
	c := map[string][]string{}
	set := func(percent int, from []string, keys ...string) {
		if g.chance(percent) {
			c[pick(g, keys...)] = []string{pick(g, from...)}
		}
	}
	set(70, words, "k:s", "K:s")
	set(40, words, "k:t")
	set(80, numbers, "k:n")
	set(80, dates, "k:d")
	set(80, bools, "K:B", "k:b")
	set(80, binaries, "k:y")
	set(80, ips, "k:i")
	set(80, arns, "k:a")
	if g.chance(60) {
		list := []string{}
		for range g.IntN(4) {
			list = append(list, pick(g, words...))
		}
		c["k:l"] = list
	}
	return r, c
}

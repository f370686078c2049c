package access

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"berth/internal/fault"
	"berth/internal/policy"
)

// members answers with the places of accounts.
type members map[string]*Membership

// Membership implements [Organizations].
func (m members) Membership(account string, _ bool) (*Membership, error) { return m[account], nil }

// broken is an organization that cannot be read.
type broken struct{}

// Membership implements [Organizations].
func (broken) Membership(string, bool) (*Membership, error) { return nil, errors.New("away") }

const (
	awayAccount = "210987654321"
	everything  = `{"Effect":"Allow","Action":"*","Resource":"*"}`
	everybody   = `{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}`
)

// want fails the test unless the decision is the one wanted: "" for allowed, or the
// end of the refusal.
func want(t *testing.T, what string, err error, end string) {
	t.Helper()
	f, _ := fault.As(err)
	if (err == nil) != (end == "") || err != nil && (f == nil || !strings.HasSuffix(f.Message, end)) {
		t.Errorf("%s: Decide = %v, want %q", what, err, end)
	}
}

func TestPoliciesOfAnOrganizationLimitRootsToo(t *testing.T) {
	t.Parallel()
	full := attach(t, policy.ServiceControl, everything)
	deny := attach(t, policy.ServiceControl, `{"Effect":"Deny","Action":"ecr:PutImage","Resource":"*"}`)
	reads := attach(t, policy.ServiceControl, `{"Effect":"Allow","Action":"ecr:Get*","Resource":"*"}`)
	fullR := attach(t, policy.ResourceControl, everybody)
	denyR := attach(t, policy.ResourceControl, `{"Effect":"Deny","Principal":"*","Action":"ecr:PutImage","Resource":"*"}`)
	const denied, lacks = " with an explicit deny in a service control policy", " because no service control policy allows the ecr:PutImage action"
	const deniedR, lacksR = " with an explicit deny in a resource control policy", " because no resource control policy allows the ecr:PutImage action"
	levels := func(l ...[]policy.Attached) [][]policy.Attached { return l }
	both := append(append([]policy.Attached{}, full...), deny...)
	bothR := append(append([]policy.Attached{}, fullR...), denyR...)
	root := func(account string) Caller {
		return Caller{Account: account, ARN: "arn:aws:iam::" + account + ":root", ID: account, Type: Root}
	}
	share := attach(t, policy.Repository, `{"Effect":"Allow","Principal":"*","Action":"ecr:PutImage"}`)
	for name, tt := range map[string]struct {
		members members
		caller  Caller
		action  string
		want    string
	}{
		"no organization":              {members{}, root(home), "ecr:PutImage", ""},
		"no limits":                    {members{home: {}}, root(home), "ecr:PutImage", ""},
		"all levels allow":             {members{home: {ServiceControl: levels(full, full)}}, root(home), "ecr:PutImage", ""},
		"a level denies":               {members{home: {ServiceControl: levels(both, full)}}, root(home), "ecr:PutImage", denied},
		"the last level denies":        {members{home: {ServiceControl: levels(full, both)}}, root(home), "ecr:PutImage", denied},
		"a level does not allow":       {members{home: {ServiceControl: levels(reads, full)}}, root(home), "ecr:PutImage", lacks},
		"a level is empty":             {members{home: {ServiceControl: levels(full, nil)}}, root(home), "ecr:PutImage", lacks},
		"resources":                    {members{home: {ResourceControl: levels(fullR)}}, root(home), "ecr:PutImage", ""},
		"resources are denied":         {members{home: {ResourceControl: levels(bothR)}}, root(home), "ecr:PutImage", deniedR},
		"resources are not allowed":    {members{home: {ResourceControl: levels(nil)}}, root(home), "ecr:PutImage", lacksR},
		"resources of IAM":             {members{home: {ResourceControl: levels(nil)}}, root(home), "iam:CreateUser", ""},
		"from abroad":                  {members{home: {ServiceControl: levels(both)}}, root(awayAccount), "ecr:PutImage", ""},
		"from abroad, resources":       {members{home: {ResourceControl: levels(bothR)}}, root(awayAccount), "ecr:PutImage", deniedR},
		"from abroad, denied there":    {members{awayAccount: {ServiceControl: levels(both)}}, root(awayAccount), "ecr:PutImage", denied},
		"from abroad, resources there": {members{awayAccount: {ResourceControl: levels(bothR)}}, root(awayAccount), "ecr:PutImage", ""},
	} {
		a := &Authorizer{Organizations: tt.members, Source: source(func(Caller) (Policies, error) { return Policies{Administrator: true}, nil })}
		r := Request{Caller: tt.caller, Action: tt.action, Account: home, Resource: app}
		if tt.caller.Account != home {
			r.Repository = share
		}
		want(t, name, a.Decide(t.Context(), r), tt.want)
	}
	a := &Authorizer{Organizations: broken{}, Source: source(func(Caller) (Policies, error) { return Policies{Administrator: true}, nil })}
	if err := a.Decide(t.Context(), Request{Caller: root(home), Action: "ecr:PutImage", Account: home, Resource: app}); err == nil {
		t.Error("a decision was made without knowing the organization")
	}
}

// The root of the account is the most frequent caller of small installations.
func TestARootWithoutLimitsCostsNothing(t *testing.T) {
	for name, a := range map[string]*Authorizer{
		"no organization": {},
		"a member":        {Organizations: members{home: {Organization: "o-1"}}},
	} {
		a.Source = source(func(Caller) (Policies, error) { return Policies{Administrator: true}, nil })
		r := Request{
			Caller: Caller{Account: home, ARN: "arn:aws:iam::" + home + ":root", ID: home, Type: Root, Endpoint: &Endpoint{ID: "vpce-01234567"}},
			Action: "ecr:BatchGetImage", Account: home, Resource: app,
		}
		if n := testing.AllocsPerRun(100, func() {
			if err := a.Decide(context.Background(), r); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("%s: a decision allocates %v times, want none", name, n)
		}
	}
}

func TestKeysOfEndpointsAndOrganizations(t *testing.T) {
	t.Parallel()
	m := members{
		home:        {Organization: "o-1", Path: "o-1/r-1/"},
		awayAccount: {Organization: "o-1", Path: "o-1/r-1/ou-1-2/"},
	}
	through := &Endpoint{ID: "vpce-01234567", VPC: "vpc-01234567"}
	for name, tt := range map[string]struct {
		condition string
		endpoint  *Endpoint
		members   members
		holds     bool
	}{
		"the endpoint":             {`"StringEquals":{"aws:SourceVpce":"vpce-01234567"}`, through, nil, true},
		"another endpoint":         {`"StringEquals":{"aws:SourceVpce":"vpce-00000000"}`, through, nil, false},
		"no endpoint":              {`"Null":{"aws:SourceVpce":"true","aws:SourceVpc":"true","aws:VpcSourceIp":"true"}`, nil, nil, true},
		"the VPC":                  {`"StringEquals":{"aws:SourceVpc":"vpc-01234567"}`, through, nil, true},
		"the address in the VPC":   {`"IpAddress":{"aws:VpcSourceIp":"10.0.0.0/8"}`, through, nil, true},
		"the address of no VPC":    {`"IpAddress":{"aws:VpcSourceIp":"10.0.0.0/8"}`, nil, nil, false},
		"no address of internet":   {`"Null":{"aws:SourceIp":"true"}`, through, nil, true},
		"an address":               {`"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`, nil, nil, true},
		"the organization":         {`"StringEquals":{"aws:PrincipalOrgID":"o-1","aws:ResourceOrgID":"o-1"}`, nil, m, true},
		"the path":                 {`"ForAnyValue:StringEquals":{"aws:PrincipalOrgPaths":"o-1/r-1/ou-1-2/","aws:ResourceOrgPaths":"o-1/r-1/"}`, nil, m, true},
		"no organization":          {`"Null":{"aws:PrincipalOrgID":"true","aws:PrincipalOrgPaths":"true","aws:ResourceOrgID":"true","aws:ResourceOrgPaths":"true"}`, nil, nil, true},
		"an organization, denied":  {`"Null":{"aws:PrincipalOrgID":"true"}`, nil, m, false},
		"the account of the thing": {`"StringEquals":{"aws:ResourceAccount":"` + home + `"}`, nil, m, true},
	} {
		a := &Authorizer{Organizations: tt.members, Source: source(func(Caller) (Policies, error) { return Policies{Administrator: true}, nil })}
		r := Request{
			Caller: Caller{
				Account: awayAccount, ARN: "arn:aws:iam::" + awayAccount + ":root", Type: Root, Endpoint: tt.endpoint, SourceIP: netip.MustParseAddr("10.1.2.3"),
			},
			Action: "ecr:PutImage", Account: home, Resource: app,
			Repository: attach(t, policy.Repository, `{"Effect":"Allow","Principal":"*","Action":"ecr:*","Condition":{`+tt.condition+`}}`),
			// What a service says of its own accord cannot stand in for what is known.
			Context: map[string][]string{"aws:SourceVpce": {"x"}, "aws:SourceVpc": {"x"}, "aws:VpcSourceIp": {"10.0.0.1"}, "aws:PrincipalOrgID": {"x"}},
		}
		end := ""
		if !tt.holds {
			end = " because no resource-based policy allows the ecr:PutImage action"
		}
		want(t, name, a.Decide(t.Context(), r), end)
	}
}

func TestTheEndpointMustAllow(t *testing.T) {
	t.Parallel()
	root := Caller{Account: home, ARN: "arn:aws:iam::" + home + ":root", ID: home, Type: Root}
	for name, tt := range map[string]struct{ statements, want string }{
		"no policy": {"", ""},
		"it allows": {everybody, ""},
		"it denies": {everybody + `,{"Effect":"Deny","Principal":"*","Action":"ecr:PutImage","Resource":"*"}`, " with an explicit deny in a VPC endpoint policy"},
		"it does not allow": {`{"Effect":"Allow","Principal":"*","Action":"ecr:Get*","Resource":"*"}`,
			" because no VPC endpoint policy allows the ecr:PutImage action"},
	} {
		e := &Endpoint{ID: "vpce-01234567", VPC: "vpc-01234567"}
		if tt.statements != "" {
			e.Policy = attach(t, policy.Endpoint, tt.statements)
		}
		c := root
		c.Endpoint = e
		a := &Authorizer{Source: source(func(Caller) (Policies, error) { return Policies{Administrator: true}, nil })}
		want(t, name, a.Decide(t.Context(), Request{Caller: c, Action: "ecr:PutImage", Account: home, Resource: app}), tt.want)
		for _, action := range []string{"ecr-public:BatchGetImage"} {
			r := Request{Caller: Caller{Endpoint: e}, Action: action, Account: home, Resource: PublicRepositoryARN(home, "app")}
			if a.Decide(t.Context(), r) == nil {
				t.Errorf("%s: everybody may pull from public repositories through an endpoint", name)
			}
		}
	}
}

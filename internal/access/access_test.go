package access

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"berth/internal/fault"
	"berth/internal/policy"
)

// source answers with policies, or an error.
type source func(Caller) (Policies, error)

// Policies implements PolicySource.
func (s source) Policies(_ context.Context, c Caller) (Policies, error) { return s(c) }

func TestDecide(t *testing.T) {
	t.Parallel()
	root := Caller{Account: "123456789012", ARN: "arn:aws:iam::123456789012:root", Type: Root}
	away := errors.New("the store is away")
	administrator := func(Caller) (Policies, error) { return Policies{Administrator: true}, nil }
	const refusal = "User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:PutImage on resource: arn because "
	for name, tt := range map[string]struct {
		source  source
		caller  Caller
		account string
		want    string // the message of AccessDeniedException; "" if it is allowed
	}{
		"an administrator, at home": {administrator, root, "123456789012", ""},
		"an administrator, abroad": {
			administrator, root, "210987654321", refusal + "no resource-based policy allows the ecr:PutImage action",
		},
		"somebody without policies": {
			func(Caller) (Policies, error) { return Policies{}, nil }, root, "123456789012",
			refusal + "no identity-based policy allows the ecr:PutImage action",
		},
		"nobody": {
			administrator, Caller{}, "123456789012",
			"User: anonymous is not authorized to perform: ecr:PutImage on resource: arn because no resource-based policy allows the ecr:PutImage action",
		},
		"somebody unknown with an account": {
			administrator, Caller{Account: "123456789012"}, "123456789012",
			"User: anonymous is not authorized to perform: ecr:PutImage on resource: arn because no identity-based policy allows the ecr:PutImage action",
		},
	} {
		var observed []error
		a := &Authorizer{Source: tt.source, Observe: func(_ Request, err error) { observed = append(observed, err) }}
		err := a.Decide(t.Context(), Request{Caller: tt.caller, Action: "ecr:PutImage", Account: tt.account, Resource: "arn"})
		if len(observed) != 1 || !errors.Is(err, observed[0]) && err != observed[0] {
			t.Errorf("%s: Observe was told %v of %v", name, observed, err)
		}
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s: Decide = %v, want nil", name, err)
			}
			continue
		}
		f, ok := fault.As(err)
		if !ok || f.Kind != fault.Denied || f.Code != "AccessDeniedException" || f.Message != tt.want {
			t.Errorf("%s: Decide = %v\nwant %s", name, err, tt.want)
		}
	}
	a := &Authorizer{Source: source(func(Caller) (Policies, error) { return Policies{Administrator: true}, away })}
	if err := a.Decide(t.Context(), Request{Caller: root, Account: root.Account}); !errors.Is(err, away) {
		t.Errorf("Decide without policies to decide by = %v, want the source's error", err)
	}
}

const (
	home = "123456789012"
	app  = "arn:aws:ecr:us-east-1:123456789012:repository/app"
)

// attach parses a policy of statements.
func attach(t *testing.T, k policy.Kind, statements string) []policy.Attached {
	t.Helper()
	p, err := policy.Parse(`{"Version":"2012-10-17","Statement":[`+statements+`]}`, policy.Options{Kind: k})
	if err != nil {
		t.Fatal(err)
	}
	return []policy.Attached{{Policy: p}}
}

func TestUsersMayDoWhatTheirPoliciesAllow(t *testing.T) {
	t.Parallel()
	alice := Caller{
		Account: home, ARN: "arn:aws:iam::123456789012:user/team/alice", ID: "AIDAX", Type: User, Secure: true,
		UserAgent: "docker/28", SourceIP: netip.MustParseAddr("::ffff:203.0.113.7"),
	}
	when := func(condition string) string {
		return `{"Effect":"Allow","Action":"ecr:*","Resource":"*","Condition":{` + condition + `}}`
	}
	all := when("")
	const refusal = "User: arn:aws:iam::123456789012:user/team/alice is not authorized to perform: ecr:PutImage on resource: " + app
	const none = refusal + " because no identity-based policy allows the ecr:PutImage action"
	for name, tt := range map[string]struct{ identity, boundary, want string }{
		"another action":     {`{"Effect":"Allow","Action":"ecr:Get*","Resource":"*"}`, "", none},
		"the action":         {`{"Effect":"Allow","Action":"ecr:Put*","Resource":"` + app + `"}`, "", ""},
		"another repository": {`{"Effect":"Allow","Action":"ecr:Put*","Resource":"` + app + `s"}`, "", none},
		"a deny":             {all + `,{"Effect":"Deny","Action":"ecr:PutImage","Resource":"*"}`, "", refusal + " with an explicit deny in an identity-based policy"},
		"within a boundary":  {all, `{"Effect":"Allow","Action":"ecr:PutImage","Resource":"*"}`, ""},
		"beyond a boundary":  {all, `{"Effect":"Allow","Action":"ecr:Get*","Resource":"*"}`, refusal + " because no permissions boundary allows the ecr:PutImage action"},
		"address":            {when(`"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}`), "", ""},
		"another address":    {when(`"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}`), "", none},
		"TLS":                {when(`"Bool":{"aws:SecureTransport":"true"}`), "", ""},
		"the time":           {when(`"DateGreaterThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"},"DateLessThan":{"aws:CurrentTime":"2026-01-03T00:00:00Z"}`), "", ""},
		"another time":       {when(`"DateLessThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}`), "", none},
		"the epoch":          {when(`"NumericEquals":{"aws:EpochTime":"1767312000"}`), "", ""},
		"the principal": {when(`"StringEquals":{"aws:PrincipalAccount":"123456789012","aws:PrincipalType":"User","aws:userid":"AIDAX","aws:username":"alice",` +
			`"aws:UserAgent":"docker/28","aws:PrincipalTag/team":"a"},"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/team/*"}`), "", ""},
		"the repository's tag": {when(`"StringEquals":{"ecr:ResourceTag/env":"dev"}`), "", ""},
		"another tag":          {when(`"StringEquals":{"ecr:ResourceTag/env":"prod"}`), "", none},
		"a request that says what is not for it to say": {when(`"StringEquals":{"aws:username":"root"}`), "", none},
	} {
		p := Policies{Identity: attach(t, policy.Identity, tt.identity), Tags: map[string]string{"team": "a"}}
		if tt.boundary != "" {
			p.Boundary = attach(t, policy.Boundary, tt.boundary)
		}
		a := &Authorizer{
			Source: source(func(Caller) (Policies, error) { return p, nil }),
			Now:    func() time.Time { return time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC) },
		}
		err := a.Decide(t.Context(), Request{
			Caller: alice, Action: "ecr:PutImage", Account: home, Resource: app,
			Context: map[string][]string{"ecr:ResourceTag/env": {"dev"}, "AWS:UserName": {"root"}},
		})
		if f, _ := fault.As(err); (err == nil) != (tt.want == "") || err != nil && f.Message != tt.want {
			t.Errorf("%s: Decide = %v\nwant %s", name, err, tt.want)
		}
	}
}

func TestPoliciesOfTheResource(t *testing.T) {
	t.Parallel()
	const away = "210987654321"
	everything := Policies{Administrator: true, Identity: attach(t, policy.Identity, `{"Effect":"Allow","Action":"*","Resource":"*"}`)}
	alice := func(account string) Caller {
		return Caller{Account: account, ARN: "arn:aws:iam::" + account + ":user/alice", ID: "AIDAX", Type: User}
	}
	root := func(account string) Caller {
		return Caller{Account: account, ARN: "arn:aws:iam::" + account + ":root", ID: account, Type: Root}
	}
	const shares = `{"Effect":"Allow","Principal":{"AWS":"210987654321"},"Action":"ecr:PutImage"}`
	const denies = `{"Effect":"Deny","Principal":"*","Action":"ecr:*"}`
	for name, tt := range map[string]struct {
		caller     Caller
		policies   Policies
		repository string
		registry   string
		repairs    bool
		want       string // the end of the refusal
	}{
		"abroad, with both":        {alice(away), everything, shares, "", false, ""},
		"abroad, without its own":  {alice(away), Policies{}, shares, "", false, "no identity-based policy allows the ecr:PutImage action"},
		"abroad, without the repo": {alice(away), everything, "", "", false, "no resource-based policy allows the ecr:PutImage action"},
		"abroad, by the registry":  {alice(away), everything, "", `{"Effect":"Allow","Principal":{"AWS":"210987654321"},"Action":"ecr:PutImage","Resource":"*"}`, false, ""},
		"abroad, a root":           {root(away), everything, shares, "", false, ""},
		"at home, by name":         {alice(home), Policies{}, `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:user/alice"},"Action":"ecr:PutImage"}`, "", false, ""},
		"at home, denied":          {alice(home), everything, denies, "", false, "with an explicit deny in a resource-based policy"},
		"a root, denied":           {root(home), everything, denies, "", false, "with an explicit deny in a resource-based policy"},
		"a root that repairs":      {root(home), everything, denies, "", true, ""},
		"a root that is unknown":   {root(home), Policies{}, shares, "", true, "no identity-based policy allows the ecr:PutImage action"},
		"nobody":                   {Caller{}, everything, `{"Effect":"Allow","Principal":"*","Action":"ecr:PutImage"}`, "", false, "no resource-based policy allows the ecr:PutImage action"},
	} {
		r := Request{Caller: tt.caller, Action: "ecr:PutImage", Account: home, Resource: app, RootRepairs: tt.repairs}
		if tt.repository != "" {
			r.Repository = attach(t, policy.Repository, tt.repository)
		}
		if tt.registry != "" {
			r.Registry = attach(t, policy.Registry, tt.registry)
		}
		a := &Authorizer{Source: source(func(Caller) (Policies, error) { return tt.policies, nil })}
		err := a.Decide(t.Context(), r)
		if f, _ := fault.As(err); (err == nil) != (tt.want == "") || err != nil && !strings.HasSuffix(f.Message, tt.want) {
			t.Errorf("%s: Decide = %v, want %q", name, err, tt.want)
		}
	}
}

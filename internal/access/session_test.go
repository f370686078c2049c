package access

import (
	"testing"
	"time"

	"berth/internal/policy"
)

const worker = "arn:aws:iam::123456789012:role/x/worker"

func TestWhoMayAssume(t *testing.T) {
	t.Parallel()
	agent := Caller{Account: home, ARN: "arn:aws:iam::123456789012:user/agent", ID: "AIDAX", Type: User}
	assume := `{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}`
	account := `{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"}`
	service := `{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole","Condition":` +
		`{"StringEquals":{"aws:PrincipalServiceName":"ecs-tasks.amazonaws.com","aws:SourceAccount":"123456789012"},"Null":{"aws:PrincipalArn":"true","aws:userid":"true"}}}`
	provider := `{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/p.example.com"},"Action":"sts:AssumeRole"}`
	web := Caller{ARN: "arn:aws:iam::123456789012:oidc-provider/p.example.com", ID: "p.example.com:aud:sub", Type: WebIdentity}
	root := Caller{Account: home, ARN: "arn:aws:iam::123456789012:root", ID: home, Type: Root}
	ecrOnly := `{"Effect":"Allow","Action":"ecr:*","Resource":"*"}`
	ecs := []string{"lambda.amazonaws.com", "ecs-tasks.amazonaws.com"}
	for name, tt := range map[string]struct {
		caller                    Caller
		identity, boundary, trust string
		services                  []string
		account                   string
		want                      bool
	}{
		"both":                              {agent, assume, "", account, nil, home, true},
		"the trust policy alone":            {agent, "", "", account, nil, home, false},
		"the identity policy alone":         {agent, assume, "", service, nil, home, false},
		"no role":                           {agent, assume, "", "", nil, home, false},
		"a service":                         {agent, "", "", service, ecs, home, true},
		"a service, beyond a boundary":      {agent, assume, ecrOnly, service, ecs, home, false},
		"a service, within a boundary":      {agent, "", assume, service, ecs, home, true},
		"another service":                   {agent, "", "", service, ecs[:1], home, false},
		"a service in another account":      {agent, "", "", service, ecs, "210987654321", false},
		"a service, but it is denied":       {agent, `{"Effect":"Deny","Action":"sts:*","Resource":"*"}`, "", service, ecs, home, false},
		"a service, but the trust denies":   {agent, "", "", service + `,{"Effect":"Deny","Principal":{"AWS":"` + agent.ARN + `"},"Action":"sts:*"}`, ecs, home, false},
		"a root":                            {root, "", "", account, nil, home, false},
		"a token":                           {web, "", "", provider, nil, home, true},
		"a token of a provider not trusted": {web, "", "", account, nil, home, false},
		"a token without a role":            {web, "", "", "", nil, home, false},
	} {
		p := Policies{Administrator: tt.caller.Type == Root}
		if tt.identity != "" {
			p.Identity = attach(t, policy.Identity, tt.identity)
		}
		if tt.boundary != "" {
			p.Boundary = attach(t, policy.Boundary, tt.boundary)
		}
		trust := []policy.Attached{{}}
		if tt.trust != "" {
			trust = attach(t, policy.Trust, tt.trust)
		}
		a := &Authorizer{Source: source(func(Caller) (Policies, error) { return p, nil })}
		err := a.Decide(t.Context(), Request{
			Caller: tt.caller, Action: "sts:AssumeRole", Account: tt.account, Resource: worker, Trust: trust, Services: tt.services,
		})
		if (err == nil) != tt.want {
			t.Errorf("%s: Decide = %v, want allowed: %v", name, err, tt.want)
		}
	}
}

func TestNoServiceMayWhatASessionMayNot(t *testing.T) {
	t.Parallel()
	agent := Caller{Account: home, ARN: "arn:aws:sts::123456789012:assumed-role/agent/job", ID: "AROAX:job", Type: AssumedRole, Session: &Session{Owner: "AROAX"}}
	trust := attach(t, policy.Trust, `{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}`)
	for statement, want := range map[string]bool{
		"": true,
		`{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}`:                          true,
		`{"Effect":"Allow","Action":"ecr:*","Resource":"*"}`:                                   false,
		`{"Effect":"Allow","Action":"sts:*","Resource":"arn:aws:iam::123456789012:role/else"}`: false,
	} {
		var p Policies
		if statement != "" {
			p.Session = attach(t, policy.Session, statement)
		}
		a := &Authorizer{Source: source(func(Caller) (Policies, error) { return p, nil })}
		err := a.Decide(t.Context(), Request{
			Caller: agent, Action: "sts:AssumeRole", Account: home, Resource: worker, Trust: trust, Services: []string{"ecs-tasks.amazonaws.com"},
		})
		if (err == nil) != want {
			t.Errorf("with the session policy %s: Decide = %v, want allowed: %v", statement, err, want)
		}
	}
}

func TestASessionIsItsRole(t *testing.T) {
	t.Parallel()
	issued := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := Caller{
		Account: home, ARN: "arn:aws:sts::123456789012:assumed-role/worker/job", ID: "AROAX:job", Type: AssumedRole,
		Session: &Session{Parent: worker, Owner: "AROAX", IssuedAt: issued, SourceIdentity: "alice", Provider: "arn:aws:iam::123456789012:oidc-provider/p"},
	}
	if c.Principal() != "AROAX" || (Caller{ID: "AIDAX"}).Principal() != "AIDAX" {
		t.Errorf("Principal = %s, want the role", c.Principal())
	}
	a := &Authorizer{Source: source(func(Caller) (Policies, error) {
		return Policies{Identity: attach(t, policy.Identity, `{"Effect":"Allow","Action":"ecr:*","Resource":"*","Condition":{"ArnEquals":{"aws:PrincipalArn":"`+worker+`"},`+
			`"StringEquals":{"aws:userid":"AROAX:job","aws:SourceIdentity":"alice","aws:FederatedProvider":"arn:aws:iam::123456789012:oidc-provider/p","aws:TokenIssueTime":"2026-01-02T03:04:05Z",`+
			`"aws:MultiFactorAuthPresent":"false","aws:PrincipalType":"AssumedRole"},"Null":{"aws:username":"true"}}}`)}, nil
	})}
	ask := Request{Caller: c, Action: "ecr:PutImage", Account: home, Resource: app}
	if err := a.Decide(t.Context(), ask); err != nil {
		t.Errorf("Decide = %v, want it allowed", err)
	}
	ask.Caller.Session = nil
	ask.Context = map[string][]string{"AWS:SourceIdentity": {"alice"}, "aws:tokenissuetime": {"2026-01-02T03:04:05Z"}}
	if err := a.Decide(t.Context(), ask); err == nil {
		t.Error("Decide takes from a service what only the session says")
	}
}

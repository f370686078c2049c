package access

import (
	"errors"
	"regexp"
	"testing"

	"berth/internal/fault"
	"berth/internal/policy"
)

func TestEveryRefusalHasAnIDAndItsReasons(t *testing.T) {
	t.Parallel()
	const away = "210987654321"
	p := Policies{Identity: attach(t, policy.Identity, `{"Sid":"Mine","Effect":"Allow","Action":"ecr:*","Resource":"*"}`)}
	a := &Authorizer{Source: source(func(Caller) (Policies, error) { return p, nil })}
	theirs := attach(t, policy.Repository, `{"Sid":"Theirs","Effect":"Deny","Principal":"*","Action":"ecr:PutImage"}`)
	ids := map[string]bool{}
	for name, tt := range map[string]struct {
		caller        Caller
		owner, callee int // statements that are seen; -1 if nothing is
	}{
		"at home":   {Caller{Account: home, ARN: "arn:aws:iam::" + home + ":user/u", Type: User}, 2, 2},
		"abroad":    {Caller{Account: away, ARN: "arn:aws:iam::" + away + ":user/u", Type: User}, 1, 1},
		"nobody":    {Caller{}, 0, -1},
		"some root": {Caller{Account: away, ARN: "arn:aws:iam::" + away + ":root", Type: Root}, 0, 0},
	} {
		err := a.Decide(t.Context(), Request{Caller: tt.caller, Action: "ecr:PutImage", Account: home, Resource: app, Repository: theirs})
		f, ok := fault.As(err)
		if !ok || f.Kind != fault.Denied || !regexp.MustCompile(`^[a-z2-7]{20}$`).MatchString(f.DecisionID) || ids[f.DecisionID] {
			t.Fatalf("%s: Decide = %+v", name, f)
		}
		ids[f.DecisionID] = true
		r := RefusalOf(err)
		if r == nil || r.ID != f.DecisionID || r.Request.Resource != app {
			t.Fatalf("%s: RefusalOf = %+v", name, r)
		}
		owner, caller := r.Explain()
		if statements(owner) != tt.owner || statements(caller) != tt.callee {
			t.Errorf("%s: the owner sees %+v, the caller's account %+v", name, owner, caller)
		}
	}
	if RefusalOf(errors.New("no")) != nil || RefusalOf(nil) != nil {
		t.Error("what is no refusal has one")
	}
}

func statements(e *policy.Explanation) int {
	if e == nil {
		return -1
	}
	n := 0
	for _, p := range e.Policies {
		n += len(p.Statements)
	}
	return n
}

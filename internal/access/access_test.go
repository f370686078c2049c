package access

import (
	"context"
	"errors"
	"testing"

	"berth/internal/fault"
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

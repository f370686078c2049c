package policy_test

import (
	"slices"
	"testing"

	"berth/internal/policy"
)

func TestRefusalsAreWordedAsAWSDoes(t *testing.T) {
	t.Parallel()
	for kind, words := range map[policy.Kind][2]string{
		policy.Identity:        {" because no identity-based policy allows the ecr:PutImage action", " with an explicit deny in an identity-based policy"},
		policy.Boundary:        {" because no permissions boundary allows the ecr:PutImage action", " with an explicit deny in a permissions boundary"},
		policy.Session:         {" because no session policy allows the ecr:PutImage action", " with an explicit deny in a session policy"},
		policy.Repository:      {" because no resource-based policy allows the ecr:PutImage action", " with an explicit deny in a resource-based policy"},
		policy.Registry:        {" because no resource-based policy allows the ecr:PutImage action", " with an explicit deny in a resource-based policy"},
		policy.Trust:           {" because no resource-based policy allows the ecr:PutImage action", " with an explicit deny in a resource-based policy"},
		policy.Key:             {" because no resource-based policy allows the ecr:PutImage action", " with an explicit deny in a resource-based policy"},
		policy.Endpoint:        {" because no VPC endpoint policy allows the ecr:PutImage action", " with an explicit deny in a VPC endpoint policy"},
		policy.ServiceControl:  {" because no service control policy allows the ecr:PutImage action", " with an explicit deny in a service control policy"},
		policy.ResourceControl: {" because no resource control policy allows the ecr:PutImage action", " with an explicit deny in a resource control policy"},
	} {
		for i, reason := range []policy.Reason{policy.NoAllow, policy.ExplicitDeny} {
			d := policy.Decision{Reason: reason, By: policy.Source{Kind: kind}}
			if got := d.Because("ecr:PutImage"); got != words[i] {
				t.Errorf("%s: %q, want %q", kind, got, words[i])
			}
		}
	}
	if got := (policy.Decision{Allowed: true, Reason: policy.AccountRoot}).Because("ecr:PutImage"); got != "" {
		t.Errorf("an allow says %q", got)
	}
}

// The zero Decision, and that of the zero Request, is a refusal.
func TestNothingIsDenied(t *testing.T) {
	t.Parallel()
	if d := policy.Decide(&policy.Request{}, &policy.Policies{}); d.Allowed || (policy.Decision{}).Allowed {
		t.Errorf("Decide of nothing = %+v", d)
	}
	// A caller without an account is not of the account of a resource without one.
	r := policy.Request{Principal: policy.Principal{Type: policy.Root}, Action: "ecr:PutImage", Resource: "*"}
	if d := policy.Decide(&r, &policy.Policies{}); d.Allowed {
		t.Errorf("Decide for a root of no account = %+v", d)
	}
	all := policy.Attached{}
	if d := policy.Decide(&r, &policy.Policies{Identity: []policy.Attached{all}, Repository: []policy.Attached{all}}); d.Allowed {
		t.Errorf("Decide with policies that are nil = %+v", d)
	}
}

func TestContextsIgnoreTheCaseOfKeys(t *testing.T) {
	t.Parallel()
	c := policy.NewContext(map[string][]string{"aws:TagKeys": {"a"}, "AWS:tagkeys": {"b"}, "aws:None": {}})
	if got, want := c.Values("aws:tagKEYS"), []string{"b", "a"}; !slices.Equal(got, want) {
		t.Errorf("Values = %q, want %q", got, want)
	}
	c.Set("AWS:TagKeys", "c")
	if got, want := c.Values("aws:tagkeys"), []string{"c"}; !slices.Equal(got, want) {
		t.Errorf("Values after Set = %q, want %q", got, want)
	}
	c.Set("aws:tagkeys")
	if got := c.Values("aws:TagKeys"); got != nil {
		t.Errorf("Values after Set to none = %q", got)
	}
	var empty policy.Context
	empty.Set("a:b", "c")
	if got := empty.Values("a:b"); len(got) != 1 {
		t.Errorf("Values of a Context that was empty = %q", got)
	}
}

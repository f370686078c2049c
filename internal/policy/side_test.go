package policy_test

import (
	"strings"
	"testing"

	"berth/internal/policy"
)

// What limits an account is not its own to read.
func TestMembersSeeThatTheyAreLimitedAndNotHow(t *testing.T) {
	t.Parallel()
	e := policy.Explain(push("123456789012", nil), &policy.Policies{
		Identity:        attached(t, policy.Identity, `{"Sid":"Mine","Effect":"Allow","Action":"ecr:*","Resource":"*"}`),
		ServiceControl:  [][]policy.Attached{attached(t, policy.ServiceControl, `{"Sid":"Secret","Effect":"Deny","Action":"ecr:*","Resource":"*","Condition":{"Null":{"a:secret":"true"}}}`)},
		ResourceControl: [][]policy.Attached{attached(t, policy.ResourceControl, `{"Sid":"Secret","Effect":"Deny","Principal":"*","Action":"ecr:*","Resource":"*"}`)},
		Endpoint:        attached(t, policy.Endpoint, `{"Sid":"Secret","Effect":"Deny","Principal":"*","Action":"ecr:*","Resource":"*"}`),
	})
	if e.Allows(policy.ServiceControl) || !e.Says("Deny", policy.Endpoint) {
		t.Errorf("Explain = %s", pretty(e))
	}
	seen := e.ForMember()
	if text := pretty(seen); strings.Contains(strings.ToLower(text), "secret") || !strings.Contains(text, "Mine") {
		t.Errorf("the account sees %s", text)
	}
	if len(seen.Policies) != 4 || seen.By.Kind != policy.ServiceControl || seen.By.Level != 1 || seen.By.Statement != 0 || !strings.Contains(strings.ToLower(pretty(e)), "secret") {
		t.Errorf("ForMember = %s", pretty(seen))
	}
}

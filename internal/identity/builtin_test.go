package identity

import (
	"testing"

	"berth/internal/policy"
)

func TestThePoliciesOfAWSAreGood(t *testing.T) {
	seen := map[string]bool{}
	for _, b := range builtIns {
		if err := checkManaged(b.document); err != nil {
			t.Errorf("%s: %v", b.Name, err)
		}
		if len(b.ID) != 21 || seen[b.ID] || builtIn(b.ARN()) == nil {
			t.Errorf("%s has the id %s", b.Name, b.ID)
		}
		seen[b.ID] = true
	}
	for service, r := range serviceRoles {
		if builtIn(builtInARN(serviceRolePath, r.policy)) == nil {
			t.Errorf("the role of %s has no policy", service)
		}
		if err := checkTrust(serviceTrust(service)); err != nil {
			t.Errorf("the role of %s: %v", service, err)
		}
	}
}

func TestDocumentsAreOfTheirKind(t *testing.T) {
	const identity = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ecr:*","Resource":"*"}}`
	for document, want := range map[string]policy.Kind{identity: policy.Identity, serviceTrust("ecs-tasks.amazonaws.com"): policy.Trust} {
		for _, kind := range []policy.Kind{policy.Identity, policy.Trust} {
			if err := checkDocument(kind, document); (err == nil) != (kind == want) {
				t.Errorf("checkDocument(%s, %s) = %v", kind, document, err)
			}
		}
	}
}

package identity

import (
	"sync"

	"berth/internal/policy"
)

// parsed remembers policies that have been parsed, by their kinds and texts. The
// zero value is empty.
type parsed struct {
	mu       sync.RWMutex
	policies map[parsedKey]*policy.Policy // guarded by mu
}

type parsedKey struct {
	kind policy.Kind
	text string
}

// maxParsed is how many policies are remembered.
const maxParsed = 1000

// remembering is a transaction whose documents are parsed once.
type remembering struct {
	ReadTx
	parsed *parsed
}

// attachedIn is attached for a document that a transaction has read.
func attachedIn(tx ReadTx, k policy.Kind, name, document string) (policy.Attached, error) {
	r, ok := tx.(remembering)
	if !ok {
		return attached(k, name, document)
	}
	key := parsedKey{k, document}
	r.parsed.mu.RLock()
	known := r.parsed.policies[key]
	r.parsed.mu.RUnlock()
	if known != nil {
		return policy.Attached{Name: name, Policy: known}, nil
	}
	a, err := attached(k, name, document)
	if err != nil {
		return a, err
	}
	r.parsed.mu.Lock()
	defer r.parsed.mu.Unlock()
	if r.parsed.policies == nil || len(r.parsed.policies) >= maxParsed {
		r.parsed.policies = map[parsedKey]*policy.Policy{}
	}
	r.parsed.policies[key] = a.Policy
	return a, nil
}

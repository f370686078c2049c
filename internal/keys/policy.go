package keys

import (
	"context"
	"sync"

	"berth/internal/access"
	"berth/internal/page"
	"berth/internal/policy"
)

// lockoutCheck is the condition key that says that a policy may lock the caller out.
const lockoutCheck = "kms:BypassPolicyLockoutSafetyCheck"

// defaultPolicy is the policy of keys that are made without one: it leaves all to the
// account's own policies.
func defaultPolicy(account string) string {
	return `{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:aws:iam::` + account + `:root"
    },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}`
}

// admit checks a new policy of a key after the call was decided. Unless bypass is true
// it must let the caller put another one. Errors: MalformedPolicyDocumentException.
func (k *Keyring) admit(ctx context.Context, tx ReadTx, q *request, key *Key, bypass bool) error {
	p, err := policy.Parse(key.Policy, policy.Options{Kind: policy.Key})
	if err != nil {
		return err
	}
	missing, err := k.principals.MissingPrincipals(tx, p.Principals())
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return errPolicy("Policy contains a statement with one or more invalid principals.")
	}
	if bypass {
		return nil
	}
	return k.lockout(ctx, q, key, p)
}

// lockout returns MalformedPolicyDocumentException if the caller could not put another
// policy in place of p.
func (k *Keyring) lockout(ctx context.Context, q *request, key *Key, p *policy.Policy) error {
	later := request{call: q.call, event: "PutKeyPolicy"}
	e, err := k.auth.Explain(ctx, later.ask(key.Account, key.ARN(), key.conditions(), []policy.Attached{{Policy: p}}), nil)
	if err == nil && !e.Allowed {
		err = errPolicy("The new key policy will not allow you to update the key policy in the future.")
	}
	return err
}

// policyName is the name of the one policy that a key has.
const policyName = "default"

func checkPolicyName(name string) error {
	if name != "" && name != policyName {
		return errNotFound("No such policy exists")
	}
	return nil
}

// GetKeyPolicy returns the policy of a key as it was put. Errors: NotFoundException,
// InvalidArnException.
func (k *Keyring) GetKeyPolicy(ctx context.Context, c access.Call, ref, name string) (text string, err error) {
	q := &request{call: c, event: "GetKeyPolicy", params: params{"keyId": ref, "policyName": name}}
	err = k.view(ctx, q, func(tx ReadTx) error {
		key, err := k.open(ctx, tx, q, ref)
		if err != nil {
			return err
		}
		text = key.Policy
		return checkPolicyName(name)
	})
	return text, err
}

// PutKeyPolicy gives a key another policy. Errors: NotFoundException,
// InvalidArnException, MalformedPolicyDocumentException.
func (k *Keyring) PutKeyPolicy(ctx context.Context, c access.Call, ref, name, text string, bypass bool) error {
	q := &request{call: c, event: "PutKeyPolicy", params: params{"keyId": ref, "policyName": name, "policy": text, "bypassPolicyLockoutSafetyCheck": bypass}}
	q.set(lockoutCheck, truth(bypass))
	return k.change(ctx, q, ref, func(tx Tx, key *Key) error {
		if err := checkPolicyName(name); err != nil {
			return err
		}
		key.Policy = text
		if err := k.admit(ctx, tx, q, key, bypass); err != nil {
			return err
		}
		return tx.UpdateKMSKey(key)
	})
}

// ListKeyPolicies returns the names of the policies of a key: it has one. Errors:
// NotFoundException, InvalidArnException, InvalidMarkerException.
func (k *Keyring) ListKeyPolicies(ctx context.Context, c access.Call, ref string, p Page) (names []string, next string, err error) {
	q := &request{call: c, event: "ListKeyPolicies", params: params{"keyId": ref}}
	err = k.view(ctx, q, func(tx ReadTx) error {
		key, err := k.open(ctx, tx, q, ref)
		if err != nil {
			return err
		}
		l, err := k.listing(q, p, keyPage, keyPageMost, key.ID)
		names, next = page.Pick(l, []string{policyName}, func(s string) string { return s })
		return err
	})
	return names, next, err
}

// parsed remembers policies that have been parsed, by their texts. The zero value is
// empty.
type parsed struct {
	mu       sync.RWMutex
	policies map[string]*policy.Policy // guarded by mu
}

// maxParsed is how many policies are remembered.
const maxParsed = 1000

// policy returns a stored policy.
func (c *parsed) policy(text string) (*policy.Policy, error) {
	c.mu.RLock()
	p := c.policies[text]
	c.mu.RUnlock()
	if p != nil {
		return p, nil
	}
	p, err := policy.Parse(text, policy.Options{Kind: policy.Key})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.policies == nil || len(c.policies) >= maxParsed {
		c.policies = map[string]*policy.Policy{}
	}
	c.policies[text] = p
	return p, nil
}

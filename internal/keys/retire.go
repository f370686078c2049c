package keys

import (
	"context"
	"slices"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/policy"
)

// RetireGrant ends a grant, which its token names, or the ARN of its key and its id.
// Its retiring principal may do that, its grantee if the grant says so, and who may by
// the policies. Errors: NotFoundException, InvalidArnException,
// InvalidGrantIdException, InvalidGrantTokenException, DryRunOperationException,
// ValidationException.
func (k *Keyring) RetireGrant(ctx context.Context, c access.Call, ref, id, token string, dryRun bool) error {
	q := &request{call: c, event: "RetireGrant", params: params{"keyId": ref, "grantId": id}}
	var bad error
	switch {
	case token != "" && ref == "" && id == "":
		if id, bad = k.grantOf(token); bad == nil {
			g, err := k.grant(ctx, id)
			if err != nil {
				return k.failed(q, err)
			}
			if bad = errNotFound("Grant ID %s not found", id); g != nil {
				ref, bad = g.ARN(), nil
			}
		}
	case token != "" || ref == "" || id == "":
		bad = errValidation("Either the grant token or the key ARN and the grant ID must be given.")
	}
	open := func(tx ReadTx) (t target, err error) {
		if t, err = k.find(tx, q, ref); err == nil {
			err = k.decideRetire(ctx, tx, q, t, id)
		}
		return t, err
	}
	return k.updateKey(ctx, q, ref, func(tx ReadTx) error { return second(open(tx)) }, func(tx Tx) error {
		t, err := open(tx)
		if err != nil {
			return err
		}
		if bad != nil {
			return bad
		}
		if t.key == nil {
			return t.missing
		}
		q.entered = append(q.entered, t.arn)
		return endGrant(tx, t.key, id, dryRun)
	})
}

// grant returns the key of a grant, nil if there is no such grant.
func (k *Keyring) grant(ctx context.Context, id string) (key *Key, err error) {
	err = k.store.View(ctx, func(tx ReadTx) error {
		g, err := tx.KMSGrant(id)
		if err == nil && g != nil {
			key, err = tx.KMSKey(g.Key)
		}
		return err
	})
	return key, err
}

// decideRetire is decideKey where the retiring principal of a grant may, too, and
// nobody by other grants.
func (k *Keyring) decideRetire(ctx context.Context, tx ReadTx, q *request, t target, id string) error {
	if t.key == nil {
		return k.decideKey(ctx, tx, q, t)
	}
	q.decided, q.resource, q.account = true, t.arn, t.account
	key := []policy.Attached{}
	texts := []string{t.key.Policy}
	g, err := grantOn(tx, t.key, id)
	if err != nil && fault.KindOf(err) == fault.Internal {
		return err
	}
	if err == nil {
		if g.Retiring != "" {
			texts = append(texts, statement(g.Retiring, "RetireGrant"))
		}
		if slices.Contains(g.Operations, "RetireGrant") {
			texts = append(texts, statement(g.Grantee, "RetireGrant"))
		}
	}
	for _, text := range texts {
		p, err := k.parsed.policy(text)
		if err != nil {
			return err
		}
		key = append(key, policy.Attached{Policy: p})
	}
	if q.facts, err = conditionsOf(tx, t.key); err != nil {
		return err
	}
	return k.auth.Decide(ctx, q.ask(t.account, t.arn, q.facts, key))
}

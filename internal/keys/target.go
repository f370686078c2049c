package keys

import (
	"context"
	"slices"
	"strings"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/policy"
)

// target is a key as a call names it.
type target struct {
	account, region string
	arn             string // that policies are asked about; "*" if the name is none
	named           string // the ARN that a refusal has: of what was named, which tells nothing that the caller did not know
	alias           string // that it was named by, "" if it was not
	key             *Key   // nil if there is none
	missing         error  // what is said then
}

// byAlias are the operations that take an alias for a key.
var byAlias = []string{"DescribeKey", "Encrypt", "Decrypt", "ReEncrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext"}

// across are the operations that can be about a key of another account.
var across = append([]string{"CreateGrant", "ListGrants", "RevokeGrant", "RetireGrant", "GetKeyRotationStatus"}, byAlias...)

// accountOf returns the account whose key a call names: the caller's unless the name
// has another. It is for locks: whether there is such an account is not known.
func accountOf(c access.Call, ref string) string {
	if a, ok := policy.ParseARN(ref); ok && accountID.MatchString(a.Account) {
		return a.Account
	}
	return c.Account
}

// find reads the key that a call names by its id, its ARN, an alias or an alias's
// ARN.
func (k *Keyring) find(tx ReadTx, q *request, ref string) (target, error) {
	t := target{account: q.call.Account, region: q.call.Region, arn: "*", named: "*"}
	name, isARN := ref, false
	if a, ok := policy.ParseARN(ref); ok && a.Partition == "aws" && a.Service == "kms" && accountID.MatchString(a.Account) {
		name, isARN = strings.TrimPrefix(a.Resource, "key/"), true
		if name == a.Resource && !aliasText.MatchString(name) {
			name = ""
		}
		t.account, t.region = a.Account, a.Region
	}
	switch {
	case uuidText.MatchString(name):
		t.arn = keyARN(t.account, t.region, name)
		t.missing = errNoKey(t.arn)
	case aliasText.MatchString(name) && slices.Contains(byAlias, q.event):
		t.alias, t.arn = name, arnOf(t.account, t.region, name)
		t.missing = errNoAlias(t.arn)
	case strings.HasPrefix(ref, "arn:") && !slices.Contains(byAlias, q.event):
		t.missing = errARN("Invalid arn %.256s", ref)
		return t, nil
	default:
		t.missing = errNotFound("Invalid keyId '%.256s'", ref)
		return t, nil
	}
	t.named = t.arn
	if isARN && t.region != q.call.Region {
		t.missing, t.arn, t.named = errNotFound("Invalid arn %.64s", t.region), "*", "*"
		t.account, t.region = q.call.Account, q.call.Region
		return t, nil
	}
	id := name
	if t.alias != "" {
		a, err := tx.KMSAlias(t.account, t.region, t.alias)
		if err != nil || a == nil {
			return t, err
		}
		id = a.Key
	}
	found, err := tx.KMSKey(id)
	if err != nil || found == nil || found.Account != t.account || found.Region != t.region {
		return t, err
	}
	t.key, t.arn = found, found.ARN()
	return t, nil
}

// open reads the key that a call names and decides the call. A refusal comes before
// the news that there is no such key. Errors: NotFoundException, InvalidArnException.
func (k *Keyring) open(ctx context.Context, tx ReadTx, q *request, ref string) (*Key, error) {
	t, err := k.find(tx, q, ref)
	if err != nil {
		return nil, err
	}
	return k.enter(ctx, tx, q, t)
}

// enter is open for a key that was found.
func (k *Keyring) enter(ctx context.Context, tx ReadTx, q *request, t target) (*Key, error) {
	if err := k.decideKey(ctx, tx, q, t); err != nil {
		return nil, err
	}
	if t.key == nil {
		return nil, t.missing
	}
	if t.account != q.call.Account && !slices.Contains(across, q.event) {
		return nil, errNoKey(t.arn)
	}
	q.entered = append(q.entered, t.arn)
	return t.key, nil
}

// decideKey asks the authorizer about a key: one that is there by its policy and
// grants, one that is not as if it had the policy that keys have if none is given.
func (k *Keyring) decideKey(ctx context.Context, tx ReadTx, q *request, t target) error {
	q.decided, q.resource, q.account = true, t.arn, t.account
	if t.arn == "*" {
		return k.auth.Decide(ctx, q.ask(t.account, t.arn, nil, nil))
	}
	q.facts = map[string][]string{}
	text := defaultPolicy(t.account)
	var grants []policy.Attached
	if t.key != nil {
		var err error
		if q.facts, err = conditionsOf(tx, t.key); err != nil {
			return err
		}
		if grants, err = k.grantsFor(tx, q, t.key); err != nil {
			return err
		}
		text = t.key.Policy
	}
	if t.alias != "" {
		q.facts["kms:RequestAlias"] = []string{t.alias}
	}
	p, err := k.parsed.policy(text)
	if err != nil {
		return err
	}
	return t.refusal(k.auth.Decide(ctx, q.ask(t.account, t.arn, q.facts, append([]policy.Attached{{Policy: p}}, grants...))))
}

// refusal makes an error of a decision name what the caller has named.
func (t target) refusal(err error) error {
	why := access.RefusalOf(err)
	if why == nil || t.named == t.arn {
		return err
	}
	f, _ := fault.As(err)
	out, told := *f, *why
	out.Message = strings.Replace(f.Message, " on resource: "+t.arn, " on resource: "+t.named, 1)
	told.Request.Resource = t.named
	out.Decision = &told
	return &out
}

// conditionsOf returns the condition keys that a key and its aliases set.
func conditionsOf(tx ReadTx, key *Key) (map[string][]string, error) {
	out := key.conditions()
	aliases, err := tx.KMSAliasesOf(key.ID)
	for _, a := range aliases {
		out["kms:ResourceAliases"] = append(out["kms:ResourceAliases"], a.Name)
	}
	return out, err
}

package keys

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"regexp"
	"slices"

	"berth/internal/access"
	"berth/internal/page"
	"berth/internal/policy"
	"berth/internal/seal"
)

const (
	maxGrants     = 50_000 // of a key
	maxGrantsTo   = 500    // of a key to one grantee, but for those that ECR makes for repositories
	grantPage     = 50
	grantPageMost = 100
	tokenContext  = "grant token"
)

// operations are what a grant on a symmetric key can allow.
var operations = []string{
	"Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext",
	"ReEncryptFrom", "ReEncryptTo", "CreateGrant", "RetireGrant", "DescribeKey",
}

// unconstrained are those that have no encryption context.
var unconstrained = []string{"CreateGrant", "RetireGrant", "DescribeKey"}

// allows reports whether the grant allows an operation with an encryption context.
func (g *Grant) allows(operation string, using map[string]string) bool {
	if !slices.Contains(g.Operations, operation) {
		return false
	}
	if slices.Contains(unconstrained, operation) {
		return true
	}
	for name, value := range g.Subset {
		if got, there := using[name]; !there || got != value {
			return false
		}
	}
	return len(g.Equal) == 0 || maps.Equal(g.Equal, using)
}

// grantees are the names by which a grant can be the caller's.
func grantees(c access.Caller) []string {
	out := []string{c.ARN, "arn:aws:iam::" + c.Account + ":root", c.Account}
	if c.Session != nil && c.Session.Parent != "" {
		out = append(out, c.Session.Parent)
	}
	return out
}

// grantsFor returns what the grants on a key come to in a call: a policy for each of
// the caller's names that a grant allows it.
func (k *Keyring) grantsFor(tx ReadTx, q *request, key *Key) ([]policy.Attached, error) {
	action := cmp.Or(q.action, q.event)
	if !slices.Contains(operations, action) {
		return nil, nil
	}
	found, err := tx.KMSGrantsTo(key.ID, grantees(q.call.Caller))
	if err != nil {
		return nil, err
	}
	var out []policy.Attached
	last := ""
	for _, g := range found {
		if g.Grantee == last || !g.allows(action, q.using) {
			continue
		}
		last = g.Grantee
		p, err := k.parsed.policy(statement(g.Grantee, action))
		if err != nil {
			return nil, err
		}
		out = append(out, policy.Attached{Name: "grant " + g.ID, Policy: p})
	}
	return out, nil
}

// serviceName is the name of a service as a grantee.
var serviceName = regexp.MustCompile(`\A[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com\z`)

// statement is a policy that allows a principal one action.
func statement(principal, action string) string {
	kind := "AWS"
	if serviceName.MatchString(principal) {
		kind = "Service"
	}
	who, _ := json.Marshal(map[string]string{kind: principal}) // a text
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":` + string(who) + `,"Action":"kms:` + action + `","Resource":"*"}}`
}

// CreateGrantInput is what CreateGrant is asked for.
type CreateGrantInput struct {
	Key           string
	Grantee       string
	Retiring      string // "" for nobody
	Operations    []string
	Subset, Equal map[string]string
	Tokens        []string
	Name          string
	DryRun        bool
}

func (in CreateGrantInput) check() error {
	if len(in.Operations) == 0 {
		return errValidation("1 validation error detected: Value '[]' at 'operations' failed to satisfy constraint: Member must have length greater than or equal to 1")
	}
	for _, o := range in.Operations {
		if !slices.Contains(operations, o) {
			return errValidation("Grant operation %.64s is not supported for %s keys.", o, symmetric)
		}
	}
	if len(in.Subset) > 0 && len(in.Equal) > 0 {
		return errValidation("A grant has EncryptionContextSubset or EncryptionContextEquals, not both.")
	}
	constrained := slices.ContainsFunc(in.Operations, func(o string) bool { return !slices.Contains(unconstrained, o) })
	if len(in.Subset)+len(in.Equal) > 0 && !constrained {
		return errValidation("None of the operations of the grant takes an encryption context.")
	}
	if err := checkContext(in.Subset); err != nil {
		return err
	}
	return checkContext(in.Equal)
}

// checkPrincipals checks who a grant is for. Errors: InvalidArnException.
func (k *Keyring) checkPrincipals(tx ReadTx, names ...string) error {
	var arns []string
	for _, name := range names {
		if name == "" {
			continue
		}
		p, err := policy.Parse(statement(name, "Decrypt"), policy.Options{Kind: policy.Key})
		if err != nil {
			return errARN("ARN does not refer to a valid principal: %.256s", name)
		}
		arns = append(arns, p.Principals()...)
	}
	missing, err := k.principals.MissingPrincipals(tx, arns)
	if err == nil && len(missing) > 0 {
		err = errARN("ARN does not refer to a valid principal: %.256s", missing[0])
	}
	return err
}

// conditions are the condition keys of a call that makes a grant.
func (in CreateGrantInput) conditions(q *request) {
	q.set("kms:GranteePrincipal", in.Grantee)
	if in.Retiring != "" {
		q.set("kms:RetiringPrincipal", in.Retiring)
	}
	if len(in.Operations) > 0 {
		q.context["kms:GrantOperations"] = in.Operations
	}
	if len(in.Subset) > 0 {
		q.set("kms:GrantConstraintType", "EncryptionContextSubset")
	}
	if len(in.Equal) > 0 {
		q.set("kms:GrantConstraintType", "EncryptionContextEquals")
	}
	q.set("kms:GrantIsForAWSResource", truth(q.via != ""))
}

// CreateGrant lets a principal use a key, from the next call on. A grant with the name
// and all else of one that is there is that one. Errors: NotFoundException,
// InvalidArnException, DisabledException, KMSInvalidStateException,
// LimitExceededException, InvalidGrantTokenException, DryRunOperationException,
// ValidationException.
func (k *Keyring) CreateGrant(ctx context.Context, c access.Call, in CreateGrantInput) (id, token string, err error) {
	q := &request{call: c, event: "CreateGrant", params: params{"keyId": in.Key, "granteePrincipal": in.Grantee, "retiringPrincipal": in.Retiring,
		"operations": in.Operations, "name": in.Name, "constraints": params{"encryptionContextSubset": auditable(in.Subset), "encryptionContextEquals": auditable(in.Equal)}}, using: in.Subset}
	if len(in.Equal) > 0 {
		q.using = in.Equal
	}
	in.conditions(q)
	g := Grant{
		ID: randomID(), Name: in.Name, Grantee: in.Grantee, Retiring: in.Retiring, Issuer: c.Account, Operations: sorted(in.Operations),
		Subset: in.Subset, Equal: in.Equal, CreatedAt: k.time(),
	}
	err = k.change(ctx, q, in.Key, func(tx Tx, key *Key) error {
		if err := cmp.Or(in.check(), k.checkPrincipals(tx, in.Grantee, in.Retiring), k.checkTokens(in.Tokens), key.usable()); err != nil {
			return err
		}
		if err := k.within(ctx, tx, q, key, g); err != nil {
			return err
		}
		if in.DryRun {
			return errDryRun()
		}
		g.Key, id = key.ID, g.ID
		same, err := alike(tx, g)
		if err != nil || same != "" {
			id = same
			return err
		}
		return k.insertGrant(tx, g)
	})
	if err != nil {
		return "", "", err
	}
	return id, k.token(id), nil
}

func (k *Keyring) insertGrant(tx Tx, g Grant) error {
	n, err := tx.CountKMSGrants(g.Key)
	if err != nil {
		return err
	}
	if n >= maxGrants {
		return errLimit("The number of grants of a key has reached the limit of %d.", maxGrants)
	}
	if g.Repository == "" {
		others, err := tx.KMSGrantsTo(g.Key, []string{g.Grantee})
		if err != nil {
			return err
		}
		if len(others) >= maxGrantsTo {
			return errLimit("The number of grants of a key to one principal has reached the limit of %d.", maxGrantsTo)
		}
	}
	return tx.InsertKMSGrant(g)
}

// alike returns the id of a grant that has the name of g and is like it, "" if there
// is none.
func alike(tx ReadTx, g Grant) (string, error) {
	if g.Name == "" {
		return "", nil
	}
	others, err := tx.KMSGrantsTo(g.Key, []string{g.Grantee})
	for _, o := range others {
		if o.Name == g.Name && o.Retiring == g.Retiring && o.Issuer == g.Issuer && slices.Equal(o.Operations, g.Operations) &&
			maps.Equal(o.Subset, g.Subset) && maps.Equal(o.Equal, g.Equal) {
			return o.ID, nil
		}
	}
	return "", err
}

// within refuses a grant that gives more than the caller has, if it is a grant alone
// that lets the caller make it.
func (k *Keyring) within(ctx context.Context, tx ReadTx, q *request, key *Key, g Grant) error {
	mine, err := tx.KMSGrantsTo(key.ID, grantees(q.call.Caller))
	if err != nil {
		return err
	}
	mine = slices.DeleteFunc(mine, func(own Grant) bool { return !own.allows("CreateGrant", nil) })
	if len(mine) == 0 {
		return nil
	}
	p, err := k.parsed.policy(key.Policy)
	if err != nil {
		return err
	}
	err = k.auth.Would(ctx, q.ask(key.Account, key.ARN(), q.facts, []policy.Attached{{Policy: p}}))
	if access.RefusalOf(err) == nil {
		return err
	}
	if slices.ContainsFunc(mine, func(own Grant) bool { return own.covers(g) }) {
		return nil
	}
	return errValidation("A grant that is made by a grant cannot allow more than that does.")
}

// covers reports whether everything that another grant allows this one does.
func (g *Grant) covers(other Grant) bool {
	for _, o := range other.Operations {
		if !slices.Contains(g.Operations, o) {
			return false
		}
	}
	if len(g.Equal) > 0 {
		return maps.Equal(g.Equal, other.Equal)
	}
	theirs := other.Subset
	if len(other.Equal) > 0 {
		theirs = other.Equal
	}
	for name, value := range g.Subset {
		if got, there := theirs[name]; !there || got != value {
			return false
		}
	}
	return true
}

func sorted(list []string) []string {
	out := slices.Clone(list)
	slices.Sort(out)
	return slices.Compact(out)
}

// token returns the token of a grant. A grant counts at once, so that no call needs
// its token; it retires the grant.
func (k *Keyring) token(id string) string {
	return seal.EncodeText(k.tokens.Seal([]byte(id), tokenContext))
}

// grantOf returns the id of the grant that a token is of. Errors:
// InvalidGrantTokenException.
func (k *Keyring) grantOf(token string) (string, error) {
	b, err := seal.DecodeText(token)
	if err == nil {
		b, err = k.tokens.Open(b, tokenContext)
	}
	if err != nil {
		return "", errGrantToken()
	}
	return string(b), nil
}

func (k *Keyring) checkTokens(tokens []string) error {
	for _, t := range tokens {
		if _, err := k.grantOf(t); err != nil {
			return err
		}
	}
	return nil
}

func grantPlace(g Grant) string { return g.ID }

// ListGrants returns the grants on a key, or those of one grantee, or one. Errors:
// NotFoundException, InvalidArnException, InvalidMarkerException,
// InvalidGrantIdException.
func (k *Keyring) ListGrants(ctx context.Context, c access.Call, ref, id, grantee string, p Page) (out []Grant, arn, next string, err error) {
	q := &request{call: c, event: "ListGrants", params: params{"keyId": ref, "grantId": id, "granteePrincipal": grantee}}
	err = k.view(ctx, q, func(tx ReadTx) error {
		key, err := k.open(ctx, tx, q, ref)
		if err != nil {
			return err
		}
		l, err := k.listing(q, p, grantPage, grantPageMost, key.ID, id, grantee)
		if err != nil {
			return err
		}
		arn = key.ARN()
		if id == "" {
			found, err := tx.KMSGrants(key.ID, grantee, l.After, l.Limit+1)
			out, next = page.Cut(l, found, grantPlace)
			return err
		}
		g, err := grantOn(tx, key, id)
		if err == nil && (grantee == "" || g.Grantee == grantee) {
			out = []Grant{*g}
		}
		return err
	})
	return out, arn, next, err
}

// grantOn returns a grant on a key. Errors: InvalidGrantIdException for an id of the
// wrong form, NotFoundException.
func grantOn(tx ReadTx, key *Key, id string) (*Grant, error) {
	if !grantID.MatchString(id) {
		return nil, errGrantID(id)
	}
	g, err := tx.KMSGrant(id)
	if err == nil && (g == nil || g.Key != key.ID) {
		err = errNotFound("Grant ID %s not found", id)
	}
	return g, err
}

var grantID = regexp.MustCompile(`\A[0-9a-f]{64}\z`)

// RevokeGrant ends a grant. Errors: NotFoundException, InvalidArnException,
// InvalidGrantIdException, DryRunOperationException.
func (k *Keyring) RevokeGrant(ctx context.Context, c access.Call, ref, id string, dryRun bool) error {
	q := &request{call: c, event: "RevokeGrant", params: params{"keyId": ref, "grantId": id}}
	return k.change(ctx, q, ref, func(tx Tx, key *Key) error { return endGrant(tx, key, id, dryRun) })
}

func endGrant(tx Tx, key *Key, id string, dryRun bool) error {
	g, err := grantOn(tx, key, id)
	if err != nil {
		return err
	}
	if dryRun {
		return errDryRun()
	}
	return tx.DeleteKMSGrant(g.ID)
}

// ListRetirableGrants returns the grants in the region that a principal of the caller's
// account may retire. Errors: InvalidArnException, InvalidMarkerException.
func (k *Keyring) ListRetirableGrants(ctx context.Context, c access.Call, retiring string, p Page) (out []RetirableGrant, next string, err error) {
	q := &request{call: c, event: "ListRetirableGrants", params: params{"retiringPrincipal": retiring}}
	err = k.view(ctx, q, func(tx ReadTx) error {
		if err := k.decide(ctx, q, c.Account, "*"); err != nil {
			return err
		}
		a, isARN := policy.ParseARN(retiring)
		if !isARN && !serviceName.MatchString(retiring) {
			return errARN("Invalid arn %.256s", retiring)
		}
		if isARN && a.Account != c.Account {
			return errARN("Principal %.256s is not of the account %s.", retiring, c.Account)
		}
		l, err := k.listing(q, p, grantPage, grantPageMost, retiring)
		if err != nil {
			return err
		}
		owner := c.Account
		if isARN {
			owner = "" // a principal of this account may retire grants of others
		}
		found, err := tx.KMSRetirableGrants(retiring, owner, c.Region, l.After, l.Limit+1)
		out, next = page.Cut(l, found, func(g RetirableGrant) string { return g.ID })
		return err
	})
	return out, next, err
}

// RetirableGrant is a grant and where its key is.
type RetirableGrant struct {
	Grant
	Account, Region string
}

// KeyARN returns the ARN of the grant's key.
func (g RetirableGrant) KeyARN() string { return keyARN(g.Account, g.Region, g.Key) }

package identity

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"berth/internal/access"
	"berth/internal/page"
	"berth/internal/policy"
)

const (
	maxManaged  = 6144 // characters of a managed policy
	maxVersions = 5
)

func checkManaged(document string) error {
	if err := checkDocument(policy.Identity, document); err != nil {
		return err
	}
	if documentSize(document) > maxManaged {
		return errQuota("PolicySize", maxManaged)
	}
	return nil
}

// findPolicy returns the managed policy of an ARN, nil if there is none that the
// account can see.
func findPolicy(tx EntityReader, account, arn string) (*Entity, error) {
	a, ok := policy.ParseARN(arn)
	if !ok || a.Partition != "aws" || a.Service != "iam" || a.Region != "" || !strings.HasPrefix(a.Resource, "policy/") {
		return nil, errInput("ARN %.128s is not valid.", arn)
	}
	if a.Account == builtInAccount {
		return builtIn(arn), nil
	}
	if a.Account != account {
		return nil, nil
	}
	e, err := tx.Entity(account, Policy, nameKey(arn[strings.LastIndexByte(arn, '/')+1:]))
	if err != nil || e == nil || e.ARN() != arn {
		return nil, err
	}
	return e, nil
}

// openPolicy is open for a policy that is named by its ARN.
func (d *Directory) openPolicy(ctx context.Context, tx ReadTx, q *request, arn string) (*Entity, error) {
	e, err := findPolicy(tx, q.call.Account, arn)
	owner := q.call.Account
	if a, ok := policy.ParseARN(arn); ok && a.Account != builtInAccount && a.Account != "" {
		owner = a.Account
	}
	var conditions map[string][]string
	if e != nil {
		conditions = e.conditions()
	}
	q.label = "policy " + arn
	if err := d.decide(ctx, q, owner, arn, conditions); err != nil {
		return nil, err
	}
	if err == nil && e == nil {
		err = errNoPolicy(arn)
	}
	return e, err
}

// changePolicy changes a policy of the account.
func (d *Directory) changePolicy(ctx context.Context, q *request, arn string, change func(Tx, *Entity) error) error {
	q.params = params{"policyArn": arn}
	return d.update(ctx, q, func(tx Tx) error {
		e, err := d.openPolicy(ctx, tx, q, arn)
		if err != nil {
			return err
		}
		if isBuiltIn(e) {
			return errUnmodifiable("Policy %s is managed by AWS and cannot be changed.", arn)
		}
		return change(tx, e)
	})
}

// ManagedPolicy is a managed policy and how many entities have it.
type ManagedPolicy struct {
	Entity
	Attached, Boundaries int64
}

func counted(tx ReadTx, account string, e Entity) (ManagedPolicy, error) {
	p := ManagedPolicy{Entity: e}
	var err error
	p.Attached, p.Boundaries, err = tx.CountAttachments(account, e.ARN())
	return p, err
}

// GetPolicy returns a policy. Errors: NoSuchEntity, InvalidInput.
func (d *Directory) GetPolicy(ctx context.Context, c access.Call, arn string) (out ManagedPolicy, err error) {
	q := &request{call: c, event: "GetPolicy", params: params{"policyArn": arn}}
	err = d.view(ctx, q, func(tx ReadTx) error {
		e, err := d.openPolicy(ctx, tx, q, arn)
		if err == nil {
			out, err = counted(tx, c.Account, *e)
		}
		return err
	})
	return out, err
}

// PolicyFilter says which policies are wanted.
type PolicyFilter struct {
	Scope    string // All, AWS or Local; All if ""
	Prefix   string // of the path
	Attached bool   // to something in the account
	Usage    string // PermissionsPolicy, PermissionsBoundary, or "" for both
}

func (f PolicyFilter) wants(p ManagedPolicy) bool {
	switch f.Usage {
	case "PermissionsPolicy":
		return p.Attached > 0
	case "PermissionsBoundary":
		return p.Boundaries > 0
	}
	return !f.Attached || p.Attached > 0
}

// ListPolicies returns the policies that the account can see: first those of AWS,
// then its own, each by name.
func (d *Directory) ListPolicies(ctx context.Context, c access.Call, f PolicyFilter, p Page) (out []ManagedPolicy, next string, err error) {
	if f.Prefix == "" {
		f.Prefix = "/"
	}
	q := &request{call: c, event: "ListPolicies", params: params{"scope": f.Scope, "pathPrefix": f.Prefix, "onlyAttached": f.Attached}}
	err = d.view(ctx, q, func(tx ReadTx) error {
		if err := d.decide(ctx, q, c.Account, q.arn("policy"+f.Prefix), nil); err != nil {
			return err
		}
		l, err := d.listing(q, p, fmt.Sprintf("%+v", f))
		if err != nil {
			return err
		}
		all, err := candidates(tx, c.Account, f)
		if err != nil {
			return err
		}
		out = []ManagedPolicy{}
		for _, e := range all {
			if policyPlace(e) <= l.After {
				continue
			}
			m, err := counted(tx, c.Account, e)
			if err != nil {
				return err
			}
			if f.wants(m) {
				out = append(out, m)
			}
			if len(out) > l.Limit {
				break
			}
		}
		out, next = page.Cut(l, out, func(m ManagedPolicy) string { return policyPlace(m.Entity) })
		return nil
	})
	return out, next, err
}

func policyPlace(e Entity) string {
	if isBuiltIn(&e) {
		return "a" + nameKey(e.Name)
	}
	return "b" + nameKey(e.Name)
}

// candidates are all policies in the scope and below the path, in their order.
func candidates(tx ReadTx, account string, f PolicyFilter) ([]Entity, error) {
	var all []Entity
	if f.Scope != "Local" {
		for _, b := range builtIns {
			if strings.HasPrefix(b.Path, f.Prefix) {
				all = append(all, b.Entity)
			}
		}
	}
	if f.Scope == "AWS" {
		return all, nil
	}
	own, err := tx.Entities(account, Policy, f.Prefix, "", maxEntities[Policy])
	return append(all, own...), err
}

// DeletePolicy deletes a policy that nothing has, and its only version. Errors:
// NoSuchEntity, DeleteConflict, InvalidInput, UnmodifiableEntity.
func (d *Directory) DeletePolicy(ctx context.Context, c access.Call, arn string) error {
	return d.changePolicy(ctx, &request{call: c, event: "DeletePolicy"}, arn, func(tx Tx, e *Entity) error {
		attached, boundaries, err := tx.CountAttachments(c.Account, arn)
		if err != nil {
			return err
		}
		if attached+boundaries > 0 {
			return errDeleteConflict("Cannot delete a policy attached to entities.")
		}
		versions, err := tx.Versions(e.ID)
		if err != nil {
			return err
		}
		if len(versions) > 1 {
			return errDeleteConflict("This policy has more than one version. Before you delete a policy, you must delete the policy's versions. " +
				"The default version is deleted with the policy.")
		}
		return tx.DeleteEntity(e.ID)
	})
}

// ID is the version's name in the API.
func (v Version) ID() string { return "v" + strconv.FormatInt(v.Number, 10) }

// versions are those of a policy, newest first.
func versions(tx ReadTx, e *Entity) ([]Version, error) {
	if isBuiltIn(e) {
		return []Version{{e.DefaultVersion, builtInDocument(e), e.CreatedAt}}, nil
	}
	return tx.Versions(e.ID)
}

// findVersion returns a version of a policy. Errors: NoSuchEntity.
func findVersion(tx ReadTx, e *Entity, id string) (Version, error) {
	all, err := versions(tx, e)
	if err != nil {
		return Version{}, err
	}
	i := slices.IndexFunc(all, func(v Version) bool { return v.ID() == id })
	if i < 0 {
		return Version{}, errNoVersion(e.ARN(), id)
	}
	return all[i], nil
}

// CreatePolicyVersion adds a version to a policy, which becomes its default if
// asked for. Errors: NoSuchEntity, LimitExceeded, MalformedPolicyDocument,
// InvalidInput, UnmodifiableEntity.
func (d *Directory) CreatePolicyVersion(ctx context.Context, c access.Call, arn, document string, setDefault bool) (out Version, err error) {
	err = d.changePolicy(ctx, &request{call: c, event: "CreatePolicyVersion"}, arn, func(tx Tx, e *Entity) error {
		if err := checkManaged(document); err != nil {
			return err
		}
		all, err := tx.Versions(e.ID)
		if err != nil {
			return err
		}
		if len(all) >= maxVersions {
			return errLimit("A managed policy can have up to %d versions. Before you create a new version, you must delete an existing version.", maxVersions)
		}
		e.LastVersion++
		e.UpdatedAt = d.time()
		if setDefault {
			e.DefaultVersion = e.LastVersion
		}
		out = Version{e.LastVersion, document, e.UpdatedAt}
		if err := tx.UpdateEntity(e); err != nil {
			return err
		}
		return tx.InsertVersion(e.ID, out)
	})
	return out, err
}

// GetPolicyVersion returns a version of a policy, and the policy. Errors:
// NoSuchEntity, InvalidInput.
func (d *Directory) GetPolicyVersion(ctx context.Context, c access.Call, arn, id string) (e *Entity, v Version, err error) {
	q := &request{call: c, event: "GetPolicyVersion", params: params{"policyArn": arn, "versionId": id}}
	err = d.view(ctx, q, func(tx ReadTx) error {
		var err error
		if e, err = d.openPolicy(ctx, tx, q, arn); err == nil {
			v, err = findVersion(tx, e, id)
		}
		return err
	})
	return e, v, err
}

// ListPolicyVersions returns the versions of a policy, newest first, and the
// policy. Errors: NoSuchEntity, InvalidInput.
func (d *Directory) ListPolicyVersions(ctx context.Context, c access.Call, arn string, p Page) (e *Entity, out []Version, next string, err error) {
	q := &request{call: c, event: "ListPolicyVersions", params: params{"policyArn": arn}}
	err = d.view(ctx, q, func(tx ReadTx) error {
		var err error
		if e, err = d.openPolicy(ctx, tx, q, arn); err != nil {
			return err
		}
		l, err := d.listing(q, p, e.ID)
		if err != nil {
			return err
		}
		all, err := versions(tx, e)
		// The newest is the first: places go up as numbers go down.
		out, next = page.Pick(l, all, func(v Version) string { return fmt.Sprintf("%019d", 1<<62-v.Number) })
		return err
	})
	return e, out, next, err
}

// SetDefaultPolicyVersion makes a version of a policy the one in force. Errors:
// NoSuchEntity, InvalidInput, UnmodifiableEntity.
func (d *Directory) SetDefaultPolicyVersion(ctx context.Context, c access.Call, arn, id string) error {
	return d.changePolicy(ctx, &request{call: c, event: "SetDefaultPolicyVersion"}, arn, func(tx Tx, e *Entity) error {
		v, err := findVersion(tx, e, id)
		if err != nil {
			return err
		}
		e.DefaultVersion, e.UpdatedAt = v.Number, d.time()
		return tx.UpdateEntity(e)
	})
}

// DeletePolicyVersion deletes a version that is not the one in force. Errors:
// NoSuchEntity, DeleteConflict, InvalidInput, UnmodifiableEntity.
func (d *Directory) DeletePolicyVersion(ctx context.Context, c access.Call, arn, id string) error {
	return d.changePolicy(ctx, &request{call: c, event: "DeletePolicyVersion"}, arn, func(tx Tx, e *Entity) error {
		v, err := findVersion(tx, e, id)
		if err != nil {
			return err
		}
		if v.Number == e.DefaultVersion {
			return errDeleteConflict("Cannot delete the default version of a policy.")
		}
		return tx.DeleteVersion(e.ID, v.Number)
	})
}

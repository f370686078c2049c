package registry

import (
	"context"
	"slices"

	"berth/internal/fault"
)

// createOnPush makes the repository that q wants to push to, if a template is
// applied for that and the caller may create it, and records that as a call of
// its own. Otherwise it returns RepositoryNotFoundException, or the refusal.
func (r *Registry) createOnPush(ctx context.Context, tx Tx, q request) (*Repository, error) {
	t, err := template(tx, q.ref, CreateOnPush)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, errRepositoryNotFound(q.ref)
	}
	create := t.creation(q)
	if err := r.decide(ctx, tx, create, nil); err != nil {
		return nil, err
	}
	in, uid := t.input(q), newID()
	if t.Encryption.kms() {
		if q.allowed == nil || q.allowed.asked != t.Encryption {
			return nil, &errKeyNeeded{t.Encryption}
		}
		in.Encryption, uid = q.allowed.encryption(), q.allowed.uid
	}
	repo, err := r.insertRepository(tx, in, uid)
	if fault.CodeOf(err) == "RepositoryAlreadyExistsException" {
		return r.open(ctx, tx, q) // another push has been quicker
	}
	if err != nil {
		return nil, err
	}
	if q.allowed != nil {
		q.allowed.used = repo.UID == q.allowed.uid
	}
	if repo.Policy != "" { // which may be against what is to happen next
		if err := r.decide(ctx, tx, q, repo); err != nil {
			return nil, err
		}
	}
	if err := r.mayUseKey(ctx, q, repo); err != nil {
		return nil, err
	}
	if err := tx.Record(create.record(repo.CreatedAt, nil)); err != nil || t.LifecyclePolicy == "" {
		return repo, err
	}
	return repo, r.putLifecycle(tx, repo, t.LifecyclePolicy)
}

// input is the repository that the template makes for a call.
func (t *Template) input(q request) CreateRepositoryInput {
	return CreateRepositoryInput{Ref: q.ref, Mutability: t.Mutability, Encryption: t.Encryption, Tags: t.Tags, Policy: t.RepositoryPolicy}
}

// creation is the call that creates it.
func (t *Template) creation(q request) request {
	return request{caller: q.caller, event: "CreateRepository", ref: q.ref, params: t.input(q), context: requestTags(t.Tags)}
}

// template returns the template with the longest prefix of the repository's name
// among those that are applied for a purpose, or nil.
func template(tx ReadTx, ref Ref, purpose string) (*Template, error) {
	found, err := tx.Templates(ref.ID, prefixKeys(ref.Name))
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(t Template) bool { return !slices.Contains(t.AppliedFor, purpose) })
	if len(found) == 0 {
		return nil, nil
	}
	best := slices.MaxFunc(found, func(a, b Template) int { return prefixLength(a.Prefix) - prefixLength(b.Prefix) })
	return &best, nil
}

// prefixKeys returns the keys of all prefixes that are for a name: ROOT, and the
// name up to each of its slashes.
func prefixKeys(name RepositoryName) []string {
	keys := []string{rootPrefix}
	for i, c := range name {
		if c == '/' {
			keys = append(keys, string(name[:i]))
		}
	}
	return keys
}

func prefixLength(prefix string) int {
	if prefix == rootPrefix {
		return 0
	}
	return len(prefixKey(prefix))
}

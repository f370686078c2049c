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
	in := CreateRepositoryInput{Ref: q.ref, Mutability: t.Mutability, Encryption: t.Encryption, Tags: t.Tags, Policy: t.RepositoryPolicy}
	create := request{caller: q.caller, event: "CreateRepository", ref: q.ref, params: in, context: requestTags(t.Tags)}
	if err := r.decide(ctx, tx, create, nil); err != nil {
		return nil, err
	}
	repo, err := r.insertRepository(tx, in)
	if fault.CodeOf(err) == "RepositoryAlreadyExistsException" {
		return r.open(ctx, tx, q) // another push has been quicker
	}
	if err != nil {
		return nil, err
	}
	if repo.Policy != "" { // which may be against what is to happen next
		if err := r.decide(ctx, tx, q, repo); err != nil {
			return nil, err
		}
	}
	if err := tx.Record(create.record(repo.CreatedAt, nil)); err != nil || t.LifecyclePolicy == "" {
		return repo, err
	}
	return repo, r.putLifecycle(tx, repo, t.LifecyclePolicy)
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

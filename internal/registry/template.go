package registry

import (
	"context"
	"slices"
	"strings"

	"berth/internal/access"
	"berth/internal/fault"
)

// CreateOnPush is what a template is applied for when it makes repositories that
// somebody pushes to.
const CreateOnPush = "CREATE_ON_PUSH"

// rootPrefix is the prefix of the template for every name.
const rootPrefix = "ROOT"

// Template is a repository creation template: what a repository is made with
// that nobody created explicitly.
type Template struct {
	Prefix     string     `json:"prefix"` // of the names it is for, without the slash after it; or ROOT
	AppliedFor []string   `json:"appliedFor"`
	Mutability Mutability `json:"imageTagMutability"`
}

// CreateRepositoryCreationTemplate adds a template to the registry. Errors:
// TemplateAlreadyExistsException.
func (r *Registry) CreateRepositoryCreationTemplate(ctx context.Context, c access.Caller, id ID, t Template) error {
	q := request{caller: c, event: "CreateRepositoryCreationTemplate", ref: Ref{ID: id}, params: t}
	return r.updateAll(ctx, q, func(tx Tx) error {
		inserted, err := tx.InsertTemplate(id, t)
		if err != nil {
			return err
		}
		if !inserted {
			return errTemplateExists(id, t.Prefix)
		}
		return tx.Emit(Event{Kind: SettingChanged, Ref: Ref{ID: id}, Time: r.now(), Detail: "template " + t.Prefix})
	})
}

// createOnPush makes the repository that q wants to push to, if the template
// with the longest matching prefix is applied for that and the caller may create
// it. Otherwise it returns RepositoryNotFoundException, or the refusal.
func (r *Registry) createOnPush(ctx context.Context, tx Tx, q request) (*Repository, error) {
	t, err := template(tx, q.ref, CreateOnPush)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, errRepositoryNotFound(q.ref)
	}
	create := q
	create.action, create.also = "CreateRepository", nil
	if err := r.decide(ctx, create, nil); err != nil {
		return nil, err
	}
	repo, err := r.insertRepository(tx, CreateRepositoryInput{Ref: q.ref, Mutability: t.Mutability})
	if fault.CodeOf(err) == "RepositoryAlreadyExistsException" {
		return r.open(ctx, tx, q) // another push has been quicker
	}
	return repo, err
}

// template returns the template with the longest prefix of the repository's name
// that is applied for a purpose, or nil.
func template(tx ReadTx, ref Ref, purpose string) (*Template, error) {
	prefixes := []string{rootPrefix}
	for i, c := range ref.Name {
		if c == '/' {
			prefixes = append(prefixes, string(ref.Name[:i]))
		}
	}
	found, err := tx.Templates(ref.ID, prefixes)
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(t Template) bool { return !slices.Contains(t.AppliedFor, purpose) })
	if len(found) == 0 {
		return nil, nil
	}
	best := slices.MaxFunc(found, func(a, b Template) int { return prefixLength(a) - prefixLength(b) })
	return &best, nil
}

func prefixLength(t Template) int {
	if t.Prefix == rootPrefix {
		return 0
	}
	return len(strings.TrimSuffix(t.Prefix, "/"))
}

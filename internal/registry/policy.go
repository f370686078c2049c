package registry

import (
	"context"
	"sync"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/policy"
)

// SetRepositoryPolicyInput is what SetRepositoryPolicy is asked for.
type SetRepositoryPolicyInput struct {
	Ref
	Text  string `json:"policyText"`
	Force bool   `json:"force"` // even if the caller could then not set another
}

// SetRepositoryPolicy gives a repository a policy in place of any that it has.
// The text is kept as it is, and decides from the next call on. Errors:
// RepositoryNotFoundException, InvalidParameterException.
func (r *Registry) SetRepositoryPolicy(ctx context.Context, c access.Caller, in SetRepositoryPolicyInput) error {
	q := request{caller: c, event: "SetRepositoryPolicy", ref: in.Ref, params: in, lock: LockChange, repairs: true}
	return r.update(ctx, q, func(tx Tx, repo *Repository) error {
		p, err := r.readPolicy(tx, policy.Repository, in.service(), in.Text)
		if err != nil {
			return err
		}
		repo.Policy = in.Text
		if !in.Force {
			ask := q
			ask.repairs = false
			if err := r.decideWith(ctx, tx, ask, repo, []policy.Attached{{Policy: p}}); err != nil {
				return lockedOut(err, "repository")
			}
		}
		return r.putRepository(tx, repo)
	})
}

// putRepository stores what a call has changed of a repository.
func (r *Registry) putRepository(tx Tx, repo *Repository) error {
	if err := tx.UpdateRepository(repo); err != nil {
		return err
	}
	return tx.Emit(Event{Kind: RepositoryChanged, Ref: repo.Ref, RepositoryUID: repo.UID, Time: r.now()})
}

// lockedOut returns InvalidParameterException in place of a refusal that a policy
// would lead to.
func lockedOut(err error, what string) error {
	if kindOf(err) != fault.Denied {
		return err
	}
	return invalidParameter("PolicyText", "This "+what+" policy would prevent you from setting another one")
}

// GetRepositoryPolicy returns the text of a repository's policy. Errors:
// RepositoryPolicyNotFoundException, RepositoryNotFoundException.
func (r *Registry) GetRepositoryPolicy(ctx context.Context, c access.Caller, ref Ref) (text string, err error) {
	q := request{caller: c, event: "GetRepositoryPolicy", ref: ref, readOnly: true}
	err = r.view(ctx, q, func(_ ReadTx, repo *Repository) error {
		if text = repo.Policy; text == "" {
			return errNoRepositoryPolicy(ref)
		}
		return nil
	})
	return text, err
}

// DeleteRepositoryPolicy takes a repository's policy away and returns its text.
// Errors: RepositoryPolicyNotFoundException, RepositoryNotFoundException.
func (r *Registry) DeleteRepositoryPolicy(ctx context.Context, c access.Caller, ref Ref) (text string, err error) {
	q := request{caller: c, event: "DeleteRepositoryPolicy", ref: ref, lock: LockChange, repairs: true}
	err = r.update(ctx, q, func(tx Tx, repo *Repository) error {
		if text = repo.Policy; text == "" {
			return errNoRepositoryPolicy(ref)
		}
		repo.Policy = ""
		return r.putRepository(tx, repo)
	})
	return text, err
}

// PutRegistryPolicyInput is what PutRegistryPolicy is asked for.
type PutRegistryPolicyInput struct {
	ID
	Text string `json:"policyText"`
}

// PutRegistryPolicy gives a registry a policy in place of any that it has, which
// has a say in every call about it and its repositories. The text is kept as it
// is, and decides from the next call on. Errors: InvalidParameterException.
func (r *Registry) PutRegistryPolicy(ctx context.Context, c access.Caller, in PutRegistryPolicyInput) error {
	q := request{caller: c, event: "PutRegistryPolicy", ref: Ref{ID: in.ID}, params: in, repairs: true}
	return r.configure(ctx, q, "registry policy", func(tx Tx) error {
		if _, err := r.readPolicy(tx, policy.Registry, "ecr", in.Text); err != nil {
			return err
		}
		return tx.PutRegistryPolicy(in.ID, in.Text)
	})
}

// GetRegistryPolicy returns the text of the registry's policy. Errors:
// RegistryPolicyNotFoundException.
func (r *Registry) GetRegistryPolicy(ctx context.Context, c access.Caller, id ID) (text string, err error) {
	q := request{caller: c, event: "GetRegistryPolicy", ref: Ref{ID: id}, readOnly: true}
	err = r.viewAll(ctx, q, func(tx ReadTx) (err error) {
		if text, err = tx.RegistryPolicy(id); err == nil && text == "" {
			err = errNoRegistryPolicy(id)
		}
		return err
	})
	return text, err
}

// DeleteRegistryPolicy takes the registry's policy away and returns its text.
// Errors: RegistryPolicyNotFoundException.
func (r *Registry) DeleteRegistryPolicy(ctx context.Context, c access.Caller, id ID) (text string, err error) {
	q := request{caller: c, event: "DeleteRegistryPolicy", ref: Ref{ID: id}, repairs: true}
	err = r.configure(ctx, q, "registry policy", func(tx Tx) (err error) {
		if text, err = tx.RegistryPolicy(id); err == nil && text == "" {
			err = errNoRegistryPolicy(id)
		}
		if err != nil {
			return err
		}
		return tx.PutRegistryPolicy(id, "")
	})
	return text, err
}

// readPolicy is parsePolicy, and refuses policies that name somebody who is not
// there.
func (r *Registry) readPolicy(tx ReadTx, k policy.Kind, service, text string) (*policy.Policy, error) {
	p, err := parsePolicy(k, service, text)
	if err != nil || r.principals == nil {
		return p, err
	}
	missing, err := r.principals.MissingPrincipals(tx, p.Principals())
	if err == nil && len(missing) > 0 {
		err = policy.UnknownPrincipal(k, missing[0])
	}
	return p, err
}

// parsePolicy reads a policy that is to be stored for what belongs to a service.
// Errors: InvalidParameterException.
func parsePolicy(k policy.Kind, service, text string) (*policy.Policy, error) {
	return policy.Parse(text, policy.Options{Kind: k, Actions: actions[service]})
}

// policies remembers policies that have been parsed, by their texts. The zero
// value is empty.
type policies struct {
	mu     sync.RWMutex
	parsed map[string][]policy.Attached // guarded by mu
}

// maxParsed is how many policies are remembered.
const maxParsed = 1000

// of returns the policy of a text, none for "".
func (p *policies) of(k policy.Kind, text string) ([]policy.Attached, error) {
	if text == "" {
		return nil, nil
	}
	key := k.String() + text
	p.mu.RLock()
	found, ok := p.parsed[key]
	p.mu.RUnlock()
	if ok {
		return found, nil
	}
	read, err := policy.Parse(text, policy.Options{Kind: k}) // what was an action when it was stored may be none any more
	if err != nil {
		return nil, err
	}
	found = []policy.Attached{{Policy: read}}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.parsed == nil || len(p.parsed) >= maxParsed {
		p.parsed = map[string][]policy.Attached{}
	}
	p.parsed[key] = found
	return found, nil
}

package registry

import (
	"context"
	"time"

	"berth/internal/access"
	"berth/internal/lifecycle"
)

// LifecycleExtensions is the account setting that says whether lifecycle policies
// may use more than ECR's grammar; see [lifecycle.Options].
const LifecycleExtensions = "BERTH_LIFECYCLE_EXTENSIONS"

// LifecyclePolicy is a repository's lifecycle policy.
type LifecyclePolicy struct {
	Repository  string    // its UID
	Version     string    // another one each time that the policy is put
	Text        string    // as it was put
	EvaluatedAt time.Time // when it was last carried out; zero if never
	DueAt       time.Time // when it is to be carried out next
	// Changes counts the changes by which an image may have left what a rule
	// selects, so that others are within the rule's limit now: images and tags
	// that are deleted or moved, images that are archived or restored. New
	// images do not count: they only bring others over a limit.
	Changes int64
}

// PutLifecyclePolicyInput is what PutLifecyclePolicy is asked for.
type PutLifecyclePolicyInput struct {
	Ref
	Text string `json:"lifecyclePolicyText"`
}

// PutLifecyclePolicy gives the repository a lifecycle policy in place of any that
// it has. The text is kept as it is. The policy is carried out at once, in the
// background, and then again and again. Errors: RepositoryNotFoundException,
// InvalidParameterException.
func (r *Registry) PutLifecyclePolicy(ctx context.Context, c access.Caller, in PutLifecyclePolicyInput) error {
	q := request{caller: c, event: "PutLifecyclePolicy", ref: in.Ref, params: in, lock: LockChange}
	text := parseLifecycle(in.Text)
	err := r.update(ctx, q, func(tx Tx, repo *Repository) error {
		if _, err := text.in(tx, repo.ID); err != nil {
			return err
		}
		if err := r.putLifecycle(tx, repo, in.Text); err != nil {
			return err
		}
		return tx.Emit(Event{Kind: RepositoryChanged, Ref: repo.Ref, RepositoryUID: repo.UID, Time: r.now()})
	})
	if err == nil {
		r.WakeLifecycle()
	}
	return err
}

// putLifecycle gives a repository a policy that is carried out as soon as it can
// be.
func (r *Registry) putLifecycle(tx Tx, repo *Repository, text string) error {
	return tx.PutLifecyclePolicy(&LifecyclePolicy{Repository: repo.UID, Version: newID(), Text: text, DueAt: r.now()})
}

// GetLifecyclePolicy returns the repository's lifecycle policy. Errors:
// RepositoryNotFoundException, LifecyclePolicyNotFoundException.
func (r *Registry) GetLifecyclePolicy(ctx context.Context, c access.Caller, ref Ref) (*LifecyclePolicy, error) {
	var p *LifecyclePolicy
	q := request{caller: c, event: "GetLifecyclePolicy", ref: ref, readOnly: true}
	err := r.view(ctx, q, func(tx ReadTx, repo *Repository) error {
		var err error
		p, err = lifecyclePolicy(tx, repo)
		return err
	})
	return p, err
}

// DeleteLifecyclePolicy takes the repository's lifecycle policy away and returns
// it. What it has not done by then is not done any more. Errors:
// RepositoryNotFoundException, LifecyclePolicyNotFoundException.
func (r *Registry) DeleteLifecyclePolicy(ctx context.Context, c access.Caller, ref Ref) (*LifecyclePolicy, error) {
	var p *LifecyclePolicy
	q := request{caller: c, event: "DeleteLifecyclePolicy", ref: ref, lock: LockChange}
	err := r.update(ctx, q, func(tx Tx, repo *Repository) error {
		var err error
		if p, err = lifecyclePolicy(tx, repo); err != nil {
			return err
		}
		if err := tx.DeleteLifecyclePolicy(repo.UID); err != nil {
			return err
		}
		return tx.Emit(Event{Kind: RepositoryChanged, Ref: repo.Ref, RepositoryUID: repo.UID, Time: r.now()})
	})
	return p, err
}

// lifecyclePolicy returns the repository's policy, or
// LifecyclePolicyNotFoundException.
func lifecyclePolicy(tx ReadTx, repo *Repository) (*LifecyclePolicy, error) {
	p, err := tx.LifecyclePolicy(repo.UID)
	if err == nil && p == nil {
		err = errLifecyclePolicyNotFound(repo.Ref)
	}
	return p, err
}

// lifecycleText is a policy's text, read with and without the extensions: which
// of the two counts is known in the transaction only.
type lifecycleText struct {
	plain, extended       *lifecycle.Policy
	plainErr, extendedErr error
}

func parseLifecycle(text string) lifecycleText {
	var t lifecycleText
	t.plain, t.plainErr = lifecycle.Parse(text, lifecycle.Options{})
	t.extended, t.extendedErr = t.plain, t.plainErr
	if t.plainErr != nil {
		t.extended, t.extendedErr = lifecycle.Parse(text, lifecycle.Options{Extended: true})
	}
	return t
}

// in returns the policy as it is read in a registry.
func (t lifecycleText) in(tx ReadTx, id ID) (*lifecycle.Policy, error) {
	if t.plainErr == nil {
		return t.plain, nil
	}
	value, err := tx.Setting(id, LifecycleExtensions)
	if err != nil {
		return nil, err
	}
	if value == "ENABLED" {
		return t.extended, t.extendedErr
	}
	return nil, t.plainErr
}

package registry

import (
	"context"
	"errors"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
)

const (
	// lifecycleEvery is how long after it was carried out a policy is carried
	// out again. ECR promises a day.
	lifecycleEvery = 12 * time.Hour
	// lifecycleRetry is how long after a failure it is tried again.
	lifecycleRetry = time.Minute
	// lifecycleTries is how many plans in a row are made that come to nothing
	// because the images change.
	lifecycleTries = 3
)

// LifecycleRun is what carrying out a policy has done to a repository.
type LifecycleRun struct {
	Name        RepositoryName `json:"repositoryName"`
	Expired     int            `json:"expired"`         // images deleted
	Archived    int            `json:"archived"`        // images moved to the archive
	Kept        int            `json:"kept"`            // images in the repository that nothing has happened to
	EvaluatedAt time.Time      `json:"lastEvaluatedAt"` // zero if it was not carried out to the end
	Err         error          `json:"-"`               // why it was not
}

// RunLifecyclePoliciesInput says which policies are to be carried out.
type RunLifecyclePoliciesInput struct {
	Ref // without a name: all that the registry has
}

// RunLifecyclePolicies carries out policies now, and returns when it has. A run
// that fails says so, and the others go on. The caller must be allowed
// ecr:PutLifecyclePolicy; without a name, repositories for which he is not are
// left out, but not all of them. Errors: RepositoryNotFoundException,
// LifecyclePolicyNotFoundException.
func (r *Registry) RunLifecyclePolicies(ctx context.Context, c access.Caller, in RunLifecyclePoliciesInput) ([]LifecycleRun, error) {
	repos, err := r.lifecycleRepositories(ctx, c, in)
	if err != nil {
		return nil, err
	}
	out := []LifecycleRun{}
	for i := range repos {
		run, err := r.runLifecycle(ctx, &repos[i], nil)
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		if run.Err = err; !errors.Is(err, errGone) { // the repository or its policy: meanwhile
			out = append(out, run)
		}
	}
	return out, nil
}

// lifecycleRepositories asks whether the policies may be carried out, and returns
// the repositories that have them. The call is recorded before anything is done.
func (r *Registry) lifecycleRepositories(ctx context.Context, c access.Caller, in RunLifecyclePoliciesInput) ([]Repository, error) {
	var repos []Repository
	q := request{caller: c, event: "RunLifecyclePolicies", action: "PutLifecyclePolicy", ref: in.Ref, params: in}
	if in.Name != "" {
		err := r.update(ctx, q, func(tx Tx, repo *Repository) error {
			repos = []Repository{*repo}
			_, err := lifecyclePolicy(tx, repo)
			return err
		})
		return repos, err
	}
	q.ref.Name = "*"
	err := r.updateIn(ctx, r.store.Update, q, func(tx Tx) error {
		var err error
		repos, err = r.allowedRepositories(ctx, tx, q)
		return err
	})
	return repos, err
}

// allowedRepositories returns the repositories of the registry that have a policy
// and for which the call is allowed. It is refused if that leaves out all.
func (r *Registry) allowedRepositories(ctx context.Context, tx ReadTx, q request) ([]Repository, error) {
	const limit = 1000
	var allowed []Repository
	var refusal error
	for after, more := RepositoryName(""), true; more; {
		page, err := tx.LifecycleRepositories(q.ref.ID, after, limit)
		if err != nil {
			return nil, err
		}
		for i := range page {
			one := q
			one.ref = page[i].Ref
			err := r.decide(ctx, tx, one, &page[i])
			if f, ok := fault.As(err); ok && f.Kind == fault.Denied {
				refusal = err
				continue
			}
			if err != nil {
				return nil, err
			}
			allowed = append(allowed, page[i])
		}
		if more = len(page) == limit; more {
			after = page[limit-1].Name
		}
	}
	if len(allowed) > 0 {
		return allowed, nil
	}
	if refusal == nil { // there is none
		refusal = r.decide(ctx, tx, q, nil)
	}
	return nil, refusal
}

// errGone ends what is done about a policy or a preview that is not there any
// more, or that another process does already.
var errGone = errors.New("there is nothing to do any more")

// errUnsettled ends a run that does not get on.
var errUnsettled = fault.New(fault.Conflict, "ImagesChangedException",
	"The images of the repository change while its lifecycle policy is carried out; it is carried out again in a minute")

// hold makes sure, in the transaction in which something is done, that nobody
// else does it. Nil for what may be done twice.
type hold func(Tx) error

// attend runs fn in a transaction on a repository. It is the way to a repository
// for what the service does by itself: nobody is asked, and no front leads here.
func (r *Registry) attend(ctx context.Context, update func(context.Context, func(Tx) error) error, repo *Repository, h hold, fn func(Tx) error) error {
	return update(ctx, func(tx Tx) error {
		now, err := tx.Repository(repo.Ref, LockChange)
		if err != nil {
			return err
		}
		if now == nil || now.UID != repo.UID {
			return errGone
		}
		if h != nil {
			if err := h(tx); err != nil {
				return err
			}
		}
		return fn(tx)
	})
}

// runLifecycle carries out a repository's policy until there is nothing more to
// do. It can be interrupted at any time and run again, and twice at once.
func (r *Registry) runLifecycle(ctx context.Context, repo *Repository, h hold) (LifecycleRun, error) {
	run := LifecycleRun{Name: repo.Name}
	for tries := 0; ; {
		p, err := r.planLifecycle(ctx, repo)
		if _, invalid := fault.As(err); invalid {
			if err := r.evaluated(ctx, repo, h, p, lifecycleEvery); err != nil {
				return run, err
			}
		}
		if err != nil {
			return run, err
		}
		did, whole, err := r.carryOutAll(ctx, repo, h, p, &run)
		switch {
		case err != nil:
			return run, err
		case did > 0:
			tries = 0
		case whole:
			run.Kept, run.EvaluatedAt = max(p.images-run.Archived, 0), p.at
			return run, r.evaluated(ctx, repo, h, p, lifecycleEvery)
		default:
			if tries++; tries == lifecycleTries {
				p.policy = nil // it was not carried out
				return run, errors.Join(errUnsettled, r.evaluated(ctx, repo, h, p, lifecycleRetry))
			}
		}
	}
}

// evaluated records that the policy of a plan was carried out, or cannot be, and
// when to see to it again.
func (r *Registry) evaluated(ctx context.Context, repo *Repository, h hold, p *plan, again time.Duration) error {
	return r.attend(ctx, r.store.Relaxed, repo, h, func(tx Tx) error {
		if _, err := p.current(tx); err != nil {
			return err
		}
		next := p.stored
		next.DueAt = p.at.Add(again)
		if p.policy != nil {
			next.EvaluatedAt = p.at
		}
		return tx.PutLifecyclePolicy(&next)
	})
}

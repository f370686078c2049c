package registry

import (
	"context"
	"errors"
	"slices"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/lifecycle"

	"github.com/opencontainers/go-digest"
)

const (
	// lifecycleEvery is how long after it was carried out a policy is carried
	// out again. ECR promises a day.
	lifecycleEvery = 12 * time.Hour
	// lifecycleBatch is how many images one transaction deletes or archives.
	lifecycleBatch = 100
)

// LifecycleRun is what carrying out a policy has done to a repository.
type LifecycleRun struct {
	Name        RepositoryName `json:"repositoryName"`
	Expired     int            `json:"expired"`  // images deleted
	Archived    int            `json:"archived"` // images moved to the archive
	Kept        int            `json:"kept"`     // images in the repository that nothing has happened to
	EvaluatedAt time.Time      `json:"lastEvaluatedAt"`
}

// RunLifecyclePoliciesInput says which policies are to be carried out.
type RunLifecyclePoliciesInput struct {
	Ref // without a name: all that the registry has
}

// RunLifecyclePolicies carries out policies now, and returns when it has. The
// caller must be allowed ecr:PutLifecyclePolicy. Errors:
// RepositoryNotFoundException, LifecyclePolicyNotFoundException.
func (r *Registry) RunLifecyclePolicies(ctx context.Context, c access.Caller, in RunLifecyclePoliciesInput) ([]LifecycleRun, error) {
	repos, err := r.lifecycleRepositories(ctx, c, in)
	if err != nil {
		return nil, err
	}
	out := []LifecycleRun{}
	for i := range repos {
		run, err := r.runLifecycle(ctx, &repos[i], nil)
		switch {
		case errors.Is(err, errGone): // the repository or its policy: meanwhile
		case err != nil:
			return nil, err
		default:
			out = append(out, run)
		}
	}
	return out, nil
}

// lifecycleRepositories asks whether the policies may be carried out, and returns
// the repositories that have them.
func (r *Registry) lifecycleRepositories(ctx context.Context, c access.Caller, in RunLifecyclePoliciesInput) ([]Repository, error) {
	var repos []Repository
	q := request{caller: c, event: "RunLifecyclePolicies", action: "PutLifecyclePolicy", ref: in.Ref, params: in}
	if in.Name != "" {
		err := r.view(ctx, q, func(tx ReadTx, repo *Repository) error {
			repos = []Repository{*repo}
			_, err := lifecyclePolicy(tx, repo)
			return err
		})
		return repos, err
	}
	q.ref.Name = "*"
	err := r.viewAll(ctx, q, func(tx ReadTx) error {
		repos = nil
		for after := RepositoryName(""); ; after = repos[len(repos)-1].Name {
			page, err := tx.LifecycleRepositories(in.ID, after, 1000)
			if err != nil || len(page) == 0 {
				return err
			}
			repos = append(repos, page...)
		}
	})
	return repos, err
}

// errGone ends what is done about a policy or a preview that is not there any
// more, or that another process does already.
var errGone = errors.New("there is nothing to do any more")

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

// plan is what a policy says about the images of a repository at some time.
type plan struct {
	stored    LifecyclePolicy
	policy    *lifecycle.Policy
	decisions []lifecycle.Decision
	at        time.Time
}

// acts returns the decisions to do something, which come first, in their order.
func (p *plan) acts() []lifecycle.Decision {
	n := slices.IndexFunc(p.decisions, func(d lifecycle.Decision) bool { return d.Action == lifecycle.Keep })
	if n < 0 {
		n = len(p.decisions)
	}
	return p.decisions[:n]
}

// current returns errGone unless the policy is still the one of the plan.
func (p *plan) current(tx ReadTx) error {
	now, err := tx.LifecyclePolicy(p.stored.Repository)
	if err == nil && (now == nil || now.Version != p.stored.Version) {
		err = errGone
	}
	return err
}

// runLifecycle carries out a repository's policy until there is nothing more to
// do. It can be interrupted at any time and run again, and twice at once.
func (r *Registry) runLifecycle(ctx context.Context, repo *Repository, h hold) (LifecycleRun, error) {
	run := LifecycleRun{Name: repo.Name}
	for {
		p, err := r.planLifecycle(ctx, repo)
		if _, invalid := fault.As(err); invalid {
			return run, errors.Join(err, r.evaluated(ctx, repo, h, p))
		}
		if err != nil {
			return run, err
		}
		acts := p.acts()
		did := 0
		for batch := range slices.Chunk(acts, lifecycleBatch) {
			done, err := r.carryOut(ctx, repo, h, p, batch)
			if err != nil {
				return run, err
			}
			did += len(done)
			for _, d := range done {
				if d.Action == lifecycle.Expire {
					run.Expired++
				} else {
					run.Archived++
				}
			}
		}
		if did > 0 {
			continue
		}
		run.Kept, run.EvaluatedAt = max(len(p.decisions)-run.Archived, 0), p.at
		return run, r.evaluated(ctx, repo, h, p)
	}
}

// planLifecycle evaluates a repository's policy. If that is not valid any more,
// because extensions were turned off, the error is InvalidParameterException and
// the plan has its text.
func (r *Registry) planLifecycle(ctx context.Context, repo *Repository) (*plan, error) {
	p := &plan{at: r.now()}
	var images []lifecycle.Image
	if err := r.flushPulls(ctx); err != nil { // what was pulled just now counts
		return nil, err
	}
	err := r.store.View(ctx, func(tx ReadTx) error {
		stored, err := tx.LifecyclePolicy(repo.UID)
		if err != nil {
			return err
		}
		if stored == nil {
			return errGone
		}
		p.stored = *stored
		if p.policy, err = parseLifecycle(stored.Text).in(tx, repo.ID); err != nil {
			return err
		}
		images, err = tx.LifecycleImages(repo.UID)
		return err
	})
	if err == nil {
		p.decisions = lifecycle.Evaluate(p.policy, images, p.at)
	}
	return p, err
}

// evaluated records that the policy of a plan was carried out, or cannot be, and
// when to see to it again.
func (r *Registry) evaluated(ctx context.Context, repo *Repository, h hold, p *plan) error {
	return r.attend(ctx, r.store.Relaxed, repo, h, func(tx Tx) error {
		if err := p.current(tx); err != nil {
			return err
		}
		next := p.stored
		next.DueAt = p.at.Add(lifecycleEvery)
		if p.policy != nil {
			next.EvaluatedAt = p.at
		}
		return tx.PutLifecyclePolicy(&next)
	})
}

// carryOut does what was decided about images, as far as they are still as they
// were then, and returns the decisions that it has carried out.
func (r *Registry) carryOut(ctx context.Context, repo *Repository, h hold, p *plan, batch []lifecycle.Decision) ([]lifecycle.Decision, error) {
	var done []lifecycle.Decision
	err := r.attend(ctx, r.store.Update, repo, h, func(tx Tx) error {
		done = nil
		if err := p.current(tx); err != nil {
			return err
		}
		for _, d := range batch {
			ok, err := r.act(tx, repo, d)
			if err != nil {
				return err
			}
			if ok {
				done = append(done, d)
			}
		}
		if len(done) == 0 {
			return nil
		}
		return tx.Record(r.policyExecution(repo, p, done))
	})
	return done, err
}

// act does what was decided about an image and reports whether it did: not if
// the image has changed since, or if something else keeps it now.
func (r *Registry) act(tx Tx, repo *Repository, d lifecycle.Decision) (bool, error) {
	img, err := tx.Image(repo.UID, digest.Digest(d.Image.Digest))
	if err != nil || img == nil {
		return false, err
	}
	if img.Tags, err = tx.Tags(img.UID); err != nil || !sameAs(img, d.Image) {
		return false, err
	}
	if free, err := subjectAllows(tx, img, d.Action); err != nil || !free {
		return false, err
	}
	if d.Action == lifecycle.Expire {
		_, failure, err := r.deleteImage(tx, repo, ImageID{Digest: img.Digest}, access.Caller{})
		return failure == nil && err == nil, err
	}
	err = r.archive(tx, repo, img, "")
	if _, refused := fault.As(err); refused {
		return false, nil
	}
	return err == nil, err
}

// sameAs reports whether an image is as it was when it was decided about.
func sameAs(img *Image, was *lifecycle.Image) bool {
	return img.UID == was.ID && img.Status.Lifecycle() == was.State && slices.Equal(img.Tags, was.Tags) &&
		img.PulledAt.Equal(was.PulledAt) && img.ArchivedAt.Equal(was.ArchivedAt) && img.ActivatedAt.Equal(was.ActivatedAt)
}

// subjectAllows reports whether an image may be deleted, or archived, as far as
// the one that it refers to is concerned: that must be gone, or archived.
func subjectAllows(tx ReadTx, img *Image, a lifecycle.Action) (bool, error) {
	if img.Subject == "" {
		return true, nil
	}
	s, err := tx.Image(img.Repository, img.Subject)
	if err != nil || s == nil {
		return err == nil, err
	}
	return a == lifecycle.Transition && s.Status == Archived, nil
}

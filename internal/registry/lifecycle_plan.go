package registry

import (
	"context"
	"iter"
	"slices"
	"time"

	"berth/internal/access"
	"berth/internal/crash"
	"berth/internal/fault"
	"berth/internal/lifecycle"

	"github.com/opencontainers/go-digest"
)

// One transaction deletes or archives at most so many images, which have at most
// so many tags unless a single one has more.
const (
	batchImages = 100
	batchTags   = 500
)

// plan is what a policy says about the images of a repository at some time.
type plan struct {
	stored LifecyclePolicy      // as far as it is about the repository's own policy
	policy *lifecycle.Policy    // nil if the text is no policy any more
	acts   []lifecycle.Decision // to do something, in their order
	images int                  // in the repository
	at     time.Time
}

// current returns the policy as it is now, or errGone unless it is still the one
// of the plan.
func (p *plan) current(tx ReadTx) (*LifecyclePolicy, error) {
	now, err := tx.LifecyclePolicy(p.stored.Repository)
	if err == nil && (now == nil || now.Version != p.stored.Version) {
		err = errGone
	}
	return now, err
}

// batches cuts the acts into what one transaction does.
func (p *plan) batches() iter.Seq[[]lifecycle.Decision] {
	return func(yield func([]lifecycle.Decision) bool) {
		for rest := p.acts; len(rest) > 0; {
			n, tags := 1, len(rest[0].Image.Tags)
			for n < len(rest) && n < batchImages && tags+len(rest[n].Image.Tags) <= batchTags {
				tags += len(rest[n].Image.Tags)
				n++
			}
			if !yield(rest[:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}

// planLifecycle evaluates a repository's policy. If that is not valid any more,
// because extensions were turned off, the error is InvalidParameterException and
// the plan has its text.
func (r *Registry) planLifecycle(ctx context.Context, repo *Repository) (*plan, error) {
	p := &plan{}
	err := r.evaluate(ctx, repo, p, func(tx ReadTx) (string, error) {
		stored, err := tx.LifecyclePolicy(repo.UID)
		if err == nil && stored == nil {
			err = errGone
		}
		if err != nil {
			return "", err
		}
		p.stored = *stored
		return stored.Text, nil
	})
	return p, err
}

// evaluate completes a plan of what the text of a policy says now.
func (r *Registry) evaluate(ctx context.Context, repo *Repository, p *plan, text func(ReadTx) (string, error)) error {
	select {
	case r.lifecyclePlan <- struct{}{}:
		defer func() { <-r.lifecyclePlan }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := r.flushPulls(ctx); err != nil { // what was pulled just now counts
		return err
	}
	p.at = r.now()
	var images []lifecycle.Image
	err := r.store.View(ctx, func(tx ReadTx) error {
		t, err := text(tx)
		if err != nil {
			return err
		}
		if p.policy, err = parseLifecycle(t).in(tx, repo.ID); err != nil {
			return err
		}
		images, err = tx.LifecycleImages(repo.UID)
		return err
	})
	if err != nil {
		return err
	}
	all := lifecycle.Evaluate(p.policy, images, p.at)
	n := slices.IndexFunc(all, func(d lifecycle.Decision) bool { return d.Action == lifecycle.Keep })
	if n < 0 {
		n = len(all)
	}
	p.acts, p.images = slices.Clone(all[:n]), len(all)
	return nil
}

// carryOutAll does what is planned, until that is not up to date any more. It
// returns how many images it has acted on, and whether on all.
func (r *Registry) carryOutAll(ctx context.Context, repo *Repository, h hold, p *plan, run *LifecycleRun) (did int, whole bool, err error) {
	for batch := range p.batches() {
		done, err := r.carryOut(ctx, repo, h, p, batch)
		if err != nil {
			return did, false, err
		}
		for _, d := range done {
			if d.Action == lifecycle.Expire {
				run.Expired++
			} else {
				run.Archived++
			}
		}
		if did += len(done); len(done) < len(batch) {
			return did, false, nil
		}
	}
	return did, true, nil
}

// carryOut does what was decided about images, as far as they are still as they
// were then, and returns the decisions that it has carried out: none if others
// may be within a rule's limit now.
func (r *Registry) carryOut(ctx context.Context, repo *Repository, h hold, p *plan, batch []lifecycle.Decision) ([]lifecycle.Decision, error) {
	if err := r.flushPulls(ctx); err != nil {
		return nil, err
	}
	var done []lifecycle.Decision
	changes := p.stored.Changes
	err := r.attend(ctx, r.store.Update, repo, h, func(tx Tx) error {
		done = nil
		now, err := p.current(tx)
		if err != nil || now.Changes != p.stored.Changes {
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
		if now, err = p.current(tx); err != nil {
			return err
		}
		changes = now.Changes // ours
		crash.Point("lifecycle.batch")
		return tx.Record(r.policyExecution(repo, p, done))
	})
	if err == nil {
		p.stored.Changes = changes
	}
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
		_, failure, err := r.deleteImage(tx, repo, ImageID{Digest: img.Digest}, access.Caller{Type: policyCaller})
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

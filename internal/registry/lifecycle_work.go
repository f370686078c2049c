package registry

import (
	"context"
	"errors"
	"slices"
	"time"

	"berth/internal/fault"
	"berth/internal/lifecycle"

	"github.com/opencontainers/go-digest"
)

const (
	// lifecycleLook is how often a process looks whether something is due.
	lifecycleLook = time.Second
	// lifecycleRetry is how long after a failure it is tried again.
	lifecycleRetry = time.Minute
	// lifecycleLease is how long a process that does not go on is waited for.
	lifecycleLease = time.Minute
)

// wakeLifecycle makes RunLifecycle look at once.
func (r *Registry) wakeLifecycle() {
	select {
	case r.lifecycleWork <- struct{}{}:
	default:
	}
}

// RunLifecycle carries out lifecycle policies and previews when they are due,
// until ctx ends. Of the processes on one database one works at a time. What
// fails is reported and tried again later.
func (r *Registry) RunLifecycle(ctx context.Context, failed func(error)) {
	owner := newID()
	tick := time.NewTicker(lifecycleLook)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-r.lifecycleWork:
		case <-ctx.Done():
			return
		}
		if err := r.doLifecycle(ctx, owner, failed); err != nil && ctx.Err() == nil {
			failed(err)
			select {
			case <-time.After(10 * lifecycleLook):
			case <-ctx.Done():
			}
		}
	}
}

// doLifecycle does all that is due, if no other process does.
func (r *Registry) doLifecycle(ctx context.Context, owner string, failed func(error)) error {
	due, err := r.lifecycleDue(ctx)
	if err != nil || len(due) == 0 {
		return err
	}
	h := func(tx Tx) error {
		now := r.now()
		mine, err := tx.Lease("lifecycle", owner, now, now.Add(lifecycleLease))
		if err == nil && !mine {
			err = errGone
		}
		return err
	}
	if err := r.store.Relaxed(ctx, func(tx Tx) error { return h(tx) }); err != nil {
		return ignoreGone(err)
	}
	defer func() {
		_ = r.store.Relaxed(context.WithoutCancel(ctx), func(tx Tx) error { // else it ends by itself
			_, err := tx.Lease("lifecycle", owner, r.now(), r.now())
			return err
		})
	}()
	for len(due) > 0 {
		for _, uid := range due {
			err := r.doRepository(ctx, uid, h)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if ignoreGone(err) == nil {
				continue
			}
			failed(err)
			if err := r.postpone(ctx, uid); err != nil {
				return err
			}
		}
		if due, err = r.lifecycleDue(ctx); err != nil {
			return err
		}
		if err := r.store.Relaxed(ctx, func(tx Tx) error { return h(tx) }); err != nil {
			return ignoreGone(err)
		}
	}
	return nil
}

func ignoreGone(err error) error {
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

func (r *Registry) lifecycleDue(ctx context.Context) ([]string, error) {
	var due []string
	err := r.store.View(ctx, func(tx ReadTx) error {
		var err error
		due, err = tx.LifecycleDue(r.now(), 100)
		return err
	})
	return due, err
}

// doRepository does what is due about one repository.
func (r *Registry) doRepository(ctx context.Context, uid string, h hold) error {
	var repo *Repository
	var policy *LifecyclePolicy
	var preview *LifecyclePreview
	err := r.store.View(ctx, func(tx ReadTx) error {
		var err error
		if repo, err = tx.RepositoryByUID(uid); err != nil {
			return err
		}
		if policy, err = tx.LifecyclePolicy(uid); err != nil {
			return err
		}
		preview, err = tx.LifecyclePreview(uid)
		return err
	})
	if err != nil {
		return err
	}
	if repo == nil {
		return r.forgetLifecycle(ctx, uid)
	}
	now := r.now()
	if preview != nil && !preview.DueAt.IsZero() && !preview.DueAt.After(now) {
		if err := r.doPreview(ctx, repo, preview, h); ignoreGone(err) != nil {
			return err
		}
	}
	if policy == nil || policy.DueAt.After(now) {
		return nil
	}
	_, err = r.runLifecycle(ctx, repo, h)
	return err
}

// postpone puts off what is due about a repository and has failed.
func (r *Registry) postpone(ctx context.Context, uid string) error {
	later := r.now().Add(lifecycleRetry)
	return r.store.Relaxed(ctx, func(tx Tx) error {
		policy, err := tx.LifecyclePolicy(uid)
		if err != nil {
			return err
		}
		if policy != nil && policy.DueAt.Before(later) {
			policy.DueAt = later
			if err := tx.PutLifecyclePolicy(policy); err != nil {
				return err
			}
		}
		preview, err := tx.LifecyclePreview(uid)
		if err != nil || preview == nil || preview.DueAt.IsZero() || !preview.DueAt.Before(later) {
			return err
		}
		preview.DueAt = later
		return tx.PutLifecyclePreview(preview)
	})
}

// resultBatch is how many results of a preview one transaction writes or removes.
const resultBatch = 500

// doPreview finds out what a preview is to show, or removes what it has shown
// long enough.
func (r *Registry) doPreview(ctx context.Context, repo *Repository, p *LifecyclePreview, h hold) error {
	update := func(fn func(Tx) error) error {
		return r.attend(ctx, r.store.Relaxed, repo, h, func(tx Tx) error {
			now, err := tx.LifecyclePreview(repo.UID)
			if err == nil && (now == nil || now.ID != p.ID) {
				err = errGone
			}
			if err != nil {
				return err
			}
			return fn(tx)
		})
	}
	if err := removeResults(update, repo.UID); err != nil {
		return err
	}
	next := *p
	next.DueAt = time.Time{}
	if p.Status != PreviewInProgress {
		next.Status = PreviewExpired
		return update(func(tx Tx) error { return tx.PutLifecyclePreview(&next) })
	}
	results, invalid, err := r.previewResults(ctx, repo, p.Text)
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(results, resultBatch) {
		if err := update(func(tx Tx) error { return tx.PutLifecycleResults(repo.UID, batch) }); err != nil {
			return err
		}
	}
	next.Status, next.EndedAt = PreviewComplete, r.now()
	next.DueAt = next.EndedAt.Add(previewLife)
	if invalid != nil {
		next.Status = PreviewFailed
	}
	for _, result := range results {
		if result.Action == lifecycle.Expire {
			next.Expiring++
		} else {
			next.Transitioning++
		}
	}
	return update(func(tx Tx) error { return tx.PutLifecyclePreview(&next) })
}

// previewResults returns what a policy would do. invalid says why the text is no
// policy any more.
func (r *Registry) previewResults(ctx context.Context, repo *Repository, text string) (results []LifecycleResult, invalid, err error) {
	var images []lifecycle.Image
	var policy *lifecycle.Policy
	err = r.store.View(ctx, func(tx ReadTx) error {
		var err error
		if policy, err = parseLifecycle(text).in(tx, repo.ID); err != nil {
			return err
		}
		images, err = tx.LifecycleImages(repo.UID)
		return err
	})
	if _, ok := fault.As(err); ok {
		return nil, err, nil
	}
	if err != nil {
		return nil, nil, err
	}
	p := plan{decisions: lifecycle.Evaluate(policy, images, r.now())}
	for _, d := range p.acts() {
		class := lifecycle.Standard
		if d.Image.State == lifecycle.Archived {
			class = lifecycle.Archive
		}
		results = append(results, LifecycleResult{
			Digest: digest.Digest(d.Image.Digest), Tags: d.Image.Tags, PushedAt: d.Image.PushedAt, Action: d.Action, Priority: d.Rule, Class: class,
		})
	}
	return results, nil, nil
}

// removeResults removes the results of a preview, some in each update.
func removeResults(update func(func(Tx) error) error, repository string) error {
	for {
		var removed int64
		err := update(func(tx Tx) error {
			var err error
			removed, err = tx.DeleteLifecycleResults(repository, resultBatch)
			return err
		})
		if err != nil || removed < resultBatch {
			return err
		}
	}
}

// forgetLifecycle removes the policy and the preview of a repository that is
// deleted.
func (r *Registry) forgetLifecycle(ctx context.Context, uid string) error {
	update := func(fn func(Tx) error) error { return r.store.Relaxed(ctx, fn) }
	if err := removeResults(update, uid); err != nil {
		return err
	}
	return update(func(tx Tx) error {
		return errors.Join(tx.DeleteLifecyclePolicy(uid), tx.DeleteLifecyclePreview(uid))
	})
}

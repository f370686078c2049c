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
	// lifecycleLease is how long a process that does not go on is waited for.
	lifecycleLease = time.Minute
)

// WakeLifecycle makes RunLifecycle look at once whether something is due. It is
// for those who move the clock; everything else that makes something due does it
// by itself.
func (r *Registry) WakeLifecycle() {
	select {
	case r.lifecycleWork <- struct{}{}:
	default:
	}
}

// RunLifecycle carries out lifecycle policies and previews when they are due,
// until ctx ends. Of the processes on one database one works at a time. What
// fails is reported and tried again later. While changes are refused it rests.
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
		if r.refused() != nil {
			continue
		}
		if err := r.doLifecycle(ctx, owner, failed); err != nil && ctx.Err() == nil && !fault.IsReadOnly(err) {
			failed(err)
			select {
			case <-time.After(10 * lifecycleLook):
			case <-ctx.Done():
			}
		}
	}
}

// doLifecycle does all that is due, if no other process does. It looks again
// after each thing what is the next, so that nothing waits for more than one.
func (r *Registry) doLifecycle(ctx context.Context, owner string, failed func(error)) error {
	due, err := r.lifecycleDue(ctx)
	if err != nil || due == nil {
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
	if err := r.store.Relaxed(ctx, h); err != nil {
		return ignoreGone(err)
	}
	defer func() {
		_ = r.store.Relaxed(context.WithoutCancel(ctx), func(tx Tx) error { // else it ends by itself
			_, err := tx.Lease("lifecycle", owner, r.now(), r.now())
			return err
		})
	}()
	for due != nil {
		err := r.doDue(ctx, due, h)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if fault.IsReadOnly(err) {
			return err
		}
		if ignoreGone(err) != nil && !errors.Is(err, errUnsettled) {
			postponed := r.postpone(ctx, due, lifecycleRetry) // before anybody hears of it and moves the clock
			failed(err)
			if postponed != nil {
				return postponed
			}
		}
		if err := r.store.Relaxed(ctx, h); err != nil {
			return ignoreGone(err)
		}
		if due, err = r.lifecycleDue(ctx); err != nil {
			return err
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

// dueLifecycle is a preview or a policy that is due.
type dueLifecycle struct {
	repo    *Repository // nil if it is deleted
	preview *LifecyclePreview
	policy  *LifecyclePolicy
}

// lifecycleDue returns what is to be done next, or nil. Somebody waits for
// previews.
func (r *Registry) lifecycleDue(ctx context.Context) (*dueLifecycle, error) {
	var due *dueLifecycle
	err := r.store.View(ctx, func(tx ReadTx) error {
		due = nil
		now := r.now()
		preview, err := tx.DueLifecyclePreview(now)
		if err != nil {
			return err
		}
		if preview != nil {
			repo, err := tx.RepositoryByUID(preview.Repository)
			due = &dueLifecycle{repo: repo, preview: preview}
			return err
		}
		policy, err := tx.DueLifecyclePolicy(now, now.Add(lifecycleEvery+time.Hour))
		if err != nil || policy == nil {
			return err
		}
		repo, err := tx.RepositoryByUID(policy.Repository)
		due = &dueLifecycle{repo: repo, policy: policy}
		return err
	})
	return due, err
}

// doDue does what is due.
func (r *Registry) doDue(ctx context.Context, due *dueLifecycle, h hold) error {
	switch {
	case due.preview != nil && due.repo == nil:
		return r.forgetPreview(ctx, due.preview.Repository)
	case due.preview != nil:
		return r.doPreview(ctx, due.repo, due.preview, h)
	case due.repo == nil: // its policy is kept as its images are
		return r.postpone(ctx, due, lifecycleEvery)
	}
	_, err := r.runLifecycle(ctx, due.repo, h)
	return err
}

// postpone puts off what is due, unless it has changed.
func (r *Registry) postpone(ctx context.Context, due *dueLifecycle, by time.Duration) error {
	return r.store.Relaxed(ctx, func(tx Tx) error {
		if due.preview != nil {
			return tx.PostponeLifecyclePreview(due.preview, r.now().Add(by))
		}
		return tx.PostponeLifecyclePolicy(due.policy, r.now().Add(by))
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
	found := &plan{}
	err := r.evaluate(ctx, repo, found, func(ReadTx) (string, error) { return p.Text, nil })
	_, invalid := fault.As(err) // the text is no policy any more
	if err != nil && !invalid {
		return err
	}
	for batch := range slices.Chunk(found.acts, resultBatch) {
		if err := update(func(tx Tx) error { return tx.PutLifecycleResults(repo.UID, newResults(batch)) }); err != nil {
			return err
		}
	}
	next.Status, next.EndedAt = PreviewComplete, r.now()
	next.DueAt = next.EndedAt.Add(previewLife)
	if invalid {
		next.Status = PreviewFailed
	}
	for _, d := range found.acts {
		if d.Action == lifecycle.Expire {
			next.Expiring++
		} else {
			next.Transitioning++
		}
	}
	return update(func(tx Tx) error { return tx.PutLifecyclePreview(&next) })
}

func newResults(acts []lifecycle.Decision) []LifecycleResult {
	out := make([]LifecycleResult, len(acts))
	for n, d := range acts {
		out[n] = LifecycleResult{
			Digest: digest.Digest(d.Image.Digest), Tags: d.Image.Tags, PushedAt: d.Image.PushedAt, Action: d.Action, Priority: d.Rule,
			Class: lifecycle.Standard,
		}
		if d.Image.State == lifecycle.Archived {
			out[n].Class = lifecycle.Archive
		}
	}
	return out
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

// forgetPreview removes the preview of a repository that is deleted.
func (r *Registry) forgetPreview(ctx context.Context, uid string) error {
	update := func(fn func(Tx) error) error { return r.store.Relaxed(ctx, fn) }
	if err := removeResults(update, uid); err != nil {
		return err
	}
	return update(func(tx Tx) error { return tx.DeleteLifecyclePreview(uid) })
}

package registry

import (
	"context"
	"fmt"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/lifecycle"
)

const (
	// mostBacktested is how many images and changes of tags a back-test looks at.
	mostBacktested = 200_000
	// mostRemovals is how many images a back-test names.
	mostRemovals = 10_000

	standardBacktest = 90 // days
	longestBacktest  = 365
)

// BacktestLifecyclePolicyInput is what BacktestLifecyclePolicy is asked for.
type BacktestLifecyclePolicyInput struct {
	Ref
	Text string `json:"lifecyclePolicyText,omitempty"` // "" for the repository's policy
	Days *int   `json:"days,omitempty"`                // 90 if nil
}

// Backtest is what a policy would have done over some time.
type Backtest struct {
	From, To      time.Time
	Expiring      int // images that would have been deleted
	Transitioning int // images that would have been archived
	PulledLater   int // of those, how many were pulled after that
	Removals      []lifecycle.Removal
	Truncated     bool // there are more removals, later ones
}

// BacktestLifecyclePolicy returns what a policy would have done to the
// repository's images over the last days; see [lifecycle.Backtest]. It changes
// nothing. One back-test runs at a time, others wait. The caller must be allowed
// ecr:StartLifecyclePolicyPreview. Errors: RepositoryNotFoundException,
// InvalidParameterException, LifecyclePolicyNotFoundException,
// LimitExceededException if the repository's history is too long.
func (r *Registry) BacktestLifecyclePolicy(ctx context.Context, c access.Caller, in BacktestLifecyclePolicyInput) (Backtest, error) {
	days := standardBacktest
	if in.Days != nil {
		days = *in.Days
	}
	repo, policy, err := r.backtested(ctx, c, in, days)
	if err != nil {
		return Backtest{}, err
	}
	select {
	case r.backtests <- struct{}{}:
		defer func() { <-r.backtests }()
	case <-ctx.Done():
		return Backtest{}, ctx.Err()
	}
	if err := r.flushPulls(ctx); err != nil { // what was pulled just now counts
		return Backtest{}, err
	}
	b := Backtest{To: r.now()}
	b.From = b.To.Add(-time.Duration(days) * 24 * time.Hour)
	var h *lifecycle.History
	err = r.store.View(ctx, func(tx ReadTx) error {
		var err error
		h, err = tx.LifecycleHistory(repo.UID, b.From, mostBacktested)
		return err
	})
	if err != nil {
		return Backtest{}, err
	}
	if h == nil {
		return Backtest{}, fault.New(fault.Exhausted, "LimitExceededException",
			"The repository with name '%s' has had more than %d images and changes of tags in the last %d days, which is more than can be tested", repo.Name, mostBacktested, days)
	}
	removals, err := lifecycle.Backtest(ctx, policy, h, b.From, b.To)
	if err != nil {
		return Backtest{}, err
	}
	b.sum(removals)
	return b, nil
}

// backtested asks whether a policy may be tested, and returns the repository and
// the policy.
func (r *Registry) backtested(ctx context.Context, c access.Caller, in BacktestLifecyclePolicyInput, days int) (repo *Repository, policy *lifecycle.Policy, err error) {
	q := request{
		caller: c, event: "BacktestLifecyclePolicy", action: "StartLifecyclePolicyPreview", ref: in.Ref, params: in, readOnly: true,
	}
	given := parseLifecycle(in.Text)
	err = r.view(ctx, q, func(tx ReadTx, found *Repository) error {
		repo = found
		if days < 1 || days > longestBacktest {
			return invalidParameter("days", fmt.Sprintf("must be between 1 and %d", longestBacktest))
		}
		text := given
		if in.Text == "" {
			stored, err := lifecyclePolicy(tx, repo)
			if err != nil {
				return err
			}
			text = parseLifecycle(stored.Text)
		}
		var err error
		policy, err = text.in(tx, repo.ID)
		return err
	})
	return repo, policy, err
}

// sum fills in what the removals come to.
func (b *Backtest) sum(removals []lifecycle.Removal) {
	for i := range removals {
		if removals[i].Action == lifecycle.Expire {
			b.Expiring++
		} else {
			b.Transitioning++
		}
		if removals[i].PulledLater {
			b.PulledLater++
		}
	}
	b.Truncated = len(removals) > mostRemovals
	b.Removals = removals[:min(len(removals), mostRemovals)]
}

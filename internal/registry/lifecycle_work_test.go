package registry_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"berth/internal/registry"
)

// work lets the yard do what is due in the background, until the test ends, and
// returns what has failed.
func (y *yard) work(t *testing.T) <-chan error {
	t.Helper()
	failed := make(chan error, 100)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		y.RunLifecycle(t.Context(), func(err error) { failed <- err })
	}()
	t.Cleanup(func() { <-ended }) // the context has ended before
	y.WakeLifecycle()
	return failed
}

// await waits until the worker has come to something.
func await[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(30 * time.Second):
		t.Fatalf("it does not come about that %s", what)
		panic("unreachable")
	}
}

func (y *yard) awaitLeft(t *testing.T, want string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); y.left(t) != want; <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("images = %s, want %s", y.left(t), want)
		}
	}
}

// lease takes the lease of the worker for another process, until it ends.
func (y *yard) lease(t *testing.T, until time.Time) {
	t.Helper()
	err := y.store.Relaxed(t.Context(), func(tx registry.Tx) error {
		_, err := tx.Lease("lifecycle", "another process", y.time().Add(time.Hour), until) // whoever has it
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAProcessThatHasLostItsLeaseDoesNothingMore(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.put(t, "a", "")
	y.put(t, "b", "")
	y.policy(t, selects(1, lastUntagged, "expire"))
	looked := make(chan struct{})
	// The views are those of what is due, of the plan, and of what is due again.
	y.store.then(func() {
		y.store.then(func() {
			y.lease(t, y.time().Add(time.Minute))
			y.store.then(func() { close(looked) })
		})
	})
	failed := y.work(t)
	await(t, "the worker looks again", looked)
	if got := y.left(t); got != "a b" {
		t.Errorf("images = %s, want a b: the lease is another's", got)
	}
	y.advance(time.Minute) // the other one does not go on
	y.WakeLifecycle()
	y.awaitLeft(t, "b")
	if len(failed) > 0 {
		t.Errorf("failed: %v", <-failed)
	}
}

// What fails is tried again in a minute; what was put meanwhile, at once.
func TestWhatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.put(t, "a", "")
	y.put(t, "b", "")
	y.put(t, "c", "", "v1")
	y.policy(t, selects(1, lastUntagged, "expire"))
	unlucky := errors.New("unlucky")
	var bad atomic.Bool
	bad.Store(true)
	y.store.mu.Lock()
	y.store.before = func(fail *error) {
		if bad.Load() {
			*fail = unlucky
		}
	}
	y.store.mu.Unlock()
	failed := y.work(t)
	if err := await(t, "the policy fails", failed); !errors.Is(err, unlucky) {
		t.Errorf("failed: %v, want %v", err, unlucky)
	}
	bad.Store(false)
	y.advance(time.Minute)
	y.WakeLifecycle()
	y.awaitLeft(t, "b c")

	// The policy is replaced while it fails.
	y.put(t, "d", "")
	bad.Store(true)
	y.advance(12 * time.Hour)
	y.store.then(func() {
		y.store.then(func() { // after the plan
			bad.Store(false)
			y.policy(t, selects(1, `"tagStatus":"any","countType":"imageCountMoreThan","countNumber":1`, "expire"))
			bad.Store(true)
		})
	})
	y.WakeLifecycle()
	await(t, "a policy fails", failed)
	bad.Store(false)
	y.advance(time.Minute)
	y.WakeLifecycle()
	y.awaitLeft(t, "d")
}

// A preview that fails does not hold up policies, nor itself for long.
func TestPreviewsGoBeforePolicies(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.put(t, "a", "")
	y.put(t, "b", "")
	y.policy(t, selects(1, lastUntagged, "expire"))
	if _, err := y.StartLifecyclePolicyPreview(t.Context(), caller, registry.StartLifecyclePolicyPreviewInput{Ref: app}); err != nil {
		t.Fatal(err)
	}
	y.work(t)
	y.awaitLeft(t, "b")
	p, results, _, err := y.GetLifecyclePolicyPreview(t.Context(), caller, registry.GetLifecyclePolicyPreviewInput{Ref: app})
	if err != nil || p.Status != registry.PreviewComplete || len(results) != 1 {
		t.Errorf("preview = %+v %v %v, want it complete, with the image that went later", p, results, err)
	}
}

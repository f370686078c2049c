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

// awaitEvaluated waits until the policy was carried out at this time of the clock.
func (y *yard) awaitEvaluated(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(5 * time.Millisecond) {
		p, err := y.GetLifecyclePolicy(t.Context(), caller, app)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("policy = %+v %v, want it evaluated at %s", p, err, y.time())
		}
		if p.EvaluatedAt.Equal(y.time()) {
			return
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
	var mishap atomic.Pointer[func()] // what happens when the next image is to go, which then fails
	y.store.mu.Lock()
	y.store.before = func(fail *error) {
		if happens := mishap.Swap(nil); happens != nil {
			(*happens)()
			*fail = unlucky
		}
	}
	y.store.mu.Unlock()
	fails := func(meanwhile func()) { mishap.Store(&meanwhile) }

	fails(func() {})
	failed := y.work(t)
	if err := await(t, "the policy fails", failed); !errors.Is(err, unlucky) {
		t.Errorf("failed: %v, want %v", err, unlucky)
	}
	if got := y.left(t); got != "a b c" {
		t.Errorf("images = %s, want a b c: it is not tried again yet", got)
	}
	y.advance(time.Minute)
	y.WakeLifecycle()
	y.awaitLeft(t, "b c")
	y.awaitEvaluated(t)

	y.put(t, "d", "")
	fails(func() {
		y.policy(t, selects(1, `"tagStatus":"any","countType":"imageCountMoreThan","countNumber":1`, "expire"))
	})
	y.advance(12 * time.Hour)
	y.WakeLifecycle()
	await(t, "the policy that was replaced fails", failed)
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

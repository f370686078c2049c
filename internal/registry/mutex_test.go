package registry

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAKeyIsHeldByOneAtATime(t *testing.T) {
	t.Parallel()
	var m keyedMutex
	var wg sync.WaitGroup
	counts := map[string]*int{"a": new(int), "b": new(int)} // each guarded by its key
	for key, n := range counts {
		for range 50 {
			wg.Go(func() {
				unlock, err := m.lock(context.Background(), key)
				if err != nil {
					t.Error(err)
					return
				}
				defer unlock()
				*n++
			})
		}
	}
	wg.Wait()
	if *counts["a"] != 50 || *counts["b"] != 50 {
		t.Errorf("counts = %d, %d, want 50 each", *counts["a"], *counts["b"])
	}
	if len(m.held) != 0 {
		t.Errorf("%d keys are kept, want none", len(m.held))
	}
}

func TestAKeyDoesNotWaitForAnother(t *testing.T) {
	t.Parallel()
	var m keyedMutex
	unlockA, err := m.lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	unlockB, err := m.lock(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	unlockB()
	unlockA()
}

func TestWaitingForAKeyEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m keyedMutex
		unlock, err := m.lock(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := m.lock(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("lock of a held key = %v, want DeadlineExceeded", err)
		}
		unlock()
		unlock, err = m.lock(t.Context(), "a")
		if err != nil {
			t.Fatalf("lock after it was released: %v", err)
		}
		unlock()
		if len(m.held) != 0 {
			t.Errorf("%d keys are kept, want none", len(m.held))
		}
	})
}

package registry

import (
	"fmt"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
)

var (
	rateTime  = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	registry1 = ID{"123456789012", "us-east-1"}
)

// count returns how many of n calls at a time are admitted.
func count(l *rates, q request, n int, at time.Time) int {
	admitted := 0
	for range n {
		if l.admit(q, at) == nil {
			admitted++
		}
	}
	return admitted
}

func put(principal string) request {
	return request{event: "PutImage", ref: Ref{ID: registry1}, caller: access.Caller{ARN: principal}}
}

func TestRatesAllowTheCallsOfASecondAtOnceAndThenAsTimeGoesBy(t *testing.T) {
	t.Parallel()
	l := newRates(newLimits(nil, true))
	for _, step := range []struct {
		at    time.Duration
		calls int
		want  int
	}{
		{0, 25, 10},
		{0, 5, 0},
		{99 * time.Millisecond, 5, 0},
		{100 * time.Millisecond, 5, 1},
		{300 * time.Millisecond, 5, 2},
		{950 * time.Millisecond, 3, 3},
		{1000 * time.Millisecond, 9, 4},
		{1500 * time.Millisecond, 9, 5},
		{2400 * time.Millisecond, 20, 9},
		{10 * time.Second, 20, 10},
		{9 * time.Second, 20, 0}, // a clock that goes back allows nothing more
		{11 * time.Second, 20, 10},
	} {
		if got := count(&l, put("me"), step.calls, rateTime.Add(step.at)); got != step.want {
			t.Errorf("after %v, %d of %d calls are admitted, want %d", step.at, got, step.calls, step.want)
		}
	}
}

func TestRatesAreOfAPrincipalAnOperationAndARegistry(t *testing.T) {
	t.Parallel()
	l := newRates(newLimits(map[string]int64{"rate-PutImage": 2, "rate-InitiateLayerUpload": 3}, true))
	elsewhere, initiate, unlimited := put("me"), put("me"), put("me")
	elsewhere.ref.Region = "eu-west-1"
	initiate.event = "InitiateLayerUpload"
	unlimited.event = "DescribeRepositories"
	for name, tt := range map[string]struct {
		q    request
		want int
	}{
		"me": {put("me"), 2}, "you": {put("you"), 2}, "elsewhere": {elsewhere, 2}, "another operation": {initiate, 3}, "one without a limit": {unlimited, 9},
	} {
		if got := count(&l, tt.q, 9, rateTime); got != tt.want {
			t.Errorf("%s: %d calls are admitted, want %d", name, got, tt.want)
		}
	}
	again := put("me")
	again.admitted = true
	if got := count(&l, again, 9, rateTime); got != 9 {
		t.Errorf("%d calls are admitted that were counted already, want all", got)
	}
	err := l.admit(put("me"), rateTime)
	if e, ok := fault.As(err); !ok || e.Kind != fault.Throttled || err.Error() != "ThrottlingException: Rate exceeded" {
		t.Errorf("admit = %v, want ThrottlingException: Rate exceeded", err)
	}
}

func TestRatesAreOffUnlessWanted(t *testing.T) {
	t.Parallel()
	l := newRates(newLimits(nil, false))
	if got := count(&l, put("me"), 1000, rateTime); got != 1000 || len(l.recent) > 0 {
		t.Errorf("%d of 1000 calls are admitted, %d buckets kept, want all and none", got, len(l.recent))
	}
}

func TestRatesKeepABoundedNumberOfBuckets(t *testing.T) {
	t.Parallel()
	l := newRates(newLimits(nil, true))
	for i := range 3 * maxRateKeys {
		_ = l.admit(put(fmt.Sprint(i)), rateTime) // those too many share one bucket
	}
	if n := len(l.recent); n != maxRateKeys+1 {
		t.Errorf("%d buckets are kept, want %d", n, maxRateKeys+1)
	}
	if got := count(&l, put("0"), 20, rateTime); got != 9 {
		t.Errorf("%d more calls of the first are admitted, want 9", got)
	}
	later := rateTime.Add(time.Second)
	if got := count(&l, put("new"), 20, later); got != 10 {
		t.Errorf("%d calls of a new one are admitted a second later, want 10", got)
	}
	_ = l.admit(put("new"), later.Add(time.Second))
	if n := len(l.recent) + len(l.before); n > 2 {
		t.Errorf("%d buckets are kept when the rest is idle, want 2 at most", n)
	}
}

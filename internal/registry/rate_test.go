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
		if l.admit(q.caller, q.ref.Region, at, q.event) == nil {
			admitted++
		}
	}
	return admitted
}

func put(principal string) request {
	return request{event: "PutImage", ref: Ref{ID: registry1}, caller: access.Caller{ARN: principal, Type: access.Root}}
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
		{9500 * time.Millisecond, 20, 0}, // a clock that goes back a little allows nothing more
		{11 * time.Second, 20, 10},
		{-time.Hour, 20, 10}, // nobody waits for an hour because the clock was wrong
		{-time.Hour, 5, 0},
	} {
		if got := count(&l, put("me"), step.calls, rateTime.Add(step.at)); got != step.want {
			t.Errorf("after %v, %d of %d calls are admitted, want %d", step.at, got, step.calls, step.want)
		}
	}
}

func TestRatesAreOfAPrincipalAndAnOperation(t *testing.T) {
	t.Parallel()
	l := newRates(newLimits(map[string]int64{"rate-PutImage": 2, "rate-InitiateLayerUpload": 3}, true))
	initiate, unlimited, nobody := put("me"), put("me"), put("")
	initiate.event = "InitiateLayerUpload"
	unlimited.event = "DescribeRepositories"
	nobody.caller.Type = access.Anonymous
	for name, tt := range map[string]struct {
		q    request
		want int
	}{
		"me": {put("me"), 2}, "you": {put("you"), 2}, "another operation": {initiate, 3}, "one without a limit": {unlimited, 9},
		"somebody without a login": {nobody, 9},
	} {
		if got := count(&l, tt.q, 9, rateTime); got != tt.want {
			t.Errorf("%s: %d calls are admitted, want %d", name, got, tt.want)
		}
	}
	// Where the call goes is the caller's choice.
	for i := range 9 {
		elsewhere := put("me")
		elsewhere.ref.ID = ID{fmt.Sprintf("%012d", i), fmt.Sprint("us-east-", i)}
		if got := count(&l, elsewhere, 1, rateTime); got != 0 {
			t.Errorf("a call of another registry is admitted")
		}
	}
	if n := len(l.recent); n != 3 {
		t.Errorf("%d buckets are kept, want 3", n)
	}
	err := l.admit(put("me").caller, "us-east-1", rateTime, "PutImage")
	if e, ok := fault.As(err); !ok || e.Kind != fault.Throttled || err.Error() != "ThrottlingException: Rate exceeded" {
		t.Errorf("admit = %v, want ThrottlingException: Rate exceeded", err)
	}
}

func TestRatesOfSeveralCallsAreTakenTogether(t *testing.T) {
	t.Parallel()
	l := newRates(newLimits(map[string]int64{"rate-UploadLayerPart": 5, "rate-CompleteLayerUpload": 2}, true))
	caller := put("me").caller
	admitted := 0
	for range 5 {
		if l.admit(caller, "us-east-1", rateTime, "UploadLayerPart", "CompleteLayerUpload") == nil {
			admitted++
		}
	}
	part := put("me")
	part.event = "UploadLayerPart"
	if left := count(&l, part, 9, rateTime); admitted != 2 || left != 3 {
		t.Errorf("%d pairs and then %d parts are admitted, want 2 and 3", admitted, left)
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
		count(&l, put(fmt.Sprint(i)), 1, rateTime) // those too many share one bucket
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
	count(&l, put("new"), 1, later.Add(time.Second))
	if n := len(l.recent) + len(l.before); n > 2 {
		t.Errorf("%d buckets are kept when the rest is idle, want 2 at most", n)
	}
}

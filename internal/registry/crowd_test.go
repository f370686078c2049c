package registry

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
)

func at(address string) access.Caller { return access.Caller{SourceIP: netip.MustParseAddr(address)} }

func TestACrowdIsLimitedByAddress(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	w := crowd{limits: AnonymousLimits{RequestsPerSecond: 2, Bytes: 100}}
	admitted := func(c access.Caller) (n int) {
		for w.admit(c, now) == nil && n < 1000 {
			n++
		}
		return n
	}
	one, two := at("192.0.2.1"), at("192.0.2.2")
	for what, tt := range map[string]struct{ got, want int }{
		"at first":                     {admitted(one), 20},
		"at once again":                {admitted(one), 0},
		"of another address":           {admitted(two), 20},
		"of IPv4 in IPv6":              {admitted(at("::ffff:192.0.2.1")), 0},
		"of IPv6":                      {admitted(at("2001:db8::1")), 20},
		"of the same network":          {admitted(at("2001:db8::ffff:1")), 0},
		"of another network":           {admitted(at("2001:db8:0:1::1")), 20},
		"of somebody who is logged in": {admitted(access.Caller{SourceIP: one.SourceIP, Type: access.Root}), 1000},
		"of an unknown address":        {admitted(access.Caller{}), 20},
	} {
		if tt.got != tt.want {
			t.Errorf("%d manifests %s, want %d", tt.got, what, tt.want)
		}
	}
	now = now.Add(1500 * time.Millisecond)
	if n := admitted(one); n != 3 {
		t.Errorf("%d manifests in the next 1.5 seconds, want 3", n)
	}
	now = now.Add(time.Hour)
	if n := admitted(one); n != 20 {
		t.Errorf("%d manifests after an hour, want 20", n)
	}

	w.took(two, now, 99)
	if err := w.within(two, now); err != nil {
		t.Errorf("within after 99 of 100 bytes = %v, want nil", err)
	}
	w.took(two, now, 1)
	if err := w.within(two, now); err == nil {
		t.Error("within after 100 of 100 bytes = nil, want the refusal")
	}
	if err := w.within(one, now); err != nil {
		t.Errorf("within of another address = %v, want nil", err)
	}
	now = now.Add(anonymousPeriod)
	if err := w.within(two, now); err != nil {
		t.Errorf("within after the period = %v, want nil", err)
	}
}

func TestACrowdWithoutLimitsRemembersNobody(t *testing.T) {
	t.Parallel()
	var w crowd
	for range 1000 {
		if err := w.admit(at("192.0.2.1"), time.Time{}); err != nil {
			t.Fatal(err)
		}
		w.took(at("192.0.2.1"), time.Time{}, 1<<40)
	}
	if len(w.visitors) != 0 {
		t.Errorf("%d addresses are remembered, want none", len(w.visitors))
	}
}

func TestACrowdIsBounded(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	w := crowd{limits: AnonymousLimits{Bytes: 100}}
	w.took(at("192.0.2.1"), now, 100)
	for i := range maxVisitors + 1000 {
		w.took(at(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)), now, 1)
	}
	if len(w.visitors) > maxVisitors {
		t.Errorf("%d addresses are remembered, want at most %d", len(w.visitors), maxVisitors)
	}
	if err := w.within(at("192.0.2.1"), now); err == nil {
		t.Error("the one that has taken much was forgotten")
	}
}

func TestACrowdIsToldWhenToComeAgain(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	w := crowd{limits: AnonymousLimits{RequestsPerSecond: 2, Bytes: 100}}
	c := at("192.0.2.1")
	after := func(err error) time.Duration {
		e, _ := fault.As(err)
		if e == nil {
			t.Fatal("not refused")
		}
		return e.RetryAfter
	}
	var err error
	for err == nil {
		err = w.admit(c, now)
	}
	if d := after(err); d != time.Second/2 {
		t.Errorf("RetryAfter = %v, want the half second that is missing", d)
	}
	now = now.Add(time.Hour)
	w.took(c, now, 100)
	if d := after(w.within(c, now)); d != anonymousPeriod-time.Hour {
		t.Errorf("RetryAfter = %v, want the rest of the period", d)
	}
}

// A clock that is put back costs nobody more than the time that it was put back
// by is worth.
func TestACrowdAndAClockThatIsPutBack(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	w := crowd{limits: AnonymousLimits{RequestsPerSecond: 1}}
	c := at("192.0.2.1")
	for range 10 {
		if err := w.admit(c, now); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(-time.Hour)
	if err := w.admit(c, now); err == nil {
		t.Error("admitted without credit")
	}
	now = now.Add(time.Second)
	if err := w.admit(c, now); err != nil {
		t.Errorf("a second later: %v, want nil", err)
	}
}

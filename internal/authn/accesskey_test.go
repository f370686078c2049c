package authn

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/seal"
)

// withAccessKeys is an authenticator that lets clients log in with access keys. The
// address of a request is in its X-From header.
func withAccessKeys(now *time.Time, may func(context.Context, access.Caller, bool) error) (*Authenticator, keys) {
	bob, session, federated, other := alice, alice, alice, alice
	bob.ID, bob.AccessKeyID = "AIDABOB", "AKIABOB"
	session.AccessKeyID = "ASIAALICE"
	federated.AccessKeyID, federated.Type = "AKIAFED", "FederatedUser"
	other.AccessKeyID, other.Session = "AKIASESSION", &access.Session{Owner: alice.ID}
	known := keys{"AKIASESSION": other, "AKIAALICE": alice, "AKIABOB": bob, "ASIAALICE": session, "AKIAFED": federated}
	return New(Options{
		Principals: known, Passwords: seal.NewMaster().Key("registry password"), Anonymous: seal.NewMaster().Key("anonymous token"),
		Source: func(r *http.Request) (netip.Addr, bool) {
			a, _ := netip.ParseAddr(r.Header.Get("X-From"))
			return a, r.Header.Get("X-Plain") == ""
		},
		RequestID:  func(*http.Request) string { return "request" },
		Now:        func() time.Time { return *now },
		AccessKeys: may,
	}), known
}

func anybodyMay(context.Context, access.Caller, bool) error { return nil }

// try logs in from an address and returns the kind of the error, -1 for none.
func try(a *Authenticator, from, key, secret string) fault.Kind {
	r := login(key, secret)
	r.Header.Set("X-From", from)
	if _, _, err := a.Registry(r); err != nil {
		return fault.KindOf(err)
	}
	return -1
}

func TestAnAccessKeyLogsInWhereThatIsAllowed(t *testing.T) {
	t.Parallel()
	now := start
	a, known := withAccessKeys(&now, anybodyMay)
	r := login("AKIAALICE", "secret of AKIAALICE")
	r.Header.Set("X-From", "192.0.2.1")
	c, left, err := a.Registry(r)
	want := alice
	want.SourceIP, want.Secure, want.RequestID = netip.MustParseAddr("192.0.2.1"), true, "request"
	if c != want || left < warnBeforeAtLeast || err != nil {
		t.Errorf("Registry = %+v, %v, %v, want alice", c, left, err)
	}
	password, _, _ := a.Mint(alice, now)
	if _, _, err := a.Registry(login("AWS", password)); err != nil {
		t.Errorf("Registry with a password = %v, want it to work beside", err)
	}
	twice := login("AKIAALICE", "secret of AKIAALICE")
	twice.Header.Add("Authorization", twice.Header.Get("Authorization"))
	if _, _, err := a.Registry(twice); fault.KindOf(err) != fault.Unauthenticated {
		t.Errorf("Registry with two headers = %v, want Unauthenticated", err)
	}
	delete(known, "AKIAALICE")
	if k := try(a, "192.0.2.1", "AKIAALICE", "secret of AKIAALICE"); k != fault.Unauthenticated {
		t.Errorf("with a key that is gone = %v, want Unauthenticated", k)
	}
	off, _ := authenticator(&now)
	if k := try(off, "192.0.2.1", "AKIAALICE", "secret of AKIAALICE"); k != fault.Unauthenticated {
		t.Errorf("where it is not allowed = %v, want Unauthenticated", k)
	}
}

// warnBeforeAtLeast is more than what clients are warned at: a key does not expire.
const warnBeforeAtLeast = time.Hour

func TestWhoMayNotLogInIsTold(t *testing.T) {
	t.Parallel()
	now := start
	refusal := fault.New(fault.Denied, "AccessDeniedException", "no")
	a, _ := withAccessKeys(&now, func(_ context.Context, c access.Caller, _ bool) error {
		if c.ID != alice.ID || !c.SourceIP.IsValid() {
			t.Errorf("asked about %+v, want alice and where she is", c)
		}
		return refusal
	})
	r := login("AKIAALICE", "secret of AKIAALICE")
	r.Header.Set("X-From", "192.0.2.1")
	if c, _, err := a.Registry(r); !errors.Is(err, refusal) || c != (access.Caller{}) {
		t.Errorf("Registry = %+v, %v, want the refusal", c, err)
	}
}

// What is wrong with a key is nobody's business.
func TestWrongKeysAreAnsweredAlike(t *testing.T) {
	t.Parallel()
	now := start
	var first string
	for i, tt := range [][2]string{
		{"AKIAALICE", "secret of AKIABOB"}, {"AKIANOBODY", "secret of AKIANOBODY"}, {"AKIANOBODY", ""}, {"AKIAALICE", ""}, {"", ""}, {"", "secret of AKIAALICE"},
		{"ASIAALICE", "secret of ASIAALICE"}, {"AKIAFED", "secret of AKIAFED"}, {"AKIASESSION", "secret of AKIASESSION"}, {"akiaalice", "secret of AKIAALICE"}, {"AKIAALICE ", "secret of AKIAALICE"},
		{"AKIAALICE", "secret of AKIAALICE\x00"}, {"AKIAALICE", strings.Repeat("a", 5000)}, {strings.Repeat("a", 5000), "a"}, {"aws", "a"},
	} {
		a, _ := withAccessKeys(&now, anybodyMay)
		_, _, err := a.Registry(login(tt[0], tt[1]))
		if i == 0 {
			first = err.Error()
		}
		if fault.KindOf(err) != fault.Unauthenticated || err.Error() != first {
			t.Errorf("Registry(%.20q, %.20q) = %v, want %s", tt[0], tt[1], err, first)
		}
	}
}

func TestFailuresShutAKeyAtAnAddress(t *testing.T) {
	t.Parallel()
	now := start
	for _, key := range []string{"AKIAALICE", "AKIANOBODY"} { // the same for a key that nobody has
		a, _ := withAccessKeys(&now, anybodyMay)
		for range 6 {
			if k := try(a, "192.0.2.1", key, "guess"); k != fault.Unauthenticated {
				t.Fatalf("%s: a guess = %v, want Unauthenticated", key, k)
			}
		}
		for wait := time.Second; wait < 20*time.Minute; wait *= 2 {
			wait := min(wait, 15*time.Minute)
			r := login(key, "secret of "+key)
			r.Header.Set("X-From", "192.0.2.1")
			_, _, err := a.Registry(r)
			if e, _ := fault.As(err); e == nil || e.Kind != fault.Throttled || e.RetryAfter != wait {
				t.Fatalf("%s: the right secret when it is shut = %v, want Throttled for %v", key, err, wait)
			}
			now = now.Add(wait - time.Millisecond)
			if k := try(a, "192.0.2.1", key, "guess"); k != fault.Throttled {
				t.Errorf("%s: a guess before %v are over = %v, want Throttled", key, wait, k)
			}
			now = now.Add(time.Millisecond)
			if k := try(a, "192.0.2.1", key, "guess"); k != fault.Unauthenticated {
				t.Errorf("%s: a guess after %v = %v, want Unauthenticated", key, wait, k)
			}
		}
		if k := try(a, "192.0.2.2", "AKIAALICE", "secret of AKIAALICE"); k != -1 {
			t.Errorf("from another address = %v, want no error", k)
		}
		now = now.Add(time.Hour)
		for range 6 {
			if k := try(a, "192.0.2.1", key, "guess"); k != fault.Unauthenticated {
				t.Errorf("%s: a guess an hour later = %v, want Unauthenticated", key, k)
			}
		}
	}
}

func TestASuccessForgivesItsOwnKeyOnly(t *testing.T) {
	t.Parallel()
	now := start
	a, _ := withAccessKeys(&now, anybodyMay)
	for range 5 { // one good key does not help to guess another
		for range 4 {
			try(a, "192.0.2.1", "AKIAALICE", "guess")
		}
		if k := try(a, "192.0.2.1", "AKIABOB", "secret of AKIABOB"); k != -1 {
			t.Fatalf("bob = %v, want no error", k)
		}
	}
	if k := try(a, "192.0.2.1", "AKIAALICE", "guess"); k != fault.Throttled {
		t.Errorf("a guess after twenty = %v, want Throttled", k)
	}
	for range 20 { // a key that is good here is not shut by those of others
		try(a, "192.0.2.1", "AKIANOBODY", "guess")
	}
	if k := try(a, "192.0.2.1", "AKIABOB", "secret of AKIABOB"); k != -1 {
		t.Errorf("bob beside guesses = %v, want no error", k)
	}
}

func TestGuessesFromManyAddressesShutAKeyForAMinute(t *testing.T) {
	t.Parallel()
	now := start
	a, _ := withAccessKeys(&now, anybodyMay)
	if k := try(a, "2001:db8:1::7", "AKIAALICE", "secret of AKIAALICE"); k != -1 {
		t.Fatal(k)
	}
	for i := range 1000 {
		if k := try(a, "2001:db8:2:"+strconv.FormatInt(int64(i), 16)+"::1", "AKIAALICE", "guess"); k == -1 {
			t.Fatal("a guess is right")
		}
		if i == 70 && try(a, "198.51.100.1", "AKIAALICE", "secret of AKIAALICE") != fault.Throttled {
			t.Error("the right secret from somewhere new, while it is shut, is not Throttled")
		}
	}
	if k := try(a, "2001:db8:1::8", "AKIAALICE", "secret of AKIAALICE"); k != -1 {
		t.Errorf("from a network where it was good = %v, want no error", k)
	}
	now = now.Add(time.Minute)
	if k := try(a, "198.51.100.1", "AKIAALICE", "secret of AKIAALICE"); k != -1 {
		t.Errorf("a minute later = %v, want no error", k)
	}
}

func TestGuessesAtManyKeysShutAnAddress(t *testing.T) {
	t.Parallel()
	now := start
	a, _ := withAccessKeys(&now, anybodyMay)
	var answers [2]int
	for i := range 100 {
		if try(a, "192.0.2.1", "AKIA"+strconv.Itoa(i), "guess") == fault.Throttled {
			answers[1]++
		} else {
			answers[0]++
		}
	}
	if answers != [2]int{21, 79} {
		t.Errorf("guesses that were tried and refused = %v, want 21 and 79", answers)
	}
}

// gate holds whoever looks up a key until all have done so.
type gate struct {
	keys
	all *sync.WaitGroup
}

func (g gate) Principal(ctx context.Context, id string) (access.Caller, string, error) {
	g.all.Done()
	g.all.Wait()
	return g.keys.Principal(ctx, id)
}

func TestGuessesAtTheSameTimeAreCountedOneByOne(t *testing.T) {
	t.Parallel()
	const guesses = 40
	for secret, want := range map[string]int{"guess": 6, "secret of AKIAALICE": 0} {
		now := start
		a, known := withAccessKeys(&now, anybodyMay)
		g := gate{known, new(sync.WaitGroup)}
		g.all.Add(guesses)
		a.o.Principals = g
		var refused, throttled atomic.Int32
		var wg sync.WaitGroup
		for range guesses {
			wg.Go(func() {
				switch try(a, "192.0.2.1", "AKIAALICE", secret) {
				case fault.Unauthenticated:
					refused.Add(1)
				case fault.Throttled:
					throttled.Add(1)
				}
			})
		}
		wg.Wait()
		if want > 0 && (refused.Load() != int32(want) || throttled.Load() != guesses-int32(want)) || want == 0 && throttled.Load()+refused.Load() > 0 {
			t.Errorf("%s: %d answers and %d throttled, want %d", secret, refused.Load(), throttled.Load(), want)
		}
	}
}

func TestAnAccessKeyNeedsTLSFromElsewhere(t *testing.T) {
	t.Parallel()
	now := start
	a, _ := withAccessKeys(&now, anybodyMay)
	for from, want := range map[string]fault.Kind{"192.0.2.1": fault.Denied, "2001:db8::1": fault.Denied, "": fault.Denied, "127.0.0.1": -1, "::1": -1, "::ffff:127.0.0.1": -1} {
		r := login("AKIAALICE", "secret of AKIAALICE")
		r.Header.Set("X-From", from)
		r.Header.Set("X-Plain", "true")
		got := fault.Kind(-1)
		if _, _, err := a.Registry(r); err != nil {
			got = fault.KindOf(err)
		}
		if got != want {
			t.Errorf("without TLS from %s = %v, want %v", from, got, want)
		}
	}
}

func TestTheFirstLoginIsTold(t *testing.T) {
	t.Parallel()
	now := start
	var told []bool
	a, _ := withAccessKeys(&now, func(_ context.Context, _ access.Caller, first bool) error { told = append(told, first); return nil })
	for _, from := range []string{"192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.1"} {
		try(a, from, "AKIAALICE", "secret of AKIAALICE")
	}
	now = now.Add(24 * time.Hour)
	try(a, "192.0.2.1", "AKIAALICE", "secret of AKIAALICE")
	if want := []bool{true, false, true, false, true}; !slices.Equal(told, want) {
		t.Errorf("first = %v, want %v", told, want)
	}
}

func TestWhoIsShutIsLoggedOnce(t *testing.T) {
	t.Parallel()
	now := start
	a, _ := withAccessKeys(&now, anybodyMay)
	var log bytes.Buffer
	a.o.Log = slog.New(slog.NewTextHandler(&log, nil))
	for range 3 {
		for range 7 {
			try(a, "192.0.2.1", "AKIAALICE", "guess")
			try(a, "192.0.2.2", "a secret in the wrong place", "guess")
		}
		now = now.Add(15 * time.Minute)
	}
	if text := log.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, `shut="[key at an address]" key=AKIAALICE from=192.0.2.1`) || strings.Contains(text, "wrong") {
		t.Errorf("the log is\n%s", text)
	}
}

func TestCountsAreBounded(t *testing.T) {
	t.Parallel()
	var l tries
	for i := range 3 * maxSubjects / 2 {
		from := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		try := attempt{"AKIA" + strconv.Itoa(i), network(from)}
		l.count(try, false, start.Add(time.Duration(i)*time.Second))
		l.count(try, true, start)
	}
	if len(l.failures) > maxSubjects || len(l.good) > maxSubjects {
		t.Errorf("counts for %d and %d, want %d at most", len(l.failures), len(l.good), maxSubjects)
	}
}

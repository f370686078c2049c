package authn

import (
	"net/netip"
	"sync"
	"time"
)

// attempt is one who logs in with an access key: the key's id, and the address that
// it comes from; of IPv6, the network of 64 bits.
type attempt struct {
	key  string
	from netip.Prefix
}

// subject is what failures are counted for: a key at an address, an address with any
// key, or a key at any address. What does not count is zero.
type subject = attempt

// A backoff is how failures of a subject are answered: so many are free, and after
// each further one there is a wait before the next try, of a second at first and
// twice as long each time.
type backoff struct {
	name    string // of the subject, in the log
	free    int
	longest time.Duration
}

// The waits of the three kinds of subjects. A key is shut for a minute at most, so
// that a stranger who knows its id cannot keep its owner out for long.
var (
	pairBackoff    = backoff{"key at an address", 5, 15 * time.Minute}
	addressBackoff = backoff{"address", 20, 15 * time.Minute}
	keyBackoff     = backoff{"key", 50, time.Minute}
)

const (
	failureLife = time.Hour      // failures are forgotten when there was none for so long
	goodLife    = 24 * time.Hour // how long a key is known to be good at an address
	maxSubjects = 20_000         // counted, and known to be good, at most
)

// tries counts failures to log in with access keys, so that secrets cannot be
// guessed. A key that has been good at an address is shut there by failures with
// this key at this address only, and not by those of strangers. Counts are held in
// memory. The zero value has counted nothing. It is safe for concurrent use.
type tries struct {
	mu       sync.Mutex
	failures map[subject]failure   // guarded by mu
	good     map[attempt]time.Time // when it was good for the last time; guarded by mu
}

// failure is what is known of a subject.
type failure struct {
	count int
	last  time.Time
}

// subjects returns what an attempt counts for, and how.
func (t attempt) subjects() map[subject]backoff {
	return map[subject]backoff{t: pairBackoff, {from: t.from}: addressBackoff, {key: t.key}: keyBackoff}
}

// wait returns how long it takes until an attempt may be made, 0 if it may be now.
func (l *tries) wait(t attempt, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waitLocked(t, now)
}

// waitLocked is wait with mu held.
func (l *tries) waitLocked(t attempt, now time.Time) time.Duration {
	since, good := l.good[t]
	good = good && now.Sub(since) < goodLife
	var longest time.Duration
	for s, b := range t.subjects() {
		if s == t || !good {
			longest = max(longest, b.wait(l.failures[s], now))
		}
	}
	return longest
}

// wait returns how long a subject with failures waits.
func (b backoff) wait(f failure, now time.Time) time.Duration {
	beyond := f.count - b.free
	since := now.Sub(f.last)
	if beyond <= 0 || since >= failureLife || since < 0 {
		return 0
	}
	wait := b.longest
	if beyond < 20 { // 2^20 seconds are longer than any
		wait = min(wait, time.Second<<(beyond-1))
	}
	return max(0, wait-since)
}

// verdict is what counting an attempt has come to.
type verdict struct {
	wait  time.Duration // it is not to be answered before so long; 0 if it is now
	first bool          // the key was not known to be good at the address
	shut  []string      // what this failure was the first to shut
}

// count counts an attempt that was right or wrong, unless it has to wait: then it
// must not be answered. Of many at the same time no more are answered than of as many
// one after the other.
func (l *tries) count(t attempt, right bool, now time.Time) verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	if wait := l.waitLocked(t, now); wait > 0 {
		return verdict{wait: wait}
	}
	if right {
		return verdict{first: l.succeeded(t, now)}
	}
	return verdict{shut: l.failed(t, now)}
}

// failed counts a failure, and returns what it has shut. It must be called with mu
// held.
func (l *tries) failed(t attempt, now time.Time) []string {
	var shut []string
	if l.failures == nil {
		l.failures = map[subject]failure{}
	}
	for s, b := range t.subjects() {
		f, ok := l.failures[s]
		if !ok && len(l.failures) >= maxSubjects {
			forget(l.failures, func(f failure) time.Time { return f.last })
		}
		if now.Sub(f.last) >= failureLife {
			f.count = 0
		}
		l.failures[s] = failure{f.count + 1, now}
		if f.count == b.free {
			shut = append(shut, b.name)
		}
	}
	return shut
}

// succeeded notes that a key is good at an address. What has failed there with this
// key is forgiven; what has failed with others is not, for else one good key would
// be enough to guess the secrets of all others. It reports whether the key was not
// known to be good there. It must be called with mu held.
func (l *tries) succeeded(t attempt, now time.Time) (first bool) {
	delete(l.failures, t)
	if l.good == nil {
		l.good = map[attempt]time.Time{}
	}
	since, ok := l.good[t]
	if !ok && len(l.good) >= maxSubjects {
		forget(l.good, func(at time.Time) time.Time { return at })
	}
	l.good[t] = now
	return !ok || now.Sub(since) >= goodLife
}

// forget drops the oldest of some entries, taken at random.
func forget[V any](m map[subject]V, at func(V) time.Time) {
	var drop subject
	var oldest time.Time
	looked := 0
	for s, v := range m {
		if looked == 0 || at(v).Before(oldest) {
			drop, oldest = s, at(v)
		}
		if looked++; looked == 16 {
			break
		}
	}
	delete(m, drop)
}

// network returns what counts as one address.
func network(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the zero Prefix if the address is not known
	return p
}

package registry

import (
	"net/netip"
	"sync"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
)

// AnonymousLimits are what an address may pull without a login. 0 is no limit.
type AnonymousLimits struct {
	RequestsPerSecond int64 // for manifests, tag lists and referrers, on average; ten seconds' worth at once
	Bytes             int64 // of all answers, in the 30 days from its first pull
}

const (
	anonymousBurst  = 10 * time.Second
	anonymousPeriod = 30 * 24 * time.Hour
	maxVisitors     = 50_000
)

// crowd counts what callers without a login take, by the address that they come
// from: one of IPv4, or the network of 64 bits that one of IPv6 is in. Counts
// are held in memory only. It holds at most maxVisitors addresses: who has taken
// little is forgotten for the sake of somebody new.
type crowd struct {
	limits AnonymousLimits

	mu       sync.Mutex
	visitors map[netip.Prefix]*visitor // guarded by mu
}

// visitor is what an address has taken.
type visitor struct {
	credit time.Duration // how long it has saved up, at most anonymousBurst
	seen   time.Time     // when credit was so much
	since  time.Time     // when the period began
	bytes  int64         // taken in the period
}

// limited reports whether there is anything to count for a caller.
func (w *crowd) limited(c access.Caller) bool {
	return c.Type == access.Anonymous && w.limits != AnonymousLimits{}
}

// admit lets a caller make one request more, or returns ThrottlingException.
func (w *crowd) admit(c access.Caller, now time.Time) error {
	if !w.limited(c) {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.visitor(c, now)
	if w.limits.RequestsPerSecond > 0 {
		v.credit = min(v.credit+max(0, now.Sub(v.seen)), anonymousBurst) // a clock can be put back
		v.seen = now
		cost := time.Second / time.Duration(w.limits.RequestsPerSecond)
		if v.credit < cost {
			return throttled("Rate exceeded", cost-v.credit)
		}
		v.credit -= cost
	}
	return w.enough(v, now)
}

// within returns ThrottlingException if a caller has had all bytes of its
// period.
func (w *crowd) within(c access.Caller, now time.Time) error {
	if !w.limited(c) {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.enough(w.visitor(c, now), now)
}

func (w *crowd) enough(v *visitor, now time.Time) error {
	if w.limits.Bytes > 0 && v.bytes >= w.limits.Bytes {
		return throttled("Data limit exceeded", anonymousPeriod-now.Sub(v.since))
	}
	return nil
}

func throttled(message string, after time.Duration) error {
	err := fault.New(fault.Throttled, "ThrottlingException", "%s", message)
	err.RetryAfter = after
	return err
}

// took counts bytes that a caller was sent.
func (w *crowd) took(c access.Caller, now time.Time, n int64) {
	if !w.limited(c) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.visitor(c, now).bytes += n
}

// visitor returns what is known of the caller's address. mu must be held.
func (w *crowd) visitor(c access.Caller, now time.Time) *visitor {
	from := network(c.SourceIP)
	v := w.visitors[from]
	if v == nil {
		if len(w.visitors) >= maxVisitors {
			w.forget()
		}
		if w.visitors == nil {
			w.visitors = map[netip.Prefix]*visitor{}
		}
		v = &visitor{credit: anonymousBurst, seen: now, since: now}
		w.visitors[from] = v
	}
	if now.Sub(v.since) >= anonymousPeriod {
		v.since, v.bytes = now, 0
	}
	return v
}

// forget drops the one of some addresses, taken at random, that has taken the
// fewest bytes and been seen the longest ago. mu must be held.
func (w *crowd) forget() {
	var drop netip.Prefix
	var least *visitor
	looked := 0
	for from, v := range w.visitors {
		if least == nil || v.bytes < least.bytes || v.bytes == least.bytes && v.seen.Before(least.seen) {
			drop, least = from, v
		}
		if looked++; looked == 16 {
			break
		}
	}
	delete(w.visitors, drop)
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

// Sent counts bytes that a caller was sent, if it is one without a login and there
// are limits for those.
func (r *Registry) Sent(c access.Caller, n int64) { r.crowd.took(c, r.now(), n) }

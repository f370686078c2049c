package keys

import (
	"sync"
	"time"

	"berth/internal/fault"
)

// How long what another process has changed may not count: a key that works, and one
// that does not.
const (
	knownLife   = time.Second
	refusedLife = 100 * time.Millisecond
	maxKnown    = 10_000
)

// standing is what is known of a key, or of what ECR may do with it for a repository.
type standing struct {
	at    time.Time     // when it began to be read
	ready chan struct{} // closed when what follows is there
	entered
	refusal error // why the key cannot be used, nil if it can
	err     error // why that is not known
}

// old reports whether the standing must be read again. One that is being read is not.
func (s *standing) old(now time.Time) bool {
	select {
	case <-s.ready:
	default:
		return false
	}
	life := knownLife
	if s.refusal != nil {
		life = refusedLife
	}
	return now.Sub(s.at).Abs() >= life
}

// known remembers standings. What a call finds in it was read, or is being read, since
// the last change of the key that this process has made, and not long ago. The zero
// value is empty.
type known struct {
	mu    sync.Mutex
	keys  map[string]map[string]*standing // by the ARN of the key and that of the repository; guarded by mu
	count int                             // of the standings; guarded by mu
}

// get returns a standing, and whether it is new: who gets a new one must read it.
func (k *known) get(arn, repository string, now time.Time) (*standing, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.keys[arn][repository]
	if s != nil && !s.old(now) {
		return s, false
	}
	if s == nil {
		k.count++
	}
	if k.keys == nil || k.count > maxKnown {
		k.keys, k.count = map[string]map[string]*standing{}, 1
	}
	if k.keys[arn] == nil {
		k.keys[arn] = map[string]*standing{}
	}
	s = &standing{at: now, ready: make(chan struct{})}
	k.keys[arn][repository] = s
	return s, true
}

// drop forgets a standing.
func (k *known) drop(arn, repository string, s *standing) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys[arn][repository] == s {
		delete(k.keys[arn], repository)
		k.count--
	}
}

// changed forgets all of keys that a transaction has changed, unless it has ended with
// an error that says that it has changed nothing.
func (k *known) changed(err error, arns ...string) {
	if _, said := fault.As(err); said {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, arn := range arns {
		k.count -= len(k.keys[arn])
		delete(k.keys, arn)
	}
}

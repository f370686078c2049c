//go:build linux

// Package powerloss is the test that a server's whole disk can lose its power at any
// moment: database and layers together, on a real file system. It runs with
// POWERLOSS_STATES=n in the environment, as root: see make powerloss.
package powerloss

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"berth/internal/config"
	"berth/internal/servertest"
)

const workers = 2

func TestWhatWasAcknowledgedOutlivesThePower(t *testing.T) {
	wanted, _ := strconv.Atoi(os.Getenv("POWERLOSS_STATES"))
	if wanted == 0 || os.Getuid() != 0 {
		t.Skip("it needs root and POWERLOSS_STATES")
	}
	began := time.Now()
	r := record(t)
	t.Logf("recorded in %.0f s: %d writes and flushes, %d acknowledgements", time.Since(began).Seconds(), len(r.log), len(r.acked))
	began = time.Now()
	states, wrong := r.sweep(t, wanted, true)
	took := time.Since(began)
	t.Logf("%d states, %.1f a second, violations = %d", states, float64(states)/took.Seconds(), len(wrong))
	for i, w := range wrong {
		if i < 10 {
			t.Error(w)
		}
	}
	// Were flushes forgotten by the disk, or by us, it would be seen.
	states, wrong = r.sweep(t, 100, false)
	t.Logf("without flushes: %d states, violations = %d", states, len(wrong))
	if len(wrong) == 0 {
		t.Error("without flushes nothing is wrong: nothing is looked at")
	}
}

// recording is what a server has done to its disk while clients were told things.
type recording struct {
	image  []byte // when it began
	log    []op
	config *config.Config
	now    time.Time
	auth   string // the password of the registry
	host   string

	mu    sync.Mutex
	acked []fact            // guarded by mu
	plans map[string][]fact // guarded by mu: by tag, what was asked for, in order
}

// fact is what a client was told: that a tag leads to an image, or to none.
type fact struct {
	repository, tag string
	digest          string // "" for none
	index           int    // in the plans of the tag
}

func (r *recording) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.acked)
}

// begin takes note of a request, and its answer ends it.
func (r *recording) begin(repository, tag, digest string) (end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := repository + ":" + tag
	f := fact{repository, tag, digest, len(r.plans[name])}
	r.plans[name] = append(r.plans[name], f)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.acked = append(r.acked, f)
	}
}

// record runs a server on a disk of its own while clients work.
func record(t *testing.T) *recording {
	t.Helper()
	d := newDisk(t, make([]byte, diskSize))
	run(t, "mkfs.ext4", "-q", "-F", "-b", "4096", "-J", "size=4", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", d.device)
	if err := d.mount(); err != nil {
		t.Fatal(err)
	}
	r := &recording{plans: map[string][]fact{}}
	s := servertest.Start(t, servertest.Options{Configure: func(c *config.Config) {
		c.Data = filepath.Join(d.dir, "data")
		if err := os.Mkdir(c.Data, 0o700); err != nil {
			t.Fatal(err)
		}
		if os.Getenv("POWERLOSS_SEAL") != "" {
			c.Seal = os.Getenv("POWERLOSS_SEAL")
		}
	}})
	c := *s.Config
	r.config, r.now, r.auth, r.host = &c, s.Clock.Now(), s.Password(t), s.Host
	for i := range clients {
		s.CreateRepository(t, repositoryOf(i))
	}
	run(t, "sync", "-f", d.dir)
	d.mu.Lock()
	r.image = append([]byte{}, d.image...)
	d.mu.Unlock()
	d.record(r.count)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() { r.work(t, s, i) })
	}
	all.Wait()
	d.record(nil)
	r.log = d.log
	s.Stop(t)
	if err := d.unmount(); err != nil {
		t.Fatal(err)
	}
	return r
}

// sweep looks at so many states or more, after each operation, or at about so many after
// some: everything that was written landed, nothing since the last flush did, and random ones.
func (r *recording) sweep(t *testing.T, wanted int, flushes bool) (states int, wrong []string) {
	t.Helper()
	writes := 0 // after which there is more than one state
	for _, o := range r.log {
		if !o.flush {
			writes++
		}
	}
	random := (wanted + writes - 1) / max(1, writes)
	stride := max(1, 3*len(r.log)/wanted)
	var mu sync.Mutex
	var all sync.WaitGroup
	for w := range workers {
		s := &sweeper{recording: r, disk: newDisk(t, append([]byte{}, r.image...)), random: rand.New(rand.NewPCG(uint64(w), 1)), flushes: flushes}
		all.Go(func() {
			for i := range r.log {
				s.do(i)
				if i%stride == 0 {
					s.step(i, i/stride*(random+2), random, w)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			states += s.states
			wrong = append(wrong, s.wrong...)
		})
	}
	all.Wait()
	return states, wrong
}

// sweeper goes through the log with a disk of its own.
type sweeper struct {
	*recording
	disk    *disk
	random  *rand.Rand
	flushes bool // they count
	pending []op // writes since the last one that does
	lost    int  // acknowledgements when the state without them was looked at last, and 1
	states  int
	wrong   []string
}

// do does operation i.
func (s *sweeper) do(i int) {
	o := s.log[i]
	if !o.flush {
		s.pending = append(s.pending, o)
	} else if s.flushes {
		s.disk.mu.Lock()
		for _, p := range s.pending {
			copy(s.disk.image[p.at:], p.data)
		}
		s.disk.mu.Unlock()
		s.pending, s.lost = nil, 0
	}
}

// step looks at a worker's share of the states after operation i, whose numbers begin
// with first.
func (s *sweeper) step(i, first, random, worker int) {
	acks := len(s.acked) // until the next operation is asked for
	if i+1 < len(s.log) {
		acks = s.log[i+1].acks
	}
	for n := range random + 2 {
		if (first+n)%workers != worker || len(s.pending) == 0 && n > 0 || n == 1 && s.lost == acks+1 {
			continue
		}
		s.look(i, n, acks)
	}
	s.lost = acks + 1
}

// look looks at one state: 0 with all that was written, 1 with nothing since the last
// flush, others with some of it.
func (s *sweeper) look(i, n, acks int) {
	over := map[int64][]byte{}
	all := func() bool { return true }
	p := s.random.Float64()
	some := func() bool { return s.random.Float64() < p }
	for _, w := range s.pending {
		switch {
		case n == 0:
			lay(over, s.disk.image, w.at, w.data, all)
		case n == 1:
		case n%4 == 0: // torn
			lay(over, s.disk.image, w.at, w.data, some)
		case some():
			lay(over, s.disk.image, w.at, w.data, all)
		}
	}
	s.states++
	if err := s.check(over, acks); err != nil {
		s.wrong = append(s.wrong, fmt.Sprintf("after operation %d, state %d, %d acknowledgements: %v", i, n, acks, err))
	}
}

// check starts a server on a state and asks it for what was acknowledged.
func (s *sweeper) check(over map[int64][]byte, acks int) (err error) {
	s.disk.show(over)
	if err := s.disk.mount(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.disk.unmount()) }()
	c := *s.config
	c.Data = filepath.Join(s.disk.dir, "data")
	last := map[string]fact{}
	for _, f := range s.acked[:acks] {
		last[f.repository+":"+f.tag] = f
	}
	return s.pullAll(context.Background(), &c, maps.Clone(last))
}

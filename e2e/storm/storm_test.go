//go:build unix

// Package storm has 32 clients push, pull, mount, tag anew and delete images with the same
// layers in the same repositories, while policies delete more, and garbage is collected all the
// time, at once and with its bytes: on one server with SQLite and a directory, and on
// two with PostgreSQL and S3. Servers are killed meanwhile.
//
// Then it is asked whether all of it could have happened: whether each tag was on what was
// put there, in an order that explains all that was seen; whether each image was whole as
// long as a tag was on it; whether any push was told of a layer that was gone when it
// relied on it; and whether in the end exactly that is stored which is kept.
//
// STORM says for how long they go on, half of it each, 24s if it says nothing; STORM_SEED makes
// the same choices again, as far as it is in the clients' hands.
package storm

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"berth/internal/blob/buckettest"
	"berth/internal/gc"
	"berth/internal/metadata/pgtest"
	"berth/internal/server"

	"github.com/opencontainers/go-digest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "berth-storm-")
	if err == nil {
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "berth")
		build := exec.Command("go", "build", "-o", binary, "berth/cmd/berth")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stderr = os.Stderr
		err = build.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// clients is how many there are.
const clients = 32

// storm is one storm, and what has come of it.
type storm struct {
	t       *testing.T
	seats   []*seat
	history *history
	shared  []content
	over    chan struct{}

	mu       sync.Mutex
	images   map[string][]digest.Digest
	done     map[string]int // deeds
	failures int
	holders  map[digest.Digest]string // of shared layers: who was said last to have them

	requests, unknown                                       atomic.Int64
	found, mounted, pushed, pulled, renewed, late, moved    atomic.Int64
	blobUnknown, broken, expired, shorts, contests, refused atomic.Int64
}

// told is how many failures are told of.
const told = 20

// fail notes that something has happened that must not.
func (s *storm) fail(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures++; s.failures <= told {
		s.t.Errorf(format, args...)
	}
	s.t.Fail()
}

func (s *storm) count(deed string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done[deed]++
}

// Every tag pulls whole, no push is told what is not so, and nothing else stays.
func TestNothingIsLostInAStorm(t *testing.T) {
	length, least := 24*time.Second, int64(250)
	if text := os.Getenv("STORM"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("STORM: %v", err)
		}
		if length = d; d >= 30*time.Minute {
			least = 5_000
		}
	}
	seed := rand.Uint64() >> 1
	if text := os.Getenv("STORM_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("STORM_SEED: %v", err)
		}
	}
	t.Logf("STORM_SEED=%d", seed)
	t.Run("one process", func(t *testing.T) { rage(t, length/2, seed, least, 1, nil) })
	t.Run("two processes", func(t *testing.T) {
		rage(t, length/2, seed, least, 2, []string{
			"BERTH_DATABASE=" + pgtest.URL(t), "BERTH_STORAGE=s3://" + buckettest.S3Bucket, "BERTH_S3_PATH_STYLE=true",
			"BERTH_S3_ENDPOINT=" + buckettest.StartFakeS3(t), "BERTH_S3_ACCESS_KEY_ID=access", "BERTH_S3_SECRET_ACCESS_KEY=the secret of the store",
		})
	})
}

// rage has a storm rage for a time.
func rage(t *testing.T, length time.Duration, seed uint64, least int64, servers int, stores []string) {
	s := &storm{t: t, history: newHistory(), over: make(chan struct{}), images: map[string][]digest.Digest{}, done: map[string]int{}, holders: map[digest.Digest]string{}}
	r := rand.New(rand.NewPCG(seed, uint64(servers)))
	for range 400 {
		l := newContent(random(r, someSize(r)))
		s.shared, s.holders[l.digest] = append(s.shared, l), ""
	}
	for range servers {
		dir := t.TempDir()
		one := &seat{dir: dir, env: environment(dir, stores)}
		if err := one.start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = one.end(syscall.SIGKILL) }()
		s.seats = append(s.seats, one)
	}
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 2 * clients}
	defer transport.CloseIdleConnections()
	worker := func(id int) *worker {
		return &worker{storm: s, id: id, r: rand.New(rand.NewPCG(seed, uint64(1000*servers+id))), http: &http.Client{Transport: transport, Timeout: time.Minute}}
	}
	if err := worker(clients).prepare(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var working, others sync.WaitGroup
	for i := range clients {
		working.Go(worker(i).work)
	}
	collector := worker(clients + 1)
	if length < often { // else nobody collects for a minute if the other one is killed
		collector.only = s.seats[0]
	}
	others.Go(collector.collect)
	kills := 0
	if servers > 1 || length >= often { // a server that is alone waits until nobody can have the lease of the killed one
		others.Go(func() { kills = s.killing(length, r) })
	}
	time.Sleep(length)
	s.goOn(worker(clients+3), length, least)
	close(s.over)
	working.Wait()
	others.Wait()
	raged := time.Since(began)
	run := s.end(worker(clients+2), kills)
	operations, places := s.history.check(t, os.TempDir(), func(repository string) bool { return repository == frozen })
	events := 0
	for _, n := range s.done {
		events += n
	}
	blobs := run.Total.Objects - run.Total.Images
	t.Logf("%d events (%v) in %v, %d requests, %d of unknown outcome, %d kills", events, s.done, raged.Round(time.Second), s.requests.Load(), s.unknown.Load(), kills)
	t.Logf("%d runs of garbage collection; deleted %d blobs, %d manifests, %d bytes; policies deleted %d images", run.Runs, blobs, run.Total.Images, run.Total.Bytes, s.expired.Load())
	t.Logf("layers: %d pushed, %d mounted, %d found, %d pulled, %d asked for again, %d too late; pulls of what was moved meanwhile: %d", s.pushed.Load(), s.mounted.Load(), s.found.Load(), s.pulled.Load(), s.renewed.Load(), s.late.Load(), s.moved.Load())
	t.Logf("%d operations on %d tags checked, with %d refusals of immutable ones; blob unknown = %d, leases broken = %d, failures = %d", operations, places, s.refused.Load(), s.blobUnknown.Load(), s.broken.Load(), s.failures)
	if blobs < least {
		t.Errorf("%d blobs were deleted, want %d at least", blobs, least)
	}
}

// collect has garbage collected again and again.
func (w *worker) collect() {
	for n := 0; ; n++ {
		select {
		case <-w.over:
			return
		case <-time.After(50 * time.Millisecond):
		}
		if _, err := w.collectOnce(n%20 == 19); err != nil {
			w.fail("garbage collection: %v", err)
			return
		}
	}
}

// collectOnce has garbage collected, and returns what is left when that is done, or when
// the storm is over.
func (w *worker) collectOnce(full bool) (s server.GCStatusResponse, err error) {
	var run server.GCRunResponse
	if err := w.must(server.GCRunPath, "", server.GCRunRequest{Full: full}, &run); err != nil {
		return s, err
	}
	for deadline := time.Now().Add(2 * time.Minute); s.Run.Served < run.Number || s.Run.Running; {
		time.Sleep(10 * time.Millisecond)
		s = server.GCStatusResponse{}
		if err := w.must(server.GCStatusPath, "", server.GCStatusRequest{}, &s); err != nil {
			return s, err
		}
		if s.Run.Error != "" || time.Now().After(deadline) {
			return s, fmt.Errorf("a run does not end: %+v", s)
		}
	}
	return s, nil
}

// goOn waits until so many blobs are deleted, on a machine that has much else to do.
func (s *storm) goOn(w *worker, length time.Duration, least int64) {
	for began := time.Now(); time.Since(began) < 3*length; time.Sleep(time.Second) {
		var status server.GCStatusResponse
		if err := w.must(server.GCStatusPath, "", server.GCStatusRequest{}, &status); err != nil {
			s.fail("%v", err)
			return
		}
		if status.Run.Total.Objects-status.Run.Total.Images >= least {
			return
		}
	}
}

// often is how often a server is killed in a long storm.
const often = 3 * time.Minute

// killing kills servers: one half way, and of a long storm one every few minutes.
func (s *storm) killing(length time.Duration, r *rand.Rand) (kills int) {
	for every := min(length/2, often); ; kills++ {
		select {
		case <-s.over:
			return kills
		case <-time.After(every):
		}
		select {
		case <-s.over:
			return kills
		default:
		}
		victim := s.seats[len(s.seats)-1]
		if length > often {
			victim = s.seats[r.IntN(len(s.seats))]
		}
		if err := victim.end(syscall.SIGKILL); err != nil {
			s.fail("%v", err)
		}
		if len(s.seats) > 1 {
			time.Sleep(min(length/10, 5*time.Second))
		}
		if err := victim.start(); err != nil {
			s.fail("%v", err)
			return kills
		}
		every = often
	}
}

// end waits until all garbage is gone, and looks at what is left. It returns the last run.
func (s *storm) end(w *worker, kills int) gc.Run {
	var last server.GCStatusResponse
	for deadline := time.Now().Add(2 * time.Minute); ; {
		var err error
		if last, err = w.collectOnce(true); err != nil {
			s.fail("garbage collection: %v", err)
			break
		}
		q := last.Queue
		if q.Repositories+q.Images+q.Layers+q.Objects+q.Keys == 0 {
			break
		}
		if time.Now().After(deadline) {
			s.fail("garbage stays: %+v", q)
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	places := w.pullAll()
	for _, one := range s.seats {
		if err := one.end(syscall.SIGTERM); err != nil {
			s.fail("%v", err)
		}
	}
	env := s.seats[0].env
	found, err := check(env)
	if err != nil {
		s.t.Fatal(err)
	}
	left := 0
	for _, p := range found.Problems {
		if kills > 0 && lasting(p) {
			left++
		} else {
			s.fail("berth fsck: %+v", p)
		}
	}
	orphans, things, size := later(s.t, env)
	if found, err = check(env); err != nil {
		s.t.Fatal(err)
	}
	for _, p := range found.Problems {
		s.fail("berth fsck, when all garbage is gone: %+v", p)
	}
	s.t.Logf("in the end: %d tags pulled whole, %d objects, %d things of %d bytes in the bucket, not accounted for = %d; left by who was killed, and gone now: %d, %d of them unknown to anybody",
		places, found.Objects, things, size, len(found.Problems), left, orphans)
	return last.Run
}

// pullAll pulls every tag, while nothing changes, and returns how many there are.
func (w *worker) pullAll() (n int) {
	for _, repository := range repositories {
		var list struct{ Tags []string }
		a, err := w.do("GET", "/v2/"+repository+"/tags/list", nil)
		if err == nil {
			err = json.Unmarshal(a.body, &list)
		}
		if err != nil {
			w.fail("the tags of %s: %v", repository, err)
		}
		for _, tag := range list.Tags {
			is, _, err := w.read(place{repository, tag})
			missing := "manifest"
			if err == nil && is != "" {
				missing, _, err = w.closure(repository, is)
			}
			if err != nil || missing != "" {
				w.fail("%s:%s is not whole: %s, %v", repository, tag, missing, err)
			}
			n++
		}
	}
	return n
}

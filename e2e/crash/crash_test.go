//go:build unix

// Package crash has the server killed at each step that changes what is stored, and
// looks at what is left: berth fsck must find nothing missing, damaged or miscounted,
// what was acknowledged must be there byte for byte, what was not must be there as a
// whole or not at all, uploads must go on where they were, and so must the clients.
//
// The points are those of package berth/internal/crash, in a binary that is built for
// this. Without CRASHES in the environment some are taken at random, each point at
// least once, on SQLite. With CRASHES=N more of them are taken, all if N is 5000, and then points and
// moments at random until there were N kills. CRASH_SEED makes the same choice again.
package crash

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "berth-crash-")
	if err == nil {
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "berth")
		build := exec.Command("go", "build", "-tags", "crashpoints", "-o", binary, "berth/cmd/berth")
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

// mostPoints bounds how many points there are: each is looked at by a person now and then.
const mostPoints = 40

// slow are the points that are come to after a minute only, which is when CRASHES is set.
var slow = []string{"metadata.shred"}

// points returns the names of all points in the source.
func points(t *testing.T) []string {
	t.Helper()
	call := regexp.MustCompile(`crash\.(?:Point|Statements)\("([a-z0-9.]+)"`)
	var out []string
	err := filepath.WalkDir("../../internal", func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range call.FindAllStringSubmatch(string(text), -1) {
			out = append(out, found[1])
		}
		return err
	})
	if err != nil || len(out) == 0 {
		t.Fatalf("there are no points: %v", err)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func number(t *testing.T, name string) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv(name))
	if err != nil && os.Getenv(name) != "" {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// ordinary is how many kills there are if nothing is said.
const ordinary = 50

// workers is how many servers are killed at once: more than processors, for they wait.
const workers = 4

func TestNothingIsLostWhereverTheServerIsKilled(t *testing.T) {
	crashes, seed := number(t, "CRASHES"), uint64(number(t, "CRASH_SEED"))
	if seed == 0 {
		seed = rand.Uint64() >> 1
	}
	t.Logf("CRASH_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	all := worlds(t, crashes > 0, r)
	pairs := countAll(t, all)
	names := map[string]bool{}
	for _, p := range pairs {
		names[p.point] = true
	}
	known := points(t)
	for _, name := range known {
		if !names[name] && !slices.Contains(slow, name) {
			t.Errorf("no client makes the server come to %s", name)
		}
	}
	if len(known) > mostPoints {
		t.Errorf("there are %d points, want at most %d", len(known), mostPoints)
	}
	r.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	possible := len(pairs)
	pairs = some(pairs, max(ordinary, crashes*3/5))
	s := &sweep{t: t, dir: t.TempDir(), points: map[string]bool{}}
	var slowly sync.WaitGroup
	if crashes > 0 {
		slowly.Go(func() { s.must(pair{destroying(all[0].from), "metadata.shred", 1}) })
	}
	s.each(len(pairs), func(i int) error { return s.die(pairs[i]) })
	s.random(all[0], crashes, r)
	slowly.Wait()
	t.Logf("%d kills; %d hits of %d points in %d worlds, of %d that there are; %d not come to again; lost = 0; left to be collected: %d",
		s.kills, s.reached, len(s.points), len(all), possible, s.wanted-s.reached, s.left)
}

// some returns n of the pairs, of each point one at least.
func some(pairs []pair, n int) []pair {
	var first, rest []pair
	seen := map[string]bool{}
	for _, p := range pairs {
		if seen[p.point] {
			rest = append(rest, p)
		} else {
			seen[p.point], first = true, append(first, p)
		}
	}
	return append(first, rest[:max(0, min(len(rest), n-len(first)))]...)
}

func countAll(t *testing.T, all []*world) []pair {
	t.Helper()
	var mu sync.Mutex
	var out []pair
	var wait sync.WaitGroup
	for _, w := range all {
		wait.Go(func() {
			hits, err := w.count(filepath.Join(t.TempDir(), "data"))
			if err != nil {
				t.Errorf("%s: %v", w.name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			out = append(out, pairsOf(w, hits)...)
		})
	}
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
	slices.SortFunc(out, func(a, b pair) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// sweep is what has come of kills so far.
type sweep struct {
	t   *testing.T
	dir string

	mu      sync.Mutex
	lives   int
	kills   int
	wanted  int // hits that were to be come to
	reached int
	left    int
	points  map[string]bool
}

// each calls do for 0 to n-1, some at once, until one fails.
func (s *sweep) each(n int, do func(int) error) {
	var next int
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for {
				s.mu.Lock()
				i := next
				next++
				s.mu.Unlock()
				if i >= n || s.t.Failed() {
					return
				}
				if err := do(i); err != nil {
					s.t.Error(err)
				}
			}
		})
	}
	wait.Wait()
}

func (s *sweep) newDir() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lives++
	return filepath.Join(s.dir, strconv.Itoa(s.lives))
}

// die kills a server at one hit of a point. What it leaves is kept if something is wrong.
func (s *sweep) die(p pair) error {
	dir := s.newDir()
	reached, l, err := p.world.dieAt(dir, p.point, p.hit)
	if err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(l)
	s.wanted++
	if reached {
		s.reached++
		s.points[p.point] = true
	}
	return os.RemoveAll(dir)
}

// add counts what has come of a life, and tells now and then. The caller has the lock.
func (s *sweep) add(l *life) {
	const every = 100
	if (s.kills+l.kills)/every > s.kills/every {
		s.t.Logf("%d kills so far, lost = 0", s.kills+l.kills)
	}
	s.kills += l.kills
	s.left += l.left
}

// must is die for a point that has to be come to.
func (s *sweep) must(p pair) {
	if err := s.die(p); err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.points[p.point] {
		s.t.Errorf("%s is not come to", p)
	}
}

// perLife is how often servers on one data directory are killed.
const perLife = 25

// random kills servers, at hits of any point and at any moment, while two clients push,
// until there were so many kills.
func (s *sweep) random(w *world, crashes int, r *rand.Rand) {
	lives := max(0, crashes-s.kills+perLife-1) / perLife
	seeds := make([]uint64, lives)
	for i := range seeds {
		seeds[i] = r.Uint64()
	}
	s.each(lives, func(i int) error {
		r := rand.New(rand.NewPCG(seeds[i], 2))
		dir := s.newDir()
		l, err := w.begin(dir)
		if err != nil {
			return err
		}
		l.players = append(l.players, newPlayer(w.more()))
		for l.kills < perLife {
			plan, delay := fmt.Sprintf("CRASHPOINT=*:%d", 1+r.IntN(500)), time.Duration(0)
			if r.IntN(4) == 0 {
				plan, delay = "CRASHPOINT=", time.Duration(r.IntN(300)+1)*time.Millisecond
			}
			killed, err := l.serve(delay, plan)
			if err == nil && killed && r.IntN(4) == 0 { // or the next server finds it as it is
				err = l.check()
			}
			if err != nil {
				return fmt.Errorf("%s, kill %d of life %d, %s: %w", w.name, l.kills, i, plan, err)
			}
			for _, p := range l.players {
				if p.next == len(p.steps) {
					*p = *newPlayer(w.more())
				}
			}
		}
		if err := l.finish(); err != nil {
			return fmt.Errorf("%s, life %d: %w", w.name, i, err)
		}
		s.mu.Lock()
		s.add(l)
		s.mu.Unlock()
		return os.RemoveAll(dir)
	})
}

// What is shipped cannot kill itself: nothing else depends on the tag.
func TestOnlyPackageCrashKnowsTheTag(t *testing.T) {
	for _, dir := range []string{"../../internal", "../../cmd"} {
		err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.Contains(path, "internal/crash/") {
				return err
			}
			text, err := os.ReadFile(path)
			if strings.Contains(string(text), "crash"+"points") {
				t.Errorf("%s knows the tag", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

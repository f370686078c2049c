//go:build unix

package crash

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// world is how a server runs in which points are come to, and what clients do then.
type world struct {
	name string
	verb string // of berth; serve if ""
	env  func(dir string) []string
	// from is a data directory to begin with; "" for an empty one. Its players go on in
	// each life.
	from    string
	players func() []*player
	// more is called for a player that has done all, and no kill has come; nil if that
	// changes nothing.
	more func() []step
	// end is called at the end of a life, with a server as it runs then; nil for nothing.
	end func(*life) error
	// only says which hits are worth a kill; nil for all.
	only func(pair) bool
	// fresh is set if nothing can be looked at before the first start has come to its end.
	fresh bool
}

// life is a data directory and its servers, one after the other.
type life struct {
	*world
	dir     string
	players []*player
	kills   int
	left    int // things that nothing refers to, at the end
}

func (w *world) begin(dir string) (*life, error) {
	if w.from != "" {
		if err := os.CopyFS(dir, os.DirFS(w.from)); err != nil {
			return nil, err
		}
	}
	l := &life{world: w, dir: dir, players: w.players()}
	return l, os.MkdirAll(dir, 0o700)
}

// start starts a process if something is to happen to it, or the verb is not serve.
func (l *life) start(more []string) (running, error) {
	if l.verb == "" && len(more) == 0 {
		return startOwn(l.env(l.dir), nil)
	}
	return start(cmp.Or(l.verb, "serve"), l.dir, append(l.env(l.dir), more...))
}

// serve runs a server, with more in its environment, until the players have done all or
// it is killed: by itself, or after a time if that is not 0. It reports whether it was.
func (l *life) serve(after time.Duration, more ...string) (killed bool, err error) {
	c, err := l.start(more)
	if errors.Is(err, errKilled) {
		l.kills++
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if process, ok := c.(*child); ok && after > 0 {
		defer time.AfterFunc(after, func() { _ = process.cmd.Process.Kill() }).Stop()
	}
	errs := make([]error, len(l.players))
	var all sync.WaitGroup
	for i, p := range l.players {
		all.Go(func() { errs[i] = p.play(c.clients()) })
	}
	all.Wait()
	gone := false
	for i, err := range errs {
		if errors.Is(err, errGone) {
			gone, errs[i] = true, nil
		}
	}
	if err := errors.Join(errs...); err != nil {
		return false, errors.Join(err, c.kill())
	}
	end := c.stop
	if gone {
		end = c.died
	}
	switch err := end(); {
	case errors.Is(err, errKilled):
		l.kills++
		return true, nil
	case gone && err == nil:
		return false, fmt.Errorf("the server has not answered: %w", errors.Join(errs...))
	default:
		return false, err
	}
}

// check looks at what a server has left that does not run.
func (l *life) check() (err error) {
	l.left, err = fsck(l.env(l.dir))
	return err
}

// finish has the players do all that is left and looks at everything.
func (l *life) finish() error {
	if killed, err := l.serve(0); killed || err != nil {
		return errors.Join(err, fmt.Errorf("killed: %t", killed))
	}
	if l.end != nil {
		if err := l.end(l); err != nil {
			return err
		}
	}
	return l.check()
}

// rounds is how often a world is played for a point to be come to.
const rounds = 4

// dieAt kills a server at a point, once, and lets it go on. It reports whether the point
// was come to.
func (w *world) dieAt(dir, point string, hit int) (bool, *life, error) {
	l, err := w.begin(dir)
	if err != nil {
		return false, nil, err
	}
	killed := false
	for range rounds {
		if killed, err = l.serve(0, fmt.Sprintf("CRASHPOINT=%s:%d", point, hit)); killed || err != nil || w.more == nil {
			break
		}
		for _, p := range l.players {
			p.add(w.more())
		}
	}
	if err != nil {
		return killed, l, err
	}
	if killed && !w.fresh {
		if err := l.check(); err != nil {
			return killed, l, fmt.Errorf("when it has been killed: %w", err)
		}
	}
	return killed, l, l.finish()
}

// count plays a world and returns how often it comes to each point.
func (w *world) count(dir string) (map[string]int, error) {
	l, err := w.begin(dir)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "points")
	if killed, err := l.serve(0, "CRASHPOINT_COUNT="+file); killed || err != nil {
		return nil, errors.Join(err, fmt.Errorf("killed: %t", killed))
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	hits := map[string]int{}
	for _, point := range strings.Fields(string(text)) {
		hits[point]++
	}
	return hits, l.finish()
}

// pair is a hit of a point in a world.
type pair struct {
	world *world
	point string
	hit   int
}

func (p pair) String() string { return fmt.Sprintf("%s, %s:%d", p.world.name, p.point, p.hit) }

// pairsOf returns all hits of all points, in order.
func pairsOf(w *world, hits map[string]int) []pair {
	var out []pair
	for _, point := range slices.Sorted(maps.Keys(hits)) {
		for hit := range hits[point] {
			if p := (pair{w, point, hit + 1}); w.only == nil || w.only(p) {
				out = append(out, p)
			}
		}
	}
	return out
}

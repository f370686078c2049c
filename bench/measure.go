package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// group runs the workloads of a group and adds their figures to the table.
func (b *bench) group(ctx context.Context, g group, only string, t *table) error {
	servers := map[string]*process{}
	defer func() {
		for _, p := range servers {
			p.stop()
			_ = os.RemoveAll(p.dir)
		}
	}()
	for _, name := range g.servers {
		if name == alone {
			continue
		}
		p, err := b.start(ctx, name, filepath.Join(b.dir, "data", strings.ReplaceAll(name, " ", "")))
		if err != nil {
			return err
		}
		servers[name] = p
		for _, args := range g.prepare {
			if name == peer && strings.Contains(strings.Join(args, " "), "referrers") {
				continue // it has none
			}
			if _, err := b.load(ctx, p, 1, args...); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	all := map[string]map[string]figures{}
	for _, w := range g.workloads {
		if !strings.Contains(w.name, only) {
			continue
		}
		figures, err := b.alternate(ctx, g, w, servers)
		if err != nil {
			return err
		}
		t.add(w, g.servers, figures)
		all[w.name] = figures
	}
	one, other := all[g.notSlower[0]], all[g.notSlower[1]]
	for _, name := range g.servers { // by the floor's, which tells what else the machine does
		if (name == berth || name == sealed) && one[name].rate > 0 && other[name].rate > 0 {
			t.least(fmt.Sprintf("%s, %s: part of the floor's rate, of that of %s", name, g.notSlower[0], g.notSlower[1]),
				one[name].rate/one[floorFS].rate/(other[name].rate/other[floorFS].rate), 0.95, "x")
		}
	}
	return nil
}

// figures are the medians of one server and workload.
type figures struct{ rate, cpu float64 }

// alternate runs a workload on all servers in turn, round after round.
func (b *bench) alternate(ctx context.Context, g group, w workload, servers map[string]*process) (map[string]figures, error) {
	rates, cpus := map[string][]float64{}, map[string][]float64{}
	for round := range b.rounds {
		for _, name := range g.servers {
			if name == peer && w.name == "1,000 referrers" {
				continue
			}
			seed := 1
			if w.varies {
				seed = 1000*(round+1) + len(w.name)*100_000
			}
			fmt.Fprintf(os.Stderr, "%s: round %d of %d: %s\n", w.name, round+1, b.rounds, name)
			r, err := b.measure(ctx, name, servers[name], seed, w)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", name, w.name, err)
			}
			rates[name] = append(rates[name], r.OpsPerS)
			cpus[name] = append(cpus[name], r.CPU)
		}
	}
	out := map[string]figures{}
	for name := range rates {
		out[name] = figures{median(rates[name]), median(cpus[name])}
	}
	return out, nil
}

// measure runs a workload on a server once. What stores something gets a server
// of its own, so that the disk does not fill up.
func (b *bench) measure(ctx context.Context, name string, p *process, seed int, w workload) (result, error) {
	if name == alone {
		return sealGiB()
	}
	if !w.varies {
		return b.load(ctx, p, seed, w.args...)
	}
	p, err := b.start(ctx, name, filepath.Join(b.dir, "data", "fresh"))
	if err != nil {
		return result{}, err
	}
	defer func() {
		p.stop()
		_ = os.RemoveAll(p.dir)
	}()
	if w.before != nil {
		if _, err := b.load(ctx, p, seed, w.before...); err != nil {
			return result{}, err
		}
	}
	return b.load(ctx, p, seed, w.args...)
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// process measures what is no load: memory, start and size.
func (b *bench) process(ctx context.Context, t *table) error {
	dir := filepath.Join(b.dir, "data", "process")
	p, err := b.start(ctx, berth, dir)
	if err != nil {
		return err
	}
	defer func() { p.stop() }()
	fi, err := os.Stat(b.path("berth"))
	if err != nil {
		return err
	}
	t.note("binary", fmt.Sprintf("%d MiB", fi.Size()>>20))
	t.note("start, empty", p.started.Round(time.Millisecond).String())
	t.note("memory, idle", fmt.Sprintf("%d MiB", p.rss()>>10))
	for _, name := range []string{berth, sealed} {
		if err := b.memory(ctx, name, t); err != nil {
			return err
		}
	}
	p, err = b.filled(ctx, p, dir, t)
	return err
}

// memory measures how much memory pulls and pushes take.
func (b *bench) memory(ctx context.Context, name string, t *table) error {
	dir := filepath.Join(b.dir, "data", "memory")
	p, err := b.start(ctx, name, dir)
	if err != nil {
		return err
	}
	defer func() {
		p.stop()
		_ = os.RemoveAll(dir)
	}()
	if _, err := b.load(ctx, p, 1, "-workload", "pull", "-count", "1", "-size", gib); err != nil {
		return err
	}
	if p, err = b.restart(ctx, name, p, dir); err != nil {
		return err
	}
	idle := p.rss()
	pulled, err := b.load(ctx, p, 1, "-workload", "pull", "-keep", "-count", "16", "-conc", "16", "-size", gib)
	if err != nil {
		return err
	}
	t.limit(name+": memory above idle while 16 pull 1 GiB", float64(pulled.RSSPeak-idle)/1024, 32, "MiB")
	if p, err = b.restart(ctx, name, p, dir); err != nil {
		return err
	}
	pushed, err := b.load(ctx, p, 2, "-workload", "push-mono", "-count", "4", "-conc", "4", "-size", gib)
	if err != nil {
		return err
	}
	t.limit(name+": memory while 4 push 1 GiB", float64(pushed.RSSPeak)/1024, 100, "MiB")
	return nil
}

func (b *bench) restart(ctx context.Context, name string, p *process, dir string) (*process, error) {
	p.stop()
	return b.start(ctx, name, dir)
}

// filled compares start and push with few and with 10,000 images stored.
func (b *bench) filled(ctx context.Context, p *process, dir string, t *table) (*process, error) {
	var before, after []float64
	push := func(p *process, seed int) (float64, error) {
		r, err := b.load(ctx, p, seed, "-workload", "push-images", "-count", "200", "-conc", "8")
		return r.CPU, err
	}
	for round := range b.rounds {
		cpu, err := push(p, 100+round)
		if err != nil {
			return p, err
		}
		before = append(before, cpu)
	}
	p, err := b.restart(ctx, berth, p, dir)
	if err != nil {
		return p, err
	}
	start := p.started
	if _, err := b.load(ctx, p, 3, "-workload", "push-images", "-count", strconv.Itoa(10_000), "-conc", "16"); err != nil {
		return p, err
	}
	if p, err = b.restart(ctx, berth, p, dir); err != nil {
		return p, err
	}
	for round := range b.rounds {
		cpu, err := push(p, 200+round)
		if err != nil {
			return p, err
		}
		after = append(after, cpu)
	}
	t.note("start, 10,000 images", fmt.Sprintf("%s (before: %s)", p.started.Round(time.Millisecond), start.Round(time.Millisecond)))
	t.limit("push CPU with 10,000 images, of that without", median(after)/median(before), 1.33, "x")
	return p, nil
}

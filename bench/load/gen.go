package main

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

type gen struct {
	o      options
	base   *url.URL
	client *http.Client

	mu       sync.Mutex
	lats     []time.Duration
	ops      atomic.Int64
	bytes    atomic.Int64
	errs     atomic.Int64
	firstErr string
	extra    map[string]any
}

// fan runs n numbered operations on --conc workers.
func (g *gen) fan(ctx context.Context, n int, op func(context.Context, int) (int64, error)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(g.o.conc, n) {
		wg.Go(func() {
			var lats []time.Duration
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					break
				}
				t := time.Now()
				b, err := op(ctx, i)
				lats = append(lats, time.Since(t))
				g.bytes.Add(b)
				g.ops.Add(1)
				if err != nil {
					g.fail(err)
				}
			}
			g.addLats(lats)
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		g.fail(ctx.Err())
	}
}

// timed sends one request over and over on --conc workers for --duration.
func (g *gen) timed(ctx context.Context, method, path, accept string) {
	g.timedEach(ctx, method, func() string { return path }, accept)
}

// timedEach is timed for requests of the same kind, each of which has a path of its own.
func (g *gen) timedEach(ctx context.Context, method string, path func() string, accept string) {
	tctx, cancel := context.WithTimeout(ctx, g.o.duration)
	defer cancel()
	hdr := http.Header{}
	if accept != "" {
		hdr.Set("Accept", accept+", "+mtIndex)
	}
	var wg sync.WaitGroup
	for range g.o.conc {
		wg.Go(func() {
			var lats []time.Duration
			for tctx.Err() == nil {
				t := time.Now()
				st, n, err := g.discard(ctx, method, path(), hdr)
				lats = append(lats, time.Since(t))
				g.bytes.Add(n)
				g.ops.Add(1)
				if err := expect(st, err, 200); err != nil {
					g.fail(err)
				}
			}
			g.addLats(lats)
		})
	}
	wg.Wait()
}

func (g *gen) addLats(l []time.Duration) { g.mu.Lock(); g.lats = append(g.lats, l...); g.mu.Unlock() }

func (g *gen) fail(err error) {
	if g.errs.Add(1) == 1 {
		g.mu.Lock()
		g.firstErr = err.Error()
		g.mu.Unlock()
	}
}

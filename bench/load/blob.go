package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync/atomic"
)

func pushBlobs(chunked bool) workload {
	return func(ctx context.Context, g *gen) (func(context.Context), error) {
		type job struct {
			blob   *content
			digest string
		}
		jobs := make([]job, g.o.count)
		for i := range jobs {
			b := &content{seed: g.o.seed + uint64(i), size: g.o.size}
			jobs[i] = job{b, b.digest()}
		}
		return func(ctx context.Context) {
			g.fan(ctx, g.o.count, func(ctx context.Context, i int) (int64, error) {
				repo := g.o.repo + "/blob"
				if chunked {
					return jobs[i].blob.size, g.pushChunked(ctx, repo, jobs[i].blob, jobs[i].digest)
				}
				return jobs[i].blob.size, g.pushReader(ctx, repo, jobs[i].blob.reader(), jobs[i].blob.size, jobs[i].digest)
			})
		}, nil
	}
}

func pull(ctx context.Context, g *gen) (func(context.Context), error) {
	b := &content{seed: g.o.seed, size: g.o.size}
	dg := b.digest()
	repo := g.o.repo + "/blob"
	if !g.o.keep {
		if err := g.pushReader(ctx, repo, b.reader(), b.size, dg); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context) {
		g.fan(ctx, g.o.count, func(ctx context.Context, _ int) (int64, error) {
			return g.get(ctx, "/v2/"+repo+"/blobs/"+dg, g.o.size)
		})
	}, nil
}

func put(_ context.Context, g *gen) (func(context.Context), error) {
	return func(ctx context.Context) {
		g.fan(ctx, g.o.count, func(ctx context.Context, i int) (int64, error) {
			b := &content{seed: g.o.seed + uint64(i), size: g.o.size}
			st, _, err := g.do(ctx, "PUT", g.o.path, b.reader(), b.size, nil)
			return b.size, expect(st, err, 200, 201)
		})
	}, nil
}

func manifestTimed(method string, byTag bool) workload {
	return func(ctx context.Context, g *gen) (func(context.Context), error) {
		im := makeImage(g.o, 0)
		repo := g.o.repo + "/get"
		if !g.o.keep {
			if _, err := g.pushImage(ctx, repo, "latest", im); err != nil {
				return nil, err
			}
		}
		ref := im.digest
		if byTag {
			ref = "latest"
		}
		p := "/v2/" + repo + "/manifests/" + ref
		return func(ctx context.Context) { g.timed(ctx, method, p, mtManifest) }, nil
	}
}

func blobTimed(method string) workload {
	return func(ctx context.Context, g *gen) (func(context.Context), error) {
		b := &content{seed: g.o.seed, size: g.o.size}
		dg := b.digest()
		repo := g.o.repo + "/blob"
		if !g.o.keep {
			if err := g.pushReader(ctx, repo, b.reader(), b.size, dg); err != nil {
				return nil, err
			}
		}
		return func(ctx context.Context) { g.timed(ctx, method, "/v2/"+repo+"/blobs/"+dg, "") }, nil
	}
}

// filled reads the manifests of images that bench has written into the database, one
// or another of --count.
func filled(method string) workload {
	return func(ctx context.Context, g *gen) (func(context.Context), error) {
		path := func() string {
			i := rand.IntN(g.o.count)
			return fmt.Sprintf("/v2/fill/r%08x/manifests/v%08x", i/1000, i)
		}
		return func(ctx context.Context) { g.timedEach(ctx, method, path, mtManifest) }, nil
	}
}

func timedPath(path string) workload {
	return func(ctx context.Context, g *gen) (func(context.Context), error) {
		return func(ctx context.Context) { g.timed(ctx, "GET", path, mtManifest) }, nil
	}
}

func mount(ctx context.Context, g *gen) (func(context.Context), error) {
	b := &content{seed: g.o.seed + 99, size: min(g.o.size, 1<<20)}
	dg := b.digest()
	src := g.o.repo + "/mountsrc"
	if err := g.pushReader(ctx, src, b.reader(), b.size, dg); err != nil {
		return nil, err
	}
	q := "?mount=" + url.QueryEscape(dg) + "&from=" + url.QueryEscape(src)
	var refused atomic.Int64
	return func(ctx context.Context) {
		g.fan(ctx, g.o.count, func(ctx context.Context, i int) (int64, error) {
			st, _, err := g.do(ctx, "POST", fmt.Sprintf("/v2/%s/mnt/r%05d/blobs/uploads/%s", g.o.repo, i, q), nil, 0, nil)
			if st == 202 {
				refused.Add(1) // the registry opened an upload instead
			}
			return 0, expect(st, err, 201, 202)
		})
		g.extra["not_mounted"] = refused.Load()
	}, nil
}

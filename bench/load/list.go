package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

func seedTags(ctx context.Context, g *gen) (func(context.Context), error) {
	im := makeImage(g.o, 0)
	repo := g.o.repo + "/tags"
	if _, err := g.pushImage(ctx, repo, "t00000", im); err != nil {
		return nil, err
	}
	return func(ctx context.Context) {
		g.fan(ctx, g.o.count, func(ctx context.Context, i int) (int64, error) {
			return 0, g.putManifest(ctx, repo, fmt.Sprintf("t%05d", i), mtManifest, im.manifest)
		})
	}, nil
}

func listTags(ctx context.Context, g *gen) (func(context.Context), error) {
	return g.walker("/v2/"+g.o.repo+"/tags/tags/list", "tags"), nil
}

func catalog(ctx context.Context, g *gen) (func(context.Context), error) {
	return g.walker("/v2/_catalog", "repositories"), nil
}

// walker follows Link pages --rounds times; one operation is one whole walk.
func (g *gen) walker(path, field string) func(context.Context) {
	return func(ctx context.Context) {
		var total, pages atomic.Int64
		var maxPage atomic.Int64
		g.fan(ctx, g.o.rounds, func(ctx context.Context, _ int) (int64, error) {
			next := fmt.Sprintf("%s?n=%d", path, g.o.page)
			var items, bytes int64
			for next != "" {
				t := time.Now()
				st, rep, err := g.do(ctx, "GET", next, nil, 0, nil)
				if err := expect(st, err, 200); err != nil {
					return bytes, err
				}
				maxPage.Store(max(maxPage.Load(), int64(time.Since(t))))
				var body map[string]json.RawMessage
				if err := json.Unmarshal(rep.body, &body); err != nil {
					return bytes, err
				}
				var list []string
				if err := json.Unmarshal(body[field], &list); err != nil {
					return bytes, err
				}
				items += int64(len(list))
				bytes += int64(len(rep.body))
				pages.Add(1)
				next = nextLink(rep.header.Get("Link"))
				if len(list) == 0 {
					break
				}
			}
			total.Store(items)
			return bytes, nil
		})
		g.extra["items"] = total.Load()
		g.extra["pages_per_walk"] = float64(pages.Load()) / float64(g.o.rounds)
		g.extra["slowest_page_ms"] = ms(time.Duration(maxPage.Load()))
	}
}

func nextLink(h string) string {
	lt, gt := strings.Index(h, "<"), strings.Index(h, ">")
	if lt < 0 || gt < lt || !strings.Contains(h[gt:], "next") {
		return ""
	}
	u, err := url.Parse(h[lt+1 : gt])
	if err != nil {
		return ""
	}
	return u.RequestURI()
}

func seedRepos(ctx context.Context, g *gen) (func(context.Context), error) {
	o := g.o
	o.layers, o.layerSize = 1, 1024
	im := makeImage(o, 0)
	return func(ctx context.Context) {
		g.fan(ctx, g.o.count, func(ctx context.Context, i int) (int64, error) {
			return g.pushImage(ctx, fmt.Sprintf("%s/cat/r%05d", g.o.repo, i), "latest", im)
		})
	}, nil
}

func (g *gen) subject() (string, image) {
	o := g.o
	o.seed += 7
	return g.o.repo + "/ref", makeImage(o, 0)
}

func seedReferrers(ctx context.Context, g *gen) (func(context.Context), error) {
	repo, im := g.subject()
	if _, err := g.pushImage(ctx, repo, "subject", im); err != nil {
		return nil, err
	}
	empty := []byte("{}")
	if err := g.pushReader(ctx, repo, bytes.NewReader(empty), 2, digestOf(empty)); err != nil {
		return nil, err
	}
	return func(ctx context.Context) {
		g.fan(ctx, g.o.count, func(ctx context.Context, i int) (int64, error) {
			m := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"artifactType":"application/vnd.example.sig","config":{"mediaType":%q,"digest":%q,"size":2},"layers":[{"mediaType":%q,"digest":%q,"size":2}],"subject":{"mediaType":%q,"digest":%q,"size":%d},"annotations":{"n":"%06d"}}`,
				mtManifest, mtEmpty, digestOf(empty), mtEmpty, digestOf(empty), mtManifest, im.digest, len(im.manifest), i)
			return int64(len(m)), g.putManifest(ctx, repo, digestOf(m), mtManifest, m)
		})
	}, nil
}

func seedImages(ctx context.Context, g *gen) (func(context.Context), error) {
	repo, empty := g.o.repo+"/many", []byte("{}")
	if err := g.pushReader(ctx, repo, bytes.NewReader(empty), 2, digestOf(empty)); err != nil {
		return nil, err
	}
	return func(ctx context.Context) {
		g.fan(ctx, g.o.count, func(ctx context.Context, i int) (int64, error) {
			m := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":2},"layers":[],"annotations":{"n":"%06d"}}`,
				mtManifest, mtEmpty, digestOf(empty), i)
			return int64(len(m)), g.putManifest(ctx, repo, fmt.Sprintf("v%06d", i), mtManifest, m)
		})
	}, nil
}

func referrers(ctx context.Context, g *gen) (func(context.Context), error) {
	repo, im := g.subject()
	return func(ctx context.Context) {
		var n atomic.Int64
		g.fan(ctx, g.o.rounds, func(ctx context.Context, _ int) (int64, error) {
			next, bytes, items := "/v2/"+repo+"/referrers/"+im.digest, int64(0), 0
			for next != "" {
				st, rep, err := g.do(ctx, "GET", next, nil, 0, nil)
				if err := expect(st, err, 200); err != nil {
					return bytes, err
				}
				var idx struct{ Manifests []json.RawMessage }
				if err := json.Unmarshal(rep.body, &idx); err != nil {
					return bytes, err
				}
				items += len(idx.Manifests)
				bytes += int64(len(rep.body))
				next = nextLink(rep.header.Get("Link"))
			}
			n.Store(int64(items))
			return bytes, nil
		})
		g.extra["items"] = n.Load()
	}, nil
}

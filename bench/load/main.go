// Command load drives an OCI distribution registry with bounded, repeatable
// workloads over plain net/http and prints one JSON object per run.
//
// Every workload measures wall time and per-operation latency at the client.
// With --pid it also reads the server's user+sys CPU time from /proc/PID/stat
// around the measured part, and samples its RSS, so results can be stated in
// CPU-seconds per operation, which survive a noisy machine better than MB/s.
//
// Workloads
//
//	push-mono       POST + PUT: --count blobs of --size bytes, --conc at a time
//	push-chunked    POST + PATCH (--chunk bytes each) + PUT
//	pull            GET one blob of --size (pushed first unless --keep) --count times
//	push-images     --count images (config 1 KiB + --layers x --layer-size), one tag each
//	manifest-get    GET manifest by tag      (--duration, --conc connections)
//	manifest-head   HEAD manifest by tag
//	manifest-digest GET manifest by digest
//	blob-get        GET a --size blob, for --duration
//	blob-head       HEAD a blob, for --duration
//	seed-tags       put --count tags on one manifest in PREFIX/tags
//	list-tags       walk tags/list of PREFIX/tags with n=--page, --rounds times
//	seed-repos      create --count repositories PREFIX/cat/rNNNNN with one image each
//	catalog         walk _catalog with n=--page, --rounds times
//	seed-referrers  push --count artifact manifests whose subject is one manifest
//	seed-images     push --count tagged artifact manifests to PREFIX/many
//	referrers       GET referrers of that manifest --rounds times
//	delete-images   DELETE by digest the manifests push-images made (same flags)
//	mount           POST ?mount=&from= of one blob into --count repositories
//	filled-get      GET manifests of --count images that bench has filled a database with
//	filled-head     HEAD these manifests
//	ping            GET /v2/ for --duration
//	get             GET --path for --duration (limit servers, health pages)
//	put             PUT --count bodies of --size to --path (limit servers)
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

type options struct {
	url, user, password, repo, workload, label, path string
	count, conc, layers, page, rounds, pid           int
	size, chunk, layerSize                           int64
	duration, timeout                                time.Duration
	seed                                             uint64
	keep, headFirst                                  bool
}

func main() {
	var o options
	flag.StringVar(&o.url, "url", "http://127.0.0.1:5000", "registry base URL")
	flag.StringVar(&o.user, "user", "", "Basic auth user")
	flag.StringVar(&o.password, "password", "", "Basic auth password")
	flag.StringVar(&o.repo, "repo", "bench", "repository prefix")
	flag.StringVar(&o.workload, "workload", "", "workload name (see the package comment)")
	flag.StringVar(&o.label, "label", "", "label copied into the result")
	flag.StringVar(&o.path, "path", "/", "path for workload get")
	flag.IntVar(&o.count, "count", 1, "operations")
	flag.IntVar(&o.conc, "conc", 1, "workers, one connection each")
	flag.IntVar(&o.layers, "layers", 3, "layers per image")
	flag.Int64Var(&o.layerSize, "layer-size", 10<<10, "bytes per layer")
	flag.Int64Var(&o.size, "size", 1<<30, "blob bytes")
	flag.Int64Var(&o.chunk, "chunk", 16<<20, "PATCH chunk bytes")
	flag.IntVar(&o.page, "page", 1000, "n= of list requests")
	flag.IntVar(&o.rounds, "rounds", 5, "repetitions of a list workload")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "length of a timed workload")
	flag.DurationVar(&o.timeout, "timeout", 5*time.Minute, "whole-run limit")
	flag.Uint64Var(&o.seed, "seed", 1, "content seed; same seed, same blobs")
	flag.BoolVar(&o.keep, "keep", false, "the content is already there: do not seed it")
	flag.BoolVar(&o.headFirst, "head-first", false, "push-images: HEAD each blob before upload, as docker does")
	flag.IntVar(&o.pid, "pid", 0, "server pid, for CPU and RSS (0: none)")
	flag.Parse()
	res, err := run(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	enc := json.NewEncoder(os.Stdout)
	if err := enc.Encode(res); err != nil {
		os.Exit(1)
	}
	if res.Errors > 0 {
		os.Exit(2)
	}
}

func run(o options) (*Result, error) {
	base, err := url.Parse(strings.TrimRight(o.url, "/"))
	if err != nil {
		return nil, err
	}
	if o.conc < 1 || o.count < 1 {
		return nil, errors.New("--conc and --count must be at least 1")
	}
	tr := &http.Transport{
		MaxIdleConnsPerHost: o.conc + 4,
		MaxConnsPerHost:     o.conc + 4,
		DisableCompression:  true,
		WriteBufferSize:     256 << 10,
		ReadBufferSize:      64 << 10,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
	}
	g := &gen{o: o, base: base, extra: map[string]any{}, client: &http.Client{Transport: tr}}
	ctx, cancel := context.WithTimeout(context.Background(), o.timeout)
	defer cancel()

	w, ok := workloads[o.workload]
	if !ok {
		return nil, fmt.Errorf("unknown workload %q", o.workload)
	}
	measured, err := w(ctx, g)
	if err != nil {
		return nil, err
	}
	return g.measure(ctx, measured)
}

// A workload prepares (unmeasured) and returns the part to measure.
type workload func(context.Context, *gen) (func(context.Context), error)

var workloads = map[string]workload{
	"push-mono":       pushBlobs(false),
	"push-chunked":    pushBlobs(true),
	"pull":            pull,
	"push-images":     pushImages,
	"manifest-get":    manifestTimed("GET", true),
	"manifest-head":   manifestTimed("HEAD", true),
	"manifest-digest": manifestTimed("GET", false),
	"blob-get":        blobTimed("GET"),
	"blob-head":       blobTimed("HEAD"),
	"seed-tags":       seedTags,
	"list-tags":       listTags,
	"seed-repos":      seedRepos,
	"catalog":         catalog,
	"seed-referrers":  seedReferrers,
	"seed-images":     seedImages,
	"referrers":       referrers,
	"delete-images":   deleteImages,
	"mount":           mount,
	"filled-get":      filled("GET"),
	"filled-head":     filled("HEAD"),
	"ping":            timedPath("/v2/"),
	"put":             put,
	"get":             func(c context.Context, g *gen) (func(context.Context), error) { return timedPath(g.o.path)(c, g) },
}

package server

import (
	"context"
	"time"

	"berth/internal/access"
	"berth/internal/gc"
	"berth/internal/metadata"

	"github.com/prometheus/client_golang/prometheus"
)

// What nothing reaches is removed by itself. Here a run is asked for, and how far it is, and
// why something is kept or when it was removed:
//
//	POST /_berth/v1/gc/run      {"full": true}
//	200  {"number": 3}
//	POST /_berth/v1/gc/status   {}
//	200  {"requested": 3, "run": {"served": 3, "running": false, "images": 10, ...}, "queue": {...}}
//	POST /_berth/v1/gc/explain  {"digest": "sha256:...", "repositoryName": "app"}
//	200  {"digest": "sha256:...", "kept": [{"kind": "layer", "holder": "123456789012/us-east-1/app",
//	     "text": "image sha256:... refers to it: tag v1", "since": "..."}], "removed": []}
//
// A run has ended when it is not running and has served at least the number that was
// answered. They are signed, and answer errors, as ECR's operations do. The caller must be
// the administrator, or be allowed berth:RunGarbageCollection or
// berth:GetGarbageCollection there.
const (
	GCRunPath     = "/_berth/v1/gc/run"
	GCStatusPath  = "/_berth/v1/gc/status"
	GCExplainPath = "/_berth/v1/gc/explain"
)

// The bodies of requests and answers.
type (
	GCRunRequest     = gc.RunInput
	GCStatusResponse = gc.Status
	GCExplainRequest = gc.ExplainInput
	GCExplanation    = gc.Explanation

	// GCStatusRequest is the body of a request to GCStatusPath.
	GCStatusRequest struct{}
	// GCRunResponse is the answer of GCRunPath.
	GCRunResponse struct {
		Number int64 `json:"number"`
	}
)

func (s *Server) runGarbage(ctx context.Context, c access.Call, in GCRunRequest) (GCRunResponse, error) {
	number, err := s.garbage.Run(ctx, c, in)
	return GCRunResponse{number}, err
}

func (s *Server) garbageStatus(ctx context.Context, c access.Call, _ GCStatusRequest) (GCStatusResponse, error) {
	return s.garbage.Status(ctx, c)
}

func (s *Server) explainGarbage(ctx context.Context, c access.Call, in GCExplainRequest) (GCExplanation, error) {
	return s.garbage.Explain(ctx, c, in)
}

// newCollector makes what removes garbage, and shows what it does.
func (s *Server) newCollector(a *access.Authorizer) error {
	age := s.options.Now
	if !s.simulated {
		age = gc.Steady()
	}
	s.garbage = gc.New(gc.Options{
		Store: metadata.For[gc.Tx, gc.Tx](s.db), Bucket: s.bucket, Bytes: s.mover.Remove, Authorizer: a, Auditor: s.auditLog,
		Orphaned: func(keys int64, due time.Time) {
			s.log.Warn("there are objects in the bucket that the database does not know, and that will be removed", "count", keys, "removedAfter", due)
		},
		Account: s.config.Account, Now: s.options.Now, Age: age, Idle: s.options.Idle, Retention: s.retained, Grace: s.grace, Delay: s.delay, Refused: s.maintenance.Refused, Share: int(s.config.GCShare),
	})
	return s.metrics.registry.Register(garbageCollector{s})
}

func (s *Server) garbageFailed(err error) {
	s.log.Warn("removing garbage failed and will be tried again", "error", err)
}

// Garbage is what removes what nothing reaches.
func (s *Server) Garbage() *gc.Collector { return s.garbage }

// garbageCollector reads what was removed when metrics are asked for.
type garbageCollector struct{ s *Server }

var (
	gcRuns     = prometheus.NewDesc("berth_gc_runs_total", "Runs of garbage collection by this process.", nil, nil)
	gcFailures = prometheus.NewDesc("berth_gc_failed_runs_total", "Those of them that failed.", nil, nil)
	gcSeconds  = prometheus.NewDesc("berth_gc_run_seconds_total", "How long they took.", nil, nil)
	gcRemoved  = prometheus.NewDesc("berth_gc_removed_total", "What they removed, by kind.", []string{"kind"}, nil)
	gcBytes    = prometheus.NewDesc("berth_gc_freed_bytes_total", "Bytes of the objects that they removed.", nil, nil)
	gcFound    = prometheus.NewDesc("berth_gc_unnoted_total", "Garbage that nobody had noted; there should be none.", []string{"kind"}, nil)
	gcQueue    = prometheus.NewDesc("berth_gc_queue_length", "What waits to be removed or looked at, by kind.", []string{"kind"}, nil)
)

// Describe implements [prometheus.Collector].
func (c garbageCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{gcRuns, gcFailures, gcSeconds, gcRemoved, gcBytes, gcFound, gcQueue} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (c garbageCollector) Collect(out chan<- prometheus.Metric) {
	count := func(d *prometheus.Desc, n float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, n, labels...)
	}
	n := c.s.garbage.Counters()
	count(gcRuns, float64(n.Runs.Load()))
	count(gcFailures, float64(n.Failures.Load()))
	count(gcSeconds, time.Duration(n.Microseconds.Load()*1000).Seconds())
	count(gcRemoved, float64(n.Images.Load()), "image")
	count(gcRemoved, float64(n.Layers.Load()), "layer")
	count(gcRemoved, float64(n.Objects.Load()), "object")
	count(gcBytes, float64(n.Bytes.Load()))
	count(gcFound, float64(n.Found.Load()), "fact")
	count(gcFound, float64(n.Orphans.Load()), "key")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	q, err := c.s.garbage.Queue(ctx)
	if err != nil {
		c.s.log.Warn("what is to be removed was not counted", "error", err)
		return
	}
	for kind, n := range map[string]int64{"repository": q.Repositories, "image": q.Images, "layer": q.Layers, "object": q.Objects, "key": q.Keys} {
		out <- prometheus.MustNewConstMetric(gcQueue, prometheus.GaugeValue, float64(n), kind)
	}
}

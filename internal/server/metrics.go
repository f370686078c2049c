package server

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are what the server counts. No label holds text from a client: the
// number of series is bounded by the source code.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
	panics   prometheus.Counter
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_http_requests_total", Help: "Requests answered, by front, method and status.",
		}, []string{"front", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "berth_http_request_seconds", Help: "How long requests took, by front.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30, 120},
		}, []string{"front"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_http_response_bytes_total", Help: "Bytes of response bodies, by front.",
		}, []string{"front"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "berth_panics_total", Help: "Requests whose handler panicked.",
		}),
	}
	m.registry.MustRegister(m.requests, m.seconds, m.bytes, m.panics,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

func (m *metrics) observe(front, method string, status int, written int64, took time.Duration) {
	m.requests.WithLabelValues(front, knownMethod(method), strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(front).Observe(took.Seconds())
	m.bytes.WithLabelValues(front).Add(float64(written))
}

func knownMethod(method string) string {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return method
	}
	return "other"
}

// frontOf returns the front that serves a path.
func frontOf(path string) string {
	switch {
	case strings.HasPrefix(path, "/v2"), path == "/token/":
		return "oci"
	case strings.HasPrefix(path, "/_berth/"):
		return "berth"
	case path == "/":
		return "aws"
	}
	return "other"
}

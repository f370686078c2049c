package server

import (
	"context"
	"crypto/rand"
	"time"

	"berth/internal/access"
	"berth/internal/blob"
	"berth/internal/metadata"
	"berth/internal/scrub"

	"github.com/prometheus/client_golang/prometheus"
)

// ScrubRunPath is where all bytes that are stored are asked to be read, and ScrubStatusPath
// where one learns how far that has come and what is damaged:
//
//	POST /_berth/v1/scrub/run {}
//	POST /_berth/v1/scrub/status {}
//	200  {"running": true, "pass": {"startedAt": "...", "objects": 40, "bytes": 12345678, "damaged": 1, "healed": 0,
//	      "locked": 0, "unreadable": 0}, "last": {...}, "next": "...", "damaged": 1,
//	      "objects": [{"digest": "sha256:...", "keyDomain": "123456789012/us-east-1/AES256/", "bytes": 345678,
//	                   "since": "...", "repositories": ["app"]}]}
//
// They are signed, and answer errors, as ECR's operations do. The caller must be the
// administrator, or be allowed berth:RunScrub, or berth:GetScrub, there.
const (
	ScrubRunPath    = "/_berth/v1/scrub/run"
	ScrubStatusPath = "/_berth/v1/scrub/status"
)

// ScrubRequest is the body of requests to both.
type ScrubRequest struct{}

// ScrubResponse is the answer.
type ScrubResponse = scrub.Status

func (s *Server) runScrub(ctx context.Context, c access.Call, _ ScrubRequest) (ScrubResponse, error) {
	return s.scrubber.Ask(ctx, c)
}

func (s *Server) scrubStatus(ctx context.Context, c access.Call, _ ScrubRequest) (ScrubResponse, error) {
	return s.scrubber.Status(ctx, c)
}

func (s *Server) newScrubber(blobs *blob.Store, a *access.Authorizer) (*scrub.Scrubber, error) {
	interval, err := s.config.ScrubEvery()
	if err != nil {
		return nil, err
	}
	store := metadata.For[scrub.Tx, scrub.Tx](s.db)
	scrubber := scrub.New(scrub.Options{
		Store: store, Blobs: blobs, Sources: []scrub.Source{scrub.Copies{Store: store, Blobs: blobs}},
		Authorizer: a, Auditor: s.auditLog, Account: s.config.Account, Now: s.options.Now, Owner: rand.Text(),
		Interval: interval, Rate: s.config.ScrubRate, Log: s.log, HasRoom: func() bool { return s.disk.HasRoom() && s.maintenance.Refused() == nil },
	})
	s.metrics.scrub(&scrubber.Totals)
	return scrubber, nil
}

// scrubs makes the passes that are due until ctx ends.
func (s *Server) scrubs(ctx context.Context) {
	tick := time.NewTicker(scrubInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.scrubber.Asked():
		case <-ctx.Done():
			return
		}
		if err := s.scrubber.Run(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("a task failed and will be tried again", "task", "read all bytes", "error", err)
		}
	}
}

// scrub adds what a scrubber counts.
func (m *metrics) scrub(t *scrub.Totals) {
	gauge := func(name, help string, read func() int64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(read()) }))
	}
	counter := func(name, help string, read func() int64) {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(read()) }))
	}
	gauge("berth_damaged_objects", "Objects in quarantine: their bytes are missing or not those that were stored.", t.Damaged.Load)
	gauge("berth_scrub_unreadable_objects", "Objects that the store could not read in the last pass.", t.Unreadable.Load)
	gauge("berth_scrub_store_away", "1 if reading was stopped because the store does not give what it should have.", t.Away.Load)
	gauge("berth_scrub_last_pass_timestamp_seconds", "When the last pass through all objects ended; 0 for never.", t.LastPass.Load)
	counter("berth_scrub_objects_total", "Objects that were read and held against their digests.", t.Objects.Load)
	counter("berth_scrub_bytes_total", "Bytes that were read for that.", t.Bytes.Load)
	counter("berth_scrub_quarantined_total", "Objects that were found damaged.", t.Quarantines.Load)
	counter("berth_scrub_healed_total", "Objects that were made whole by the scrub; those that a push healed are not among them.", t.Healed.Load)
}

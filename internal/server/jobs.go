package server

import (
	"context"
	"time"
)

// usageInterval is how often counters are stored.
const usageInterval = 5 * time.Second

// startJobs starts what goes on beside the requests. Close ends it.
func (s *Server) startJobs() {
	ctx, cancel := context.WithCancel(context.Background())
	s.stopJobs = cancel
	s.jobs.Go(func() { s.auditLog.Run(ctx) })
	s.jobs.Go(func() { s.flushUsage(ctx) })
}

func (s *Server) flushUsage(ctx context.Context) {
	tick := time.NewTicker(usageInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := s.registry.FlushUsage(ctx); err != nil {
				s.log.Warn("usage not stored; will be tried again", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

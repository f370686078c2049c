package server

import (
	"context"
	"time"

	"berth/internal/fault"
	"berth/internal/rotate"
)

const (
	usageInterval    = 5 * time.Second        // how often counters are stored
	activateInterval = time.Second            // how soon a restored image can be pulled
	expiredInterval  = time.Minute            // how often expired sessions are removed
	keyInterval      = time.Minute            // how often keys are looked at that are to be destroyed or rotated
	memberInterval   = 500 * time.Millisecond // how soon policies of the organization count that another replica has put
	reapInterval     = 10 * time.Minute
)

// scrubInterval is how soon a pass begins that another replica was asked for. Tests make passes
// themselves.
var scrubInterval = 2 * time.Second

// classInterval is how soon layers change their storage class. Tests do it themselves.
var classInterval = 5 * time.Second

// startJobs starts what goes on beside the requests. Close ends it.
func (s *Server) startJobs() {
	ctx, cancel := context.WithCancel(context.Background())
	s.stopJobs = cancel
	s.jobs.Go(func() { s.auditLog.Run(ctx) })
	if s.lease != nil {
		s.every(ctx, rotate.RenewInterval, "say which master key seals", s.lease.Renew)
	}
	s.mover.Go = func(do func(context.Context)) { s.jobs.Go(func() { do(ctx) }) }
	s.every(ctx, usageInterval, "store usage", s.registry.FlushUsage)
	s.every(ctx, usageInterval, "store uses of access keys", s.directory.FlushUses)
	s.every(ctx, expiredInterval, "remove expired sessions", s.directory.RemoveExpired)
	s.every(ctx, activateInterval, "activate images", s.unlessRefused(s.registry.ActivateImages))
	s.every(ctx, maintenanceInterval, "read whether changes are refused", s.maintenance.Refresh)
	s.every(ctx, keyInterval, "destroy and rotate keys", s.keys.RunDue)
	s.every(ctx, memberInterval, "read the organization", s.directory.ReadOrganization)
	s.every(ctx, reapInterval, "remove what uploads have left behind", s.unlessRefused(s.registry.ReapUploads))
	s.every(ctx, reapInterval, "remove what was moved", s.unlessRefused(s.mover.Remove))
	if s.classes != nil {
		s.every(ctx, classInterval, "change the storage class of layers", s.unlessRefused(s.classes.Run))
	}
	s.jobs.Go(func() { s.scrubs(ctx) })
	s.jobs.Go(func() { s.registry.RunLifecycle(ctx, s.lifecycleFailed) })
	s.jobs.Go(func() { s.watchQuotas(ctx) })
	s.jobs.Go(func() { s.garbage.RunDue(ctx, s.garbageFailed) })
}

// every does something again and again until ctx ends. What fails is done again.
func (s *Server) every(ctx context.Context, interval time.Duration, what string, do func(context.Context) error) {
	s.jobs.Go(func() { s.repeat(ctx, interval, what, do) })
}

func (s *Server) repeat(ctx context.Context, interval time.Duration, what string, do func(context.Context) error) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := do(ctx); err != nil && ctx.Err() == nil && !fault.IsReadOnly(err) {
				s.log.Warn("a task failed and will be tried again", "task", what, "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

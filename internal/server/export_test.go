package server

import (
	"context"
	"maps"
	"slices"
	"time"

	"berth/internal/move"
	"berth/internal/scrub"
)

func init() { classInterval, scrubInterval, diskEvery = time.Hour, time.Hour, 0 }

// ExtensionPaths are the paths of the signed operations that ECR does not have.
func (s *Server) ExtensionPaths() []string {
	return slices.Sorted(maps.Keys(s.extensions(nil)))
}

// Scrub makes the pass that is due.
func (s *Server) Scrub(ctx context.Context) error { return s.scrubber.Run(ctx) }

// AnotherScrubber is a scrubber as another process has it.
func (s *Server) AnotherScrubber() *scrub.Scrubber {
	o := s.scrubber.Options
	o.Owner = "another"
	return scrub.New(o)
}

// RemoveMoved removes what was moved and is due.
func (s *Server) RemoveMoved(ctx context.Context) error { return s.mover.Remove(ctx) }

// AnotherMover is a mover as another process has it.
func (s *Server) AnotherMover() *move.Mover {
	m := s.newMover(s.bucket)
	m.Blobs, m.Authorizer, m.Auditor, m.Go = s.mover.Blobs, s.mover.Authorizer, s.mover.Auditor, s.mover.Go
	return m
}

// ChangeClasses has layers change their storage class that are due.
func (s *Server) ChangeClasses(ctx context.Context) error { return s.classes.Run(ctx) }

// AnotherClasses is what changes classes as another process has it.
func (s *Server) AnotherClasses() *move.Classes { return s.newClasses(s.bucket) }

// RefreshMaintenance has the server learn now whether changes are refused.
func (s *Server) RefreshMaintenance(ctx context.Context) error { return s.maintenance.Refresh(ctx) }

// DatabaseURL is what is told of a database's URL.
var DatabaseURL = databaseURL

package server

import (
	"context"

	"berth/internal/rotate"
)

// WrapRotation puts something between the rotation of keys and the database.
func (s *Server) WrapRotation(wrap func(rotate.Store) rotate.Store) {
	s.rotator.Store = wrap(s.rotator.Store)
}

// EndLease makes the server one that could not say for long which master key it seals
// under.
func (s *Server) EndLease(ctx context.Context) error { return s.lease.End(ctx) }

// RenewLease makes it one that could again.
func (s *Server) RenewLease(ctx context.Context) error { return s.lease.Renew(ctx) }

package server

import (
	"context"

	"berth/internal/rotate"
)

// WrapRotation puts something between the rotation of keys and the database.
func (s *Server) WrapRotation(wrap func(rotate.Store) rotate.Store) {
	s.rotator.Store = wrap(s.rotator.Store)
}

// RenewLease does now what is done every few seconds.
func (s *Server) RenewLease(ctx context.Context) error { return s.lease.Renew(ctx) }

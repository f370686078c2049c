package server

import "berth/internal/rotate"

// WrapRotation puts something between the rotation of keys and the database.
func (s *Server) WrapRotation(wrap func(rotate.Store) rotate.Store) {
	s.rotator.Store = wrap(s.rotator.Store)
}

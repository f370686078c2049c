package server

import (
	"context"
	"fmt"
	"os"
	"slices"

	"berth/internal/backup"
	"berth/internal/seal"
)

// authenticator returns what authenticates the backups of a registry that is sealed under
// some keys.
func (s *Server) authenticator(ctx context.Context, known []string) (*backup.Authenticator, error) {
	m, err := s.masterIfThere(ctx, known)
	if err != nil {
		return nil, err
	}
	return &backup.Authenticator{Key: m.Key("backup"), MasterKey: m.ID()}, nil
}

// masterIfThere is masterKeyFor, and never makes a key.
func (s *Server) masterIfThere(ctx context.Context, known []string) (*seal.Master, error) {
	if s.config.MasterKey == "" {
		if _, err := os.Stat(masterPath(s.config)); err != nil {
			return nil, fmt.Errorf("master key: %w", err)
		}
	}
	return s.masterKeyFor(ctx, known)
}

// authenticate looks whether a snapshot was made by the registry whose master key, or one
// that came before, the configuration has.
func (s *Server) authenticate(ctx context.Context, target *backup.Target, id string) error {
	m, err := s.masterIfThere(ctx, nil)
	if err != nil {
		return fmt.Errorf("snapshot %s: %w: %w", id, backup.ErrUnauthenticated, err)
	}
	return target.Authenticate(id, func(masterKey string) backup.Key {
		if !slices.Contains(m.IDs(), masterKey) {
			return nil
		}
		return m.Key("backup")
	})
}

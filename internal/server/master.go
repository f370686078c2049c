package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"berth/internal/config"
	"berth/internal/metadata"
	"berth/internal/seal"
)

// masterKeys is what the database knows of master keys.
type masterKeys interface {
	// MasterKeys returns the ids of those that something is sealed under.
	MasterKeys() ([]string, error)
	// AddMasterKey records that something is sealed under one from now on.
	AddMasterKey(id string, at time.Time) error
	// ForgetMasterKeys forgets all but one: nothing is sealed under them any more.
	ForgetMasterKeys(but string) error
}

// masterKey returns the master key with those that came before it: from the
// configuration, or from the data directory, where it is made at the first start.
// All that the database was ever sealed under must be among them.
func (s *Server) masterKey(ctx context.Context) (*seal.Master, error) {
	var known []string
	err := metadata.For[masterKeys, masterKeys](s.db).View(ctx, func(tx masterKeys) (err error) {
		known, err = tx.MasterKeys()
		return err
	})
	if err != nil {
		return nil, err
	}
	m, err := readMaster(s.config, known)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	var old []*seal.Master
	for _, text := range s.config.OldMasterKeys {
		o, err := seal.ParseMaster([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("old-master-keys: %w", err)
		}
		old = append(old, o)
	}
	m = m.WithOld(old...)
	for _, id := range known {
		if !slices.Contains(m.IDs(), id) {
			return nil, fmt.Errorf("master key: what is stored is sealed under the master key %s, and the one given is %s: give that one back, or name it among old-master-keys", id, m.ID())
		}
	}
	return m, nil
}

// recordMaster records which master key seals from now on.
func (s *Server) recordMaster(ctx context.Context, m *seal.Master) error {
	return metadata.For[masterKeys, masterKeys](s.db).Update(ctx, func(tx masterKeys) error {
		return tx.AddMasterKey(m.ID(), s.options.Now())
	})
}

// readMaster reads the master key. It makes one only if nothing is sealed under
// another, which known names.
func readMaster(c *config.Config, known []string) (*seal.Master, error) {
	if c.MasterKey != "" {
		return seal.ParseMaster([]byte(c.MasterKey))
	}
	path := c.MasterKeyFile
	if path == "" {
		path = filepath.Join(c.Data, masterFile)
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && len(known) > 0 {
		return nil, fmt.Errorf("%s is not there, and what is stored is sealed under the master key %s: restore the file", path, strings.Join(known, " and "))
	}
	text, err := os.ReadFile(path)
	if c.MasterKeyFile == "" {
		text, err = once(path, func() ([]byte, error) { return append(seal.NewMaster().Text(), '\n'), nil })
	}
	if err != nil {
		return nil, err
	}
	m, err := seal.ParseMaster(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

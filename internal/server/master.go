package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"berth/internal/config"
	"berth/internal/metadata"
	"berth/internal/rotate"
	"berth/internal/seal"
)

// masterKey returns the master key with those that came before it: from the
// configuration, or from the data directory, where it is made at the first start.
// All that the database was ever sealed under must be among them.
func (s *Server) masterKey(ctx context.Context) (*seal.Master, error) {
	var known []string
	err := metadata.For[rotate.Tx, rotate.Tx](s.db).View(ctx, func(tx rotate.Tx) (err error) {
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
	old, err := readOldMasters(s.config)
	if err != nil {
		return nil, err
	}
	m = m.WithOld(old...)
	return m, masterError(s.config, rotate.Check(m, known))
}

// endPatience is how long a server that ends waits for a database to take note of it.
const endPatience = 10 * time.Second

// seals says that this server seals under its master key from now on. Where servers
// share a database it goes on saying so, and changes nothing unless that is recorded.
func (s *Server) seals(ctx context.Context, m *seal.Master) error {
	db, name := s.db, ""
	if s.config.Database != "" {
		host, err := os.Hostname()
		if err != nil {
			return err
		}
		name = fmt.Sprintf("%s, on host %s, with the data directory %s", s.config.Listen, host, s.config.Data)
	}
	lease, err := rotate.Begin(ctx, metadata.For[rotate.Tx, rotate.Tx](db), m, name, s.options.Now)
	if err != nil {
		return masterError(s.config, err)
	}
	if name == "" {
		return nil
	}
	s.db, s.lease = db.SealingAs(lease.ID()), lease
	s.closers = append(s.closers, func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
		defer cancel()
		return lease.End(ctx)
	})
	return nil
}

// masterPlace is where the master key is configured.
func masterPlace(c *config.Config) string {
	if c.MasterKey != "" {
		return "master-key (BERTH_MASTER_KEY)"
	}
	return masterPath(c)
}

func masterPath(c *config.Config) string {
	return cmp.Or(c.MasterKeyFile, filepath.Join(c.Data, masterFile))
}

// masterError says what to do about a master key that is not there.
func masterError(c *config.Config, err error) error {
	var missing *rotate.MissingError
	if errors.As(err, &missing) {
		return fmt.Errorf("master key: %w: give that one back, in %s, or name it among old-master-keys or in old-master-key-files", err, masterPlace(c))
	}
	return err
}

// readMaster reads the master key. It makes one only if nothing is sealed under
// another, which known names.
func readMaster(c *config.Config, known []string) (*seal.Master, error) {
	wanted := ""
	if len(known) > 0 {
		wanted = ", and what is stored is sealed under the master key " + strings.Join(known, " and ")
	}
	if c.MasterKey != "" {
		m, err := seal.ParseMaster([]byte(c.MasterKey))
		if err != nil {
			return nil, fmt.Errorf("%s: %w%s", masterPlace(c), err, wanted)
		}
		return m, nil
	}
	path := masterPath(c)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && wanted != "" {
		return nil, fmt.Errorf("%s is not there%s: restore the file, or give the key as BERTH_MASTER_KEY or in --master-key-file", path, wanted)
	}
	if c.MasterKeyFile == "" {
		text, err = once(path, func() ([]byte, error) { return append(seal.NewMaster().Text(), '\n'), nil })
	}
	if err != nil {
		return nil, err
	}
	m, err := seal.ParseMaster(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w%s", path, err, wanted)
	}
	return m, nil
}

// readOldMasters reads the master keys that came before.
func readOldMasters(c *config.Config) (out []*seal.Master, err error) {
	for n, text := range c.OldMasterKeys {
		m, err := seal.ParseMaster([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("old-master-keys: number %d: %w", n+1, err)
		}
		out = append(out, m)
	}
	for _, path := range c.OldMasterKeyFiles {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("old-master-key-files: %w", err)
		}
		m, err := seal.ParseMaster(text)
		if err != nil {
			return nil, fmt.Errorf("old-master-key-files: %s: %w", path, err)
		}
		out = append(out, m)
	}
	return out, nil
}

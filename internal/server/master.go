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
	"berth/internal/keyservice"
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
	return s.masterKeyFor(ctx, known)
}

// masterKeyFor is masterKey for what is sealed under some keys.
func (s *Server) masterKeyFor(ctx context.Context, known []string) (*seal.Master, error) {
	m, err := s.readMaster(ctx, known)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	old, err := s.readOldMasters(ctx)
	if err != nil {
		return nil, err
	}
	if s.log != nil && s.config.MasterKeyService != "" {
		s.log.Info("the key service has unwrapped the master key", "service", keyservice.Name(s.config.MasterKeyService), "masterKeyId", m.ID())
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
	lease, err := rotate.Begin(ctx, metadata.For[rotate.Tx, rotate.Tx](db).Keeper(), m, name, s.options.Now)
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
func (s *Server) readMaster(ctx context.Context, known []string) (*seal.Master, error) {
	c, wanted := s.config, ""
	if len(known) > 0 {
		wanted = ", and what is stored is sealed under the master key " + strings.Join(known, " and ")
	}
	text := []byte(c.MasterKey)
	if c.MasterKey == "" {
		var err error
		path := masterPath(c)
		text, err = os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) && wanted != "" {
			return nil, fmt.Errorf("%s is not there%s: restore the file, or give the key as BERTH_MASTER_KEY or in --master-key-file", path, wanted)
		}
		if c.MasterKeyFile == "" {
			text, err = once(path, func() ([]byte, error) { return newMaster(ctx, c.MasterKeyService) })
		}
		if err != nil {
			return nil, err
		}
	}
	m, err := parseMaster(ctx, text, c.MasterKeyService)
	if err == nil && c.MasterKeyService != "" && !keyservice.Wrapped(text) {
		err = errors.New("the key is not wrapped, though there is a master-key-service: wrap it with berth keys wrap")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w%s", masterPlace(c), err, wanted)
	}
	return m, nil
}

// newMaster returns the text of a key that was never used, wrapped by a key service if
// there is one: nothing else of it is written down.
func newMaster(ctx context.Context, service string) ([]byte, error) {
	m := seal.NewMaster()
	if service == "" {
		return append(m.Text(), '\n'), nil
	}
	k, err := keyservice.Open(ctx, service)
	if err != nil {
		return nil, err
	}
	text, err := k.Wrap(ctx, m)
	return append(text, '\n'), err
}

// parseMaster reads a master key from its text. A wrapped one it has the key service
// unwrap, once; from then on the key is in memory.
func parseMaster(ctx context.Context, text []byte, service string) (*seal.Master, error) {
	if !keyservice.Wrapped(text) {
		return seal.ParseMaster(text)
	}
	if service == "" {
		return nil, errors.New("the key is wrapped: say by which service with --master-key-service")
	}
	k, err := keyservice.Open(ctx, service)
	if err != nil {
		return nil, err
	}
	return k.Unwrap(ctx, text)
}

// readOldMasters reads the master keys that came before.
func (s *Server) readOldMasters(ctx context.Context) (out []*seal.Master, err error) {
	c := s.config
	service := cmp.Or(c.OldMasterKeyService, c.MasterKeyService)
	for n, text := range c.OldMasterKeys {
		m, err := parseMaster(ctx, []byte(text), service)
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
		m, err := parseMaster(ctx, text, service)
		if err != nil {
			return nil, fmt.Errorf("old-master-key-files: %s: %w", path, err)
		}
		out = append(out, m)
	}
	return out, nil
}

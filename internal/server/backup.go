package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"berth/internal/backup"
	"berth/internal/blob"
	"berth/internal/blob/dirbucket"
	"berth/internal/config"
	"berth/internal/metadata"

	"github.com/gofrs/flock"
)

// BackupOptions say how to back up.
type BackupOptions struct {
	Keep     int                   // how many snapshots stay; all if 0
	Berth    string                // the version of the program
	Now      func() time.Time      // the servers'; the database's if nil
	Progress func(backup.Progress) // nil for none
}

// Backup adds a snapshot to the backup in a directory, which it makes if it is not there.
// A server may have the data open, or none: nothing of it is locked or changed.
func Backup(ctx context.Context, c *config.Config, dir string, o BackupOptions) (_ *backup.Result, err error) {
	if err := apart(c.Data, dir); err != nil {
		return nil, err
	}
	s := &Server{config: c}
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	source, err := openSource(ctx, c)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, source.Close)
	if o.Now == nil {
		if o.Now, err = source.Clock(ctx, time.Now); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	bucket, err := s.openBucket(ctx)
	if err != nil {
		return nil, err
	}
	target, err := s.openTarget(dir, true)
	if err != nil {
		return nil, err
	}
	by := func(masterKeys []string) (*backup.Authenticator, error) { return s.authenticator(ctx, masterKeys) }
	res, err := backup.Make(ctx, target, backup.Options{
		Source: source, Database: databaseName(c), Bucket: bucket, Facts: openFacts, Keep: o.Keep, By: by, Berth: o.Berth, Now: o.Now, Progress: o.Progress,
	})
	failure := recordBackup(ctx, c, source, dir, o.Now(), res, err)
	if failure != nil && res != nil {
		res.Warnings = append(res.Warnings, failure.Error())
		failure = nil
	}
	return res, errors.Join(err, failure)
}

// apart returns an error for a backup inside of the data directory.
func apart(data, dir string) error {
	within, err := filepath.Abs(data)
	if err != nil {
		return err
	}
	path, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(within, path); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return fmt.Errorf("%s is in the data directory: a backup must be somewhere else", dir)
	}
	return nil
}

func databaseName(c *config.Config) string {
	if c.Database == "" {
		return "SQLite"
	}
	return "PostgreSQL"
}

func openSource(ctx context.Context, c *config.Config) (*metadata.Source, error) {
	if c.Database != "" {
		source, err := metadata.PostgresSource(ctx, c.Database)
		if err != nil {
			err = fmt.Errorf("open the database %s: %w", databaseURL(c.Database), err)
		}
		return source, err
	}
	source, err := metadata.SQLiteSource(ctx, filepath.Join(c.Data, databaseFile))
	if err != nil {
		err = fmt.Errorf("open the database: %w", err)
	}
	return source, err
}

func openFacts(ctx context.Context, path string) (backup.Facts, error) {
	facts, err := metadata.OpenFacts(ctx, path)
	if err != nil {
		return nil, err
	}
	return facts, nil
}

// openTarget opens the backup in a directory and locks it until Close. One that is only
// read may be where nothing can be written, and nothing to lock.
func (s *Server) openTarget(dir string, write bool) (*backup.Target, error) {
	if _, err := os.Stat(filepath.Join(dir, "snapshots")); err != nil && !write {
		return nil, fmt.Errorf("%s is no backup: %w", dir, err)
	}
	l := flock.New(filepath.Join(dir, lockFile), flock.SetPermissions(0o600))
	ok, err := l.TryLock()
	if err == nil && !ok {
		return nil, fmt.Errorf("%s: another berth uses this backup", dir)
	}
	if err != nil && write {
		return nil, fmt.Errorf("lock the backup: %w", err)
	}
	s.closers = append(s.closers, l.Close)
	bucket, err := dirbucket.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open the backup: %w", err)
	}
	s.closers = append(s.closers, bucket.Close)
	return backup.NewTarget(dir, bucket), nil
}

// Snapshots returns what is in the backup in a directory.
func Snapshots(dir string) ([]backup.Manifest, error) {
	if _, err := os.Stat(filepath.Join(dir, "snapshots")); err != nil {
		return nil, fmt.Errorf("%s is no backup: %w", dir, err)
	}
	return backup.NewTarget(dir, nil).Snapshots()
}

// Verification is what verifying a backup has found.
type Verification struct {
	Snapshot         string `json:"snapshot"`
	Authenticated    bool   `json:"authenticated"`
	NotAuthenticated string `json:"notAuthenticated,omitempty"` // why not
	backup.Verified
	NoKey string `json:"noKey,omitempty"` // why what is sealed was not read
}

// VerifyBackup reads and hashes all objects of a snapshot of the backup in a directory, the
// last one for "". Without the master key it takes but the sizes of those that are sealed.
func VerifyBackup(ctx context.Context, c *config.Config, dir, id string, progress func(backup.Progress)) (*Verification, error) {
	return verifyBackup(ctx, c, dir, id, false, progress)
}

// RepairBackup is VerifyBackup, and removes objects that are not what was backed up: the
// next backup copies them again, if they are still there.
func RepairBackup(ctx context.Context, c *config.Config, dir, id string, progress func(backup.Progress)) (*Verification, error) {
	return verifyBackup(ctx, c, dir, id, true, progress)
}

func verifyBackup(ctx context.Context, c *config.Config, dir, id string, repair bool, progress func(backup.Progress)) (_ *Verification, err error) {
	s := &Server{config: c}
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	target, m, facts, err := s.openSnapshot(ctx, dir, id)
	if err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp("", "berth-verify-")
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() error { return os.RemoveAll(temp) })
	v := &Verification{Snapshot: m.ID}
	switch err := s.authenticate(ctx, target, m.ID); {
	case errors.Is(err, backup.ErrUnauthenticated):
		v.NotAuthenticated = err.Error()
	case err != nil:
		return nil, err
	default:
		v.Authenticated = true
	}
	keys, err := s.keysOf(ctx, m, target, temp)
	if err != nil {
		v.NoKey = err.Error()
	}
	v.Verified, err = backup.Verify(ctx, target, facts, keys, repair, progress)
	return v, err
}

// openSnapshot opens a snapshot of the backup in a directory.
func (s *Server) openSnapshot(ctx context.Context, dir, id string) (*backup.Target, backup.Manifest, backup.Facts, error) {
	target, err := s.openTarget(dir, false)
	if err != nil {
		return nil, backup.Manifest{}, nil, err
	}
	m, err := target.Snapshot(id)
	if err != nil {
		return nil, m, nil, err
	}
	facts, err := openFacts(ctx, target.FactsPath(m.ID))
	if err == nil {
		s.closers = append(s.closers, facts.Close)
	}
	return target, m, facts, err
}

// keysOf returns what opens a snapshot's objects: nil if the master key is not to be had,
// and why, or if nothing needs it. The keys of KMS are read from a copy of the facts.
func (s *Server) keysOf(ctx context.Context, m backup.Manifest, target *backup.Target, temp string) (blob.KeyWrapper, error) {
	if len(m.MasterKeys) == 0 {
		return nil, nil
	}
	master, err := s.masterKeyFor(ctx, m.MasterKeys)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(temp, databaseFile)
	if err := metadata.Prepare(ctx, target.FactsPath(m.ID), path, blob.InDirectory, ""); err != nil {
		return nil, err
	}
	if s.db, err = metadata.OpenSQLite(ctx, path); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.db.Close)
	return newKeyWrapper(master, s.newKeyring(master, nil)), nil
}

package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"berth/internal/backup"
	"berth/internal/config"
	"berth/internal/durable"
	"berth/internal/metadata"
)

// restoringDir is where a restore has its files until it is done.
const restoringDir = "restoring"

// RestoreOptions say what to restore.
type RestoreOptions struct {
	Snapshot string // its id; the last one for ""
	Partial  bool   // also if objects are missing
	Trust    bool   // also if it is not authenticated
	Progress func(backup.Progress)
}

// Restored is what a restore has done.
type Restored struct {
	Snapshot string    `json:"snapshot"`
	TakenAt  time.Time `json:"takenAt"`
	backup.Copied
	Repositories int64   `json:"repositories"`
	Images       int64   `json:"images"`
	Tags         int64   `json:"tags"`
	By           string  `json:"authenticatedBy,omitempty"` // the id of a master key
	Done         bool    `json:"done"`                      // or nothing was restored, because of what is missing
	Seconds      float64 `json:"seconds"`
}

// Restore brings a snapshot of the backup in a directory back to where the configuration
// says: an empty data directory, or an empty PostgreSQL database, and an empty S3 bucket.
// The bytes come first: there is nothing to serve before all else is there. After an
// interruption the next call goes on.
func Restore(ctx context.Context, c *config.Config, dir string, o RestoreOptions) (_ *Restored, err error) {
	began := time.Now()
	s := &Server{config: c}
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	target, m, facts, err := s.openSnapshot(ctx, dir, o.Snapshot)
	if err != nil {
		return nil, err
	}
	if err := s.beginRestore(ctx, m); err != nil {
		return nil, err
	}
	by := m.AuthenticatedBy
	if err := s.authenticate(ctx, target, m.ID); o.Trust && errors.Is(err, backup.ErrUnauthenticated) {
		by = ""
	} else if errors.Is(err, backup.ErrUnauthenticated) {
		return nil, fmt.Errorf("%w: give the registry's master key, or --unauthenticated if you trust all who can write to %s", err, dir)
	} else if err != nil {
		return nil, err
	}
	bucket, err := s.openBucket(ctx)
	if err != nil {
		return nil, err
	}
	r := &backup.Restore{From: target, Facts: facts, To: bucket, Place: bucket.New, Progress: o.Progress}
	res := &Restored{Snapshot: m.ID, TakenAt: m.TakenAt, Repositories: m.Repositories, Images: m.Images, Tags: m.Tags, By: by}
	if res.Missing, err = r.Check(ctx); err != nil || len(res.Missing) > 0 && !o.Partial {
		return res, err
	}
	id, err := s.claimRestored(ctx, bucket)
	if err != nil {
		return nil, err
	}
	if res.Copied, err = r.Run(ctx); err != nil {
		return nil, err
	}
	if len(res.Missing) == 0 || o.Partial {
		record := func(path string) error { return recordRestore(ctx, c, path, dir, res) }
		err = s.restoreFacts(ctx, target.FactsPath(m.ID), bucket.New, id, keysOfMissing(res.Missing), record)
		res.Done = err == nil
	}
	res.Seconds = time.Since(began).Seconds()
	return res, err
}

// beginRestore claims the data directory and checks, before anything is written, that
// there is nothing that would be lost and that the master key is there.
func (s *Server) beginRestore(ctx context.Context, m backup.Manifest) error {
	c := s.config
	if c.StorageFrom != "" {
		return errors.New("storage-from: all is restored to one place: take it out")
	}
	if err := s.claimData(); err != nil {
		return err
	}
	entries, err := os.ReadDir(c.Data)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !slices.Contains([]string{lockFile, masterFile, rootFile, addressFile, blobsDir, restoringDir, restoringID, restoringID + ".new"}, e.Name()) {
			return fmt.Errorf("the data directory %s is not empty, it has %s: restore to another one", c.Data, e.Name())
		}
	}
	if c.Database != "" {
		if err := metadata.EmptyPostgres(ctx, c.Database); err != nil {
			return fmt.Errorf("the database %s: %w", databaseURL(c.Database), err)
		}
	}
	if len(m.MasterKeys) == 0 {
		return nil
	}
	if _, err := s.masterKeyFor(ctx, m.MasterKeys); err != nil {
		return fmt.Errorf("the backup has no keys: %w", err)
	}
	return nil
}

// keysOfMissing returns the keys of what is missing.
func keysOfMissing(missing []backup.Missing) (keys []string) {
	for _, m := range missing {
		keys = append(keys, m.Key)
	}
	return keys
}

// restoreFacts puts the facts of a snapshot, with what record adds to the file, where the
// server reads them, in a database of an id. What is missing is in quarantine from the
// start, so that a push brings it.
func (s *Server) restoreFacts(ctx context.Context, from, place, id string, missing []string, record func(path string) error) (err error) {
	temp := filepath.Join(s.config.Data, restoringDir)
	if err := errors.Join(os.RemoveAll(temp), os.Mkdir(temp, 0o700)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	path := filepath.Join(temp, databaseFile)
	if err := metadata.Prepare(ctx, from, path, place, id, missing...); err != nil {
		return fmt.Errorf("prepare the database: %w", err)
	}
	if err := record(path); err != nil {
		return fmt.Errorf("leave an audit record: %w", err)
	}
	if s.config.Database != "" {
		if err := metadata.ImportPostgres(ctx, path, s.config.Database); err != nil {
			return fmt.Errorf("restore the database %s: %w", databaseURL(s.config.Database), err)
		}
		return s.endRestored()
	}
	if err := durable.Rename(path, filepath.Join(s.config.Data, databaseFile)); err != nil {
		return err
	}
	return s.endRestored()
}

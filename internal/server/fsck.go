package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"berth/internal/config"
	"berth/internal/fsck"
	"berth/internal/metadata"
)

// FsckOptions say how to check. Progress may be nil.
type FsckOptions struct {
	Progress func(*fsck.Report)
	Repair   bool // put right the counts that are wrong, and mark what is damaged
}

// Fsck compares facts with bytes, and counts with what they count. It refuses with
// [ErrInUse] while a server has the data directory open.
func Fsck(ctx context.Context, c *config.Config, o FsckOptions) (_ *fsck.Report, err error) {
	if c.Database == "" {
		// To make an empty one and find nothing wrong with it would be a lie.
		if _, err := os.Stat(filepath.Join(c.Data, databaseFile)); err != nil {
			return nil, fmt.Errorf("there is no database to check: %w", err)
		}
	}
	s := &Server{config: c}
	bucket, err := s.openData(ctx)
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	if err == nil {
		err = s.checkPlaces(ctx, bucket)
	}
	if err != nil {
		return nil, err
	}
	master, err := s.masterKey(ctx)
	if err != nil {
		return nil, err
	}
	return fsck.Check(ctx, fsck.Options{
		Store: metadata.For[fsck.Tx, fsck.Repairer](s.db).Keeper(), Bucket: bucket, Keys: newKeyWrapper(master, s.newKeyring(master, nil)), Progress: o.Progress, Repair: o.Repair,
	})
}

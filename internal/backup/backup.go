// Package backup makes backups of a registry and brings them back, while the registry
// goes on.
//
// A backup is a directory:
//
//	objects/<kk>/<key>              an object's bytes as they are stored, of all snapshots together
//	uploads/<key>                   one that is being copied
//	snapshots/<id>/facts.db         the facts at one moment, in SQLite, whatever they come from
//	snapshots/<id>/manifest.mac     that the manifest is authentic, if the master key was there
//	snapshots/<id>/manifest.json    what the snapshot is; without it there is none
//
// The facts come first, then the bytes that they name. Meanwhile a lease keeps bytes from
// being removed; it ends by itself. Keys are never used again: what has the right size
// under a key is there already, from an earlier snapshot or from one that was interrupted.
// The manifest is written when all else is durable.
package backup

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"berth/internal/blob"
)

// Object is an object that a snapshot names.
type Object struct {
	UID string
	blob.Object
}

// Held is where an object is held.
type Held struct {
	Repository string   `json:"repository"` // account/region/name
	Tags       []string `json:"tags"`       // of the images that it is part of
}

// Missing is an object whose bytes are not there, or not all of them, or not to be read.
type Missing struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
	Key    string `json:"key,omitempty"`
	Reason string `json:"reason"`
	Held   []Held `json:"held"`
}

// Source is a database, which a server may have open. It is implemented by package
// metadata.
type Source interface {
	// Hold keeps bytes from being removed until a time. Unless it is the first call for a
	// name, the error is ErrLost if the time before is over.
	Hold(ctx context.Context, name string, first bool, now, until time.Time) error
	// Release ends that.
	Release(ctx context.Context, name string) error
	// Snapshot writes the facts of one moment to a file that is not there yet.
	Snapshot(ctx context.Context, path string) error
}

// Facts are the facts of a snapshot. They are implemented by package metadata.
type Facts interface {
	// Summary returns what is in the snapshot.
	Summary(ctx context.Context) (Summary, error)
	// Objects returns at most limit objects whose UIDs come after one, in order: of those
	// in a bucket all but their keys, or all of all.
	Objects(ctx context.Context, after string, limit int, all bool) ([]Object, error)
	// Quarantined returns, as Objects does, those that were found not to be whole.
	Quarantined(ctx context.Context, after string, limit int) ([]Object, error)
	// Held returns where an object is held.
	Held(ctx context.Context, uid string) ([]Held, error)
	Close() error
}

// Summary is what is in a snapshot.
type Summary struct {
	Schema       int64    `json:"schema"`       // the version of the schema
	MasterKeys   []string `json:"masterKeyIds"` // of the master keys that it takes to read it
	Repositories int64    `json:"repositories"`
	Images       int64    `json:"images"`
	Tags         int64    `json:"tags"`
	Objects      int64    `json:"objects"` // whose bytes are in a bucket
	Bytes        int64    `json:"bytes"`   // of these, before they are sealed
}

// Progress is how far copying has come.
type Progress struct {
	Objects, AllObjects int64
	Bytes, AllBytes     int64 // before they are sealed
}

// Options say what to back up.
type Options struct {
	Source   Source
	Database string                                                // what it is, for people
	Bucket   blob.Bucket                                           // that the keys of its objects are of
	Facts    func(ctx context.Context, path string) (Facts, error) // opens those of a snapshot
	Keep     int                                                   // how many snapshots stay; all if 0
	By       func(masterKeys []string) (*Authenticator, error)     // of a registry that is sealed under these; nil for none
	Berth    string                                                // the version of the program
	Now      func() time.Time                                      // the server's
	Progress func(Progress)                                        // nil for none
}

// Result is what a backup has done.
type Result struct {
	Manifest
	NotAuthenticated string `json:"notAuthenticated,omitempty"` // why nothing authenticates the snapshot

	Copied        int64    `json:"copied"` // objects
	CopiedBytes   int64    `json:"copiedBytes"`
	Present       int64    `json:"present"` // objects that were in the backup
	PrunedIDs     []string `json:"pruned"`  // snapshots
	PrunedObjects int64    `json:"prunedObjects"`
	Seconds       float64  `json:"seconds"`

	// Warnings are what went wrong when the snapshot was made already.
	Warnings []string `json:"warnings,omitempty"`
}

// Make adds a snapshot to a backup. Objects that are not there, or not whole, or cannot be
// read though others can, are named in its manifest; everything else fails it. What was copied stays, and the next call goes on.
func Make(ctx context.Context, t *Target, o Options) (*Result, error) {
	began := time.Now()
	if err := t.clean(); err != nil {
		return nil, err
	}
	h, err := hold(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("keep bytes from being removed: %w", err)
	}
	res, err := snapshot(h.ctx, t, o, h.renew)
	if cause := context.Cause(h.ctx); err != nil && cause != nil {
		err = cause
	}
	released := h.release(ctx)
	if err := errors.Join(err, released); res == nil {
		return nil, err
	}
	if released != nil {
		res.Warnings = append(res.Warnings, fmt.Sprintf("bytes are kept from being removed for up to %s more: %v", leaseLife, released))
	}
	if res.PrunedIDs, res.PrunedObjects, err = t.prune(ctx, o); err != nil {
		return nil, fmt.Errorf("the snapshot is made; remove earlier ones: %w", err)
	}
	res.Seconds = time.Since(began).Seconds()
	return res, nil
}

// by returns what authenticates the snapshot, or why nothing does: there had better be one
// that nothing authenticates than none.
func (o *Options) by(masterKeys []string) (_ *Authenticator, why string) {
	if o.By == nil {
		return nil, "there is no master key"
	}
	by, err := o.By(masterKeys)
	if err != nil {
		return nil, err.Error()
	}
	return by, ""
}

// snapshot writes a snapshot and copies what it names. It is one if all that was kept
// until then.
func snapshot(ctx context.Context, t *Target, o Options, renew func() error) (*Result, error) {
	m := Manifest{Format: format, Berth: o.Berth, Database: o.Database, TakenAt: o.Now().UTC()}
	dir, err := t.begin(&m)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, factsFile)
	if err := o.Source.Snapshot(ctx, path); err != nil {
		return nil, fmt.Errorf("read the database: %w", err)
	}
	if m.Facts, err = sumFile(path, true); err != nil {
		return nil, err
	}
	facts, err := o.Facts(ctx, path)
	if err != nil {
		return nil, err
	}
	defer facts.Close()
	if m.Summary, err = facts.Summary(ctx); err != nil {
		return nil, err
	}
	by, why := o.by(m.MasterKeys)
	c := &copier{facts: facts, from: o.Bucket, to: t.bucket, rename: bare, all: m.Summary, progress: o.Progress}
	if err := c.run(ctx); err != nil {
		return nil, err
	}
	if err := c.quarantined(ctx); err != nil {
		return nil, err
	}
	m.Missing = c.missing
	if err := renew(); err != nil {
		return nil, err
	}
	if err := t.finish(&m, by); err != nil {
		return nil, err
	}
	return &Result{Manifest: m, NotAuthenticated: why, Copied: c.copied, CopiedBytes: c.copiedBytes, Present: c.present}, nil
}

package server

import (
	"context"
	"crypto/rand"
	"path/filepath"

	"berth/internal/access"
	"berth/internal/blob"
	"berth/internal/metadata"
	"berth/internal/move"
)

// MigratePath is where layers are moved from storage-from to storage, step by step:
//
//	POST /_berth/v1/storage/migrate {"after": {"keyDomain": "...", "digest": "...", "algorithm": "..."}, "graceSeconds": 3600}
//	200  {"from": "/var/lib/berth/blobs", "to": "s3://bucket", "objects": 40, "bytes": 12345678, "unverified": 0, "copying": 0,
//	      "failed": [], "after": {...}, "left": {"objects": 60, "bytes": 23456789, "uploads": 1, "copied": 40, "until": "..."}}
//
// The first request has no "after", the next one that of the answer before, until
// there is none. What an answer has not waited for goes on, and the next one tells of it.
// It is signed, and answers errors, as ECR's operations do. The caller
// must be the administrator, or be allowed berth:MigrateStorage there.
const MigratePath = "/_berth/v1/storage/migrate"

// MigrateRequest is the body of a request to MigratePath.
type MigrateRequest = move.Input

// MigrateResponse is the answer.
type MigrateResponse = move.Progress

func (s *Server) migrate(ctx context.Context, c access.Call, in MigrateRequest) (MigrateResponse, error) {
	return s.mover.Step(ctx, c, in)
}

func (s *Server) newClasses(places *blob.Places) *move.Classes {
	if s.config.S3ArchiveClass == "" {
		return nil
	}
	return &move.Classes{Store: metadata.For[move.Tx, move.Tx](s.db), Places: places, Now: s.options.Now, Owner: rand.Text()}
}

func (s *Server) newMover(places *blob.Places) *move.Mover {
	s3 := s.config.Storage
	if s3 == "" {
		s3 = s.config.StorageFrom
	}
	return &move.Mover{
		Store: metadata.For[move.Tx, move.Tx](s.db), Places: places, Account: s.config.Account, Now: s.options.Now,
		Names: map[string]string{blob.InDirectory: filepath.Join(s.config.Data, blobsDir), blob.InS3: s3},
	}
}

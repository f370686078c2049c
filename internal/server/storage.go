package server

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"berth/internal/blob"
	"berth/internal/blob/dirbucket"
	"berth/internal/blob/s3bucket"
	"berth/internal/config"
)

// openBucket opens the buckets that the layers are in: the data directory's, one in S3,
// or both while layers move.
func (s *Server) openBucket(ctx context.Context) (*blob.Places, error) {
	where, err := s.config.Bucket()
	if err != nil {
		return nil, err
	}
	places := &blob.Places{New: blob.InDirectory, At: map[string]blob.Bucket{}}
	if where != nil {
		if places.At[blob.InS3], err = openS3(ctx, s.config, where); err != nil {
			return nil, err
		}
	}
	if s.config.Storage != "" {
		places.New = blob.InS3
	}
	if !s.config.UsesDirectory() {
		return places, nil
	}
	bucket, err := dirbucket.OpenOver(filepath.Join(s.config.Data, blobsDir), s.options.Files)
	if err != nil {
		return nil, fmt.Errorf("open the layers: %w", err)
	}
	s.closers = append(s.closers, bucket.Close)
	places.At[blob.InDirectory] = bucket
	return places, nil
}

func openS3(ctx context.Context, c *config.Config, where *config.S3) (blob.Bucket, error) {
	bucket, err := s3bucket.Open(ctx, s3bucket.Options{
		Bucket: where.Bucket, Prefix: where.Prefix, Region: c.S3Region, Endpoint: c.S3Endpoint, PathStyle: c.S3PathStyle,
		AccessKeyID: c.S3AccessKeyID, SecretAccessKey: c.S3SecretAccessKey, StorageClass: c.S3StorageClass, ArchiveClass: c.S3ArchiveClass,
		Encryption: where.Encryption, EncryptionKey: where.EncryptionKey, NoChecksums: c.S3Checksums == "when-required",
	})
	if err != nil {
		return nil, fmt.Errorf("open the layers in s3://%s: %w", where.Bucket, err)
	}
	return bucket, nil
}

// claimData makes the data directory and locks it until Close: what is in it belongs
// to one process. If all that is stored is elsewhere there is nothing to lock.
func (s *Server) claimData() error {
	if s.config.Shared() {
		if err := os.MkdirAll(s.config.Data, 0o700); err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
		return nil
	}
	lock, err := lockData(s.config.Data)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, lock.Close)
	return nil
}

package s3bucket

import (
	"context"
	"errors"
	"iter"
	"strings"
	"time"

	"berth/internal/blob"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// List implements [blob.Bucket].
func (b *Bucket) List(ctx context.Context) iter.Seq2[blob.Entry, error] {
	return func(yield func(blob.Entry, error) bool) {
		for o, err := range b.list(ctx, b.prefix+objects) {
			if err != nil {
				yield(blob.Entry{}, err)
				return
			}
			path := aws.ToString(o.Key)
			key := keyOf(path)
			if p, err := b.objectPath(key); err != nil || p != path {
				continue // not ours
			}
			if !yield(blob.Entry{Key: key, Size: aws.ToInt64(o.Size), Finished: true, ModTime: aws.ToTime(o.LastModified)}, nil) {
				return
			}
		}
		for e, err := range b.Uploads(ctx) {
			if !yield(e, err) {
				return
			}
		}
	}
}

// Uploads implements [blob.Reapable]. The sizes are those of the tails: to ask for
// those of the parts would be a request for each upload.
func (b *Bucket) Uploads(ctx context.Context) iter.Seq2[blob.Entry, error] {
	return func(yield func(blob.Entry, error) bool) {
		found := map[string]blob.Entry{}
		add := func(key string, size int64, written time.Time) {
			if !blob.ValidKey(key) {
				return // not ours
			}
			e := found[key]
			e.Key, e.Size = key, e.Size+size
			if written.After(e.ModTime) {
				e.ModTime = written
			}
			found[key] = e
		}
		for _, prefix := range []string{objects, uploads} {
			for m, err := range b.multiparts(ctx, b.prefix+prefix) {
				if err != nil {
					yield(blob.Entry{}, err)
					return
				}
				add(keyOf(aws.ToString(m.Key)), 0, aws.ToTime(m.Initiated))
			}
		}
		for o, err := range b.list(ctx, b.prefix+uploads) {
			if err != nil {
				yield(blob.Entry{}, err)
				return
			}
			add(keyOf(aws.ToString(o.Key)), aws.ToInt64(o.Size), aws.ToTime(o.LastModified))
		}
		for _, e := range found {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// keyOf returns the key that is in a name of the store, if there is one.
func keyOf(path string) string {
	key, _, _ := strings.Cut(path[strings.LastIndexByte(path, '/')+1:], ".")
	return key
}

// Abort implements [blob.Reapable].
func (b *Bucket) Abort(ctx context.Context, key string) error {
	path, err := b.objectPath(key)
	if err != nil {
		return err
	}
	for _, prefix := range []string{path, b.uploadPath(key, "")} {
		for m, err := range b.multiparts(ctx, prefix) {
			if err != nil {
				return err
			}
			_, err := b.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: b.name, Key: m.Key, UploadId: m.UploadId})
			if err != nil && !isNotFound(err) {
				return err
			}
		}
	}
	for o, err := range b.list(ctx, b.uploadPath(key, "")) {
		if err != nil {
			return err
		}
		if err := b.remove(ctx, aws.ToString(o.Key)); err != nil {
			return err
		}
	}
	return nil
}

// list returns the store's objects whose names begin with a prefix.
func (b *Bucket) list(ctx context.Context, prefix string) iter.Seq2[types.Object, error] {
	return func(yield func(types.Object, error) bool) {
		pages := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{Bucket: b.name, Prefix: &prefix})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(types.Object{}, err)
				return
			}
			for _, o := range page.Contents {
				if !yield(o, nil) {
					return
				}
			}
		}
	}
}

var errEndless = errors.New("the store's list of multipart uploads does not come to an end")

// multiparts returns the multipart uploads of objects whose names begin with a
// prefix.
func (b *Bucket) multiparts(ctx context.Context, prefix string) iter.Seq2[types.MultipartUpload, error] {
	return func(yield func(types.MultipartUpload, error) bool) {
		in := &s3.ListMultipartUploadsInput{Bucket: b.name, Prefix: &prefix}
		for {
			page, err := b.client.ListMultipartUploads(ctx, in)
			if isNotFound(err) {
				return // there has never been one
			}
			if err != nil {
				yield(types.MultipartUpload{}, err)
				return
			}
			for _, m := range page.Uploads {
				if !yield(m, nil) {
					return
				}
			}
			if !aws.ToBool(page.IsTruncated) {
				return
			}
			if aws.ToString(page.NextKeyMarker) == aws.ToString(in.KeyMarker) && aws.ToString(page.NextUploadIdMarker) == aws.ToString(in.UploadIdMarker) {
				yield(types.MultipartUpload{}, errEndless)
				return
			}
			in.KeyMarker, in.UploadIdMarker = page.NextKeyMarker, page.NextUploadIdMarker
		}
	}
}

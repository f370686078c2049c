// Package s3bucket is a [blob.Bucket] in an S3-compatible store.
//
// Layout, below a prefix:
//
//	objects/<kk>/<key>           an object; kk are the key's first two digits
//	uploads/<key>.<generation>   the tail of an upload: its last bytes, which do
//	                             not fill a part yet; or, of a very large object,
//	                             a section that becomes a part by a copy
//
// An upload of more than a part is a multipart upload of the object. What a part
// is not filled with yet when the upload is suspended goes into a tail. A tail has
// a name of its own each time, so that a DELETE that comes late never hits a newer
// one, and is deleted only when the state that names the next one has been seen
// again: until then the caller may still go by the state before. A section has such a
// name too; it does not outlive the writer that began it.
//
// Requests that fail in a way that passes are made again: status 500, 502, 503 and
// 504, SlowDown and its like, connections that break or stand still. All requests
// can be made twice.
package s3bucket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"berth/internal/blob"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Options say where the bucket is. Only Bucket is required.
type Options struct {
	Bucket    string
	Prefix    string // of all keys; a / is put after it
	Region    string // the environment's if "", else us-east-1
	Endpoint  string // URL of the store; Amazon's if ""
	PathStyle bool   // the bucket is named in the path, not in the host
	// AccessKeyID and SecretAccessKey are the credentials. If they are "" they
	// are looked for where AWS's own tools do: environment, files, roles.
	AccessKeyID, SecretAccessKey string
	StorageClass                 string // of objects; the bucket's own if ""
	ArchiveClass                 string // of objects that CopyToClass archives
	Encryption                   string // AES256 or aws:kms; the bucket's own if ""
	EncryptionKey                string // id of the key for aws:kms; the account's own if ""
	// NoChecksums is for stores that refuse what they do not know: no checksum
	// is sent where none is required.
	NoChecksums bool

	// Stall is how long a connection may stand still, and how long is waited for
	// memory; 30 s if 0.
	Stall time.Duration
	// Patience is how long it may stand still while the store puts parts together
	// or copies them, which some do before they answer; 5 min if 0.
	Patience time.Duration
	// Backoff is the longest wait before a request is made again; 5 s if 0.
	Backoff time.Duration
	// Memory is what the parts of all uploads may take together, at least 16 MiB;
	// 256 MiB if 0.
	Memory int64
}

// Bucket is a bucket of the store, or the part of one below a prefix. Any number of
// processes may use it at once.
type Bucket struct {
	options Options
	client  *s3.Client
	presign *s3.PresignClient
	name    *string
	prefix  string
	plan    plan
	buffers *buffers

	maxCopy, copyPart int64 // for CopyToClass
}

var (
	_ blob.Bucket    = (*Bucket)(nil)
	_ blob.Presigner = (*Bucket)(nil)
	_ blob.Reapable  = (*Bucket)(nil)
	_ blob.Classer   = (*Bucket)(nil)
)

// Open returns the bucket, after a request that shows that it can be reached.
func Open(ctx context.Context, o Options) (*Bucket, error) {
	o.Stall = cmp.Or(o.Stall, 30*time.Second)
	o.Patience = cmp.Or(o.Patience, 5*time.Minute)
	o.Backoff = cmp.Or(o.Backoff, 5*time.Second)
	client, err := newClient(ctx, o)
	if err != nil {
		return nil, err
	}
	b := &Bucket{options: o, client: client, presign: s3.NewPresignClient(client), name: &o.Bucket, plan: standardPlan, maxCopy: maxCopy, copyPart: copyPart}
	b.buffers = newBuffers(cmp.Or(o.Memory, allMemory), o.Stall)
	if p := strings.Trim(o.Prefix, "/"); p != "" {
		b.prefix = p + "/"
	}
	if _, err := client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: b.name}); err != nil {
		return nil, fmt.Errorf("reach the bucket %s: %w", o.Bucket, err)
	}
	return b, nil
}

// ErrKey is returned for a key that the Store cannot have made.
var ErrKey = errors.New("malformed object key")

// objectPath returns the object's name in the store.
func (b *Bucket) objectPath(key string) (string, error) {
	if !blob.ValidKey(key) {
		return "", ErrKey
	}
	return b.prefix + objects + key[:2] + "/" + key, nil
}

const (
	objects = "objects/"
	uploads = "uploads/"
)

// uploadPath returns the name of a tail or a section in the store; without a
// generation, what the names of all those of the key begin with.
func (b *Bucket) uploadPath(key, generation string) string {
	return b.prefix + uploads + key + "." + generation
}

// Open implements [blob.Bucket]. It asks for the object's size only. Reads that
// break off go on where they were.
func (b *Bucket) Open(ctx context.Context, key string) (blob.Reader, error) {
	path, err := b.objectPath(key)
	if err != nil {
		return nil, err
	}
	size, etag, err := b.head(ctx, path)
	if err != nil {
		return nil, err
	}
	return &reader{bucket: b, ctx: ctx, path: path, etag: etag, size: size}, nil
}

// Stat implements [blob.Bucket].
func (b *Bucket) Stat(ctx context.Context, key string) (int64, error) {
	path, err := b.objectPath(key)
	if err != nil {
		return 0, err
	}
	size, _, err := b.head(ctx, path)
	return size, err
}

func (b *Bucket) head(ctx context.Context, path string) (size int64, etag string, err error) {
	out, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: b.name, Key: &path})
	if isNotFound(err) {
		return 0, "", blob.ErrNotFound
	}
	if err != nil {
		return 0, "", err
	}
	return aws.ToInt64(out.ContentLength), aws.ToString(out.ETag), nil
}

// Presign implements [blob.Presigner].
func (b *Bucket) Presign(ctx context.Context, key string, life time.Duration) (string, error) {
	path, err := b.objectPath(key)
	if err != nil {
		return "", err
	}
	r, err := b.presign.PresignGetObject(ctx, &s3.GetObjectInput{
		Bucket: b.name, Key: &path, ResponseContentType: aws.String(contentType),
	}, s3.WithPresignExpires(life))
	if err != nil {
		return "", err
	}
	return r.URL, nil
}

const contentType = "application/octet-stream"

// put writes an object of the store in one go.
func (b *Bucket) put(ctx context.Context, path string, p *buffer, class types.StorageClass) error {
	in := &s3.PutObjectInput{
		Bucket: b.name, Key: &path, Body: p.body(), ContentLength: aws.Int64(int64(p.size)), ContentType: aws.String(contentType),
		StorageClass: class, ServerSideEncryption: types.ServerSideEncryption(b.options.Encryption), SSEKMSKeyId: optional(b.options.EncryptionKey),
	}
	if !b.options.NoChecksums {
		in.ChecksumCRC32C = aws.String(p.sum())
	}
	_, err := b.client.PutObject(ctx, in, b.unsigned)
	return err
}

// remove deletes an object of the store.
func (b *Bucket) remove(ctx context.Context, path string) error {
	_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: b.name, Key: &path})
	if isNotFound(err) {
		return nil
	}
	return err
}

// Delete implements [blob.Bucket].
func (b *Bucket) Delete(ctx context.Context, key string) error {
	path, err := b.objectPath(key)
	if err != nil {
		return err
	}
	_, _, err = b.head(ctx, path)
	if err == nil {
		return b.remove(ctx, path)
	}
	if !errors.Is(err, blob.ErrNotFound) {
		return err
	}
	if err := b.Abort(ctx, key); err != nil {
		return err
	}
	// The upload may have been finished since, by a request whose answer was lost.
	return b.remove(ctx, path)
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

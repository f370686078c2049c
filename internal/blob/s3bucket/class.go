package s3bucket

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"berth/internal/blob"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const (
	// maxCopy is what S3 copies in one request at most, and copyPart what of a larger
	// object it is asked to copy at a time: 10,000 of these are more than an object has.
	maxCopy  = 5 << 30
	copyPart = 1 << 30
)

// stored is what the store says of an object.
type stored struct {
	size      int64
	etag, sum string // sum is the checksum of the whole object, with its kind; or ""
}

func (b *Bucket) describe(ctx context.Context, path string) (stored, error) {
	in := &s3.HeadObjectInput{Bucket: b.name, Key: &path}
	if !b.options.NoChecksums {
		in.ChecksumMode = types.ChecksumModeEnabled
	}
	out, err := b.client.HeadObject(ctx, in)
	if isNotFound(err) {
		return stored{}, blob.ErrNotFound
	}
	if err != nil {
		return stored{}, err
	}
	s := stored{size: aws.ToInt64(out.ContentLength), etag: aws.ToString(out.ETag)}
	for kind, sum := range map[string]*string{"CRC32C": out.ChecksumCRC32C, "CRC64NVME": out.ChecksumCRC64NVME} {
		// A - is in the checksum of parts' checksums.
		if v := aws.ToString(sum); v != "" && !strings.Contains(v, "-") && out.ChecksumType != types.ChecksumTypeComposite {
			s.sum = kind + " " + v
		}
	}
	return s, nil
}

// CopyToClass implements [blob.Classer]. What the store has copied has the size, and
// the checksum if both have one of the same kind, of what it was to copy.
func (b *Bucket) CopyToClass(ctx context.Context, from, to string, archived bool) error {
	source, err := b.objectPath(from)
	if err != nil {
		return err
	}
	target, err := b.objectPath(to)
	if err != nil {
		return err
	}
	was, err := b.describe(ctx, source)
	if err != nil {
		return err
	}
	class := types.StorageClass(b.options.StorageClass)
	if archived {
		class = types.StorageClass(b.options.ArchiveClass)
	}
	if was.size <= b.maxCopy {
		err = b.copyWhole(ctx, source, target, was, class)
	} else {
		err = b.copyInParts(ctx, source, target, was, class)
	}
	if err != nil {
		return err
	}
	is, err := b.describe(ctx, target)
	if err != nil {
		return fmt.Errorf("look at the copy: %w", asFault(err))
	}
	kind, _, _ := strings.Cut(was.sum, " ")
	if is.size != was.size || kind != "" && strings.HasPrefix(is.sum, kind+" ") && is.sum != was.sum {
		return fmt.Errorf("the store has copied %d bytes with checksum %q as %d with %q", was.size, was.sum, is.size, is.sum)
	}
	return nil
}

// asFault takes from an error what says that the object is not there: it is about
// something else.
func asFault(err error) error {
	if errors.Is(err, blob.ErrNotFound) {
		return errors.New("it is not there")
	}
	return err
}

// copySource is how a copy names what is to be copied.
func (b *Bucket) copySource(path string) *string {
	names := strings.Split(*b.name+"/"+path, "/")
	for i := range names {
		names[i] = url.PathEscape(names[i])
	}
	return aws.String(strings.Join(names, "/"))
}

// sourceGone returns a copy's error, as ErrNotFound if the source is not there.
func sourceGone(err error) error {
	if isNotFound(err) && codeOf(err) != "NoSuchUpload" {
		return fmt.Errorf("%w: %w", blob.ErrNotFound, err)
	}
	return err
}

func (b *Bucket) copyWhole(ctx context.Context, source, target string, was stored, class types.StorageClass) error {
	_, err := b.client.CopyObject(ctx, &s3.CopyObjectInput{
		Bucket: b.name, Key: &target, CopySource: b.copySource(source), CopySourceIfMatch: optional(was.etag), StorageClass: class,
		ServerSideEncryption: types.ServerSideEncryption(b.options.Encryption), SSEKMSKeyId: optional(b.options.EncryptionKey),
	})
	return sourceGone(err)
}

// copyInParts copies an object that is too large for one request. What is left of a copy
// that fails is a multipart upload that Uploads finds, if it cannot be aborted.
func (b *Bucket) copyInParts(ctx context.Context, source, target string, was stored, class types.StorageClass) error {
	made, err := b.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: b.name, Key: &target, ContentType: aws.String(contentType), StorageClass: class,
		ServerSideEncryption: types.ServerSideEncryption(b.options.Encryption), SSEKMSKeyId: optional(b.options.EncryptionKey),
	})
	if err != nil {
		return err
	}
	err = b.copyParts(ctx, source, target, was, made.UploadId)
	if err != nil {
		_, _ = b.client.AbortMultipartUpload(context.WithoutCancel(ctx), &s3.AbortMultipartUploadInput{Bucket: b.name, Key: &target, UploadId: made.UploadId})
	}
	return err
}

func (b *Bucket) copyParts(ctx context.Context, source, target string, was stored, id *string) error {
	var parts []types.CompletedPart
	for at := int64(0); at < was.size; at += b.copyPart {
		number := aws.Int32(int32(len(parts) + 1))
		out, err := b.client.UploadPartCopy(ctx, &s3.UploadPartCopyInput{
			Bucket: b.name, Key: &target, UploadId: id, PartNumber: number,
			CopySource: b.copySource(source), CopySourceIfMatch: optional(was.etag),
			CopySourceRange: aws.String(fmt.Sprintf("bytes=%d-%d", at, min(at+b.copyPart, was.size)-1)),
		})
		if err != nil {
			return sourceGone(err)
		}
		r := out.CopyPartResult
		parts = append(parts, types.CompletedPart{
			PartNumber: number, ETag: r.ETag, ChecksumCRC32C: r.ChecksumCRC32C, ChecksumCRC64NVME: r.ChecksumCRC64NVME,
		})
	}
	_, err := b.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: b.name, Key: &target, UploadId: id, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	if err != nil {
		// It may be done, and the answer be lost. The key is used for nothing else.
		if is, headErr := b.describe(ctx, target); headErr == nil && is.size == was.size {
			return nil
		}
	}
	return err
}

package s3bucket

import (
	"context"
	"errors"
	"io"
	"strings"

	"berth/internal/blob"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// owner is the object of the store, below the prefix, that says whose the bucket is.
const owner = "owner"

var _ blob.Owned = (*Bucket)(nil)

// Owner implements [blob.Owned].
func (b *Bucket) Owner(ctx context.Context) (string, error) {
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: b.name, Key: aws.String(b.prefix + owner)})
	if isNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(out.Body, 1<<10))
	return strings.TrimSpace(string(text)), errors.Join(err, out.Body.Close())
}

// Claim implements [blob.Owned]. In a store that does not know If-None-Match the last one
// who claims it does; the others see that at their next start.
func (b *Bucket) Claim(ctx context.Context, name string) (string, error) {
	is, err := b.Owner(ctx)
	if err != nil || is != "" {
		return is, err
	}
	err = b.putOwner(ctx, name, aws.String("*"))
	switch codeOf(err) {
	case "NotImplemented":
		err = b.putOwner(ctx, name, nil)
	case "PreconditionFailed", "ConditionalRequestConflict":
		err = nil // somebody else has, or this did, and the answer was lost
	}
	if err != nil {
		return "", err
	}
	is, err = b.Owner(ctx)
	if err == nil && is == "" {
		err = errors.New("the store does not have what it was given, the name of the bucket's owner")
	}
	return is, err
}

func (b *Bucket) putOwner(ctx context.Context, name string, unless *string) error {
	_, err := b.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: b.name, Key: aws.String(b.prefix + owner), Body: strings.NewReader(name + "\n"), ContentType: aws.String("text/plain"), IfNoneMatch: unless,
		ServerSideEncryption: types.ServerSideEncryption(b.options.Encryption), SSEKMSKeyId: optional(b.options.EncryptionKey),
	})
	return err
}

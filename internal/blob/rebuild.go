package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Rebuild stores the bytes of an object once more, as what is new is stored for a key
// domain: in memory if inline, as manifests are, else as an upload. They are held against
// their digest on the way; if they do not have it, the error is ErrDamaged. Nobody reaches
// the new object until the caller has recorded it; then the upload is to be given to
// Settle, or else to Abandon.
func (s *Store) Rebuild(ctx context.Context, from Object, d Domain, inline bool, progress func(int)) (Object, Upload, error) {
	r, err := s.Open(ctx, from)
	if err != nil {
		return Object{}, Upload{}, err
	}
	defer r.Close()
	source := &steadyReader{ctx, r, progress}
	if inline {
		o, err := s.rebuildInline(ctx, from, d, source)
		return o, Upload{}, err
	}
	u := Upload{Domain: d}
	err = s.Append(ctx, &u, source)
	var o Object
	if err == nil {
		o, err = s.Finish(ctx, u, from.Digest)
	}
	if errors.Is(err, ErrDigest) {
		err = fmt.Errorf("%w: content has another digest", ErrDamaged)
	}
	if err != nil {
		return Object{}, Upload{}, errors.Join(err, s.Abandon(context.WithoutCancel(ctx), u))
	}
	return o, u, nil
}

func (s *Store) rebuildInline(ctx context.Context, from Object, d Domain, source io.Reader) (Object, error) {
	content, err := io.ReadAll(source)
	if err != nil {
		return Object{}, err
	}
	if from.Digest.Algorithm().FromBytes(content) != from.Digest {
		return Object{}, fmt.Errorf("%w: content has another digest", ErrDamaged)
	}
	return s.Seal(ctx, d, from.Digest, content)
}

// readAll returns the bytes of an object in the bucket.
func (s *Store) readAll(ctx context.Context, o Object) ([]byte, error) {
	r, err := s.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

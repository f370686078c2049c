package s3bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"berth/internal/blob"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

const (
	// maxBreaks is how often a read may break off before a mebibyte has come.
	maxBreaks   = 5
	breaksAfter = 1 << 20
)

// reader reads an object of the store. It asks for bytes when Read does.
type reader struct {
	bucket *Bucket
	ctx    context.Context // of the request that the reader serves: io.Reader has none
	path   string
	etag   string // what must not change; "" if that is known otherwise
	size   int64

	offset int64 // of the next Read

	body   io.ReadCloser // nil if none is open
	at     int64         // of the next byte of body
	breaks int           // since began
	began  int64
}

// Read implements [io.Reader].
func (r *reader) Read(p []byte) (int, error) {
	if r.offset >= r.size {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if err := r.open(); err != nil {
			return 0, err
		}
		n, err := r.body.Read(p[:min(int64(len(p)), r.size-r.offset)])
		r.offset += int64(n)
		r.at = r.offset
		if err != nil {
			r.drop()
		}
		if n > 0 || err == nil {
			return n, nil
		}
		if err := r.again(err); err != nil {
			return 0, err
		}
	}
}

// open makes body one that goes on at the offset.
func (r *reader) open() error {
	if r.body != nil && r.at == r.offset {
		return nil
	}
	r.drop()
	in := &s3.GetObjectInput{Bucket: r.bucket.name, Key: &r.path, IfMatch: optional(r.etag)}
	if r.offset > 0 {
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", r.offset, r.size-1))
	}
	out, err := r.bucket.client.GetObject(r.ctx, in)
	var status interface{ HTTPStatusCode() int }
	switch {
	case isNotFound(err):
		return blob.ErrNotFound
	case errors.As(err, &status) && (status.HTTPStatusCode() == http.StatusPreconditionFailed || status.HTTPStatusCode() == http.StatusRequestedRangeNotSatisfiable):
		return fmt.Errorf("%w: it is not the object that it was when it was opened", blob.ErrDamaged)
	case err != nil:
		return err
	}
	if out.ContentLength != nil && *out.ContentLength != r.size-r.offset {
		_ = out.Body.Close()
		return fmt.Errorf("%w: the store sends %d bytes instead of %d", blob.ErrDamaged, *out.ContentLength, r.size-r.offset)
	}
	r.body, r.at = out.Body, r.offset
	return nil
}

// again waits a little after the answer broke off, or returns why there is no use
// in asking again.
func (r *reader) again(err error) error {
	if cause := context.Cause(r.ctx); cause != nil {
		return cause
	}
	if r.offset-r.began >= breaksAfter {
		r.began, r.breaks = r.offset, 0
	}
	if r.breaks++; r.breaks > maxBreaks {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read from the store, at %d of %d bytes: %w", r.offset, r.size, err)
	}
	select {
	case <-time.After(rand.N(r.bucket.options.Backoff/10 + 1)):
		return nil
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	}
}

// Seek implements [io.Seeker].
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.offset
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	r.offset = offset
	return offset, nil
}

func (r *reader) drop() {
	if r.body != nil {
		_ = r.body.Close() // it was read from only
		r.body = nil
	}
}

// Close implements [io.Closer].
func (r *reader) Close() error {
	r.drop()
	return nil
}

package aws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/sync/semaphore"

	"berth/internal/fault"
)

const (
	defaultMaxBody = 1 << 20
	defaultMemory  = 256 << 20
)

// bodies reads request bodies and bounds the memory that large ones hold
// together. Bodies of up to defaultMaxBody are not counted.
type bodies struct {
	memory int64
	free   *semaphore.Weighted
}

func newBodies(memory int64) *bodies {
	return &bodies{memory: memory, free: semaphore.NewWeighted(memory)}
}

// read returns the whole body of r, which must not be larger than limit. It
// waits, as long as r's context allows, until there is memory for it; release
// gives that back and must be called when the body is no longer used.
func (b *bodies) read(w http.ResponseWriter, r *http.Request, limit int64) (body []byte, release func(), err error) {
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close")
		return nil, nil, tooLarge(limit)
	}
	release, err = b.reserve(r.Context(), r.ContentLength, limit)
	if err != nil {
		return nil, nil, err
	}
	var buf bytes.Buffer
	if r.ContentLength > 0 && limit != maxUnsigned { // strangers get no room before they send something
		buf.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(http.MaxBytesReader(w, r.Body, limit)); err != nil {
		release()
		var over *http.MaxBytesError
		if errors.As(err, &over) {
			return nil, nil, tooLarge(limit)
		}
		f := malformed("The request body could not be read")
		f.Err = err
		return nil, nil, f
	}
	return buf.Bytes(), release, nil
}

// reserve waits for the memory of a body of the given length, -1 if unknown.
func (b *bodies) reserve(ctx context.Context, length, limit int64) (release func(), err error) {
	if length < 0 {
		length = limit
	}
	if length <= defaultMaxBody {
		return func() {}, nil
	}
	length = min(length, b.memory)
	if err := b.free.Acquire(ctx, length); err != nil {
		f := fault.New(fault.Unavailable, codeUnavailable, "Too many large requests at once")
		f.Err = fmt.Errorf("wait for memory: %w", err)
		return nil, f
	}
	return func() { b.free.Release(length) }, nil
}

func tooLarge(limit int64) error {
	return fault.New(fault.TooLarge, codeTooLarge, "The request body is larger than %d bytes", limit)
}

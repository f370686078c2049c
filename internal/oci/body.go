package oci

import (
	"errors"
	"io"
	"net/http"
	"os"
)

// bodyError is an error that came from a request's body: the client went away,
// was too slow, or sent less than it announced.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return "read the request's body: " + e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

// body marks the errors of a request's body as such.
type body struct{ io.Reader }

func (b body) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = &bodyError{err}
	}
	return n, err
}

// errBody answers a body that could not be read to its end.
func errBody(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &wireError{answer{"BLOB_UPLOAD_INVALID", http.StatusRequestTimeout}, "the request's body came too slowly"}
	}
	return invalid("SIZE_INVALID", "the request's body ended before it was complete")
}

// ofBody returns the error, in the words of the API if the body is what failed.
func ofBody(err error) error {
	if b := (*bodyError)(nil); errors.As(err, &b) {
		return errBody(b)
	}
	return err
}

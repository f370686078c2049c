package blob

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// Errors that drivers return, possibly wrapped. Anything else is a fault of the
// store underneath: the operation may be tried again unless it was a write to
// an upload, which is then lost unless the error is ErrNotDone.
var (
	// ErrNotFound: there is no such object.
	ErrNotFound = errors.New("object not found")
	// ErrUploadLost: the upload is gone or holds fewer bytes than its state says.
	ErrUploadLost = errors.New("upload lost")
	// ErrNotDone: the store cannot do it now. The upload can go on from the state
	// before, which still holds.
	ErrNotDone = errors.New("the blob store is not available")
)

// Reader reads one object. Seeking is free until the next Read.
type Reader = io.ReadSeekCloser

// Bucket is a driver: a flat store of objects under keys.
//
// An object is written once, in full, and is invisible until its upload is
// finished; its key is never used again. All methods are safe for concurrent
// use. An upload may be open only once at a time.
type Bucket interface {
	// Open returns a reader of the object, or ErrNotFound.
	Open(ctx context.Context, key string) (Reader, error)
	// Stat returns the object's size in bytes, or ErrNotFound.
	Stat(ctx context.Context, key string) (int64, error)
	// Upload opens the upload that will become the object key, so that size
	// bytes of it are kept and the next Write goes after them. With size 0 the
	// upload is started anew. Otherwise state is what Suspend returned when
	// the upload had that size; the error is ErrUploadLost if it is not to be
	// had any more.
	Upload(ctx context.Context, key string, size int64, state []byte) (Writer, error)
	// Delete removes the object, or the upload, of that key. To delete what is
	// not there is no error.
	Delete(ctx context.Context, key string) error
	// List returns every object and every unfinished upload, in no order, and nothing
	// else that may be there. It is for checks, not for serving requests.
	List(ctx context.Context) iter.Seq2[Entry, error]
}

// Writer writes an upload, an object in the making. After an error from any method
// it must be closed and deleted: what it holds is not known, and a sync that failed
// once must not be believed when it later succeeds. After an ErrNotDone it must only
// be closed.
type Writer interface {
	// Write appends. The bytes may be lost until Suspend or Finish.
	io.Writer
	// Suspend makes all bytes written durable and returns what is needed to go
	// on later, in this process or another. The upload as a whole may be lost with
	// the power all the same: it is then ErrUploadLost.
	Suspend() (state []byte, err error)
	// Finish makes the object durable and then visible, and returns its key: the
	// upload's, unless the driver cannot keep two who finish from replacing each
	// other's object; then it is one that was never used.
	Finish() (key string, err error)
	// Close releases the upload without deleting it. Bytes since the last
	// Suspend are lost. Close after Suspend or Finish does nothing.
	Close() error
}

// Sole is a Writer whose Finish may use another key than the upload's. Once Sole is
// called it does not: nobody else has ever opened the upload, or will.
type Sole interface{ Sole() }

// Entry is one thing found in a bucket.
type Entry struct {
	Key      string
	Size     int64
	Finished bool      // an object, not an upload
	ModTime  time.Time // of the last write
}

// ValidKey reports whether a key is one that a bucket may have: 32 hexadecimal digits,
// without the name of a place.
func ValidKey(key string) bool {
	if len(key) != 32 {
		return false
	}
	for _, c := range []byte(key) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Namer is a Bucket that makes keys of its own.
type Namer interface {
	// NewKey returns a key that was never used.
	NewKey() string
}

// Presigner is a Bucket that can let others read its objects without it.
type Presigner interface {
	// Presign returns a URL at which whoever has it can GET the object, in ranges
	// too, until life is over. Whether there is such an object is not looked at.
	Presign(ctx context.Context, key string, life time.Duration) (string, error)
}

// Classer is a Bucket that has a cheaper class for objects that are hardly ever read. They
// can be read at once there, too.
type Classer interface {
	// CopyToClass has the store copy an object to a key that was never used: into the
	// class of archived objects, or into that of new ones. The error is ErrNotFound if
	// there is no such object. After an error there may be something under the key.
	CopyToClass(ctx context.Context, from, to string, archived bool) error
}

// Reapable is a Bucket in which uploads can be left behind that cost money and
// that nobody knows of.
type Reapable interface {
	// Uploads returns every unfinished upload, and everything that one has left
	// behind, in no order, without looking at the objects.
	Uploads(ctx context.Context) iter.Seq2[Entry, error]
	// Settle removes what an upload has left behind at that state, when its object
	// is recorded.
	Settle(ctx context.Context, key string, state []byte) error
	// Abort removes the upload of that key and what it has left behind; an object
	// of that key stays. To abort what is not there is no error.
	Abort(ctx context.Context, key string) error
}

// Owned is a Bucket that says whose it is. It keeps that beside its objects and uploads;
// nothing lists it, or deletes it.
type Owned interface {
	// Owner returns what Claim has stored, "" if it never has.
	Owner(ctx context.Context) (string, error)
	// Claim has the bucket say durably that it is owner's, unless it says already whose
	// it is, and returns whose it is then. Of those who claim it at once one does.
	Claim(ctx context.Context, owner string) (string, error)
}

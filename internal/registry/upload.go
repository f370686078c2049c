package registry

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"time"

	"berth/internal/access"
	"berth/internal/blob"
	"berth/internal/crash"
	"berth/internal/fault"

	"github.com/google/uuid"
	"github.com/opencontainers/go-digest"
)

// PartSize is how many bytes InitiateLayerUpload asks for in a part, and the
// most that it takes: 20 MiB.
const PartSize = 20 << 20

const (
	minPartSize = 5 << 20
	uploadLife  = 24 * time.Hour
	// recordWithin is how long after its upload is finished an object may be recorded:
	// later its bytes may count as nobody's.
	recordWithin = uploadLife / 2
)

// Upload is a layer on its way into a repository. It belongs to the principal
// that started it.
type Upload struct {
	ID         string
	Repository string // its UID
	Principal  string // the id of the principal that started it
	CreatedAt  time.Time
	Parts      int   // parts sent by UploadLayerPart
	LastPart   int64 // the size of the last of them
	ShortPart  bool  // one before the last was too small
	Blob       blob.Upload
}

// upload is an Upload that a call works on.
type upload struct {
	*Upload
	recorded int64    // how many bytes the store knows of
	held     *request // the call whose bytes it does not know of, and whose record is to be left
}

// InitiateLayerUpload starts an upload and returns its id, a random UUID. It
// costs no wait for the disk: an upload may be lost with the power, and is then
// not found. A repository that has no room for another image, or for another
// byte, takes no upload. Errors: RepositoryNotFoundException,
// LimitExceededException, KmsException.
func (r *Registry) InitiateLayerUpload(ctx context.Context, c access.Caller, ref Ref) (string, error) {
	return r.initiate(ctx, request{caller: c, event: "InitiateLayerUpload", ref: ref, lock: LockAdd, create: true})
}

func (r *Registry) initiate(ctx context.Context, q request) (string, error) {
	id := uuid.NewString()
	err := r.updateRelaxed(ctx, q, func(tx Tx, repo *Repository) error {
		return r.startUpload(tx, repo, id, q.caller)
	})
	return id, err
}

func (r *Registry) startUpload(tx Tx, repo *Repository, id string, c access.Caller) error {
	if !r.hasRoom() {
		return errNoRoom()
	}
	if err := r.admitUpload(tx, repo); err != nil {
		return err
	}
	return tx.InsertUpload(&Upload{ID: id, Repository: repo.UID, Principal: c.ID, CreatedAt: r.now()})
}

// findUpload returns the caller's upload. One that another principal started,
// that was started in another repository or that is too old is not there.
func (r *Registry) findUpload(tx ReadTx, repo *Repository, id string, c access.Caller) (*upload, error) {
	if uuid.Validate(id) != nil {
		return nil, errUploadNotFound(repo.Ref, id)
	}
	u, err := tx.Upload(repo.UID, id)
	if err != nil {
		return nil, err
	}
	if u == nil || u.Principal != c.ID || r.now().Sub(u.CreatedAt) > uploadLife {
		return nil, errUploadNotFound(repo.Ref, id)
	}
	u.Blob.Domain = repo.Domain()
	return &upload{Upload: u, recorded: u.Blob.Size}, nil
}

// AppendUploadInput says where the next bytes of an upload go.
type AppendUploadInput struct {
	Ref
	UploadID string `json:"uploadId"`
	First    int64  `json:"partFirstByte"` // where the bytes begin; -1 for where the upload ends
	Length   int64  `json:"-"`             // how many there will be; -1 if not known

	part bool  // the bytes are a part sent by UploadLayerPart
	last int64 // where the part says that it ends
	hold bool  // what is small and arrives whole need not be recorded: the upload is completed next
}

// AppendUpload reads body to its end and adds it to the upload, durably, and
// returns the upload's size. The bytes must go on where the upload ends. If body
// fails, what came of it is kept and its error is returned as it is. An upload
// that would break a quota is refused as soon as that is known, before the bytes
// are read if their length is, and is gone afterwards. The caller must be allowed
// ecr:UploadLayerPart. When the disk has no more room, no more is read; what was read
// stays, and the upload can go on later.
//
// Errors: RepositoryNotFoundException, UploadNotFoundException,
// InvalidLayerPartException, LimitExceededException, KmsException.
func (r *Registry) AppendUpload(ctx context.Context, c access.Caller, in AppendUploadInput, body io.Reader) (int64, error) {
	unlock, err := r.uploads.lock(ctx, in.UploadID)
	if err != nil {
		return 0, err
	}
	defer unlock()
	u, err := r.appendUpload(ctx, request{caller: c, event: "UploadLayerPart", ref: in.Ref, params: in}, in, body)
	if err != nil {
		return 0, err
	}
	return u.Blob.Size, nil
}

// appendUpload is AppendUpload for who has locked the upload.
func (r *Registry) appendUpload(ctx context.Context, q request, in AppendUploadInput, body io.Reader) (*upload, error) {
	var u *upload
	var most bound
	err := r.admit(&q)
	if err == nil {
		err = r.store.View(ctx, func(tx ReadTx) error {
			var err error
			u, most, err = r.beginAppend(ctx, tx, q, in)
			return err
		})
	}
	switch {
	case err != nil:
	case in.Length > most.size-u.Blob.Size:
		err = r.dropUpload(ctx, u, most.exceeded())
	default:
		err = r.receive(ctx, q, in, u, most, body)
	}
	if err != nil {
		r.auditor.Record(q.record(r.now(), err))
		return nil, err
	}
	return u, nil
}

// UploadLayerPartInput is a part of a layer.
type UploadLayerPartInput struct {
	Ref
	UploadID    string
	First, Last int64 // the positions of the first and the last byte
	Data        []byte
}

// UploadLayerPart is AppendUpload for a part, which arrives whole or not at all.
// It returns the position of the upload's last byte.
func (r *Registry) UploadLayerPart(ctx context.Context, c access.Caller, in UploadLayerPartInput) (int64, error) {
	size, err := r.AppendUpload(ctx, c, AppendUploadInput{
		Ref: in.Ref, UploadID: in.UploadID, First: in.First, Length: int64(len(in.Data)), part: true, last: in.Last,
	}, bytes.NewReader(in.Data))
	return size - 1, err
}

// beginAppend returns the upload if the bytes announced may follow, and how large
// it may become.
func (r *Registry) beginAppend(ctx context.Context, tx ReadTx, q request, in AppendUploadInput) (*upload, bound, error) {
	repo, err := r.open(ctx, tx, q)
	if err == nil {
		err = r.refused()
	}
	if err != nil {
		return nil, bound{}, err
	}
	u, err := r.findUpload(tx, repo, in.UploadID, q.caller)
	if err != nil {
		return nil, bound{}, err
	}
	if in.First >= 0 && in.First != u.Blob.Size {
		return nil, bound{}, errInvalidPart(in.Ref, in.UploadID, u.Blob.Size-1,
			"The layer part's first byte is %d but the upload holds %d bytes", in.First, u.Blob.Size)
	}
	if in.part && in.last-in.First+1 != in.Length {
		return nil, bound{}, errInvalidPart(in.Ref, in.UploadID, u.Blob.Size-1,
			"The layer part holds %d bytes but bytes %d to %d were announced", in.Length, in.First, in.last)
	}
	if limit := r.limit(in.ID, QuotaLayerParts); in.part && int64(u.Parts) >= limit {
		return u, bound{-1, func() error { return errQuota(QuotaLayerParts, limit) }}, nil
	}
	most, err := r.uploadBound(tx, repo)
	return u, most, err
}

// receive moves body into the upload and records how far it came.
func (r *Registry) receive(ctx context.Context, q request, in AppendUploadInput, u *upload, most bound, body io.Reader) error {
	limit := most.size - u.recorded
	counted := &countingReader{r: io.LimitReader(&roomReader{r: body, hasRoom: r.hasRoom, refused: r.refused}, limit+1)}
	readErr := r.blobs.Append(ctx, &u.Blob, counted)
	switch {
	case keyRefused(readErr):
		return errKey(readErr) // nothing was read
	case errors.Is(readErr, blob.ErrUploadLost):
		return r.dropUpload(ctx, u, errUploadNotFound(in.Ref, in.UploadID))
	case errors.Is(readErr, blob.ErrPoisoned):
		return r.dropUpload(ctx, u, errStoreAway(readErr))
	case errors.Is(readErr, blob.ErrNotDone):
		return errStoreAway(readErr)
	case counted.n > limit:
		return r.dropUpload(ctx, u, most.exceeded())
	case readErr == nil && in.Length >= 0 && counted.n != in.Length:
		readErr = errInvalidPart(in.Ref, in.UploadID, u.Blob.Size-1, "%d bytes were announced and %d arrived", in.Length, counted.n)
	}
	if in.part && readErr == nil {
		u.ShortPart = u.ShortPart || u.Parts > 0 && u.LastPart < minPartSize
		u.Parts++
		u.LastPart = counted.n
	}
	crash.Point("upload.received")
	if readErr == nil {
		u.held = &q
	}
	if in.hold && readErr == nil && u.Blob.Key == "" {
		return nil
	}
	return cmp.Or(r.recordUpload(ctx, in.Ref, u), readErr)
}

// recordUpload lets the store know what an upload has received, and leaves the record of
// the call that is held. The client's going away must not lose the bytes.
func (r *Registry) recordUpload(ctx context.Context, ref Ref, u *upload) error {
	err := r.store.Relaxed(context.WithoutCancel(ctx), func(tx Tx) error {
		ok, err := tx.UpdateUpload(u.Upload, u.recorded)
		if err != nil {
			return err
		}
		if !ok {
			return errUploadNotFound(ref, u.ID)
		}
		return r.recordHeld(tx, u)
	})
	if err == nil {
		u.recorded, u.held = u.Blob.Size, nil
	}
	return err
}

// recordHeld leaves the record of the call that is held, if there is one.
func (r *Registry) recordHeld(tx Tx, u *upload) error {
	if u.held == nil {
		return nil
	}
	return tx.Record(u.held.record(r.now(), nil))
}

// keyRefused reports whether an error says that a key cannot be used.
func keyRefused(err error) bool {
	var k *blob.KeyError
	return errors.As(err, &k)
}

// dropUpload removes an upload that cannot go on, and returns why. If another process
// has gone on with it, completed it or removed it meanwhile, the bytes are that one's.
func (r *Registry) dropUpload(ctx context.Context, u *upload, why error) error {
	ctx = context.WithoutCancel(ctx)
	mine := false
	err := r.store.Relaxed(ctx, func(tx Tx) error {
		var err error
		if mine, err = tx.DeleteUploadAt(u.ID, u.recorded); err != nil || !mine {
			return err
		}
		return r.recordHeld(tx, u)
	})
	if err != nil || !mine {
		return errors.Join(why, err)
	}
	crash.Point("upload.dropped")
	return errors.Join(why, r.blobs.Abandon(ctx, u.Blob))
}

// roomReader reads as long as there is room for what it reads, and changes are not refused.
type roomReader struct {
	r       io.Reader
	hasRoom func() bool
	refused func() error
}

func (r *roomReader) Read(p []byte) (int, error) {
	if !r.hasRoom() {
		return 0, errNoRoom()
	}
	if err := r.refused(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// countingReader counts what is read through it.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// CompleteUploadInput is what CompleteUpload is asked for.
type CompleteUploadInput struct {
	Ref
	UploadID string        `json:"uploadId"`
	Digest   digest.Digest `json:"layerDigest"`
	// AsParts applies ECR's rules to an upload made of parts: it must not be
	// empty, its parts must be large enough and the layer must be new.
	AsParts bool `json:"-"`
}

// CompleteUpload makes an upload a layer of the repository if it has the digest
// given, durably. The layer's bytes are stored once for all repositories of the
// key domain. An upload with another digest is gone afterwards. The caller must
// be allowed ecr:CompleteLayerUpload.
//
// Errors: RepositoryNotFoundException, UploadNotFoundException,
// InvalidLayerException, InvalidParameterException, LimitExceededException,
// KmsException; with AsParts EmptyUploadException, LayerPartTooSmallException and
// LayerAlreadyExistsException.
func (r *Registry) CompleteUpload(ctx context.Context, c access.Caller, in CompleteUploadInput) error {
	unlock, err := r.uploads.lock(ctx, in.UploadID)
	if err != nil {
		return err
	}
	defer unlock()
	return r.completeUpload(ctx, request{caller: c, event: "CompleteLayerUpload", ref: in.Ref, params: in, lock: LockAdd}, in, nil)
}

// completeUpload is CompleteUpload for who has locked the upload, and may hold bytes of
// it that the store does not know of: then u is the upload, else nil.
func (r *Registry) completeUpload(ctx context.Context, q request, in CompleteUploadInput, u *upload) error {
	var o blob.Object
	began := r.now()
	err := r.admit(&q)
	if err == nil {
		u, o, err = r.finishUpload(ctx, q, in, u)
	}
	if err != nil {
		r.auditor.Record(q.record(r.now(), err))
		return err
	}
	q.keyless = true // it was asked for, and the bytes are sealed
	return r.link(ctx, q, in, u, o, began.Add(recordWithin))
}

// finishUpload turns the upload into an object that nobody knows of yet.
func (r *Registry) finishUpload(ctx context.Context, q request, in CompleteUploadInput, held *upload) (*upload, blob.Object, error) {
	u, err := r.uploadToComplete(ctx, q, in, held)
	if err != nil {
		if held != nil { // it can be completed by who may
			err = cmp.Or(r.recordUpload(ctx, in.Ref, held), err)
		}
		return nil, blob.Object{}, err
	}
	o, err := r.blobs.Finish(ctx, u.Blob, in.Digest)
	crash.Point("layer.finished")
	switch {
	case errors.Is(err, blob.ErrDigest):
		err = r.dropUpload(ctx, u, errInvalidLayer(in.Digest))
	case errors.Is(err, blob.ErrUploadLost):
		err = r.dropUpload(ctx, u, errUploadNotFound(in.Ref, in.UploadID))
	case errors.Is(err, blob.ErrPoisoned):
		err = r.dropUpload(ctx, u, errStoreAway(err))
	case errors.Is(err, blob.ErrNotDone):
		err = errStoreAway(err)
	}
	return u, o, errKey(err)
}

// uploadToComplete returns the upload if it may be completed as in says. Who is told
// that the layer exists may rely on it.
func (r *Registry) uploadToComplete(ctx context.Context, q request, in CompleteUploadInput, held *upload) (*upload, error) {
	for {
		var u *upload
		var l *Layer
		err := r.store.View(ctx, func(tx ReadTx) error {
			var err error
			u, l, err = r.beginComplete(ctx, tx, q, in, held)
			return err
		})
		if err != nil || l == nil {
			return u, err
		}
		if sure, err := r.lease(ctx, []*Layer{l}); err != nil || sure {
			return nil, cmp.Or(err, errLayerExists(in.Ref, in.Digest))
		}
	}
}

// beginComplete returns the upload if it may be completed as in says, and the layer if
// that is in the way.
func (r *Registry) beginComplete(ctx context.Context, tx ReadTx, q request, in CompleteUploadInput, held *upload) (*upload, *Layer, error) {
	repo, err := r.open(ctx, tx, q)
	if err == nil {
		err = r.refused()
	}
	if err != nil {
		return nil, nil, err
	}
	if err := checkDigest("layerDigests", string(in.Digest)); err != nil {
		return nil, nil, err
	}
	if held != nil {
		return held, nil, nil
	}
	u, err := r.findUpload(tx, repo, in.UploadID, q.caller)
	if err != nil || !in.AsParts {
		return u, nil, err
	}
	if u.Blob.Size == 0 {
		return nil, nil, errEmptyUpload(in.Ref, in.UploadID)
	}
	if u.ShortPart {
		return nil, nil, errPartTooSmall()
	}
	l, err := tx.Layer(repo.UID, in.Digest)
	if err != nil || l == nil || l.Archived || l.Object.Damaged {
		return u, nil, err
	}
	return u, l, nil
}

// endUpload removes an upload whose bytes are an object now, unless another process has.
func (r *Registry) endUpload(tx Tx, u *upload) (bool, error) {
	if u.held == nil {
		return tx.DeleteUpload(u.ID)
	}
	mine, err := tx.DeleteUploadAt(u.ID, u.recorded)
	return mine, cmp.Or(err, r.recordHeld(tx, u))
}

// link records the object, or forgets it in favour of one that the key domain
// has already. After a time it does not any more.
func (r *Registry) link(ctx context.Context, q request, in CompleteUploadInput, u *upload, o blob.Object, until time.Time) error {
	isNew, unused := false, o.Key != u.Blob.Key
	var uid string
	err := r.update(ctx, q, func(tx Tx, repo *Repository) error {
		uid = repo.UID
		if uid != u.Repository || r.now().After(until) { // made meanwhile, maybe with another key
			return errUploadNotFound(in.Ref, in.UploadID)
		}
		mine, err := r.endUpload(tx, u)
		unused = o.Key != u.Blob.Key
		if err == nil && !mine { // another process was faster, and may have recorded the same object
			var recorded bool
			if recorded, err = tx.HasObjectKey(o.Key); err == nil {
				unused, err = !recorded, errUploadNotFound(in.Ref, in.UploadID)
			}
		}
		if err != nil {
			return err
		}
		return r.admitLayer(tx, repo, o.Digest, func() error {
			var err error
			_, isNew, err = tx.LinkLayer(repo, o, r.now(), r.now().Add(r.leaseLife))
			crash.Point("layer.link")
			return err
		})
	})
	if _, refused := fault.As(err); refused {
		// Certainly not recorded by this process; after any other error it may be.
		err = r.dropUpload(ctx, u, err)
		if unused {
			err = errors.Join(err, r.blobs.Remove(context.WithoutCancel(ctx), o))
		}
		return err
	}
	if err != nil {
		return err
	}
	crash.Point("layer.linked")
	_ = r.blobs.Settle(context.WithoutCancel(ctx), u.Blob) // what stays is reaped
	if !isNew {
		_ = r.blobs.Remove(context.WithoutCancel(ctx), o) // the layer is there; what stays is left over
		return nil
	}
	r.meter.add(Usage{Ref: in.Ref, RepositoryUID: uid, Principal: q.caller.ARN, BytesStored: o.Size})
	return nil
}

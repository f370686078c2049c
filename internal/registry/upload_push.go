package registry

import (
	"context"
	"errors"
	"io"

	"berth/internal/access"
	"berth/internal/crash"
	"berth/internal/fault"

	"github.com/opencontainers/go-digest"
)

// These are what the distribution API does with uploads and ECR's does not.

// PushLayerInput is what PushLayer is asked for.
type PushLayerInput struct {
	AppendUploadInput
	Digest digest.Digest // of the whole layer
}

// PushLayer does in one go what AppendUpload and CompleteUpload do, and before
// them InitiateLayerUpload if UploadID is "". All count against their rates before
// a byte is read, or none: a request that came too soon can be made again as it
// was. An upload that it has started does not outlive a failure.
func (r *Registry) PushLayer(ctx context.Context, c access.Caller, in PushLayerInput, body io.Reader) error {
	start := request{caller: c, event: "InitiateLayerUpload", ref: in.Ref, lock: LockAdd, create: true, admitted: true}
	calls := []string{"UploadLayerPart", "CompleteLayerUpload"}
	first := request{caller: c, event: calls[0], ref: in.Ref, params: in.AppendUploadInput}
	if in.UploadID == "" {
		calls, first = append(calls, start.event), start
	}
	if err := r.rates.admit(c, in.Region, r.now(), calls...); err != nil {
		r.auditor.Record(first.record(r.now(), err))
		return err
	}
	if in.UploadID != "" {
		_, err := r.receiveLayer(ctx, c, in, body)
		return err
	}
	var err error
	if in.UploadID, err = r.initiate(ctx, start); err != nil {
		return err
	}
	unused, err := r.receiveLayer(ctx, c, in, body)
	if unused {
		err = errors.Join(err, r.discard(context.WithoutCancel(ctx), in.Ref, in.UploadID))
	}
	return err
}

// receiveLayer appends the body, and completes the upload. The counting is done.
// It reports whether it has failed in such a way that the bytes are certainly no
// layer's.
func (r *Registry) receiveLayer(ctx context.Context, c access.Caller, in PushLayerInput, body io.Reader) (unused bool, err error) {
	unlock, err := r.uploads.lock(ctx, in.UploadID)
	if err != nil {
		return true, err
	}
	defer unlock()
	q := request{caller: c, event: "UploadLayerPart", ref: in.Ref, params: in.AppendUploadInput, admitted: true}
	in.hold = true
	u, err := r.appendUpload(ctx, q, in.AppendUploadInput, body)
	if err != nil {
		return true, err
	}
	if u.held == nil {
		u = nil
	}
	complete := CompleteUploadInput{Ref: in.Ref, UploadID: in.UploadID, Digest: in.Digest}
	q = request{caller: c, event: "CompleteLayerUpload", ref: in.Ref, params: complete, lock: LockAdd, admitted: true}
	// The bytes are here and durable: the client's going away now must not leave
	// a finished object that nobody has recorded.
	err = r.completeUpload(context.WithoutCancel(ctx), q, complete, u)
	_, unused = fault.As(err)
	return unused, err
}

// discard removes an upload that nobody but this process knows of, if it is
// still there.
func (r *Registry) discard(ctx context.Context, ref Ref, id string) error {
	var u *upload
	err := r.store.View(ctx, func(tx ReadTx) error {
		repo, err := tx.Repository(ref, LockNone)
		if err != nil || repo == nil {
			return err
		}
		found, err := tx.Upload(repo.UID, id)
		if err == nil && found != nil {
			u = &upload{Upload: found, recorded: found.Blob.Size}
		}
		return err
	})
	if err != nil || u == nil {
		return err
	}
	return r.dropUpload(ctx, u, nil)
}

// UploadSize returns how many bytes of an upload have been received. The caller
// must be allowed ecr:UploadLayerPart; against its rate it does not count. Errors: RepositoryNotFoundException,
// UploadNotFoundException.
func (r *Registry) UploadSize(ctx context.Context, c access.Caller, ref Ref, id string) (int64, error) {
	var u *upload
	q := request{caller: c, event: "UploadLayerPart", ref: ref, params: uploadParams{ref, id}, readOnly: true, admitted: true}
	err := r.view(ctx, q, func(tx ReadTx, repo *Repository) error {
		var err error
		u, err = r.findUpload(tx, repo, id, c)
		return err
	})
	if err != nil {
		return 0, err
	}
	return u.Blob.Size, nil
}

// uploadParams are the audited parameters of calls about one upload.
type uploadParams struct {
	Ref
	UploadID string `json:"uploadId"`
}

// CancelUpload ends an upload and frees what it holds. The caller must be
// allowed ecr:UploadLayerPart; against its rate it does not count. Errors:
// RepositoryNotFoundException, UploadNotFoundException.
func (r *Registry) CancelUpload(ctx context.Context, c access.Caller, ref Ref, id string) error {
	unlock, err := r.uploads.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	var u *upload
	q := request{caller: c, event: "UploadLayerPart", ref: ref, params: uploadParams{ref, id}, admitted: true, keyless: true}
	err = r.update(ctx, q, func(tx Tx, repo *Repository) error {
		var err error
		if u, err = r.findUpload(tx, repo, id, c); err != nil {
			return err
		}
		mine, err := tx.DeleteUpload(id)
		if err == nil && !mine {
			err = errUploadNotFound(ref, id)
		}
		return err
	})
	if err != nil {
		return err
	}
	crash.Point("upload.dropped")
	return r.blobs.Abandon(context.WithoutCancel(ctx), u.Blob)
}

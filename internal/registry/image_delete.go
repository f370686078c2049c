package registry

import (
	"context"

	"berth/internal/access"
	"berth/internal/crash"
)

// BatchDeleteImageInput is what BatchDeleteImage is asked for.
type BatchDeleteImageInput struct {
	Ref
	IDs []ImageID `json:"imageIds"`
}

// BatchDeleteImage deletes images by digest, with all their tags, or takes tags
// away; the image goes with its last tag. [Registry.RestoreImage] can bring
// images back for a time. An image that an index lists is kept
// as long as the index is: indexes are deleted first, whatever the order of the
// ids. It returns what was deleted, a pair for each tag, and a failure for each
// id that was not. Errors: RepositoryNotFoundException.
func (r *Registry) BatchDeleteImage(ctx context.Context, c access.Caller, in BatchDeleteImageInput) ([]ImageID, []ImageFailure, error) {
	var deleted []ImageID
	var failures []ImageFailure
	q := request{caller: c, event: "BatchDeleteImage", ref: in.Ref, params: in, lock: LockChange, images: gone(in.IDs...)}
	err := r.update(ctx, q, func(tx Tx, repo *Repository) error {
		var err error
		deleted, failures, err = r.deleteImages(tx, repo, in.IDs, c)
		return err
	})
	return deleted, failures, err
}

// deleteImages goes over the ids until a pass deletes nothing that frees
// another.
func (r *Registry) deleteImages(tx Tx, repo *Repository, ids []ImageID, c access.Caller) (deleted []ImageID, failures []ImageFailure, err error) {
	for {
		var kept []ImageID
		var listed []ImageFailure
		progress := false
		for _, id := range ids {
			gone, failure, err := r.deleteImage(tx, repo, id, c)
			switch {
			case err != nil:
				return nil, nil, err
			case failure == nil:
				deleted, progress = append(deleted, gone...), true
			case failure.Code == ImageReferencedByManifestSet:
				kept, listed = append(kept, id), append(listed, *failure)
			default:
				failures = append(failures, *failure)
			}
		}
		if len(kept) == 0 || !progress {
			return deleted, append(failures, listed...), nil
		}
		ids = kept
	}
}

// deleteImage deletes what one id names and returns it.
func (r *Registry) deleteImage(tx Tx, repo *Repository, id ImageID, c access.Caller) ([]ImageID, *ImageFailure, error) {
	img, failure, err := find(tx, repo, id)
	if err != nil || failure != nil {
		return nil, failure, err
	}
	tags, err := tx.Tags(img.UID)
	if err != nil {
		return nil, nil, err
	}
	if id.Tag != "" && len(tags) > 1 {
		gone := ImageID{img.Digest, id.Tag}
		if err := tx.DeleteTag(repo.UID, id.Tag, r.stamp(c)); err != nil {
			return nil, nil, err
		}
		crash.Point("tag.delete")
		return []ImageID{gone}, nil, r.emitDelete(tx, repo, img, []ImageID{gone}, c)
	}
	if failure, err := referenced(tx, repo, img, id); err != nil || failure != nil {
		return nil, failure, err
	}
	if err := tx.DeleteImage(img, r.stamp(c)); err != nil {
		return nil, nil, err
	}
	crash.Point("image.delete")
	gone := []ImageID{{Digest: img.Digest}}
	if len(tags) > 0 {
		gone = gone[:0]
		for _, t := range tags {
			gone = append(gone, ImageID{img.Digest, t})
		}
	}
	return gone, nil, r.emitDelete(tx, repo, img, gone, c)
}

// referenced returns a failure if an index lists the image.
func referenced(tx ReadTx, repo *Repository, img *Image, id ImageID) (*ImageFailure, error) {
	parents, err := tx.Parents(repo.UID, img.Digest, 10)
	if err != nil || len(parents) == 0 {
		return nil, err
	}
	return &ImageFailure{
		ImageID{img.Digest, id.Tag}, ImageReferencedByManifestSet,
		"Requested image referenced by manifest list: " + digestList(parents),
	}, nil
}

// emitDelete writes ECR's event, one for each tag that is gone.
func (r *Registry) emitDelete(tx Tx, repo *Repository, img *Image, gone []ImageID, c access.Caller) error {
	if err := tx.LifecycleChanged(repo.UID); err != nil {
		return err
	}
	for _, id := range gone {
		if err := tx.Emit(Event{
			Kind: ImageDeleted, Ref: repo.Ref, RepositoryUID: repo.UID, Time: r.now(), Digest: img.Digest, Tag: id.Tag,
			MediaType: img.MediaType, ArtifactType: img.ArtifactType, Subject: img.Subject, Principal: c.ARN,
		}); err != nil {
			return err
		}
	}
	return nil
}

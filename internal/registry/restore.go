package registry

import (
	"context"
	"slices"
	"time"

	"berth/internal/access"
	"berth/internal/crash"
	"berth/internal/fault"

	"github.com/google/uuid"
	"github.com/opencontainers/go-digest"
)

// RestoreImageInput is what RestoreImage is asked for.
type RestoreImageInput struct {
	Ref
	Digest digest.Digest `json:"imageDigest"`
	Tags   []string      `json:"imageTags,omitempty"` // nil for those that the image had; none if empty
}

// RestoredImage is an image that was restored.
type RestoredImage struct {
	Digest digest.Digest `json:"imageDigest"`
	Tags   []string      `json:"imageTags"`      // that are on it now, in byte order
	Taken  []string      `json:"imageTagsTaken"` // that are on another image, and stay there
}

// RestoreImage brings back the image of that digest that was deleted last, as it
// was: with the time of its push, the images that it lists, as far as they were
// deleted too, and the tags that are free. No tag is moved. It returns the image,
// and then those that have come back with it. The caller must be allowed
// ecr:PutImage.
//
// Errors: RepositoryNotFoundException, ImageNotFoundException,
// ImageAlreadyExistsException, LayersNotFoundException,
// ReferencedImagesNotFoundException, LimitExceededException,
// InvalidParameterException.
func (r *Registry) RestoreImage(ctx context.Context, c access.Caller, in RestoreImageInput) ([]RestoredImage, error) {
	var out []RestoredImage
	q := request{caller: c, event: "RestoreImage", action: "PutImage", ref: in.Ref, params: in, lock: LockChange, images: undeleted(in)}
	err := r.update(ctx, q, func(tx Tx, repo *Repository) error {
		out = nil
		if err := in.check(); err != nil {
			return err
		}
		found, err := tx.Image(repo.UID, in.Digest)
		if err != nil {
			return err
		}
		if found != nil {
			return errImageExists(in.Ref, in.Digest, "")
		}
		deleted, err := tx.DeletedImage(repo.UID, in.Digest)
		if err != nil {
			return err
		}
		if deleted == nil || !r.restorable(deleted.DeletedAt) {
			return errNotRestorable(in.Ref, in.Digest, r.whyNot(deleted))
		}
		if in.Tags != nil {
			deleted.Tags = slices.Compact(slices.Sorted(slices.Values(in.Tags)))
		}
		out, err = r.undelete(tx, repo, deleted, c)
		return err
	})
	return out, err
}

// check returns InvalidParameterException for what names no image or no tag.
func (in *RestoreImageInput) check() error {
	for _, t := range in.Tags {
		if err := checkTag(t); err != nil {
			return err
		}
	}
	return checkDigest("imageDigest", string(in.Digest))
}

// whyNot says why an image, nil if it never was, cannot be restored.
func (r *Registry) whyNot(d *DeletedImage) string {
	switch {
	case r.retention == 0:
		return "nothing can be restored here, because the server runs with --deleted-retention 0"
	case d == nil:
		return "no image of that digest was deleted that is still there"
	}
	return "it was deleted at " + d.DeletedAt.Format(time.RFC3339) + " and could be restored until " +
		d.DeletedAt.Add(r.retention).Format(time.RFC3339)
}

// undelete brings an image back and then what it lists. The tags that it gets are
// those of d that are free.
func (r *Registry) undelete(tx Tx, repo *Repository, d *DeletedImage, c access.Caller) ([]RestoredImage, error) {
	img := &d.Image
	missing, err := tx.LayersNotHeld(img)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		return nil, errLayersGone(repo.Ref, img.Digest, missing)
	}
	if img.Status != Archived {
		if err := r.admitImage(tx, repo); err != nil {
			return nil, err
		}
	}
	if err := tx.UndeleteImage(img); err != nil {
		return nil, err
	}
	crash.Point("image.restore")
	if err := r.noteClass(tx, img); err != nil {
		return nil, err
	}
	restored := RestoredImage{Digest: img.Digest, Tags: []string{}, Taken: []string{}}
	for _, tag := range d.Tags {
		on, err := tx.ImageByTag(repo.UID, tag)
		if err != nil {
			return nil, err
		}
		if on != nil {
			restored.Taken = append(restored.Taken, tag)
			continue
		}
		if err := tx.PutTag(repo.UID, tag, img, r.stamp(c)); err != nil {
			return nil, err
		}
		restored.Tags = append(restored.Tags, tag)
	}
	if err := r.admitTags(tx, repo, img, true, len(restored.Tags)); err != nil {
		return nil, err
	}
	if err := r.emitUndelete(tx, repo, img, restored.Tags, c); err != nil {
		return nil, err
	}
	children, err := r.undeleteChildren(tx, repo, img, c)
	return append([]RestoredImage{restored}, children...), err
}

// undeleteChildren makes all that an index lists what it was when the index was
// deleted: there, and active if the index is.
func (r *Registry) undeleteChildren(tx Tx, repo *Repository, index *Image, c access.Caller) ([]RestoredImage, error) {
	children, err := tx.Children(index)
	if err != nil {
		return nil, err
	}
	var out []RestoredImage
	for _, digest := range children {
		child, err := tx.Image(repo.UID, digest)
		if err != nil {
			return nil, err
		}
		if child == nil {
			deleted, err := tx.DeletedImage(repo.UID, digest)
			if err != nil {
				return nil, err
			}
			if deleted == nil {
				return nil, errReferencedGone(repo.Ref, index.Digest, digest)
			}
			restored, err := r.undelete(tx, repo, deleted, c)
			if err != nil {
				return nil, err
			}
			out, child = append(out, restored...), &deleted.Image
		}
		if index.Status != Archived && child.Status == Archived {
			if err := r.restore(tx, repo, child); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// emitUndelete writes an event for each tag that is on the image again, or one.
func (r *Registry) emitUndelete(tx Tx, repo *Repository, img *Image, tags []string, c access.Caller) error {
	if len(tags) == 0 {
		tags = []string{""}
	}
	for _, tag := range tags {
		if err := tx.Emit(Event{
			Kind: ImageUndeleted, Ref: repo.Ref, RepositoryUID: repo.UID, Time: r.now(), Digest: img.Digest, Tag: tag,
			MediaType: img.MediaType, ArtifactType: img.ArtifactType, Subject: img.Subject, Principal: c.ARN,
		}); err != nil {
			return err
		}
	}
	return nil
}

// RestoreRepositoryInput is what RestoreRepository is asked for.
type RestoreRepositoryInput struct {
	Ref
	UID string `json:"repositoryUid,omitempty"` // "" for the one of that name that was deleted last
}

// RestoreRepository brings a deleted repository back with all that was in it:
// images, tags, layers, settings, resource tags and its lifecycle policy. The
// caller must be allowed ecr:CreateRepository. The cost grows with the number of
// its layers. Errors: RepositoryNotFoundException,
// RepositoryAlreadyExistsException, LimitExceededException,
// InvalidParameterException, KmsException.
func (r *Registry) RestoreRepository(ctx context.Context, c access.Caller, in RestoreRepositoryInput) (*Repository, error) {
	var repo *Repository
	q := request{caller: c, event: "RestoreRepository", action: "CreateRepository", ref: in.Ref, params: in}
	given, err := r.allowRestored(ctx, &q, in)
	if err != nil {
		return nil, err
	}
	err = r.updateIn(ctx, r.store.Update, q, func(tx Tx) error {
		var err error
		if repo, err = r.undeleteRepository(ctx, tx, q, in); err != nil || !repo.Encryption.kms() {
			return err
		}
		there := given != nil && repo.UID == given.uid && repo.Encryption.Key == given.key
		if there {
			there, err = tx.HasKeyGrants(given.grants)
		}
		if err == nil && !there { // since allowRestored has looked
			err = errRepositoryNotRestorable(in.Ref, "a repository of that name has just been deleted: try again")
		}
		if given != nil {
			given.used = there
		}
		return err
	})
	return repo, r.conclude(ctx, given, err)
}

// allowRestored lets ECR use the KMS key of the repository that is to be restored: its
// deletion has taken that right away.
func (r *Registry) allowRestored(ctx context.Context, q *request, in RestoreRepositoryInput) (*allowance, error) {
	return r.prepare(ctx, q, func(tx ReadTx) (e Encryption, uid string, err error) {
		repo, err := tx.DeletedRepository(in.Ref, cleanUID(in.UID), LockNone)
		if err != nil || repo == nil || !repo.Encryption.kms() {
			return e, "", err
		}
		ask := *q
		ask.context = requestTags(repo.Tags)
		living, err := tx.Repository(in.Ref, LockNone)
		if err != nil || living != nil || !r.restorable(repo.DeletedAt) || r.decide(ctx, tx, ask, repo) != nil {
			return e, "", err // the call will end the same way
		}
		return repo.Encryption, repo.UID, nil
	})
}

func (r *Registry) undeleteRepository(ctx context.Context, tx Tx, q request, in RestoreRepositoryInput) (*Repository, error) {
	// The lock comes first: of two who restore the same, the second then sees it.
	repo, err := tx.DeletedRepository(in.Ref, cleanUID(in.UID), LockDelete)
	if err != nil {
		return nil, err
	}
	if repo != nil {
		q.context = requestTags(repo.Tags)
	}
	if err := r.decide(ctx, tx, q, repo); err != nil {
		return nil, err
	}
	if err := checkUID(in.UID); err != nil {
		return nil, err
	}
	living, err := tx.Repository(in.Ref, LockNone)
	switch {
	case err != nil:
		return nil, err
	case living != nil:
		return nil, errRepositoryExists(in.Ref)
	case repo == nil || !r.restorable(repo.DeletedAt):
		return nil, errRepositoryNotRestorable(in.Ref, r.whyNotRepository(repo))
	}
	undeleted, err := tx.UndeleteRepository(repo)
	if err != nil {
		return nil, err
	}
	if !undeleted {
		return nil, errRepositoryExists(in.Ref)
	}
	if err := r.admitRepository(tx, in.ID); err != nil {
		return nil, err
	}
	if err := admitBytes(tx, r.storageOf(repo)); err != nil {
		return nil, err
	}
	repo.DeletedAt, repo.DeletedBy = time.Time{}, ""
	return repo, tx.Emit(Event{Kind: RepositoryUndeleted, Ref: in.Ref, RepositoryUID: repo.UID, Time: r.now(), Principal: q.caller.ARN})
}

// whyNotRepository is whyNot for a repository.
func (r *Registry) whyNotRepository(repo *Repository) string {
	if repo == nil {
		if r.retention == 0 {
			return r.whyNot(nil)
		}
		return "no such repository was deleted that is still there"
	}
	return r.whyNot(&DeletedImage{DeletedAt: repo.DeletedAt})
}

// checkUID returns InvalidParameterException for what is no UID of a repository.
func checkUID(s string) error {
	if s != "" && uuid.Validate(s) != nil {
		return invalidParameter("repositoryUid", "must be the UUID of a deleted repository")
	}
	return nil
}

// cleanUID returns the UID, or one that nothing has in place of what is none.
func cleanUID(s string) string {
	if checkUID(s) != nil {
		return uuid.Nil.String()
	}
	return s
}

func errNotRestorable(r Ref, d digest.Digest, reason string) error {
	return fault.New(fault.NotFound, "ImageNotFoundException",
		"The image with digest '%s' cannot be restored in the repository with name '%s' in the registry with id '%s': %s", d, r.Name, r.Account, reason)
}

func errRepositoryNotRestorable(r Ref, reason string) error {
	return fault.New(fault.NotFound, "RepositoryNotFoundException",
		"The repository with name '%s' cannot be restored in the registry with id '%s': %s", r.Name, r.Account, reason)
}

func errLayersGone(r Ref, d digest.Digest, missing []digest.Digest) error {
	return fault.New(fault.NotFound, "LayersNotFoundException",
		"Layers with digests '%s' required for restoring the image with digest '%s' in the repository with name '%s' in the registry with id '%s' do not exist",
		digestList(missing), d, r.Name, r.Account)
}

func errReferencedGone(r Ref, index, missing digest.Digest) error {
	return fault.New(fault.NotFound, "ReferencedImagesNotFoundException",
		"Images with digests '%s' required for restoring the image with digest '%s' in the repository with name '%s' in the registry with id '%s' do not exist",
		digestList([]digest.Digest{missing}), index, r.Name, r.Account)
}

package registry

import (
	"context"

	"berth/internal/access"
	"berth/internal/fault"
)

// StorageClass is what an image is kept for: to be pulled, or to be there.
type StorageClass string

// The storage classes.
const (
	Standard StorageClass = "STANDARD"
	Archive  StorageClass = "ARCHIVE"
)

// UpdateImageStorageClassInput is what UpdateImageStorageClass is asked for.
type UpdateImageStorageClassInput struct {
	Ref
	Image  ImageID      `json:"imageId"`
	Target StorageClass `json:"targetStorageClass"`
}

// UpdateImageStorageClass archives an active image at once, or begins to bring an
// archived one back, which [Registry.ActivateImages] ends. An archived image
// cannot be pulled and is not listed unless asked for; pushing it again brings it
// back. An image that an active index lists cannot be archived; the archived
// images that an index lists come back with it. It returns the image's new
// status. Errors: RepositoryNotFoundException, ImageNotFoundException,
// InvalidParameterException, ImageStorageClassUpdateNotSupportedException.
func (r *Registry) UpdateImageStorageClass(ctx context.Context, c access.Caller, in UpdateImageStorageClassInput) (*Image, error) {
	var img *Image
	q := request{caller: c, event: "UpdateImageStorageClass", ref: in.Ref, params: in, lock: LockChange, images: changed(in.Image)}
	err := r.update(ctx, q, func(tx Tx, repo *Repository) error {
		var err error
		if img, err = mustFind(tx, repo, in.Image); err != nil {
			return err
		}
		switch in.Target {
		case Archive:
			return r.archive(tx, repo, img, c.ARN)
		case Standard:
			return r.restore(tx, repo, img)
		}
		return invalidParameter("targetStorageClass", "Member must satisfy enum value set: [ARCHIVE, STANDARD]")
	})
	return img, err
}

// archive makes an active image an archived one.
func (r *Registry) archive(tx Tx, repo *Repository, img *Image, principal string) error {
	if img.Status != Active {
		return errStorageClass(repo.Ref, img, "only an ACTIVE image can be archived")
	}
	listed, err := listedByActive(tx, repo, img)
	if err != nil {
		return err
	}
	if listed {
		return errStorageClass(repo.Ref, img, "an image that an active manifest list refers to cannot be archived")
	}
	img.Status, img.ArchivedAt = Archived, r.now()
	if err := tx.UpdateImage(img); err != nil {
		return err
	}
	if err := r.noteClass(tx, img); err != nil {
		return err
	}
	return r.emitStorageClass(tx, repo, img, ImageArchived, principal)
}

// maxParents bounds how many indexes of one image are looked at.
const maxParents = 1000

func listedByActive(tx ReadTx, repo *Repository, img *Image) (bool, error) {
	parents, err := tx.Parents(repo.UID, img.Digest, maxParents)
	if err != nil {
		return false, err
	}
	for _, d := range parents {
		parent, err := tx.Image(repo.UID, d)
		if err != nil || parent != nil && parent.Status != Archived {
			return true, err
		}
	}
	return false, nil
}

// restore begins to bring an archived image back, and the archived images that
// it lists.
func (r *Registry) restore(tx Tx, repo *Repository, img *Image) error {
	if img.Status != Archived {
		return errStorageClass(repo.Ref, img, "only an ARCHIVED image can be restored")
	}
	if err := r.admitImage(tx, repo); err != nil {
		return err
	}
	img.Status = Activating
	if err := tx.UpdateImage(img); err != nil {
		return err
	}
	children, err := tx.Children(img)
	if err != nil {
		return err
	}
	for _, d := range children {
		child, err := tx.Image(repo.UID, d)
		if err != nil {
			return err
		}
		if child == nil || child.Status != Archived {
			continue
		}
		if err := r.restore(tx, repo, child); err != nil {
			return err
		}
	}
	return nil
}

// activate ends what restore began. It is also what a push of the image does.
func (r *Registry) activate(tx Tx, repo *Repository, img *Image, principal string) error {
	if img.Status == Archived {
		if err := r.admitImage(tx, repo); err != nil {
			return err
		}
	}
	img.Status, img.ActivatedAt = Active, r.now()
	if err := tx.UpdateImage(img); err != nil {
		return err
	}
	if err := r.noteClass(tx, img); err != nil {
		return err
	}
	return r.emitStorageClass(tx, repo, img, ImageRestored, principal)
}

// noteClass has the bytes of an image's layers come into the class that they should be in,
// if there is one for those of archived images.
func (r *Registry) noteClass(tx Tx, img *Image) error {
	if !r.classes {
		return nil
	}
	return tx.NoteClassChange(img.UID, r.now())
}

// activateBatch is how many images are activated in one transaction.
const activateBatch = 100

// ActivateImages ends the restoration of images that are ACTIVATING. It is called
// every second or so; several processes may call it at once.
func (r *Registry) ActivateImages(ctx context.Context) error {
	var due []Image
	err := r.store.View(ctx, func(tx ReadTx) error {
		var err error
		due, err = tx.ActivatingImages(activateBatch)
		return err
	})
	if err != nil || len(due) == 0 {
		return err
	}
	return r.store.Update(ctx, func(tx Tx) error {
		for i := range due {
			if err := r.activateOne(tx, &due[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// activateOne activates an image unless somebody else has done so.
func (r *Registry) activateOne(tx Tx, due *Image) error {
	repo, err := tx.RepositoryByUID(due.Repository)
	if err != nil || repo == nil {
		return err
	}
	if repo, err = tx.Repository(repo.Ref, LockChange); err != nil || repo == nil || repo.UID != due.Repository {
		return err
	}
	img, err := tx.Image(repo.UID, due.Digest)
	if err != nil || img == nil || img.Status != Activating {
		return err
	}
	return r.activate(tx, repo, img, "")
}

func (r *Registry) emitStorageClass(tx Tx, repo *Repository, img *Image, kind, principal string) error {
	if err := tx.LifecycleChanged(repo.UID); err != nil {
		return err
	}
	return tx.Emit(Event{
		Kind: kind, Ref: repo.Ref, RepositoryUID: repo.UID, Time: r.now(), Digest: img.Digest, MediaType: img.MediaType,
		ArtifactType: img.ArtifactType, Subject: img.Subject, Principal: principal,
	})
}

func errStorageClass(ref Ref, img *Image, reason string) error {
	return fault.New(fault.Conflict, "ImageStorageClassUpdateNotSupportedException",
		"The storage class of the image with digest '%s' in the repository with name '%s' in the registry with id '%s' cannot be updated: its status is %s; %s",
		img.Digest, ref.Name, ref.Account, img.Status, reason)
}

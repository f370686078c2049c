package registry

import (
	"context"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/lifecycle"

	"github.com/opencontainers/go-digest"
)

// Status is the state of an image's storage.
type Status string

// The states of an image.
const (
	Active     Status = "ACTIVE"
	Archived   Status = "ARCHIVED"
	Activating Status = "ACTIVATING"
)

// Lifecycle returns the state in the words of lifecycle policies.
func (s Status) Lifecycle() lifecycle.State {
	switch s {
	case Archived:
		return lifecycle.Archived
	case Activating:
		return lifecycle.Restoring
	}
	return lifecycle.Active
}

// Image is a manifest in a repository.
type Image struct {
	UID          string
	Repository   string // its UID
	Digest       digest.Digest
	MediaType    string // of the manifest, as it was first sent
	ArtifactType string
	Subject      digest.Digest // "" if it refers to no other image
	ManifestSize int64
	Size         int64 // of its layers and configuration; of an index, that of its greatest child
	Status       Status
	PushedAt     time.Time
	PulledAt     time.Time // as far as it is recorded; zero if never
	ArchivedAt   time.Time // last; zero if never
	ActivatedAt  time.Time // when it was last brought back from the archive; zero if never
	Tags         []string  // in byte order; filled in by ImageReader.Images only
}

// ImageID names an image by digest, by tag or, where both are given, by a tag
// that must be on that digest.
type ImageID struct {
	Digest digest.Digest `json:"imageDigest,omitempty"`
	Tag    string        `json:"imageTag,omitempty"`
}

// String returns the id as ECR prints it in errors.
func (id ImageID) String() string {
	return "{imageDigest:'" + orNull(string(id.Digest)) + "', imageTag:'" + orNull(id.Tag) + "'}"
}

func orNull(s string) string {
	if s == "" {
		return "null"
	}
	return s
}

// Filter says which images a listing contains.
type Filter struct {
	TagStatus TagStatus // "" means Any
	Status    Status    // "" means any status
}

// TagStatus says whether images have tags.
type TagStatus string

// The values of a tagStatus filter.
const (
	Tagged   TagStatus = "TAGGED"
	Untagged TagStatus = "UNTAGGED"
	Any      TagStatus = "ANY"
)

// The codes of imageFailure and layerFailure.
const (
	InvalidImageDigest           = "InvalidImageDigest"
	InvalidImageTag              = "InvalidImageTag"
	ImageTagDoesNotMatchDigest   = "ImageTagDoesNotMatchDigest"
	ImageNotFound                = "ImageNotFound"
	MissingDigestAndTag          = "MissingDigestAndTag"
	ImageReferencedByManifestSet = "ImageReferencedByManifestList"
	KmsError                     = "KmsError"
	ImageInaccessible            = "ImageInaccessible"
	InvalidLayerDigest           = "InvalidLayerDigest"
	MissingLayerDigest           = "MissingLayerDigest"
)

// ImageFailure says why a batch left out an image.
type ImageFailure struct {
	ID     ImageID
	Code   string
	Reason string
}

// check returns the failure of an id that cannot name an image.
func (id ImageID) check() *ImageFailure {
	switch {
	case id.Digest == "" && id.Tag == "":
		return &ImageFailure{id, MissingDigestAndTag, "Invalid request parameters: both tag and digest cannot be null"}
	case id.Digest != "" && !ValidDigest(string(id.Digest)):
		return &ImageFailure{id, InvalidImageDigest, "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"}
	case id.Tag != "" && !ValidTag(id.Tag):
		return &ImageFailure{id, InvalidImageTag, "Invalid request parameters: image tag should satisfy the regex '[a-zA-Z0-9-_.]+'"}
	}
	return nil
}

// find returns the image that an id names, or why there is none.
func find(tx ReadTx, repo *Repository, id ImageID) (*Image, *ImageFailure, error) {
	if f := id.check(); f != nil {
		return nil, f, nil
	}
	var img *Image
	var err error
	if id.Tag != "" {
		img, err = tx.ImageByTag(repo.UID, id.Tag)
	} else {
		img, err = tx.Image(repo.UID, id.Digest)
	}
	if err != nil {
		return nil, nil, err
	}
	if img == nil {
		return nil, &ImageFailure{id, ImageNotFound, "Requested image not found"}, nil
	}
	if id.Digest != "" && img.Digest != id.Digest {
		return nil, &ImageFailure{id, ImageTagDoesNotMatchDigest, "Invalid request parameters: the tag and the digest refer to different images"}, nil
	}
	return img, nil, nil
}

// mustFind is find for calls about one image. Errors: ImageNotFoundException,
// InvalidParameterException.
func mustFind(tx ReadTx, repo *Repository, id ImageID) (*Image, error) {
	img, failure, err := find(tx, repo, id)
	if err != nil || failure == nil {
		return img, err
	}
	if failure.Code == ImageNotFound || failure.Code == ImageTagDoesNotMatchDigest {
		return nil, errImageNotFound(repo.Ref, id)
	}
	return nil, fault.New(fault.Invalid, "InvalidParameterException", "%s", failure.Reason)
}

// ImageInput is what calls about one image are asked for.
type ImageInput struct {
	Ref
	Image ImageID `json:"imageId"`
}

// describeImage returns the digest and the tag of the image that a reading call
// is about. Errors: RepositoryNotFoundException, ImageNotFoundException,
// InvalidParameterException.
func (r *Registry) describeImage(ctx context.Context, c access.Caller, event string, in ImageInput) (ImageID, error) {
	var out ImageID
	q := request{caller: c, event: event, ref: in.Ref, params: in, readOnly: true}
	err := r.view(ctx, q, func(tx ReadTx, repo *Repository) error {
		img, err := mustFind(tx, repo, in.Image)
		if err == nil {
			out = ImageID{img.Digest, in.Image.Tag}
		}
		return err
	})
	return out, err
}

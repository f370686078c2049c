package registry

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"berth/internal/access"
	"berth/internal/blob"
	"berth/internal/fault"

	"github.com/opencontainers/go-digest"
)

// BatchGetImageInput is what BatchGetImage is asked for.
type BatchGetImageInput struct {
	Ref
	IDs    []ImageID `json:"imageIds"`
	Accept []string  `json:"acceptedMediaTypes,omitempty"`
	Probe  bool      `json:"-"` // the caller only wants to know what is there: this is no pull
}

// StoredImage is an image with its manifest and the id that it was asked by. Its
// Digest, MediaType and ManifestSize are the manifest's.
type StoredImage struct {
	Image
	ID       ImageID // with the digest that the image is stored under
	Manifest []byte

	byTag bool // it was asked for by tag alone
}

// BatchGetImage returns the images that the ids name, in the order of the ids,
// and a failure for each id that names none, or one in the archive. An image
// asked for by tag has that tag in its id, and is converted between Docker's and
// OCI's media types if the caller accepts only the other one. It counts as a pull
// of each. Errors: RepositoryNotFoundException, ThrottlingException.
func (r *Registry) BatchGetImage(ctx context.Context, c access.Caller, in BatchGetImageInput) ([]StoredImage, []ImageFailure, error) {
	var images []StoredImage
	var failures []ImageFailure
	var manifests []blob.Object // of the images
	var uid string
	q := request{caller: c, event: "BatchGetImage", ref: in.Ref, params: in, readOnly: true, pull: true, images: pulled(in.IDs...)}
	err := r.view(ctx, q, func(tx ReadTx, repo *Repository) error {
		uid, images, failures, manifests = repo.UID, images[:0], failures[:0], manifests[:0]
		for _, id := range in.IDs {
			img, manifest, failure, err := getImage(tx, repo, id)
			if err != nil {
				return err
			}
			if failure != nil {
				failures = append(failures, *failure)
				continue
			}
			images, manifests = append(images, *img), append(manifests, manifest)
		}
		return nil
	})
	if e, ok := fault.As(err); ok && e.Code == "KmsException" {
		return nil, keyFailures(in.IDs, e), nil
	}
	if err == nil {
		images, failures, err = r.openManifests(ctx, images, manifests, failures, in.Accept)
	}
	for i := range images {
		if in.Probe {
			break
		}
		r.pulls.note(in.ID, &images[i].Image, c, r.now())
		r.meter.add(Usage{Ref: in.Ref, RepositoryUID: uid, Principal: c.ARN, Pulls: 1, BytesOut: images[i].ManifestSize})
	}
	return images, failures, err
}

// openManifests fills in the manifests of images, and returns those whose manifest
// can be opened, and with the failures those whose key cannot be used, or that are known
// to be damaged.
func (r *Registry) openManifests(ctx context.Context, images []StoredImage, manifests []blob.Object, failures []ImageFailure, accept []string) ([]StoredImage, []ImageFailure, error) {
	opened := images[:0]
	for i, img := range images {
		var err error
		img.Manifest, err = r.blobs.Content(ctx, manifests[i])
		if keyRefused(err) {
			e, _ := fault.As(errKey(err))
			failures = append(failures, ImageFailure{img.ID, KmsError, e.Message})
			continue
		}
		if errors.Is(err, blob.ErrQuarantined) {
			failures = append(failures, ImageFailure{img.ID, ImageInaccessible, "Requested image not found: its manifest is damaged where it is stored. Push it again to heal it."})
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if img.byTag {
			img.convert(accept)
		}
		opened = append(opened, img)
	}
	return opened, failures, nil
}

func getImage(tx ReadTx, repo *Repository, id ImageID) (*StoredImage, blob.Object, *ImageFailure, error) {
	img, failure, err := find(tx, repo, id)
	if err != nil || failure != nil {
		return nil, blob.Object{}, failure, err
	}
	if img.Status != Active {
		return nil, blob.Object{}, &ImageFailure{
			ImageID{img.Digest, id.Tag}, ImageInaccessible,
			"Requested image not found: its status is " + string(img.Status) + ". Restore it with update-image-storage-class to pull it.",
		}, nil
	}
	o, err := tx.Manifest(img)
	return &StoredImage{Image: *img, ID: ImageID{img.Digest, id.Tag}, byTag: id.Digest == ""}, o, nil, err
}

// ListImagesInput is what ListImages is asked for.
type ListImagesInput struct {
	Ref
	Filter Filter `json:"filter"`
	Page   Page   `json:"-"`
}

// ListImages returns a page of the repository's images, an id for each pair of
// digest and tag, ordered by both. Errors: RepositoryNotFoundException,
// InvalidParameterException for a token of another listing.
func (r *Registry) ListImages(ctx context.Context, c access.Caller, in ListImagesInput) ([]ImageID, NextToken, error) {
	var out []ImageID
	var next NextToken
	q := request{caller: c, event: "ListImages", ref: in.Ref, params: in, readOnly: true}
	err := r.view(ctx, q, func(tx ReadTx, repo *Repository) error {
		token, err := r.pages.open(in.Page.Token, "ListImages", repo)
		if err != nil {
			return err
		}
		limit := in.Page.size(100, 1000)
		if out, err = tx.ImageIDs(repo.UID, in.Filter, splitID(token), limit+1); err != nil {
			return err
		}
		out, next = cut(r.pages, out, limit, joinID, "ListImages", repo)
		return nil
	})
	return out, next, err
}

// joinID and splitID turn an image id into the text of a page token and back.
func joinID(id ImageID) string { return string(id.Digest) + "@" + id.Tag }

func splitID(s string) ImageID {
	for i := range s {
		if s[i] == '@' {
			return ImageID{digest.Digest(s[:i]), s[i+1:]}
		}
	}
	return ImageID{}
}

// DescribeImagesInput is what DescribeImages is asked for: either ids, or a page
// of all.
type DescribeImagesInput struct {
	Ref
	IDs    []ImageID `json:"imageIds,omitempty"`
	Filter Filter    `json:"filter"`
	Page   Page      `json:"-"`
}

// DescribeImages returns the images that the ids name, in their order, or a page
// of all images in the order of their digests. Errors:
// RepositoryNotFoundException, ImageNotFoundException,
// InvalidParameterException.
func (r *Registry) DescribeImages(ctx context.Context, c access.Caller, in DescribeImagesInput) ([]Image, NextToken, error) {
	var out []Image
	var next NextToken
	q := request{caller: c, event: "DescribeImages", ref: in.Ref, params: in, readOnly: true}
	err := r.view(ctx, q, func(tx ReadTx, repo *Repository) error {
		var err error
		if len(in.IDs) > 0 {
			out, err = describeNamed(tx, repo, in)
			return err
		}
		after, err := r.pages.open(in.Page.Token, "DescribeImages", repo)
		if err != nil {
			return err
		}
		limit := in.Page.size(100, 1000)
		if out, err = tx.Images(repo.UID, in.Filter, digest.Digest(after), limit+1); err != nil {
			return err
		}
		out, next = cut(r.pages, out, limit, func(i Image) string { return string(i.Digest) }, "DescribeImages", repo)
		return nil
	})
	return out, next, err
}

func describeNamed(tx ReadTx, repo *Repository, in DescribeImagesInput) ([]Image, error) {
	if in.Page != (Page{}) {
		return nil, invalidParameter("imageIds", "nextToken and maxResults cannot be used with imageIds")
	}
	var out []Image
	for _, id := range in.IDs {
		img, err := mustFind(tx, repo, id)
		if err != nil {
			return nil, err
		}
		if img.Tags, err = tx.Tags(img.UID); err != nil {
			return nil, err
		}
		out = append(out, *img)
	}
	return out, nil
}

// TagNames returns at most limit tags of the repository that come after last,
// in byte order: the tag list of the distribution API. The caller must be
// allowed ecr:ListImages. Errors: RepositoryNotFoundException, ThrottlingException.
func (r *Registry) TagNames(ctx context.Context, c access.Caller, ref Ref, last string, limit int) ([]string, error) {
	var out []string
	q := request{caller: c, event: "ListImages", ref: ref, readOnly: true, pull: true}
	err := r.view(ctx, q, func(tx ReadTx, repo *Repository) error {
		var err error
		out, err = tx.TagNames(repo.UID, last, limit)
		return err
	})
	return out, err
}

// Referrer is an image that has another one as its subject.
type Referrer struct {
	Digest       digest.Digest
	MediaType    string
	ArtifactType string
	Size         int64             // of the manifest
	Annotations  map[string]string // of the manifest
	Status       Status
	Sealed       []byte // the annotations as they are kept, if not as they are; in what the store returns only
}

// openAnnotations fills in the annotations of referrers in repo that are sealed.
// Errors: KmsException.
func (r *Registry) openAnnotations(ctx context.Context, repo *Repository, found []Referrer) ([]Referrer, error) {
	out := slices.Clone(found) // the store may remember them
	if slices.ContainsFunc(out, func(f Referrer) bool { return f.Sealed != nil }) {
		if err := r.mayUse(ctx, repo); err != nil {
			return nil, err
		}
	}
	for i := range out {
		sealed := out[i].Sealed
		if out[i].Sealed = nil; sealed == nil {
			continue
		}
		text, err := r.blobs.OpenValue(ctx, annotationsOf(repo.Domain(), out[i].Digest), sealed)
		if err != nil {
			return nil, errKey(err)
		}
		if err := json.Unmarshal(text, &out[i].Annotations); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ReferrerFilter says which referrers a listing contains.
type ReferrerFilter struct {
	ArtifactTypes []string `json:"artifactTypes,omitempty"`  // at most five; none for all
	Status        Status   `json:"artifactStatus,omitempty"` // "" for any
}

// ReferrersInput is what Referrers is asked for.
type ReferrersInput struct {
	Ref
	Subject digest.Digest  `json:"subjectId"`
	Filter  ReferrerFilter `json:"filter"`
	After   digest.Digest  `json:"-"` // where to go on; "" for the start
	Limit   int            `json:"-"`
}

// Referrers returns at most in.Limit images whose subject is in.Subject, in the
// order of their digests. The subject need not exist. The caller must be allowed
// ecr:BatchGetImage. Errors: RepositoryNotFoundException,
// InvalidParameterException, ThrottlingException.
func (r *Registry) Referrers(ctx context.Context, c access.Caller, in ReferrersInput) ([]Referrer, error) {
	var out []Referrer
	var of *Repository
	q := request{caller: c, event: "ListImageReferrers", action: "BatchGetImage", ref: in.Ref, params: in, readOnly: true, pull: true}
	q.images = pulled(ImageID{Digest: in.Subject})
	err := r.view(ctx, q, func(tx ReadTx, repo *Repository) error {
		if err := checkDigest("subjectId.imageDigest", string(in.Subject)); err != nil {
			return err
		}
		var err error
		of = repo
		out, err = tx.Referrers(repo.UID, in.Subject, in.Filter, in.After, in.Limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r.openAnnotations(ctx, of, out)
}

// ListImageReferrersInput is what ListImageReferrers is asked for.
type ListImageReferrersInput struct {
	Ref
	Subject digest.Digest  `json:"subjectId"`
	Filter  ReferrerFilter `json:"filter"`
	Page    Page           `json:"-"`
}

// ListImageReferrers is Referrers in pages, 20 to a page unless asked otherwise
// and 50 at most. Errors: those of Referrers.
func (r *Registry) ListImageReferrers(ctx context.Context, c access.Caller, in ListImageReferrersInput) ([]Referrer, NextToken, error) {
	var out []Referrer
	var of *Repository
	var next NextToken
	q := request{caller: c, event: "ListImageReferrers", action: "BatchGetImage", ref: in.Ref, params: in, readOnly: true}
	q.images = pulled(ImageID{Digest: in.Subject})
	err := r.view(ctx, q, func(tx ReadTx, repo *Repository) error {
		if err := checkDigest("subjectId.imageDigest", string(in.Subject)); err != nil {
			return err
		}
		of = repo
		operation := "ListImageReferrers " + string(in.Subject)
		after, err := r.pages.open(in.Page.Token, operation, repo)
		if err != nil {
			return err
		}
		limit := in.Page.size(20, 50)
		if out, err = tx.Referrers(repo.UID, in.Subject, in.Filter, digest.Digest(after), limit+1); err != nil {
			return err
		}
		out, next = cut(r.pages, out, limit, func(i Referrer) string { return string(i.Digest) }, operation, repo)
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	out, err = r.openAnnotations(ctx, of, out)
	return out, next, err
}

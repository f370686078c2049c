package registry

import (
	"context"

	"berth/internal/access"

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
}

// BatchGetImage returns the images that the ids name, in the order of the ids,
// and a failure for each id that names none, or one in the archive. An image
// asked for by tag has that tag in its id, and is converted between Docker's and
// OCI's media types if the caller accepts only the other one. It counts as a pull
// of each. Errors: RepositoryNotFoundException, ThrottlingException.
func (r *Registry) BatchGetImage(ctx context.Context, c access.Caller, in BatchGetImageInput) ([]StoredImage, []ImageFailure, error) {
	var images []StoredImage
	var failures []ImageFailure
	var uid string
	q := request{caller: c, event: "BatchGetImage", ref: in.Ref, params: in, readOnly: true, pull: true, images: pulled(in.IDs...)}
	err := r.view(ctx, q, func(tx ReadTx, repo *Repository) error {
		uid, images, failures = repo.UID, images[:0], failures[:0]
		for _, id := range in.IDs {
			img, failure, err := getImage(tx, repo, id, in.Accept)
			if err != nil {
				return err
			}
			if failure != nil {
				failures = append(failures, *failure)
				continue
			}
			images = append(images, *img)
		}
		return nil
	})
	for i := range images {
		if in.Probe {
			break
		}
		r.pulls.note(in.ID, &images[i].Image, c, r.now())
		r.meter.add(Usage{Ref: in.Ref, RepositoryUID: uid, Principal: c.ARN, Pulls: 1, BytesOut: images[i].ManifestSize})
	}
	return images, failures, err
}

func getImage(tx ReadTx, repo *Repository, id ImageID, accept []string) (*StoredImage, *ImageFailure, error) {
	img, failure, err := find(tx, repo, id)
	if err != nil || failure != nil {
		return nil, failure, err
	}
	if img.Status != Active {
		return nil, &ImageFailure{
			ImageID{img.Digest, id.Tag}, ImageInaccessible,
			"Requested image not found: its status is " + string(img.Status) + ". Restore it with update-image-storage-class to pull it.",
		}, nil
	}
	o, err := tx.Manifest(img)
	if err != nil {
		return nil, nil, err
	}
	out := &StoredImage{*img, ImageID{img.Digest, id.Tag}, o.Content}
	if id.Digest == "" {
		out.convert(accept)
	}
	return out, nil, nil
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
	q := request{caller: c, event: "ListImageReferrers", action: "BatchGetImage", ref: in.Ref, params: in, readOnly: true, pull: true}
	q.images = pulled(ImageID{Digest: in.Subject})
	err := r.view(ctx, q, func(tx ReadTx, repo *Repository) error {
		if err := checkDigest("subjectId.imageDigest", string(in.Subject)); err != nil {
			return err
		}
		var err error
		out, err = tx.Referrers(repo.UID, in.Subject, in.Filter, in.After, in.Limit)
		return err
	})
	return out, err
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
	var next NextToken
	q := request{caller: c, event: "ListImageReferrers", action: "BatchGetImage", ref: in.Ref, params: in, readOnly: true}
	q.images = pulled(ImageID{Digest: in.Subject})
	err := r.view(ctx, q, func(tx ReadTx, repo *Repository) error {
		if err := checkDigest("subjectId.imageDigest", string(in.Subject)); err != nil {
			return err
		}
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
	return out, next, err
}

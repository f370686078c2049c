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

// StoredImage is an image with its manifest and the id that it was asked by.
type StoredImage struct {
	Image
	ID       ImageID
	Manifest []byte
}

// BatchGetImage returns the images that the ids name, in the order of the ids,
// and a failure for each id that names none. An image asked for by tag has that
// tag in its id. It counts as a pull of each. Errors: RepositoryNotFoundException.
func (r *Registry) BatchGetImage(ctx context.Context, c access.Caller, in BatchGetImageInput) ([]StoredImage, []ImageFailure, error) {
	var images []StoredImage
	var failures []ImageFailure
	var uid string
	q := request{caller: c, event: "BatchGetImage", ref: in.Ref, params: in, readOnly: true}
	err := r.view(ctx, q, func(tx ReadTx, repo *Repository) error {
		uid, images, failures = repo.UID, images[:0], failures[:0]
		for _, id := range in.IDs {
			img, failure, err := r.getImage(tx, repo, id)
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
		r.meter.add(Usage{Ref: in.Ref, RepositoryUID: uid, Principal: c.ARN, Pulls: 1, BytesOut: images[i].ManifestSize})
	}
	return images, failures, err
}

func (r *Registry) getImage(tx ReadTx, repo *Repository, id ImageID) (*StoredImage, *ImageFailure, error) {
	img, failure, err := find(tx, repo, id)
	if err != nil || failure != nil {
		return nil, failure, err
	}
	o, err := tx.Manifest(img)
	if err != nil {
		return nil, nil, err
	}
	return &StoredImage{*img, ImageID{img.Digest, id.Tag}, o.Content}, nil, nil
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
		out, err = tx.ImageIDs(repo.UID, in.Filter, splitID(token), limit+1)
		if err != nil || len(out) <= limit {
			return err
		}
		out = out[:limit]
		next = r.pages.seal(joinID(out[limit-1]), "ListImages", repo)
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
		out, err = tx.Images(repo.UID, in.Filter, digest.Digest(after), limit+1)
		if err != nil || len(out) <= limit {
			return err
		}
		out = out[:limit]
		next = r.pages.seal(string(out[limit-1].Digest), "DescribeImages", repo)
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
// allowed ecr:ListImages. Errors: RepositoryNotFoundException.
func (r *Registry) TagNames(ctx context.Context, c access.Caller, ref Ref, last string, limit int) ([]string, error) {
	var out []string
	q := request{caller: c, event: "ListImages", ref: ref, readOnly: true}
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
}

// ReferrersInput is what Referrers is asked for.
type ReferrersInput struct {
	Ref
	Subject      digest.Digest `json:"subjectId"`
	ArtifactType string        `json:"artifactType,omitempty"` // "" for all
	After        digest.Digest `json:"-"`                      // where to go on; "" for the start
	Limit        int           `json:"-"`
}

// Referrers returns at most in.Limit images whose subject is in.Subject, in the
// order of their digests. The subject need not exist. The caller must be allowed
// ecr:BatchGetImage. Errors: RepositoryNotFoundException,
// InvalidParameterException.
func (r *Registry) Referrers(ctx context.Context, c access.Caller, in ReferrersInput) ([]Referrer, error) {
	var out []Referrer
	q := request{caller: c, event: "ListImageReferrers", action: "BatchGetImage", ref: in.Ref, params: in, readOnly: true}
	err := r.view(ctx, q, func(tx ReadTx, repo *Repository) error {
		if err := checkDigest("subjectId.imageDigest", string(in.Subject)); err != nil {
			return err
		}
		var err error
		out, err = tx.Referrers(repo.UID, in.Subject, in.ArtifactType, in.After, in.Limit)
		return err
	})
	return out, err
}

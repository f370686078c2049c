package registry

import (
	"context"
	"time"

	"berth/internal/access"
)

// TaggedImage is a tag and the image that it is on.
type TaggedImage struct {
	Tag      string
	TaggedAt time.Time // when it was put on that image
	Image    Image
}

// DescribeImageTagsInput is what DescribeImageTags is asked for.
type DescribeImageTagsInput struct {
	Ref
	Page Page `json:"-"`
}

// DescribeImageTags returns a page of the repository's tags, in byte order.
// Errors: RepositoryNotFoundException, InvalidParameterException for a token of
// another listing.
func (r *Registry) DescribeImageTags(ctx context.Context, c access.Caller, in DescribeImageTagsInput) ([]TaggedImage, NextToken, error) {
	var out []TaggedImage
	var next NextToken
	q := request{caller: c, event: "DescribeImageTags", ref: in.Ref, params: in, readOnly: true}
	err := r.view(ctx, q, func(tx ReadTx, repo *Repository) error {
		after, err := r.pages.open(in.Page.Token, "DescribeImageTags", repo)
		if err != nil {
			return err
		}
		limit := in.Page.size(100, 1000)
		if out, err = tx.TaggedImages(repo.UID, after, limit+1); err != nil {
			return err
		}
		out, next = cut(r.pages, out, limit, func(t TaggedImage) string { return t.Tag }, "DescribeImageTags", repo)
		return nil
	})
	return out, next, err
}

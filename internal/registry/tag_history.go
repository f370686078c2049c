package registry

import (
	"context"
	"math"
	"strconv"
	"time"

	"berth/internal/access"
	"berth/internal/fault"

	"github.com/opencontainers/go-digest"
)

// TagHistoryLength is how many of a tag's changes are kept: the last ones.
const TagHistoryLength = 1000

// Stamp says when something was changed, and by whom.
type Stamp struct {
	Time      time.Time
	Principal string // its ARN; "" for the service itself
	Policy    bool   // a lifecycle policy did it
}

// policyCaller is the type of the caller that a lifecycle policy is when it
// changes something. No front can make one.
const policyCaller access.Type = "LifecyclePolicy"

// stamp returns the stamp of what a caller changes now.
func (r *Registry) stamp(c access.Caller) Stamp {
	return Stamp{Time: r.now(), Principal: c.ARN, Policy: c.Type == policyCaller}
}

// TagChange is one entry of a tag's history.
type TagChange struct {
	Number    int64         `json:"-"` // the changes of a tag are counted from 1
	Time      time.Time     `json:"time"`
	Digest    digest.Digest `json:"imageDigest,omitempty"`     // of the image that the tag is on from then on; "" if on none
	Principal string        `json:"principal,omitempty"`       // its ARN; "" for the service itself, or if it is not known
	Policy    bool          `json:"lifecyclePolicy,omitempty"` // a lifecycle policy did it
}

// TagHistoryInput is what TagHistory is asked for.
type TagHistoryInput struct {
	Ref
	Tag  string `json:"imageTag"`
	Page Page   `json:"-"`
}

// TagHistory returns a page of what has happened to a tag of the repository, the
// newest first: nothing if there never was such a tag. The caller must be allowed
// ecr:DescribeImages. Errors: RepositoryNotFoundException,
// InvalidParameterException.
func (r *Registry) TagHistory(ctx context.Context, c access.Caller, in TagHistoryInput) ([]TagChange, NextToken, error) {
	var out []TagChange
	var next NextToken
	q := request{caller: c, event: "TagHistory", action: "DescribeImages", ref: in.Ref, params: in, readOnly: true}
	err := r.view(ctx, q, func(tx ReadTx, repo *Repository) error {
		if err := checkTag(in.Tag); err != nil {
			return err
		}
		operation := "TagHistory " + in.Tag
		from, err := r.pages.open(in.Page.Token, operation, repo)
		if err != nil {
			return err
		}
		before := int64(math.MaxInt64)
		if from != "" {
			if before, err = strconv.ParseInt(from, 10, 64); err != nil {
				return err
			}
		}
		limit := in.Page.size(100, TagHistoryLength)
		if out, err = tx.TagHistory(repo.UID, in.Tag, before, limit+1); err != nil {
			return err
		}
		key := func(c TagChange) string { return strconv.FormatInt(c.Number, 10) }
		out, next = cut(r.pages, out, limit, key, operation, repo)
		return nil
	})
	return out, next, err
}

// RollbackTagInput is what RollbackTag is asked for.
type RollbackTagInput struct {
	Ref
	Tag    string        `json:"imageTag"`
	Digest digest.Digest `json:"imageDigest,omitempty"` // "" for the one that the tag was on before
}

// Rollback is a tag that was moved back.
type Rollback struct {
	Tag      string        `json:"imageTag"`
	Digest   digest.Digest `json:"imageDigest"`
	Previous digest.Digest `json:"previousImageDigest,omitempty"` // where the tag was until then; "" if nowhere
}

// RollbackTag puts a tag of the repository on an image that it was on before: on
// the last other one, or on the one that is named. A tag that is gone comes back
// on the image that it was last on. It is what a push of the image under that tag
// would be, with the same rules, event and permission: ecr:PutImage.
//
// Errors: RepositoryNotFoundException, InvalidParameterException,
// ImageNotFoundException if there is no such image or it cannot be pulled,
// ImageTagAlreadyExistsException, ImageAlreadyExistsException if the tag is on
// that image, LimitExceededException.
func (r *Registry) RollbackTag(ctx context.Context, c access.Caller, in RollbackTagInput) (Rollback, error) {
	var out Rollback
	q := request{caller: c, event: "RollbackTag", action: "PutImage", ref: in.Ref, params: in, lock: LockChange, images: rolledBack(in)}
	err := r.update(ctx, q, func(tx Tx, repo *Repository) error {
		if err := checkTag(in.Tag); err != nil {
			return err
		}
		if in.Digest != "" {
			if err := checkDigest("imageDigest", string(in.Digest)); err != nil {
				return err
			}
		}
		on, err := tx.ImageByTag(repo.UID, in.Tag)
		if err != nil {
			return err
		}
		out = Rollback{Tag: in.Tag}
		if on != nil {
			out.Previous = on.Digest
		}
		if out.Digest, err = rollbackTarget(tx, repo, in, out.Previous); err != nil {
			return err
		}
		return r.moveTag(tx, repo, in.Tag, out.Digest, c)
	})
	return out, err
}

// rollbackTarget returns the digest of the image that a tag is to go back to.
func rollbackTarget(tx ReadTx, repo *Repository, in RollbackTagInput, present digest.Digest) (digest.Digest, error) {
	history, err := tx.TagHistory(repo.UID, in.Tag, math.MaxInt64, TagHistoryLength)
	if err != nil {
		return "", err
	}
	for _, h := range history {
		if h.Digest != "" && (h.Digest == in.Digest || in.Digest == "" && h.Digest != present) {
			return h.Digest, nil
		}
	}
	if in.Digest != "" {
		return "", errRollback(repo.Ref, in.Tag, "it was never on the image with digest '"+string(in.Digest)+"', as far as its history goes back")
	}
	return "", errRollback(repo.Ref, in.Tag, "it was on no other image, as far as its history goes back")
}

// moveTag puts a tag on an image that it was on before.
func (r *Registry) moveTag(tx Tx, repo *Repository, tag string, d digest.Digest, c access.Caller) error {
	img, err := tx.Image(repo.UID, d)
	switch {
	case err != nil:
		return err
	case img == nil:
		return errRollback(repo.Ref, tag, "the image with digest '"+string(d)+"' was deleted")
	case img.Status != Active:
		return errRollback(repo.Ref, tag, "the image with digest '"+string(d)+"' is archived (its status is "+string(img.Status)+")")
	}
	moved, err := r.putTags(tx, repo, PutImageInput{Ref: repo.Ref, Tags: []string{tag}, Digest: d}, img, false, false, c)
	if err != nil {
		return err
	}
	if len(moved) == 0 {
		return errImageExists(repo.Ref, d, tag)
	}
	if err := r.admitTags(tx, repo, img, false, len(moved)); err != nil {
		return err
	}
	return r.emitPush(tx, repo, img, moved, c)
}

func errRollback(ref Ref, tag, reason string) error {
	return fault.New(fault.NotFound, "ImageNotFoundException",
		"The image tag '%s' in the repository with name '%s' in the registry with id '%s' cannot be rolled back: %s", tag, ref.Name, ref.Account, reason)
}

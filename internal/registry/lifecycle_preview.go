package registry

import (
	"context"
	"strings"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/lifecycle"

	"github.com/opencontainers/go-digest"
)

// PreviewStatus is how far a preview has come.
type PreviewStatus string

// The states of a preview.
const (
	PreviewInProgress PreviewStatus = "IN_PROGRESS"
	PreviewComplete   PreviewStatus = "COMPLETE"
	PreviewExpired    PreviewStatus = "EXPIRED"
	PreviewFailed     PreviewStatus = "FAILED"
)

// previewLife is how long the results of a preview are kept.
const previewLife = 24 * time.Hour

// LifecyclePreview is what a policy would do to the images of a repository.
type LifecyclePreview struct {
	Repository    string // its UID
	ID            string // another one for each preview
	Text          string // of the policy
	Status        PreviewStatus
	EndedAt       time.Time // zero while it is in progress
	DueAt         time.Time // when there is something to do about it; zero if never
	Expiring      int       // images that would be deleted
	Transitioning int       // images that would be archived
}

// at returns the preview as it is to be shown at a time.
func (p *LifecyclePreview) at(now time.Time) *LifecyclePreview {
	if p.Status == PreviewComplete && !now.Before(p.EndedAt.Add(previewLife)) {
		p.Status = PreviewExpired
	}
	return p
}

// LifecycleResult is what a policy would do to an image.
type LifecycleResult struct {
	Digest   digest.Digest
	Tags     []string
	PushedAt time.Time
	Action   lifecycle.Action
	Priority int // of the rule; 0 if the image goes because another one does or did
	Class    lifecycle.Class
}

// StartLifecyclePolicyPreviewInput is what StartLifecyclePolicyPreview is asked
// for.
type StartLifecyclePolicyPreviewInput struct {
	Ref
	Text string `json:"lifecyclePolicyText,omitempty"` // "" for the repository's policy
}

// StartLifecyclePolicyPreview begins to find out, in the background, what a
// policy would do to the repository's images as they are. Errors:
// RepositoryNotFoundException, InvalidParameterException,
// LifecyclePolicyNotFoundException, LifecyclePolicyPreviewInProgressException.
func (r *Registry) StartLifecyclePolicyPreview(ctx context.Context, c access.Caller, in StartLifecyclePolicyPreviewInput) (*LifecyclePreview, error) {
	var p *LifecyclePreview
	q := request{caller: c, event: "StartLifecyclePolicyPreview", ref: in.Ref, params: in, lock: LockChange}
	given := parseLifecycle(in.Text)
	err := r.update(ctx, q, func(tx Tx, repo *Repository) error {
		text := in.Text
		if text != "" {
			if _, err := given.in(tx, repo.ID); err != nil {
				return err
			}
		} else {
			stored, err := lifecyclePolicy(tx, repo)
			if err != nil {
				return err
			}
			text = stored.Text
		}
		last, err := tx.LifecyclePreview(repo.UID)
		if err != nil {
			return err
		}
		if last != nil && last.Status == PreviewInProgress {
			return errPreviewInProgress()
		}
		p = &LifecyclePreview{Repository: repo.UID, ID: newID(), Text: text, Status: PreviewInProgress, DueAt: r.now()}
		return tx.PutLifecyclePreview(p)
	})
	if err == nil {
		r.WakeLifecycle()
	}
	return p, err
}

// GetLifecyclePolicyPreviewInput is what GetLifecyclePolicyPreview is asked for:
// either ids, or a page of all.
type GetLifecyclePolicyPreviewInput struct {
	Ref
	IDs       []ImageID `json:"imageIds,omitempty"`
	TagStatus TagStatus `json:"tagStatus,omitempty"`
	Page      Page      `json:"-"`
}

// GetLifecyclePolicyPreview returns the repository's last preview and, if it is
// complete, a page of the images that something would happen to, in the order of
// their digests, or those that the ids name. Results are kept for a day. Errors:
// RepositoryNotFoundException, LifecyclePolicyPreviewNotFoundException,
// InvalidParameterException.
func (r *Registry) GetLifecyclePolicyPreview(ctx context.Context, c access.Caller, in GetLifecyclePolicyPreviewInput) (*LifecyclePreview, []LifecycleResult, NextToken, error) {
	var p *LifecyclePreview
	var out []LifecycleResult
	var next NextToken
	q := request{caller: c, event: "GetLifecyclePolicyPreview", ref: in.Ref, params: in, readOnly: true}
	err := r.view(ctx, q, func(tx ReadTx, repo *Repository) error {
		out, next = nil, ""
		if len(in.IDs) > 0 && in.Page != (Page{}) {
			return invalidParameter("imageIds", "nextToken and maxResults cannot be used with imageIds")
		}
		for _, id := range in.IDs {
			if f := id.check(); f != nil {
				return fault.New(fault.Invalid, "InvalidParameterException", "%s", f.Reason)
			}
		}
		after, err := r.pages.open(in.Page.Token, "GetLifecyclePolicyPreview", repo)
		if err != nil {
			return err
		}
		if p, err = tx.LifecyclePreview(repo.UID); err != nil {
			return err
		}
		if p == nil {
			return errPreviewNotFound()
		}
		of, after, _ := strings.Cut(after, " ") // the pages of each preview are apart
		if of != "" && of != p.ID {
			return invalidParameter("nextToken", "Invalid token")
		}
		if p.at(r.now()).Status != PreviewComplete {
			return nil
		}
		if len(in.IDs) > 0 {
			out, err = previewOf(tx, repo, in)
			return err
		}
		limit := in.Page.size(100, 100)
		out, err = tx.LifecycleResults(repo.UID, in.TagStatus, digest.Digest(after), limit+1)
		if err != nil || len(out) <= limit {
			return err
		}
		out = out[:limit]
		next = r.pages.seal(p.ID+" "+string(out[limit-1].Digest), "GetLifecyclePolicyPreview", repo)
		return nil
	})
	return p, out, next, err
}

// previewOf returns the results for the images that the ids name, which are
// valid, in their order. Images that nothing would happen to, or that are not
// there, have none.
func previewOf(tx ReadTx, repo *Repository, in GetLifecyclePolicyPreviewInput) ([]LifecycleResult, error) {
	var out []LifecycleResult
	seen := map[digest.Digest]bool{}
	for _, id := range in.IDs {
		d := id.Digest
		if id.Tag != "" {
			img, failure, err := find(tx, repo, id)
			if err != nil {
				return nil, err
			}
			if failure != nil {
				continue
			}
			d = img.Digest
		}
		if seen[d] {
			continue
		}
		seen[d] = true
		result, err := tx.LifecycleResult(repo.UID, in.TagStatus, d)
		if err != nil {
			return nil, err
		}
		if result != nil {
			out = append(out, *result)
		}
	}
	return out, nil
}

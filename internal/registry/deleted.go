package registry

import (
	"context"
	"strconv"
	"strings"
	"time"

	"berth/internal/access"

	"github.com/opencontainers/go-digest"
)

// DeletedImage is an image that was deleted, or that is in a repository that was.
// Its Tags are those that it had then.
type DeletedImage struct {
	Image
	DeletedAt       time.Time
	DeletedBy       string    // the principal's ARN; "" for a lifecycle policy, or if it is not known
	RestorableUntil time.Time // filled in by Registry.ListDeletedImages only
}

// DeletedRepository is a repository that was deleted.
type DeletedRepository struct {
	Repository
	RestorableUntil time.Time
}

// Deletion is the place of something deleted in a list, the last first. The zero
// Deletion is the start.
type Deletion struct {
	At  time.Time
	UID string
}

// key returns the place as it is sealed in a page token.
func (d Deletion) key() string { return strconv.FormatInt(d.At.UnixMicro(), 10) + " " + d.UID }

// parseDeletion reads a place that was sealed.
func parseDeletion(key string) (Deletion, error) {
	if key == "" {
		return Deletion{}, nil
	}
	at, uid, _ := strings.Cut(key, " ")
	n, err := strconv.ParseInt(at, 10, 64)
	return Deletion{time.UnixMicro(n), uid}, err
}

// restorableSince returns the time after which things must have been deleted to
// be restored now.
func (r *Registry) restorableSince() time.Time { return r.now().Add(-r.retention) }

// restorable reports whether what was deleted at a time can be restored now.
func (r *Registry) restorable(deleted time.Time) bool { return deleted.After(r.restorableSince()) }

// deletionPage opens a page token of a list of what was deleted.
func (r *Registry) deletionPage(p Page, operation string, of any) (Deletion, error) {
	key, err := r.pages.open(p.Token, operation, of)
	if err != nil {
		return Deletion{}, err
	}
	return parseDeletion(key)
}

// ListDeletedRepositoriesInput is what ListDeletedRepositories is asked for.
type ListDeletedRepositoriesInput struct {
	ID
	Page Page `json:"-"`
}

// ListDeletedRepositories returns a page of the repositories that can be
// restored, the one that was deleted last first. A name is there as often as
// repositories of that name were deleted. The caller must be allowed
// ecr:DescribeRepositories.
func (r *Registry) ListDeletedRepositories(ctx context.Context, c access.Caller, in ListDeletedRepositoriesInput) ([]DeletedRepository, NextToken, error) {
	const event = "ListDeletedRepositories"
	var out []DeletedRepository
	var next NextToken
	q := request{caller: c, event: event, action: "DescribeRepositories", ref: Ref{ID: in.ID, Name: "*"}, params: in, readOnly: true}
	err := r.viewAll(ctx, q, func(tx ReadTx) error {
		out = nil
		after, err := r.deletionPage(in.Page, event, in.ID)
		if err != nil || r.retention == 0 {
			return err
		}
		limit := in.Page.size(100, 1000)
		found, err := tx.DeletedRepositories(in.ID, r.restorableSince(), after, limit+1)
		if err != nil {
			return err
		}
		place := func(d Repository) string { return Deletion{d.DeletedAt, d.UID}.key() }
		found, next = cut(r.pages, found, limit, place, event, in.ID)
		for _, repo := range found {
			out = append(out, DeletedRepository{repo, repo.DeletedAt.Add(r.retention)})
		}
		return nil
	})
	return out, next, err
}

// ListDeletedImagesInput is what ListDeletedImages is asked for.
type ListDeletedImagesInput struct {
	Ref
	UID  string `json:"repositoryUid,omitempty"` // of a deleted repository
	Page Page   `json:"-"`
}

// ListDeletedImages returns a page of the images that can be restored in the
// repository, the one that was deleted last first. If the repository was deleted,
// or a UID of a deleted one is given, it is the images that come back with the
// repository, in the order of their digests. The caller must be allowed
// ecr:DescribeImages. Errors: RepositoryNotFoundException,
// InvalidParameterException.
func (r *Registry) ListDeletedImages(ctx context.Context, c access.Caller, in ListDeletedImagesInput) ([]DeletedImage, NextToken, error) {
	var out []DeletedImage
	var next NextToken
	q := request{caller: c, event: "ListDeletedImages", action: "DescribeImages", ref: in.Ref, params: in, readOnly: true}
	err := r.viewTx(ctx, q, func(tx ReadTx) error {
		repo, err := r.openDeleted(ctx, tx, q, in.UID)
		if err != nil {
			return err
		}
		if repo.DeletedAt.IsZero() {
			out, next, err = r.deletedImages(tx, repo, in.Page)
		} else {
			out, next, err = r.imagesOfDeleted(tx, repo, in.Page)
		}
		for i := range out {
			out[i].RestorableUntil = out[i].DeletedAt.Add(r.retention)
		}
		return err
	})
	return out, next, err
}

// openDeleted is open for calls that may be about a deleted repository: the one of
// that UID or, if it is "" and no repository of that name lives, the last one.
func (r *Registry) openDeleted(ctx context.Context, tx ReadTx, q request, uid string) (*Repository, error) {
	var repo *Repository
	var err error
	if uid == "" {
		repo, err = tx.Repository(q.ref, q.lock)
	}
	if err == nil && repo == nil {
		repo, err = tx.DeletedRepository(q.ref, cleanUID(uid), q.lock)
	}
	if err != nil {
		return nil, err
	}
	if err := r.decide(ctx, tx, q, repo); err != nil {
		return nil, err
	}
	if err := checkUID(uid); err != nil {
		return nil, err
	}
	if repo == nil || !repo.DeletedAt.IsZero() && !r.restorable(repo.DeletedAt) {
		return nil, errRepositoryNotFound(q.ref)
	}
	return repo, nil
}

func (r *Registry) deletedImages(tx ReadTx, repo *Repository, p Page) ([]DeletedImage, NextToken, error) {
	const operation = "ListDeletedImages"
	after, err := r.deletionPage(p, operation, repo)
	if err != nil || r.retention == 0 {
		return nil, "", err
	}
	limit := p.size(100, 1000)
	found, err := tx.DeletedImages(repo.UID, r.restorableSince(), after, limit+1)
	place := func(d DeletedImage) string { return Deletion{d.DeletedAt, d.UID}.key() }
	out, next := cut(r.pages, found, limit, place, operation, repo)
	return out, next, err
}

// imagesOfDeleted returns images that a deleted repository had.
func (r *Registry) imagesOfDeleted(tx ReadTx, repo *Repository, p Page) ([]DeletedImage, NextToken, error) {
	const operation = "ListImagesOfDeletedRepository"
	after, err := r.pages.open(p.Token, operation, repo)
	if err != nil {
		return nil, "", err
	}
	limit := p.size(100, 1000)
	found, err := tx.Images(repo.UID, Filter{}, digest.Digest(after), limit+1)
	found, next := cut(r.pages, found, limit, func(i Image) string { return string(i.Digest) }, operation, repo)
	var out []DeletedImage
	for _, i := range found {
		out = append(out, DeletedImage{Image: i, DeletedAt: repo.DeletedAt, DeletedBy: repo.DeletedBy})
	}
	return out, next, err
}

package registry

import (
	"context"
	"strings"
	"time"

	"berth/internal/access"
	"berth/internal/policy"
)

// maxExclusions is how many principals a registry can exclude.
const maxExclusions = 100

// Exclusion is a principal, a role or a user of IAM, whose pulls leave no trace
// in the pull times of a registry's images.
type Exclusion struct {
	ID
	PrincipalARN string `json:"principalArn"`
}

// PullTimeSubject returns what a principal and those who act as it have in
// common: for a role and for each of its sessions, the role's ARN without the
// path, which the ARN of a session does not tell; for all others the ARN itself.
func PullTimeSubject(principalARN string) string {
	a, ok := policy.ParseARN(principalARN)
	if !ok {
		return principalARN
	}
	kind, name, _ := strings.Cut(a.Resource, "/")
	switch a.Service + " " + kind {
	case "sts assumed-role":
		name, _, _ = strings.Cut(name, "/")
	case "iam role":
		name = name[strings.LastIndexByte(name, '/')+1:]
	default:
		return principalARN
	}
	a.Service, a.Resource = "iam", "role/"+name
	return a.String()
}

// RegisterPullTimeUpdateExclusion excludes a principal and returns since when it
// is excluded. It concerns later pulls. Errors: ExclusionAlreadyExistsException,
// LimitExceededException.
func (r *Registry) RegisterPullTimeUpdateExclusion(ctx context.Context, c access.Caller, in Exclusion) (time.Time, error) {
	var at time.Time
	q := request{caller: c, event: "RegisterPullTimeUpdateExclusion", ref: Ref{ID: in.ID}, params: in}
	err := r.configure(ctx, q, "pull time exclusion "+in.PrincipalARN, func(tx Tx) error {
		if err := checkText("principalArn", in.PrincipalARN); err != nil {
			return err
		}
		at = r.now()
		inserted, err := tx.InsertExclusion(in.ID, in.PrincipalARN, at)
		if err != nil {
			return err
		}
		if !inserted {
			return errExclusionExists(in.ID, in.PrincipalARN)
		}
		all, err := tx.PullTimeExclusions(in.ID, "", maxExclusions+1)
		if err == nil && len(all) > maxExclusions {
			err = errTooManyExclusions()
		}
		return err
	})
	return at, err
}

// DeregisterPullTimeUpdateExclusion ends the exclusion of a principal. Errors:
// ExclusionNotFoundException.
func (r *Registry) DeregisterPullTimeUpdateExclusion(ctx context.Context, c access.Caller, in Exclusion) error {
	q := request{caller: c, event: "DeregisterPullTimeUpdateExclusion", ref: Ref{ID: in.ID}, params: in}
	return r.configure(ctx, q, "pull time exclusion "+in.PrincipalARN, func(tx Tx) error {
		if err := checkText("principalArn", in.PrincipalARN); err != nil {
			return err
		}
		deleted, err := tx.DeleteExclusion(in.ID, in.PrincipalARN)
		if err == nil && !deleted {
			err = errExclusionNotFound(in.ID, in.PrincipalARN)
		}
		return err
	})
}

// ListPullTimeUpdateExclusions returns a page of the principals that are
// excluded, in byte order of their ARNs. Errors: InvalidParameterException for a
// token of another listing.
func (r *Registry) ListPullTimeUpdateExclusions(ctx context.Context, c access.Caller, id ID, p Page) ([]string, NextToken, error) {
	const event = "ListPullTimeUpdateExclusions"
	var out []string
	var next NextToken
	err := r.viewAll(ctx, request{caller: c, event: event, ref: Ref{ID: id}, readOnly: true}, func(tx ReadTx) error {
		after, err := r.pages.open(p.Token, event, id)
		if err != nil {
			return err
		}
		limit := p.size(100, 1000)
		if out, err = tx.PullTimeExclusions(id, after, limit+1); err == nil {
			out, next = cut(r.pages, out, limit, func(arn string) string { return arn }, event, id)
		}
		return err
	})
	return out, next, err
}

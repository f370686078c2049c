package registry

import (
	"context"
	"maps"
	"strings"
	"unicode/utf8"

	"berth/internal/access"
	"berth/internal/policy"
)

const maxResourceTags = 50

// checkResourceTags returns InvalidTagParameterException or
// TooManyTagsException if the tags of a resource break a rule.
func checkResourceTags(tags map[string]string) error {
	if len(tags) > maxResourceTags {
		return errTooManyTags()
	}
	for _, k := range sortedKeys(tags) {
		if n := utf8.RuneCountInString(k); n < 1 || n > 128 {
			return errInvalidTag("A tag key must have 1 to 128 characters.")
		}
		if utf8.RuneCountInString(tags[k]) > 256 {
			return errInvalidTag("The value of tag '%s' has more than 256 characters.", k)
		}
		if hasControl(k) || hasControl(tags[k]) {
			return errInvalidTag("The tag %q has control characters.", k)
		}
		if strings.HasPrefix(strings.ToLower(k), "aws:") {
			return errInvalidTag("The tag key '%s' is invalid: keys that begin with 'aws:' are reserved.", k)
		}
	}
	return nil
}

// requestTags returns the condition keys that tags in a request set.
func requestTags(tags map[string]string) map[string][]string {
	if len(tags) == 0 {
		return nil
	}
	out := map[string][]string{"aws:TagKeys": sortedKeys(tags)}
	for k, v := range tags {
		out["aws:RequestTag/"+k] = []string{v}
	}
	return out
}

// ParseRepositoryARN returns the repository, private or public, that an ARN names.
// The error is InvalidParameterException.
func ParseRepositoryARN(s string) (Ref, error) {
	a, ok := policy.ParseARN(s)
	name, isRepository := strings.CutPrefix(a.Resource, "repository/")
	public := a.Service == "ecr-public" && a.Region == ""
	private := a.Service == "ecr" && ValidRegion(a.Region)
	if !ok || !public && !private || !isRepository || !ValidAccount(a.Account) {
		return Ref{}, invalidParameter("resourceArn", "Invalid ARN")
	}
	if public {
		a.Region = PublicRegion
	}
	n, err := ParseRepositoryName(name)
	if err != nil {
		return Ref{}, invalidParameter("resourceArn", "Invalid ARN")
	}
	return Ref{ID{a.Account, a.Region}, n}, nil
}

// TagResourceInput is what TagResource is asked for.
type TagResourceInput struct {
	Ref
	Tags map[string]string `json:"tags"`
}

// TagResource adds tags to a repository; a key that is there already gets the
// new value. Errors: RepositoryNotFoundException, InvalidTagParameterException,
// TooManyTagsException.
func (r *Registry) TagResource(ctx context.Context, c access.Caller, in TagResourceInput) error {
	q := request{caller: c, event: "TagResource", ref: in.Ref, params: in, lock: LockChange, context: requestTags(in.Tags)}
	return r.update(ctx, q, func(tx Tx, repo *Repository) error {
		tags := maps.Clone(repo.Tags)
		if tags == nil {
			tags = map[string]string{}
		}
		maps.Copy(tags, in.Tags)
		if err := checkResourceTags(tags); err != nil {
			return err
		}
		return r.setResourceTags(tx, repo, tags)
	})
}

// UntagResourceInput is what UntagResource is asked for.
type UntagResourceInput struct {
	Ref
	Keys []string `json:"tagKeys"`
}

// UntagResource removes tags from a repository; keys that are not there are no
// error. Errors: RepositoryNotFoundException.
func (r *Registry) UntagResource(ctx context.Context, c access.Caller, in UntagResourceInput) error {
	q := request{caller: c, event: "UntagResource", ref: in.Ref, params: in, lock: LockChange,
		context: map[string][]string{"aws:TagKeys": in.Keys}}
	return r.update(ctx, q, func(tx Tx, repo *Repository) error {
		tags := maps.Clone(repo.Tags)
		for _, k := range in.Keys {
			delete(tags, k)
		}
		return r.setResourceTags(tx, repo, tags)
	})
}

func (r *Registry) setResourceTags(tx Tx, repo *Repository, tags map[string]string) error {
	repo.Tags = tags
	if err := tx.UpdateRepository(repo); err != nil {
		return err
	}
	return tx.Emit(Event{Kind: RepositoryChanged, Ref: repo.Ref, RepositoryUID: repo.UID, Time: r.now()})
}

// ListTagsForResource returns a repository's resource tags. Errors:
// RepositoryNotFoundException.
func (r *Registry) ListTagsForResource(ctx context.Context, c access.Caller, ref Ref) (map[string]string, error) {
	var tags map[string]string
	q := request{caller: c, event: "ListTagsForResource", ref: ref, readOnly: true}
	err := r.view(ctx, q, func(_ ReadTx, repo *Repository) error {
		tags = repo.Tags
		return nil
	})
	return tags, err
}

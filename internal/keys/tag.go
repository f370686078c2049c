package keys

import (
	"context"
	"slices"
	"strings"
	"unicode"

	"berth/internal/access"
	"berth/internal/page"
)

const (
	maxTags     = 50
	maxTagKey   = 128
	maxTagValue = 256
)

// checkTags checks new tags. Errors: TagException, LimitExceededException.
func checkTags(tags []Tag) error {
	seen := map[string]bool{}
	for _, t := range tags {
		switch {
		case seen[t.Key]:
			return errTag("Duplicate tag keys are not allowed.")
		case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
			return errTag("Tag keys that begin with aws: are reserved for AWS.")
		case t.Key == "" || len([]rune(t.Key)) > maxTagKey || len([]rune(t.Value)) > maxTagValue || strings.ContainsFunc(t.Key+t.Value, unicode.IsControl):
			return errTag("A tag has a key of 1 to %d characters and a value of at most %d, without control characters.", maxTagKey, maxTagValue)
		}
		seen[t.Key] = true
	}
	if len(tags) > maxTags {
		return errTooManyTags()
	}
	return nil
}

func errTooManyTags() error {
	return errLimit("The number of tags has reached the limit of %d.", maxTags)
}

func sortTags(tags []Tag) []Tag {
	slices.SortFunc(tags, func(a, b Tag) int { return strings.Compare(a.Key, b.Key) })
	return tags
}

func withoutTags(tags []Tag, keys []string) []Tag {
	return slices.DeleteFunc(slices.Clone(tags), func(t Tag) bool { return slices.Contains(keys, t.Key) })
}

// requestTags are the condition keys that tags in a request set.
func requestTags(tags []Tag) map[string][]string {
	out := map[string][]string{}
	for _, t := range tags {
		out["aws:RequestTag/"+t.Key] = []string{t.Value}
		out["aws:TagKeys"] = append(out["aws:TagKeys"], t.Key)
	}
	return out
}

// TagResource adds tags to a key. Errors: NotFoundException, InvalidArnException,
// KMSInvalidStateException, TagException, LimitExceededException.
func (k *Keyring) TagResource(ctx context.Context, c access.Call, ref string, tags []Tag) error {
	q := &request{call: c, event: "TagResource", params: params{"keyId": ref, "tags": tags}, context: requestTags(tags)}
	return k.alter(ctx, q, ref, func(key *Key) error {
		if err := checkTags(tags); err != nil {
			return err
		}
		var names []string
		for _, t := range tags {
			names = append(names, t.Key)
		}
		key.Tags = sortTags(append(withoutTags(key.Tags, names), tags...))
		if len(key.Tags) > maxTags {
			return errTooManyTags()
		}
		return nil
	}, (*Key).changeable)
}

// UntagResource removes tags from a key. Errors: NotFoundException,
// InvalidArnException, KMSInvalidStateException.
func (k *Keyring) UntagResource(ctx context.Context, c access.Call, ref string, keys []string) error {
	q := &request{call: c, event: "UntagResource", params: params{"keyId": ref, "tagKeys": keys}}
	if len(keys) > 0 {
		q.context = map[string][]string{"aws:TagKeys": keys}
	}
	return k.alter(ctx, q, ref, func(key *Key) error {
		key.Tags = withoutTags(key.Tags, keys)
		return nil
	}, (*Key).changeable)
}

// ListResourceTags returns the tags of a key by their keys. Errors: NotFoundException,
// InvalidArnException, InvalidMarkerException.
func (k *Keyring) ListResourceTags(ctx context.Context, c access.Call, ref string, p Page) (tags []Tag, next string, err error) {
	q := &request{call: c, event: "ListResourceTags", params: params{"keyId": ref}}
	err = k.view(ctx, q, func(tx ReadTx) error {
		key, err := k.open(ctx, tx, q, ref)
		if err != nil {
			return err
		}
		l, err := k.listing(q, p, maxTags, maxTags, key.ID)
		tags, next = page.Pick(l, key.Tags, func(t Tag) string { return t.Key })
		return err
	})
	return tags, next, err
}

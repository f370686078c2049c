package identity

import (
	"context"
	"slices"
	"strings"

	"berth/internal/access"
	"berth/internal/page"
)

const maxTags = 50

// checkTags checks new tags. Errors: InvalidInput.
func checkTags(tags []Tag) error {
	seen := map[string]bool{}
	for _, t := range tags {
		key := nameKey(t.Key)
		if seen[key] {
			return errInput("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		if strings.HasPrefix(key, "aws:") {
			return errInput("Tag keys that begin with aws: are reserved for AWS.")
		}
		seen[key] = true
	}
	if len(tags) > maxTags {
		return errTooManyTags()
	}
	return nil
}

func errTooManyTags() error {
	return errLimit("The number of tags has reached the maximum limit of %d.", maxTags)
}

func sortTags(tags []Tag) []Tag {
	slices.SortFunc(tags, func(a, b Tag) int { return strings.Compare(nameKey(a.Key), nameKey(b.Key)) })
	return tags
}

// withTags returns tags with new ones in addition or instead. Keys are the same
// that differ in case only. Errors: LimitExceeded.
func withTags(tags, add []Tag) ([]Tag, error) {
	if err := checkTags(add); err != nil {
		return nil, err
	}
	var names []string
	for _, t := range add {
		names = append(names, t.Key)
	}
	out := append(withoutTags(tags, names), add...)
	if len(out) > maxTags {
		return nil, errTooManyTags()
	}
	return sortTags(out), nil
}

func withoutTags(tags []Tag, keys []string) []Tag {
	return slices.DeleteFunc(slices.Clone(tags), func(t Tag) bool {
		return slices.ContainsFunc(keys, func(k string) bool { return nameKey(k) == nameKey(t.Key) })
	})
}

// requestTags are the condition keys that tags in a request set.
func requestTags(tags []Tag) map[string][]string {
	if len(tags) == 0 {
		return nil
	}
	out := map[string][]string{}
	for _, t := range tags {
		out["aws:RequestTag/"+t.Key] = []string{t.Value}
		out["aws:TagKeys"] = append(out["aws:TagKeys"], t.Key)
	}
	return out
}

// ref opens what a call names: a user or role by its name, a policy by its ARN.
func (d *Directory) ref(ctx context.Context, tx ReadTx, q *request, k Kind, ref string) (*Entity, error) {
	if k == Policy {
		return d.openPolicy(ctx, tx, q, ref)
	}
	return d.open(ctx, tx, q, k, ref)
}

// Tag adds tags to a user, a role or a policy, which is named by its ARN. Errors:
// NoSuchEntity, InvalidInput, LimitExceeded, UnmodifiableEntity.
func (d *Directory) Tag(ctx context.Context, c access.Call, k Kind, ref string, tags []Tag) error {
	q := &request{call: c, event: "Tag" + k.title(), params: params{k.parameter(): ref, "tags": tags}, context: requestTags(tags)}
	return d.retag(ctx, q, k, ref, func(old []Tag) ([]Tag, error) { return withTags(old, tags) })
}

// Untag removes tags. Errors: NoSuchEntity, UnmodifiableEntity.
func (d *Directory) Untag(ctx context.Context, c access.Call, k Kind, ref string, keys []string) error {
	q := &request{
		call: c, event: "Untag" + k.title(), params: params{k.parameter(): ref, "tagKeys": keys}, context: map[string][]string{"aws:TagKeys": keys},
	}
	return d.retag(ctx, q, k, ref, func(old []Tag) ([]Tag, error) { return withoutTags(old, keys), nil })
}

func (d *Directory) retag(ctx context.Context, q *request, k Kind, ref string, change func([]Tag) ([]Tag, error)) error {
	return d.update(ctx, q, func(tx Tx) error {
		e, err := d.ref(ctx, tx, q, k, ref)
		if err != nil {
			return err
		}
		if isBuiltIn(e) {
			return errUnmodifiable("Policy %s is managed by AWS and cannot be changed.", ref)
		}
		if e.Tags, err = change(e.Tags); err != nil {
			return err
		}
		return tx.UpdateEntity(e)
	})
}

// ListTags returns the tags of a user, a role or a policy in the order of their
// keys. Errors: NoSuchEntity.
func (d *Directory) ListTags(ctx context.Context, c access.Call, k Kind, ref string, p Page) (tags []Tag, next string, err error) {
	q := &request{call: c, event: "List" + k.title() + "Tags", params: params{k.parameter(): ref}}
	err = d.view(ctx, q, func(tx ReadTx) error {
		e, err := d.ref(ctx, tx, q, k, ref)
		if err != nil {
			return err
		}
		l, err := d.listing(q, p, e.ID)
		tags, next = page.Pick(l, e.Tags, func(t Tag) string { return nameKey(t.Key) })
		return err
	})
	return tags, next, err
}

// parameter is the name of the parameter that names an entity of the kind.
func (k Kind) parameter() string {
	if k == Policy {
		return "policyArn"
	}
	return string(k) + "Name"
}

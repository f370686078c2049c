package identity

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"berth/internal/access"
	"berth/internal/page"
)

const organizations = "organizations"

// organizationCall returns the request of an operation of AWS Organizations.
func organizationCall(c access.Call, event string, p params) *request {
	return &request{call: c, service: organizations, event: event, params: p}
}

// about sets the condition key that says which type of policy a call is about.
func (q *request) about(t ControlType) *request {
	q.context = map[string][]string{"organizations:PolicyType": {string(t)}}
	return q
}

// allow decides a call about things of the organization, by their ARNs; without
// any it is about none in particular. A refusal calls them by their ids: the ARNs
// would tell other accounts what there is, and who manages it.
func (d *Directory) allow(ctx context.Context, q *request, t *tree, arns ...string) error {
	if len(arns) == 0 {
		arns = []string{"*"}
	}
	for _, arn := range arns {
		q.label = arn[strings.LastIndexByte(arn, '/')+1:]
		if err := d.decide(ctx, q, t.Management, arn, nil); err != nil {
			return err
		}
	}
	return nil
}

// opened reads the organization for a call, which is refused if there is none.
func (d *Directory) opened(ctx context.Context, tx ReadTx, q *request) (*tree, error) {
	t, err := readTree(tx)
	if err != nil || t != nil {
		return t, err
	}
	if err := d.decide(ctx, q, d.account, "*", nil); err != nil {
		return nil, err
	}
	return nil, errNoOrganization()
}

// consult runs fn, which must decide the call, on the organization.
func (d *Directory) consult(ctx context.Context, q *request, fn func(*tree) error) error {
	return d.view(ctx, q, func(tx ReadTx) error {
		t, err := d.opened(ctx, tx, q)
		if err != nil {
			return err
		}
		return fn(t)
	})
}

// organize runs fn, which must decide the call, to change the organization. The
// change is in force here when organize returns: what was known before counts no
// more.
func (d *Directory) organize(ctx context.Context, q *request, fn func(Tx, *tree) error) error {
	err := d.update(ctx, q, func(tx Tx) error {
		if err := tx.ChangeOrganization(); err != nil {
			return err
		}
		t, err := d.opened(ctx, tx, q)
		if err != nil {
			return err
		}
		return fn(tx, t)
	})
	if err == nil {
		d.reread(ctx)
	}
	return err
}

// listed returns the page of a listing of the organization of which all items are
// there. What tells the listings of an operation apart.
func listed[T any](d *Directory, q *request, p Page, items []T, place func(T) string, what ...string) ([]T, string, error) {
	if p.Max == 0 {
		p.Max = organizationPage
	}
	l, err := d.listing(q, p, append([]string{organizations}, what...)...)
	if err != nil {
		return nil, "", errOrganizationInput("INVALID_NEXT_TOKEN", "You specified an invalid value for NextToken.")
	}
	slices.SortFunc(items, func(a, b T) int { return strings.Compare(place(a), place(b)) })
	shown, next := page.Pick(l, items, place)
	return shown, next, nil
}

// organizationPage is how many items a page has unless it is said, and at most.
const organizationPage = 20

// checkText refuses texts that not every store can keep.
func checkText(texts ...string) error {
	for _, s := range texts {
		if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
			return errOrganizationInput("INVALID_PATTERN", "You provided a value that does not match the required pattern.")
		}
	}
	return nil
}

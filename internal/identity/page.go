package identity

import (
	"strings"

	"berth/internal/seal"
)

// Page says which part of a listing is wanted.
type Page struct {
	Marker string // where to go on; "" for the start
	Max    int    // at most so many items; 0 for the default
}

const (
	pageSize = 100
	pageMost = 1000
)

// listing is one page of a listing of an operation. what tells the listings of an
// operation apart.
type listing struct {
	key     *seal.Key
	context string
	after   string
	limit   int
}

// listing opens a page. Errors: ValidationException for a marker that we did not
// make for this listing.
func (d *Directory) listing(q *request, p Page, what ...string) (listing, error) {
	l := listing{key: d.pages, context: strings.Join(append([]string{"iam", q.event, q.call.Account}, what...), "\x00"), limit: pageSize}
	if p.Max > 0 {
		l.limit = min(p.Max, pageMost)
	}
	if p.Marker == "" {
		return l, nil
	}
	b, err := seal.DecodeText(p.Marker)
	if err == nil {
		b, err = d.pages.Open(b, l.context)
	}
	if err != nil {
		return l, errValidation("The specified value for marker is invalid.")
	}
	l.after = string(b)
	return l, nil
}

// cut returns the items of the page, of which one more than its limit was asked
// for, and the marker of the next one, "" if there is none. place is where an
// item is in the listing.
func cut[T any](l listing, items []T, place func(T) string) ([]T, string) {
	if len(items) <= l.limit {
		return items, ""
	}
	items = items[:l.limit]
	return items, seal.EncodeText(l.key.Seal([]byte(place(items[l.limit-1])), l.context))
}

// pick returns the page of a listing of which all items are there, in the order
// of their places.
func pick[T any](l listing, items []T, place func(T) string) ([]T, string) {
	for len(items) > 0 && l.after != "" && place(items[0]) <= l.after {
		items = items[1:]
	}
	return cut(l, items, place)
}

func entityKey(e Entity) string { return nameKey(e.Name) }

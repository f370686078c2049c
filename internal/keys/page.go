package keys

import (
	"strings"

	"berth/internal/seal"
)

// Page says which part of a listing is wanted.
type Page struct {
	Marker string // where to go on; "" for the start
	Max    int    // at most so many items; 0 for the default
}

// listing is one page of a listing of an operation.
type listing struct {
	key     *seal.Key
	context string
	after   string
	limit   int
}

// listing opens a page of usual items unless more, but not more than most, are asked
// for. what tells the listings of an operation apart. Errors: InvalidMarkerException.
func (k *Keyring) listing(q *request, p Page, usual, most int, what ...string) (listing, error) {
	l := listing{
		key: k.pages, context: strings.Join(append([]string{"kms", q.event, q.call.Account, q.call.Region}, what...), "\x00"), limit: usual,
	}
	if p.Max > 0 {
		l.limit = min(p.Max, most)
	}
	if p.Marker == "" {
		return l, nil
	}
	b, err := seal.DecodeText(p.Marker)
	if err == nil {
		b, err = k.pages.Open(b, l.context)
	}
	if err != nil {
		return l, errMarker()
	}
	l.after = string(b)
	return l, nil
}

// cut returns the items of the page, of which one more than its limit was asked for,
// and the marker of the next one, "" if there is none. place is where an item is in
// the listing.
func cut[T any](l listing, items []T, place func(T) string) ([]T, string) {
	if len(items) <= l.limit {
		return items, ""
	}
	items = items[:l.limit]
	return items, seal.EncodeText(l.key.Seal([]byte(place(items[l.limit-1])), l.context))
}

// pick returns the page of a listing of which all items are there, in the order of
// their places.
func pick[T any](l listing, items []T, place func(T) string) ([]T, string) {
	for len(items) > 0 && l.after != "" && place(items[0]) <= l.after {
		items = items[1:]
	}
	return cut(l, items, place)
}

// Package page cuts listings into pages. Where the next page begins is told by a
// sealed marker: it shows nothing of what is listed, and is good for the listing that
// it was made for only.
package page

import (
	"errors"
	"strings"

	"berth/internal/seal"
)

// ErrMarker: the marker was not made for this listing.
var ErrMarker = errors.New("not a marker of this listing")

// Listing is one page of a listing.
type Listing struct {
	After string // the place of the last item of the page before; "" for none
	Limit int    // at most so many items

	key     *seal.Key
	context string
}

// Open returns the page after a marker that Cut returned, the first one for "". What
// tells this listing from all others is said by of. Errors: ErrMarker.
func Open(key *seal.Key, marker string, limit int, of ...string) (Listing, error) {
	l := Listing{Limit: limit, key: key, context: strings.Join(of, "\x00")}
	if marker == "" {
		return l, nil
	}
	b, err := seal.DecodeText(marker)
	if err == nil {
		b, err = key.Open(b, l.context)
	}
	if err != nil {
		return l, ErrMarker
	}
	l.After = string(b)
	return l, nil
}

// Cut returns the items of the page, of which one more than its limit was asked for,
// and the marker of the next one, "" if there is none. place is where an item is in
// the listing.
func Cut[T any](l Listing, items []T, place func(T) string) ([]T, string) {
	if len(items) <= l.Limit {
		return items, ""
	}
	items = items[:l.Limit]
	return items, l.Marker(place(items[l.Limit-1]))
}

// Marker returns the marker of the page after a place.
func (l Listing) Marker(place string) string {
	return seal.EncodeText(l.key.Seal([]byte(place), l.context))
}

// Pick is Cut for all items of a listing, in the order of their places.
func Pick[T any](l Listing, items []T, place func(T) string) ([]T, string) {
	for len(items) > 0 && l.After != "" && place(items[0]) <= l.After {
		items = items[1:]
	}
	return Cut(l, items, place)
}

package registry

import (
	"berth/internal/page"
	"berth/internal/seal"
)

// NextToken is an opaque place in a listing. "" means that there is no more.
type NextToken string

// Page says which part of a listing is wanted.
type Page struct {
	Token NextToken // where to go on; "" for the start
	Max   int       // at most so many items; 0 for the default
}

// size returns how many items to return.
func (p Page) size(standard, most int) int {
	if p.Max <= 0 {
		return standard
	}
	return min(p.Max, most)
}

// pager cuts listings. A token is good only for the operation and the thing that it
// was made for.
type pager struct{ key *seal.Key }

// open returns the place that a token is of: "" for the empty token,
// InvalidParameterException for one that we did not make for this.
func (p pager) open(t NextToken, operation string, of any) (string, error) {
	l, err := page.Open(p.key, string(t), 0, pageContext(operation, of)...)
	if err != nil {
		return "", invalidParameter("nextToken", "Invalid token")
	}
	return l.After, nil
}

// seal returns the token of the page after a place.
func (p pager) seal(after, operation string, of any) NextToken {
	return NextToken(p.first(0, operation, of).Marker(after))
}

// first returns the first page of a listing.
func (p pager) first(limit int, operation string, of any) page.Listing {
	l, _ := page.Open(p.key, "", limit, pageContext(operation, of)...) // without a marker nothing can be wrong
	return l
}

// cut returns the items of one page of a listing, of which one more than limit
// was asked for, and where the next page begins. key is the place of an item.
func cut[T any](p pager, items []T, limit int, key func(T) string, operation string, of any) ([]T, NextToken) {
	items, next := page.Cut(p.first(limit, operation, of), items, key)
	return items, NextToken(next)
}

func pageContext(operation string, of any) []string {
	switch of := of.(type) {
	case ID:
		return []string{operation, of.Account, of.Region}
	case QuotaRequestFilter:
		return []string{operation, of.Account, of.Region, of.Code, of.Status}
	case *Repository:
		return []string{operation, of.UID}
	}
	panic("registry: pages of neither a registry nor a repository")
}

package registry

import (
	"strings"

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

// pager seals the key after which a page begins. A token is good only for the
// operation and the thing that it was made for.
type pager struct{ key *seal.Key }

func (p pager) seal(after, operation string, of any) NextToken {
	return NextToken(seal.EncodeText(p.key.Seal([]byte(after), pageContext(operation, of))))
}

// open returns the key sealed in a token: "" for the empty token,
// InvalidParameterException for one that we did not make for this.
func (p pager) open(t NextToken, operation string, of any) (string, error) {
	if t == "" {
		return "", nil
	}
	b, err := seal.DecodeText(string(t))
	if err == nil {
		b, err = p.key.Open(b, pageContext(operation, of))
	}
	if err != nil {
		return "", invalidParameter("nextToken", "Invalid token")
	}
	return string(b), nil
}

// cut returns the items of one page of a listing, of which one more than limit
// was asked for, and where the next page begins. key is the place of an item.
func cut[T any](p pager, items []T, limit int, key func(T) string, operation string, of any) ([]T, NextToken) {
	if len(items) <= limit {
		return items, ""
	}
	items = items[:limit]
	return items, p.seal(key(items[limit-1]), operation, of)
}

func pageContext(operation string, of any) string {
	switch of := of.(type) {
	case ID:
		return strings.Join([]string{operation, of.Account, of.Region}, "\x00")
	case QuotaRequestFilter:
		return strings.Join([]string{operation, of.Account, of.Region, of.Code, of.Status}, "\x00")
	case *Repository:
		return strings.Join([]string{operation, of.UID}, "\x00")
	}
	panic("registry: pages of neither a registry nor a repository")
}

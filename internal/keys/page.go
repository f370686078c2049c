package keys

import "berth/internal/page"

// Page says which part of a listing is wanted.
type Page struct {
	Marker string // where to go on; "" for the start
	Max    int    // at most so many items; 0 for the default
}

// listing opens a page of usual items unless more, but not more than most, are asked
// for. what tells the listings of an operation apart. Errors: InvalidMarkerException.
func (k *Keyring) listing(q *request, p Page, usual, most int, what ...string) (page.Listing, error) {
	if p.Max > 0 {
		usual = min(p.Max, most)
	}
	l, err := page.Open(k.pages, p.Marker, usual, append([]string{"kms", q.event, q.call.Account, q.call.Region}, what...)...)
	if err != nil {
		return l, errMarker()
	}
	return l, nil
}

package identity

import "berth/internal/page"

// Page says which part of a listing is wanted.
type Page struct {
	Marker string // where to go on; "" for the start
	Max    int    // at most so many items; 0 for the default
}

const (
	pageSize = 100
	pageMost = 1000
)

// listing opens a page. what tells the listings of an operation apart. Errors:
// ValidationException for a marker that we did not make for this listing.
func (d *Directory) listing(q *request, p Page, what ...string) (page.Listing, error) {
	limit := pageSize
	if p.Max > 0 {
		limit = min(p.Max, pageMost)
	}
	l, err := page.Open(d.pages, p.Marker, limit, append([]string{"iam", q.event, q.call.Account}, what...)...)
	if err != nil {
		return l, errValidation("The specified value for marker is invalid.")
	}
	return l, nil
}

func entityKey(e Entity) string { return nameKey(e.Name) }

package oci

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"berth/internal/registry"

	"github.com/opencontainers/go-digest"
)

// LinkPath is what the paths of download links begin with.
const LinkPath = "/_berth/v1/layers/"

// LinkURL returns the path and query of a download link:
//
//	/_berth/v1/layers/<account>/<region>/<repository uid>/<digest>?expires=<unix seconds>&signature=<mac>
func LinkURL(l registry.Link) string {
	q := url.Values{"expires": {strconv.FormatInt(l.Expires.Unix(), 10)}, "signature": {l.Signature}}
	return LinkPath + strings.Join([]string{l.Account, l.Region, l.RepositoryUID, string(l.Digest)}, "/") + "?" + q.Encode()
}

// ServeLink serves download links to any HTTP client: whoever holds a link may
// download its layer, in ranges too, until it expires.
func (f *Front) ServeLink(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
	if err := f.serveLink(w, r); err != nil {
		f.writeError(w, r, err)
	}
}

func (f *Front) serveLink(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return errMethod
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, LinkPath), "/")
	q := r.URL.Query()
	expires, err := strconv.ParseInt(q.Get("expires"), 10, 64)
	if len(parts) != 4 || err != nil || len(q) != 2 || len(q["expires"]) != 1 || len(q["signature"]) != 1 {
		return errPath
	}
	content, err := f.registry.OpenLink(r.Context(), registry.Link{
		Endpoint: f.vpcEndpoint,
		ID:       registry.ID{Account: parts[0], Region: parts[1]}, RepositoryUID: parts[2], Digest: digest.Digest(parts[3]),
		Expires: time.Unix(expires, 0), Signature: q.Get("signature"),
	}, r.Method == http.MethodHead) // a URL of the bucket is for GET alone
	if err != nil {
		return err
	}
	defer content.Close()
	f.serveContent(w, r, content)
	return nil
}

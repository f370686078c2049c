package oci

import (
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"berth/internal/registry"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// How many names a page has if the client does not say, and at most.
const (
	defaultPage = 1000
	maxPage     = 10_000
)

// pageSize reads the parameter n.
func pageSize(q url.Values) (int, error) {
	s := q.Get("n")
	if s == "" {
		return defaultPage, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > math.MaxInt64 {
		return 0, invalid("PAGINATION_NUMBER_INVALID", "n is not a number of results: "+quote(s))
	}
	return int(min(n, maxPage)), nil
}

// list answers with a page of names that fetch finds after a name. It asks for
// one more than it shows, to know whether to link to the next page.
func (c *call) list(fetch func(last string, limit int) ([]string, error)) ([]string, error) {
	q := c.r.URL.Query()
	n, err := pageSize(q)
	if err != nil {
		return nil, err
	}
	last := q.Get("last")
	if len(last) > 512 || !isText(last) {
		return nil, invalid("PAGINATION_NUMBER_INVALID", "last is not a name: "+quote(last))
	}
	names, err := fetch(last, n+1)
	if err != nil {
		return nil, err
	}
	if len(names) > n {
		names = names[:n]
		if n > 0 {
			c.linkNext(url.Values{"n": {strconv.Itoa(n)}, "last": {names[n-1]}})
		}
	}
	if names == nil {
		names = []string{}
	}
	return names, nil
}

// isText reports whether a parameter can be looked for at all: not every database
// takes what is not UTF-8, or has a NUL.
func isText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

func (c *call) linkNext(q url.Values) {
	c.w.Header().Set("Link", "<"+c.r.URL.EscapedPath()+"?"+q.Encode()+`>; rel="next"`)
}

// listTags answers the tag list.
func (f *Front) listTags(c *call) error {
	tags, err := c.list(func(last string, limit int) ([]string, error) {
		return f.registry.TagNames(c.r.Context(), c.caller, c.ref, last, limit)
	})
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{c.name(), tags})
}

// listCatalog answers the list of repositories.
func (f *Front) listCatalog(c *call) error {
	names, err := c.list(func(last string, limit int) ([]string, error) {
		return f.registry.RepositoryNames(c.r.Context(), c.caller, c.ref.ID, last, limit)
	})
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, struct {
		Repositories []string `json:"repositories"`
	}{names})
}

// maxMediaType is how long a media type can be: each of its two names has at most
// 127 characters.
const maxMediaType = 255

// referrersPage is how many referrers an answer has at most.
const referrersPage = 1000

// listReferrers answers the referrers of a manifest, as an index.
func (f *Front) listReferrers(c *call) error {
	q := c.r.URL.Query()
	in := registry.ReferrersInput{
		Ref: c.ref, Subject: digest.Digest(c.route.ref), Filter: registry.ReferrerFilter{Status: registry.Active},
		After: digest.Digest(q.Get("last")), Limit: referrersPage + 1,
	}
	artifactType := q.Get("artifactType")
	if artifactType != "" {
		in.Filter.ArtifactTypes = []string{artifactType}
	}
	if in.After != "" && !registry.ValidDigest(string(in.After)) {
		return errDigest(string(in.After))
	}
	if len(artifactType) > maxMediaType || !isText(artifactType) {
		return invalid("UNSUPPORTED", "artifactType is not a media type: "+quote(artifactType))
	}
	found, err := f.registry.Referrers(c.r.Context(), c.caller, in)
	if err != nil {
		return err
	}
	if len(found) > referrersPage {
		found = found[:referrersPage]
		next := url.Values{"last": {string(found[referrersPage-1].Digest)}}
		if artifactType != "" {
			next.Set("artifactType", artifactType)
		}
		c.linkNext(next)
	}
	if artifactType != "" {
		c.w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: make([]ocispec.Descriptor, 0, len(found)),
	}
	for _, r := range found {
		index.Manifests = append(index.Manifests, ocispec.Descriptor{
			MediaType: r.MediaType, Digest: r.Digest, Size: r.Size, ArtifactType: r.ArtifactType, Annotations: r.Annotations,
		})
	}
	return writeJSONAs(c.w, http.StatusOK, ocispec.MediaTypeImageIndex, index)
}

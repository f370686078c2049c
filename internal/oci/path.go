package oci

import (
	"net/url"
	"strings"

	"berth/internal/registry"
)

// kind is what a path below /v2/ is about.
type kind int

// The kinds of paths.
const (
	kindBase      kind = iota + 1 // /v2/
	kindCatalog                   // /v2/_catalog
	kindTags                      // /v2/<name>/tags/list
	kindManifest                  // /v2/<name>/manifests/<tag or digest>
	kindBlob                      // /v2/<name>/blobs/<digest>
	kindUploads                   // /v2/<name>/blobs/uploads/
	kindUpload                    // /v2/<name>/blobs/uploads/<id>
	kindReferrers                 // /v2/<name>/referrers/<digest>
)

// route is a path, parsed.
type route struct {
	kind kind
	name registry.RepositoryName
	ref  string // a tag, a digest or an upload's id
}

// parsePath reads a path below /v2/. Whatever is no path of the API is an error;
// nothing is cleaned, so that a path has one spelling.
func parsePath(u *url.URL) (route, error) {
	if strings.Contains(strings.ToLower(u.EscapedPath()), "%2f") {
		return route{}, errPath
	}
	p, ok := strings.CutPrefix(u.Path, "/v2")
	switch {
	case !ok || p != "" && p[0] != '/':
		return route{}, errPath
	case p == "" || p == "/":
		return route{kind: kindBase}, nil
	case p == "/_catalog":
		return route{kind: kindCatalog}, nil
	}
	name, rt := splitPath(p[1:])
	if rt.kind == 0 {
		return route{}, errPath
	}
	var err error
	if rt.name, err = registry.ParseRepositoryName(name); err != nil {
		return route{}, errName(name)
	}
	return rt, rt.check()
}

// splitPath parts the repository's name from the rest. The last words count: a
// repository may be called a/tags/list/b.
func splitPath(p string) (string, route) {
	if name, ok := strings.CutSuffix(p, "/tags/list"); ok {
		return name, route{kind: kindTags}
	}
	for _, suffix := range []string{"/blobs/uploads/", "/blobs/uploads"} {
		if name, ok := strings.CutSuffix(p, suffix); ok {
			return name, route{kind: kindUploads}
		}
	}
	slash := strings.LastIndexByte(p, '/')
	if slash < 0 {
		return "", route{}
	}
	rest, ref := p[:slash], p[slash+1:]
	for _, k := range []struct {
		suffix string
		kind   kind
	}{{"/blobs/uploads", kindUpload}, {"/blobs", kindBlob}, {"/manifests", kindManifest}, {"/referrers", kindReferrers}} {
		if name, ok := strings.CutSuffix(rest, k.suffix); ok {
			return name, route{kind: k.kind, ref: ref}
		}
	}
	return "", route{}
}

// check returns an error if the reference is meant as a digest and is none. What
// cannot be a tag is for the handlers to answer: it is not found, or refused.
func (rt route) check() error {
	digest := rt.kind == kindBlob || rt.kind == kindReferrers || rt.kind == kindManifest && rt.isDigest()
	if digest && !registry.ValidDigest(rt.ref) {
		return errDigest(rt.ref)
	}
	return nil
}

// isDigest reports whether the reference is meant as a digest: a tag holds no
// colon.
func (rt route) isDigest() bool { return strings.Contains(rt.ref, ":") }

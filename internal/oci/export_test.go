package oci

// Endpoint is an entry of the table of handlers: a method, and a path in which
// NAME, TAG, DIGEST and UPLOAD stand for what they say.
type Endpoint struct{ Method, Path string }

var kindPaths = map[kind]string{
	kindBase: "/v2/", kindCatalog: "/v2/_catalog", kindTags: "/v2/NAME/tags/list", kindManifest: "/v2/NAME/manifests/TAG",
	kindBlob: "/v2/NAME/blobs/DIGEST", kindUploads: "/v2/NAME/blobs/uploads/", kindUpload: "/v2/NAME/blobs/uploads/UPLOAD",
	kindReferrers: "/v2/NAME/referrers/DIGEST",
}

// Endpoints returns the table of handlers.
func Endpoints() []Endpoint {
	var all []Endpoint
	for e := range handlers {
		all = append(all, Endpoint{e.method, kindPaths[e.kind]})
	}
	return all
}

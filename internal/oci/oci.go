// Package oci is the front that speaks the OCI Distribution API, version 1.1,
// and serves download links.
//
// A request is parsed into a [route], the table says which handler a route and
// method have, and the handler calls one verb of package registry and renders
// what it returns. There are no rules here.
package oci

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"berth/internal/access"
	"berth/internal/registry"
)

// Options are what a front is made of. All but VPCEndpoint are required.
type Options struct {
	Registry *registry.Registry
	Hosts    *registry.Hosts
	// Authenticate returns who is asking. Its errors carry the kind
	// Unauthenticated, to be answered with a challenge, or Denied.
	Authenticate func(*http.Request) (Session, error)
	// Public is Authenticate for the public host, where the caller may be
	// anonymous.
	Public func(*http.Request) (Session, error)
	// Nobody returns the anonymous caller of a request that needs no token.
	Nobody func(*http.Request) access.Caller
	// Token returns a token that Public takes, and how long it works.
	Token func(*http.Request) (string, time.Duration, error)
	// Fail is told of errors that are no fault of the client.
	Fail func(*http.Request, error)
	// VPCEndpoint is the id of the VPC endpoint that the front is behind; "" if it
	// is behind none.
	VPCEndpoint string
}

// Session is who is asking, and what they should be told about it.
type Session struct {
	Caller  access.Caller
	Warning string // for a Warning header; "" if there is none
}

// Front serves /v2/ and download links. It is safe for concurrent use.
type Front struct {
	registry     *registry.Registry
	hosts        *registry.Hosts
	authenticate func(*http.Request) (Session, error)
	public       func(*http.Request) (Session, error)
	nobody       func(*http.Request) access.Caller
	token        func(*http.Request) (string, time.Duration, error)
	fail         func(*http.Request, error)
	vpcEndpoint  string
}

// New returns a Front.
func New(o Options) *Front {
	return &Front{o.Registry, o.Hosts, o.Authenticate, o.Public, o.Nobody, o.Token, o.Fail, o.VPCEndpoint}
}

// call is one request on its way through a handler.
type call struct {
	w      http.ResponseWriter
	r      *http.Request
	caller access.Caller
	route  route
	ref    registry.Ref // of the route's repository
}

// name is what the repository is called in paths: at the public host, with the
// alias of its registry.
func (c *call) name() string { return string(c.route.name) }

// endpoint is a kind of path and a method.
type endpoint struct {
	kind   kind
	method string
}

// handlers is the whole API. The numbers are the specification's.
var handlers = map[endpoint]func(*Front, *call) error{
	{kindBase, "GET"}:        (*Front).base,          // end-1
	{kindBlob, "GET"}:        (*Front).getBlob,       // end-2
	{kindBlob, "HEAD"}:       (*Front).headBlob,      // end-2
	{kindManifest, "GET"}:    (*Front).getManifest,   // end-3
	{kindManifest, "HEAD"}:   (*Front).getManifest,   // end-3
	{kindUploads, "POST"}:    (*Front).startUpload,   // end-4, end-11
	{kindUpload, "PATCH"}:    (*Front).appendUpload,  // end-5
	{kindUpload, "PUT"}:      (*Front).finishUpload,  // end-6
	{kindManifest, "PUT"}:    (*Front).putManifest,   // end-7
	{kindTags, "GET"}:        (*Front).listTags,      // end-8
	{kindManifest, "DELETE"}: (*Front).deleteImage,   // end-9
	{kindBlob, "DELETE"}:     (*Front).deleteBlob,    // end-10
	{kindReferrers, "GET"}:   (*Front).listReferrers, // end-12
	{kindUpload, "GET"}:      (*Front).uploadStatus,  // end-13
	{kindUpload, "DELETE"}:   (*Front).cancelUpload,  // end-14
	{kindCatalog, "GET"}:     (*Front).listCatalog,   // of Docker's registry API
	{kindBase, "HEAD"}:       (*Front).base,
	{kindTags, "HEAD"}:       (*Front).listTags,
	{kindReferrers, "HEAD"}:  (*Front).listReferrers,
	{kindCatalog, "HEAD"}:    (*Front).listCatalog,
	{kindUpload, "HEAD"}:     (*Front).uploadStatus,
}

// ServeHTTP serves paths below /v2/. Somebody unknown learns nothing but how to
// log in.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if len(r.RequestURI) > maxURI {
		f.writeError(w, r, errURI)
		return
	}
	authenticate := f.authenticate
	if _, ok := f.hosts.Public(r.Host); ok {
		authenticate = f.public
	}
	session, err := authenticate(r)
	if err != nil {
		f.writeError(w, r, err)
		return
	}
	if session.Warning != "" {
		w.Header().Set("Warning", `299 - "`+session.Warning+`"`)
	}
	if err := f.serve(w, r, session.Caller); err != nil {
		f.writeError(w, r, err)
	}
}

func (f *Front) serve(w http.ResponseWriter, r *http.Request, c access.Caller) error {
	rt, err := parsePath(r.URL)
	if err != nil {
		return err
	}
	handle := handlers[endpoint{rt.kind, r.Method}]
	if handle == nil {
		w.Header().Set("Allow", allowed(rt.kind))
		return errMethod
	}
	ref, err := f.refOf(r, rt)
	if err != nil {
		return err
	}
	err = handle(f, &call{w: w, r: r, caller: c, route: rt, ref: ref})
	if err != nil && ref.Public() && c.Account != ref.Account {
		err = withAlias(err, ref, string(rt.name))
	}
	return err
}

// maxURI bounds a path with its query, in bytes: a push with a hundred tags has
// the longest.
const maxURI = 16 << 10

// allowed returns the methods of a kind of path, for the Allow header.
func allowed(k kind) string {
	var methods []string
	for e := range handlers {
		if e.kind == k {
			methods = append(methods, e.method)
		}
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}

// base answers who may talk to the registry at all.
func (f *Front) base(c *call) error {
	return writeJSON(c.w, http.StatusOK, struct{}{})
}

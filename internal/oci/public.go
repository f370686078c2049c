package oci

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"berth/internal/fault"
	"berth/internal/registry"

	"github.com/opencontainers/go-digest"
)

// TokenPath is where clients of the public host get their tokens.
const TokenPath = "/token/"

// ServeToken answers who asks for a token, known or not, at the public host. The
// service and the scope that clients name do not matter: what a token is good
// for is decided when it is used.
func (f *Front) ServeToken(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	if err := f.serveToken(w, r); err != nil {
		f.writeError(w, r, err)
	}
}

func (f *Front) serveToken(w http.ResponseWriter, r *http.Request) error {
	if _, ok := f.hosts.Public(r.Host); !ok {
		return errPath
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return errMethod
	}
	token, life, err := f.token(r)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct {
		Token     string `json:"token"`
		ExpiresIn int64  `json:"expires_in"`
	}{token, int64(life.Seconds())})
}

// challenge returns what a client is told that should say who it is.
func (f *Front) challenge(r *http.Request) string {
	public, ok := f.hosts.Public(r.Host)
	switch {
	case !ok:
		return `Basic realm="` + f.hosts.Endpoint(f.hosts.Registry(r.Host)) + `/",service="ecr.amazonaws.com"`
	case strings.HasPrefix(r.URL.Path, TokenPath):
		return `Basic realm="` + public + TokenPath + `",service="public.ecr.aws"`
	}
	return `Bearer realm="` + public + TokenPath + `",service="public.ecr.aws",scope="aws"`
}

// refOf returns the repository that a request is about: at the public host the
// path has the alias of its registry before its name.
func (f *Front) refOf(r *http.Request, rt route) (registry.Ref, error) {
	if _, ok := f.hosts.Public(r.Host); !ok {
		return registry.Ref{ID: f.hosts.Registry(r.Host), Name: rt.name}, nil
	}
	switch rt.kind {
	case kindBase:
		return registry.Ref{}, nil
	case kindCatalog:
		return registry.Ref{}, errPath // of whom?
	}
	return f.publicRef(r.Context(), string(rt.name))
}

// publicRef reads alias/name.
func (f *Front) publicRef(ctx context.Context, path string) (registry.Ref, error) {
	alias, rest, _ := strings.Cut(path, "/")
	name, err := registry.ParseRepositoryName(rest)
	if err != nil {
		return registry.Ref{}, errName(path)
	}
	id, err := f.registry.ResolveAlias(ctx, alias)
	if code := fault.CodeOf(err); code == "RegistryNotFoundException" || code == "InvalidParameterException" {
		err = fault.New(fault.NotFound, "RepositoryNotFoundException",
			"The repository with name '%s' does not exist in the registry with id '%s'", name, alias)
	}
	return registry.Ref{ID: id, Name: name}, err
}

// withAlias returns an error without the id of the account, which those do not learn
// who belong to another: it has the alias instead, from the path that the request
// is for.
func withAlias(err error, ref registry.Ref, path string) error {
	e, ok := fault.As(err)
	if !ok {
		return err
	}
	alias, _, _ := strings.Cut(path, "/")
	told := *e
	told.Message = strings.NewReplacer(
		"id '"+ref.Account+"'", "id '"+alias+"'",
		"::"+ref.Account+":repository/", "::"+alias+":repository/",
	).Replace(e.Message)
	return &told
}

// mountSource returns the name, in the registry of the call, of the repository
// that a client wants a layer mounted from, and whether it is in that registry.
func (f *Front) mountSource(c *call, from string) (registry.RepositoryName, bool, error) {
	if !c.ref.Public() {
		name, err := registry.ParseRepositoryName(from)
		if err != nil {
			return "", false, errName(from)
		}
		return name, true, nil
	}
	ref, err := f.publicRef(c.r.Context(), from)
	if err != nil && fault.KindOf(err) == fault.NotFound {
		return "", false, nil
	}
	return ref.Name, ref.ID == c.ref.ID, err
}

// LogoPath is what the paths of logos begin with.
const LogoPath = "/_berth/v1/public/logo/"

// LogoURL returns the path of a logo, "" if there is none:
//
//	/_berth/v1/public/logo/<repository uid>/<digest>
func LogoURL(l registry.Logo) string {
	if l.Digest == "" {
		return ""
	}
	return LogoPath + l.Repository + "/" + string(l.Digest)
}

// ServeLogo serves logos to everybody. They come from strangers: a browser must
// take one for nothing but a picture, and run nothing.
func (f *Front) ServeLogo(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	if err := f.serveLogo(w, r); err != nil {
		f.writeError(w, r, err)
	}
}

func (f *Front) serveLogo(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return errMethod
	}
	repository, d, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, LogoPath), "/")
	if f.hosts.NoPublic || !isText(repository) || !registry.ValidDigest(d) {
		return errPath
	}
	h := w.Header()
	h.Set("Cache-Control", "public, max-age=86400")
	h.Set("ETag", `"`+d+`"`)
	if matches(r.Header.Get("If-None-Match"), digest.Digest(d)) {
		w.WriteHeader(http.StatusNotModified) // what is under a digest never changes
		return nil
	}
	logo, err := f.registry.OpenLogo(r.Context(), f.nobody(r), repository, digest.Digest(d))
	if err != nil {
		return err
	}
	if logo.Digest == "" {
		return errPath
	}
	h.Set("Content-Type", logo.Type)
	h.Set("Content-Length", strconv.Itoa(len(logo.Content)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(logo.Content) // who has gone away misses nothing
	}
	return nil
}

package server

import (
	"context"
	"net/http"
	"strings"
	"time"

	"berth/internal/oci"
)

// routes is the whole URL surface of the server.
//
//	/v2/...                 the distribution API (package oci, where its table is)
//	POST /                  the AWS APIs (package aws/ecr, where the operations are; aws/ecrpublic, aws/organizations, aws/servicequotas, aws/iam, aws/kms, aws/sts)
//	/token/                 tokens for the public host
//	/_berth/v1/layers/...   download links
//	/_berth/v1/lifecycle/run  lifecycle policies on demand; .../backtest: what one would have done
//	/_berth/v1/tags/...     the history of a tag, and the way back
//	/_berth/v1/deleted/...  what was deleted and can be restored
//	/_berth/v1/repository/protection  protection against deletion
//	/_berth/v1/account/create  new accounts
//	/_berth/v1/token        registry passwords that work for a shorter time
//	/_berth/v1/session/...  temporary credentials: which there are, and their end
//	/_berth/v1/service-binding/...  who acts for which service
//	/_berth/v1/iam/...      why access is refused
//	/_berth/v1/scrub/...    reading all bytes that are stored: run, status
//	/_berth/v1/quota/...    what accounts have asked for, to be approved or denied
//	/_berth/v1/gc/...       removing what nothing reaches: now, how far it is, why something is kept
//	/_berth/v1/maintenance/...  refusing changes: on, off, status
//	/_berth/v1/public/logo/...   logos of public repositories
//	/livez /healthz         the process answers
//	/readyz                 the process and its database answer, and it is not shutting down
//
// Paths are matched as they were sent: nothing is cleaned or redirected, so that
// what is authorized is what is served. Metrics are on the admin listener.
func (s *Server) routes(distribution *oci.Front, api http.Handler, extensions map[string]http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := r.URL.Path
		switch {
		case p == "/v2" || strings.HasPrefix(p, "/v2/"):
			distribution.ServeHTTP(w, r)
		case p == "/":
			api.ServeHTTP(w, r)
		case p == oci.TokenPath:
			distribution.ServeToken(w, r)
		case strings.HasPrefix(p, oci.LogoPath):
			distribution.ServeLogo(w, r)
		case strings.HasPrefix(p, oci.LinkPath):
			distribution.ServeLink(w, r)
		case extensions[p] != nil:
			extensions[p].ServeHTTP(w, r)
		case p == "/livez" || p == "/healthz":
			answer(w, http.StatusOK, "ok")
		case p == "/readyz":
			s.ready(w, r)
		case s.options.Dev[p] != nil:
			s.options.Dev[p].ServeHTTP(w, r)
		default:
			answer(w, http.StatusNotFound, "there is nothing at this path: the registry is at /v2/, the AWS APIs are at POST /")
		}
	})
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	switch {
	case s.draining.Load():
		answer(w, http.StatusServiceUnavailable, "shutting down")
	case s.db.Ping(ctx) != nil:
		answer(w, http.StatusServiceUnavailable, "the database does not answer")
	default:
		answer(w, http.StatusOK, "ok")
	}
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // the client may have gone away
}

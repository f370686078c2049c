package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"berth/internal/access"
	"berth/internal/metadata"

	"github.com/google/uuid"
)

// info is what the server knows of a request.
type info struct {
	id        string
	source    netip.Addr
	secure    bool
	caller    string // the principal's ARN; "" if nobody known asked
	anonymous bool   // it was let in without a login
	endpoint  *access.Endpoint
	queries   atomic.Int64 // statements run by the database
}

type infoKey struct{}

// infoOf returns the request's info, which instrument has put there.
func infoOf(r *http.Request) *info {
	i, _ := r.Context().Value(infoKey{}).(*info)
	if i == nil {
		return &info{}
	}
	return i
}

// requestID returns the id that the response, the log and the audit record of a
// request share.
func requestID(r *http.Request) string { return infoOf(r).id }

// source returns where a request came from and whether it came over TLS.
func source(r *http.Request) (netip.Addr, bool) {
	i := infoOf(r)
	return i.source, i.secure
}

// instrument gives a request its id and its deadlines, and logs and counts it.
// A panic of the handler is logged and answered with 500, or with the end of the
// connection if an answer has begun.
func (s *Server) instrument(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		start := time.Now()
		i := &info{id: uuid.NewString()}
		i.source, i.secure = s.origin(r)
		w := newResponse(rw, start)
		w.Header().Set("X-Amzn-RequestId", i.id)
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = &requestBody{ReadCloser: r.Body, control: w.control}
		}
		r = r.WithContext(metadata.Count(context.WithValue(r.Context(), infoKey{}, i), &i.queries))
		closeAfterChunks(w, r)
		defer func() {
			p := recover()
			abort := p == http.ErrAbortHandler || p != nil && w.status != 0
			if p != nil && p != http.ErrAbortHandler {
				s.metrics.panics.Inc()
				s.log.Error("panic", "request", i.id, "panic", p, "stack", string(debug.Stack()))
				if w.status == 0 {
					http.Error(w, "internal error, request "+i.id, http.StatusInternalServerError)
				}
			}
			s.finished(r, w, i, time.Since(start))
			if abort {
				panic(http.ErrAbortHandler) // what has been sent must not look whole
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// closeAfterChunks ends the connection after a request whose body came in
// chunks. If such a request has a Content-Length as well, a proxy may have seen
// another end of it than we do, and RFC 9112, section 6.1, asks for this; net/http
// takes that header away before anybody can look for it.
func closeAfterChunks(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 && len(r.TransferEncoding) > 0 {
		w.Header().Set("Connection", "close")
	}
}

// finished logs and counts a request.
func (s *Server) finished(r *http.Request, w *response, i *info, took time.Duration) {
	front := frontOf(r.URL.Path)
	s.metrics.observe(front, r.Method, w.status, w.written, took)
	if i.anonymous {
		s.registry.Sent(access.Caller{SourceIP: i.source}, w.written)
	}
	level := slog.LevelInfo
	if w.status >= 500 && w.status != http.StatusInsufficientStorage && r.Context().Err() == nil { // else the client has left, and nobody has seen it
		level = slog.LevelError // that the disk is full is said once
	}
	if !s.log.Enabled(r.Context(), level) {
		return
	}
	// No query: it can hold signatures.
	s.log.LogAttrs(context.Background(), level, "request",
		slog.String("id", i.id), slog.String("method", cut(r.Method, 16)), slog.String("host", cut(r.Host, 128)),
		slog.String("path", cut(r.URL.Path, 512)), slog.Int("status", w.status), slog.Int64("bytes", w.written),
		slog.Duration("took", took), slog.Int64("queries", i.queries.Load()), slog.String("from", i.source.String()), slog.String("caller", i.caller),
		slog.String("agent", cut(r.UserAgent(), 128)))
}

// cut bounds what a client can put into a line of the log.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "..."
}

// origin returns where a request came from and whether it came over TLS. What a
// proxy says of it is believed only if the proxy is trusted: of the addresses in
// X-Forwarded-For, the last that is no trusted proxy counts.
func (s *Server) origin(r *http.Request) (netip.Addr, bool) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, r.TLS != nil
	}
	addr, secure := peer.Addr().Unmap(), r.TLS != nil
	if !s.trusted(addr) {
		return addr, secure
	}
	if proto := r.Header.Values("X-Forwarded-Proto"); len(proto) == 1 {
		secure = proto[0] == "https"
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for n := len(hops) - 1; n >= 0 && s.trusted(addr); n-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[n]))
		if err != nil {
			break
		}
		addr = hop.Unmap()
	}
	return addr, secure
}

func (s *Server) trusted(a netip.Addr) bool {
	for _, p := range s.proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"strconv"
	"time"

	"berth/internal/config"
)

// drain is how long requests under way may take to end at shutdown.
const drain = 30 * time.Second

// Listeners are the addresses that a server is reached at.
type Listeners struct {
	entrances []net.Listener // the main one, and those of the endpoints in order
	admin     net.Listener   // nil for none
}

// Listen opens the addresses that are configured. A port of 0 is replaced in the
// configuration by the one that the system chose.
func Listen(c *config.Config) (*Listeners, error) {
	var l Listeners
	open := func(name string, address *string) (net.Listener, error) {
		opened, err := net.Listen("tcp", *address)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", name, err), l.Close())
		}
		*address = withPort(*address, opened)
		return opened, nil
	}
	main, err := open("listen", &c.Listen)
	if err != nil {
		return nil, err
	}
	l.entrances = append(l.entrances, main)
	for i := range c.Endpoints {
		e, err := open("listen of endpoint "+c.Endpoints[i].ID, &c.Endpoints[i].Listen)
		if err != nil {
			return nil, err
		}
		l.entrances = append(l.entrances, e)
	}
	if c.AdminListen != "" {
		if l.admin, err = open("admin-listen", &c.AdminListen); err != nil {
			return nil, err
		}
	}
	return &l, nil
}

func withPort(address string, l net.Listener) string {
	host, _, _ := net.SplitHostPort(address) // it has been listened on
	return net.JoinHostPort(host, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
}

// Close closes the listeners. It is for those that no server has served.
func (l *Listeners) Close() error {
	var errs []error
	for _, e := range l.entrances {
		errs = append(errs, e.Close())
	}
	if l.admin != nil {
		errs = append(errs, l.admin.Close())
	}
	return errors.Join(errs...)
}

// Serve serves until ctx ends, then lets requests under way end and returns nil.
// What comes from reload makes it read TLS certificates and the policies of
// endpoints again.
func (s *Server) Serve(ctx context.Context, l *Listeners, reload <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, e := range s.entrances {
		if err := e.loadCertificate(); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	s.jobs.Go(func() { s.reloads(ctx, reload) })
	var servers []*http.Server
	ended := make(chan error, len(s.entrances)+1)
	start := func(h http.Handler, on net.Listener) {
		server := s.httpServer(h)
		servers = append(servers, server)
		go func() { ended <- server.Serve(on) }()
	}
	for i, e := range s.entrances {
		if e.id != "" {
			s.log.Info("serving an endpoint", "id", e.id, "vpc", e.vpc, "url", e.hosts.URL.String())
		}
		start(e.handler, e.listener(l.entrances[i]))
	}
	if l.admin != nil {
		start(s.admin(), l.admin)
	}
	running := len(servers)
	var err error
	select {
	case err = <-ended:
		running--
	case <-ctx.Done():
	}
	err = errors.Join(err, s.shutdown(servers))
	for range running {
		<-ended // the listener is closed by then, even if serving had not begun
	}
	return err
}

// listener returns a listener that speaks TLS if the entrance has a certificate.
func (e *entrance) listener(on net.Listener) net.Listener {
	if e.cert == "" {
		return on
	}
	return tls.NewListener(on, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return e.certificate.Load(), nil },
	})
}

// reloads reloads when it is told to, until ctx ends.
func (s *Server) reloads(ctx context.Context, reload <-chan os.Signal) {
	for {
		select {
		case <-reload:
			s.reload()
		case <-ctx.Done():
			return
		}
	}
}

// admin serves what is for the operator: metrics, and profiles of the process.
func (s *Server) admin() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics.handler())
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// httpServer returns a server with limits on all that a client can stretch. A
// request as a whole has none: see response and requestBody.
func (s *Server) httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		WriteTimeout:      stall,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

func (s *Server) shutdown(servers []*http.Server) error {
	s.draining.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	var errs []error
	for _, h := range servers {
		err := h.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			s.log.Warn("requests were cut off at shutdown", "after", drain)
			err = h.Close()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

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
	"sync/atomic"
	"time"

	"berth/internal/config"
)

// drain is how long requests under way may take to end at shutdown.
const drain = 30 * time.Second

// Listeners are the addresses that a server is reached at.
type Listeners struct {
	main, admin net.Listener
}

// Listen opens the addresses that are configured. A port of 0 is replaced in the
// configuration by the one that the system chose.
func Listen(c *config.Config) (*Listeners, error) {
	var l Listeners
	var err error
	if l.main, err = net.Listen("tcp", c.Listen); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	c.Listen = withPort(c.Listen, l.main)
	if c.AdminListen == "" {
		return &l, nil
	}
	if l.admin, err = net.Listen("tcp", c.AdminListen); err != nil {
		return nil, errors.Join(fmt.Errorf("admin-listen: %w", err), l.Close())
	}
	c.AdminListen = withPort(c.AdminListen, l.admin)
	return &l, nil
}

func withPort(address string, l net.Listener) string {
	host, _, _ := net.SplitHostPort(address) // it has been listened on
	return net.JoinHostPort(host, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
}

// Close closes the listeners. It is for those that no server has served.
func (l *Listeners) Close() error {
	if l.admin == nil {
		return l.main.Close()
	}
	return errors.Join(l.main.Close(), l.admin.Close())
}

// Serve serves until ctx ends, then lets requests under way end and returns nil.
// What comes from reload makes it read the TLS certificate again.
func (s *Server) Serve(ctx context.Context, l *Listeners, reload <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	main := l.main
	if s.config.TLSCert != "" {
		certificate, err := s.certificates(ctx, reload)
		if err != nil {
			return errors.Join(err, l.Close())
		}
		main = tls.NewListener(main, &tls.Config{
			MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: certificate,
		})
	}
	servers := []*http.Server{s.httpServer(s.handler)}
	ended := make(chan error, 2)
	go func() { ended <- servers[0].Serve(main) }()
	if l.admin != nil {
		servers = append(servers, s.httpServer(s.admin()))
		go func() { ended <- servers[1].Serve(l.admin) }()
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

// certificates returns what serves the newest certificate that could be read.
func (s *Server) certificates(ctx context.Context, reload <-chan os.Signal) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	var current atomic.Pointer[tls.Certificate]
	load := func() error {
		c, err := tls.LoadX509KeyPair(s.config.TLSCert, s.config.TLSKey)
		if err != nil {
			return fmt.Errorf("TLS certificate: %w", err)
		}
		current.Store(&c)
		return nil
	}
	if err := load(); err != nil {
		return nil, err
	}
	s.jobs.Go(func() {
		for {
			select {
			case <-reload:
				if err := load(); err != nil {
					s.log.Error("the certificate was not replaced", "error", err)
				} else {
					s.log.Info("certificate replaced")
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current.Load(), nil }, nil
}

package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// drain is how long requests under way may take to end at shutdown.
const drain = 30 * time.Second

// Serve serves until ctx ends, then lets requests under way end and returns nil.
// reload, if not nil, makes it read the TLS certificate again. started is called
// with the address once the server accepts connections.
func (s *Server) Serve(ctx context.Context, reload <-chan os.Signal, started func(net.Addr)) error {
	listener, err := net.Listen("tcp", s.config.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	servers := []*http.Server{s.httpServer(s.handler)}
	listeners := []net.Listener{listener}
	if s.config.AdminListen != "" {
		l, err := net.Listen("tcp", s.config.AdminListen)
		if err != nil {
			return errors.Join(fmt.Errorf("admin-listen: %w", err), listener.Close())
		}
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", s.metrics.handler())
		servers, listeners = append(servers, s.httpServer(mux)), append(listeners, l)
	}
	if s.config.TLSCert != "" {
		certificate, err := s.certificates(ctx, reload)
		if err != nil {
			return errors.Join(err, listener.Close())
		}
		listeners[0] = tls.NewListener(listener, &tls.Config{
			MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: certificate,
		})
	}
	ended := make(chan error, len(servers))
	for i := range servers {
		go func() { ended <- servers[i].Serve(listeners[i]) }()
	}
	started(listener.Addr())
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	return errors.Join(err, s.shutdown(servers))
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

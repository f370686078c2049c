// Package servertest runs a whole server inside a test: real listener, real
// database, real bucket, and a clock that the test sets. Anything that the
// server logs as an error fails the test. With BERTH_TEST_STORAGE=s3 in the
// environment the layers are in an S3 store in memory.
package servertest

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/blob/buckettest"
	"berth/internal/blob/dirbucket"
	"berth/internal/config"
	"berth/internal/identity"
	"berth/internal/metadata"
	"berth/internal/metadata/pgtest"
	"berth/internal/metadata/sqlitetest"
	"berth/internal/server"

	"github.com/spf13/pflag"
)

// Account and Region are the default registry's.
const (
	Account = "123456789012"
	Region  = "us-east-1"
)

// databaseFile is the name that the server gives to its database.
const databaseFile = "berth.db"

// Options say what is special about a server. The zero Options is a server on
// SQLite with default configuration.
type Options struct {
	Postgres  bool
	S3        bool                 // the layers are in S3, as with BERTH_TEST_STORAGE=s3
	Configure func(*config.Config) // changes the configuration
	// Files comes between the layers in the data directory and the files they are in.
	Files func(dirbucket.Files) dirbucket.Files
	// Tokens verifies identity tokens.
	Tokens identity.TokenVerifier
	// DiskFree says how much room there is.
	DiskFree func(path string) (free, size int64, err error)
	// Errors allows the server to log errors.
	Errors bool
	// Log takes what the server logs; errors are allowed then.
	Log slog.Handler
}

// Server is a running server.
type Server struct {
	URL    string // http://127.0.0.1:PORT
	Host   string // 127.0.0.1:PORT
	Config *config.Config
	Clock  *Clock

	options   Options
	server    *server.Server
	stop      func() error
	log       *slog.Logger
	transport *http.Transport

	mu        sync.Mutex
	decisions []access.Request // guarded by mu
}

// Start starts a server, which ends with the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	c, err := config.Load(flags, []string{
		"BERTH_DATA=" + t.TempDir(),
		"BERTH_ROOT_ACCESS_KEY_ID=AKIAROOT", "BERTH_ROOT_SECRET_ACCESS_KEY=the secret of the root",
		"BERTH_MASTER_KEY=" + strings.Repeat("2a", 32),
		"BERTH_SCRUB_INTERVAL=0", "BERTH_SCRUB_RATE=0", // tests ask for it
	})
	if err != nil {
		t.Fatal(err)
	}
	if o.Postgres {
		c.Database = pgtest.Migrated(t, metadata.OpenPostgres)
	}
	if o.S3 || os.Getenv("BERTH_TEST_STORAGE") == "s3" {
		c.Storage, c.S3Endpoint, c.S3PathStyle = "s3://"+buckettest.S3Bucket, buckettest.StartFakeS3(t), true
		c.S3AccessKeyID, c.S3SecretAccessKey = "access", "the secret of the store"
	}
	if o.Configure != nil {
		o.Configure(c)
	}
	path := filepath.Join(c.Data, databaseFile)
	if _, err := os.Stat(path); err != nil && c.Database == "" { // Configure may have put one there
		sqlitetest.Migrated(t, path, metadata.OpenSQLite)
	}
	s := &Server{Config: c, Clock: newClock(), options: o, log: slog.New(&failing{t: t, allowed: o.Errors}),
		transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100}}
	if o.Log != nil {
		s.log = slog.New(o.Log)
	}
	s.start(t, listen(t, c))
	t.Cleanup(func() { s.Stop(t) })
	return s
}

func (s *Server) start(t testing.TB, listeners *server.Listeners) {
	t.Helper()
	var err error
	s.Host = s.Config.Listen
	s.URL = "http://" + s.Host
	s.server, err = server.Open(context.Background(), s.Config, server.Options{Log: s.log, Now: s.Clock.Now, Observe: s.observe, Tokens: s.options.Tokens, Files: s.options.Files, Idle: true, DiskFree: s.options.DiskFree})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.server.Serve(ctx, listeners, nil) }()
	s.stop = func() error {
		cancel()
		if err := <-ended; err != nil {
			return err
		}
		return s.server.Close(context.Background())
	}
}

// Stop ends the server in an orderly way. Stopping twice does nothing.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if s.stop == nil {
		return
	}
	if err := s.stop(); err != nil {
		t.Errorf("stop the server: %v", err)
	}
	s.transport.CloseIdleConnections()
	s.stop = nil
}

// Restart ends the server and starts it again on the same data and address.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop(t)
	listeners, err := server.Listen(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	s.start(t, listeners)
}

// CheckData stops the server, has berth fsck look at what it leaves, and starts it
// again. Whatever fsck finds fails the test: bytes that are lost or left over,
// uploads that are not finished, counts that are wrong.
func (s *Server) CheckData(t testing.TB) {
	t.Helper()
	s.Stop(t)
	report, err := server.Fsck(context.Background(), s.Config, server.FsckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Problems {
		t.Errorf("fsck: %s %s %s: %s", p.Kind, p.Key, p.Digest, p.Detail)
	}
	s.Restart(t)
}

// Server is the server itself, for what cannot be seen from outside.
func (s *Server) Server() *server.Server { return s.server }

// Stored counts what the server keeps in its bucket: blobs and uploads.
func (s *Server) Stored(t testing.TB) int {
	t.Helper()
	n := 0
	for _, err := range s.server.Bucket().List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func (s *Server) observe(r access.Request, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.decisions = append(s.decisions, r)
}

// Decisions returns the requests that the authorizer was asked about since the
// last call.
func (s *Server) Decisions() []access.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.decisions
	s.decisions = nil
	return d
}

// Each runs a test on a server with SQLite and on one with PostgreSQL, side by
// side.
func Each(t *testing.T, o Options, test func(*testing.T, *Server)) {
	t.Helper()
	for _, postgres := range []bool{false, true} {
		name := "sqlite"
		if postgres {
			name = "postgres"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := o
			o.Postgres = postgres
			test(t, Start(t, o))
		})
	}
}

// Clock is the time that a server goes by.
type Clock struct {
	mu  sync.Mutex
	now time.Time // guarded by mu
}

// newClock returns a clock that stands at a whole second of today.
func newClock() *Clock { return &Clock{now: time.Now().UTC().Truncate(time.Second)} }

// Now returns the time, which stands still.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance puts the clock forward.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// failing is a log handler that fails the test on errors.
type failing struct {
	t       testing.TB
	allowed bool
}

// Enabled implements [slog.Handler].
func (f *failing) Enabled(_ context.Context, l slog.Level) bool {
	return l >= slog.LevelError && !f.allowed
}

// Handle implements [slog.Handler].
func (f *failing) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		return true
	})
	f.t.Errorf("the server logged an error: %s", text)
	return nil
}

// WithAttrs implements [slog.Handler].
func (f *failing) WithAttrs([]slog.Attr) slog.Handler { return f }

// WithGroup implements [slog.Handler].
func (f *failing) WithGroup(string) slog.Handler { return f }

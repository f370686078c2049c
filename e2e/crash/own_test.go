//go:build unix

package crash

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"berth/internal/config"
	"berth/internal/server"

	"github.com/spf13/pflag"
)

// own is a server in this process, which costs less than another one: who goes on after
// a server was killed need not be killed.
type own struct {
	client *client
	cancel context.CancelFunc
	ended  chan error // the end of Serve
	server *server.Server
	log    *errorLog
}

// configured returns the configuration that an environment makes, of which the last
// value of a variable counts.
func configured(env []string) (*config.Config, error) {
	seen := map[string]bool{}
	var last []string
	for _, v := range slices.Backward(env) {
		if name, _, _ := strings.Cut(v, "="); !seen[name] {
			seen[name], last = true, append(last, v)
		}
	}
	return config.Load(pflag.NewFlagSet("", pflag.ContinueOnError), last)
}

func startOwn(env []string, now func() time.Time) (*own, error) {
	c, err := configured(env)
	if err != nil {
		return nil, err
	}
	listeners, err := server.Listen(c)
	if err != nil {
		return nil, err
	}
	o := &own{log: &errorLog{}, ended: make(chan error, 1), client: newClient("http://" + c.Listen)}
	if o.server, err = server.Open(context.Background(), c, server.Options{Log: slog.New(o.log), Now: now}); err != nil {
		return nil, errors.Join(err, listeners.Close())
	}
	var ctx context.Context
	ctx, o.cancel = context.WithCancel(context.Background())
	go func() { o.ended <- o.server.Serve(ctx, listeners, nil) }()
	return o, nil
}

func (o *own) clients() *client { return o.client }
func (o *own) died() error      { return errors.Join(errors.New("the server does not answer"), o.stop()) }
func (o *own) kill() error      { return o.stop() }

func (o *own) stop() error {
	o.client.http.CloseIdleConnections()
	o.cancel()
	return errors.Join(<-o.ended, o.server.Close(context.Background()), o.log.first())
}

// errorLog keeps the first error that a server logs.
type errorLog struct {
	mu  sync.Mutex
	err error // guarded by mu
}

func (l *errorLog) first() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Enabled implements [slog.Handler].
func (l *errorLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }

// Handle implements [slog.Handler].
func (l *errorLog) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = fmt.Errorf("the server logged: %s", text)
	}
	return nil
}

// WithAttrs implements [slog.Handler].
func (l *errorLog) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup implements [slog.Handler].
func (l *errorLog) WithGroup(string) slog.Handler { return l }

// fsck has what berth fsck does look at what a server has left. Nothing may be lost or
// counted wrong. It returns how much is there that nothing refers to.
func fsck(env []string) (left int, err error) {
	c, err := configured(env)
	if err != nil {
		return 0, err
	}
	report, err := server.Fsck(context.Background(), c, server.FsckOptions{})
	if err != nil {
		return 0, fmt.Errorf("berth fsck: %w", err)
	}
	for _, p := range report.Problems {
		if p.Kind != "orphan" && p.Kind != "abandoned" {
			return left, fmt.Errorf("berth fsck: %+v", p)
		}
		left++
	}
	return left, nil
}

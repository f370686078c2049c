//go:build unix

package storm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"berth/internal/config"
	"berth/internal/fsck"
	"berth/internal/gc"
	"berth/internal/server"

	"github.com/spf13/pflag"
)

// binary is berth.
var binary string

// The keys of every server.
const (
	rootID     = "AKIAROOT"
	rootSecret = "the secret of the root"
	master     = "2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a"
)

// lease is how long servers keep a layer for who was told of it, at most; half of that is
// what an answer is worth.
const lease = 5 * time.Second

// environment returns what a server is told. What is let go of is garbage at once, and its
// bytes go at once.
func environment(dir string, stores []string) []string {
	return append([]string{
		"BERTH_DATA=" + dir, "BERTH_LISTEN=127.0.0.1:0", "BERTH_ROOT_ACCESS_KEY_ID=" + rootID, "BERTH_ROOT_SECRET_ACCESS_KEY=" + rootSecret,
		"BERTH_MASTER_KEY=" + master, "BERTH_PASSWORD_LOGIN=access-key", "BERTH_PUBLIC=off", "BERTH_SCRUB_INTERVAL=0", "HOME=" + dir,
		"BERTH_DELETED_RETENTION=0", "BERTH_GC_GRACE=0s", "BERTH_GC_LEASE=" + lease.String(), "BERTH_GC_DELAY=0s", "BERTH_GC_SHARE=100",
	}, stores...)
}

// seat is where a server runs, which is killed and started again.
type seat struct {
	dir string
	env []string

	mu     sync.Mutex
	url    string    // "" while it does not run
	life   int       // how often it was started
	dying  bool      // it is killed now, or does not run
	cmd    *exec.Cmd // that was started last
	ended  chan struct{}
	stderr *complaints
}

// start starts a server and waits until it answers.
func (s *seat) start() error {
	address := filepath.Join(s.dir, "server.json")
	if err := os.Remove(address); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	cmd, ended := exec.Command(binary, "serve", "--data", s.dir), make(chan struct{})
	stderr := &complaints{}
	cmd.Env, cmd.Stderr = s.env, stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = cmd.Wait() // its state says it all
		close(ended)
	}()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		var a struct{ Endpoint string }
		if text, err := os.ReadFile(address); err == nil && json.Unmarshal(text, &a) == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.url, s.cmd, s.ended, s.stderr, s.dying = a.Endpoint, cmd, ended, stderr, false
			s.life++
			return nil
		}
		select {
		case <-ended:
			return fmt.Errorf("the server has ended: %v\n%s", cmd.ProcessState, stderr)
		case <-time.After(5 * time.Millisecond):
		}
	}
	_ = cmd.Process.Kill() // it may have ended
	<-ended
	return fmt.Errorf("the server does not start\n%s", stderr)
}

// where returns the server's URL, "" while it does not run, and in which of its lives it
// is.
func (s *seat) where() (url string, life int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url, s.life
}

// lives reports whether the server runs that was in a life, and nobody kills it.
func (s *seat) lives(life int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life == life && !s.dying
}

// end ends the server with a signal, whatever it does. The error says what it has complained of.
func (s *seat) end(signal syscall.Signal) error {
	s.mu.Lock()
	cmd, ended, running := s.cmd, s.ended, s.url != ""
	s.dying = true
	if running {
		_ = cmd.Process.Signal(signal) // it may have ended
	}
	s.url = ""
	s.mu.Unlock()
	if !running {
		return nil
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		_ = cmd.Process.Kill()
		<-ended
		return errors.New("the server does not end")
	}
	if err := s.stderr.err(); err != nil {
		return err
	}
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !cmd.ProcessState.Success() && (!status.Signaled() || status.Signal() != signal) {
		return fmt.Errorf("the server has ended: %v\n%s", cmd.ProcessState, s.stderr)
	}
	return nil
}

// complaints keep what a server logs that it must not, and the last line of the rest.
type complaints struct {
	mu    sync.Mutex
	line  []byte
	last  []byte
	lines [][]byte
}

// Write implements [io.Writer].
func (c *complaints) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range p {
		if b != '\n' {
			c.line = append(c.line, b)
			continue
		}
		if bad := bytes.Contains(c.line, []byte("level=ERROR")) || bytes.Contains(c.line, []byte("panic")) || len(c.lines) > 0 && bytes.Contains(c.lines[0], []byte("panic")); bad && len(c.lines) < 100 {
			c.lines = append(c.lines, bytes.Clone(c.line))
		}
		c.last, c.line = append(c.last[:0], c.line...), c.line[:0]
	}
	return len(p), nil
}

func (c *complaints) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.lines) == 0 {
		return nil
	}
	return fmt.Errorf("the server logged %d errors, the first ones:\n%s", len(c.lines), bytes.Join(c.lines[:min(10, len(c.lines))], []byte("\n")))
}

func (c *complaints) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.last)
}

// configured returns the configuration that an environment makes.
func configured(env []string) (*config.Config, error) {
	return config.Load(pflag.NewFlagSet("", pflag.ContinueOnError), env)
}

// check returns what berth fsck finds.
func check(env []string) (*fsck.Report, error) {
	c, err := configured(env)
	if err != nil {
		return nil, err
	}
	return server.Fsck(context.Background(), c, server.FsckOptions{})
}

// later has a server do what it does when three days have passed, and two weeks: uploads that
// nobody finishes go, and bytes that nobody knows of. It returns how many of the latter there
// were, and how many things the bucket then holds, and of what size.
func later(t *testing.T, env []string) (orphans int64, things int, size int64) {
	t.Helper()
	c, err := configured(env)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	days := time.Duration(3)
	s, err := server.Open(ctx, c, server.Options{Now: func() time.Time { return time.Now().Add(days * 24 * time.Hour) }, Idle: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	if err := s.Registry().ReapUploads(ctx); err != nil {
		t.Fatal(err)
	}
	for range 2 { // what is noted, and the bytes
		var run gc.Run
		if run, err = s.Garbage().Collect(ctx, true); err != nil {
			t.Fatal(err)
		}
		orphans += run.Orphans
		days = 14
		if run.Found != 0 {
			t.Errorf("garbage collection has found %d things that nobody had noted", run.Found)
		}
	}
	for e, err := range s.Bucket().List(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		things++
		size += e.Size
	}
	return orphans, things, size
}

// lasting are the kinds of what a process leaves that is killed, until it is removed.
func lasting(p fsck.Problem) bool {
	return slices.Contains([]string{fsck.Orphan, fsck.Abandoned}, p.Kind)
}

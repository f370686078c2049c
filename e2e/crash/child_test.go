//go:build unix

package crash

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// binary is berth, built with its crash points.
var binary string

// The keys of every server. What a server seals under is rotated from master to newer.
const (
	rootID     = "AKIAROOT"
	rootSecret = "the secret of the root"
	master     = "2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a"
	newer      = "3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b"
)

// environment returns what a server is told, with what differs.
func environment(dir string, more ...string) []string {
	return append([]string{
		"BERTH_DATA=" + dir, "BERTH_LISTEN=127.0.0.1:0", "BERTH_ROOT_ACCESS_KEY_ID=" + rootID, "BERTH_ROOT_SECRET_ACCESS_KEY=" + rootSecret,
		"BERTH_MASTER_KEY=" + master, "BERTH_PASSWORD_LOGIN=access-key", "GOMAXPROCS=2", "HOME=" + dir,
	}, more...)
}

// running is a server that runs.
type running interface {
	// clients returns a client of it.
	clients() *client
	// died waits for the end of a server that answers no more. The error is errKilled if
	// it was killed, nil if it has ended in an orderly way.
	died() error
	// stop ends it in an orderly way. It returns what died does.
	stop() error
	// kill ends it at once, unless that is not wanted.
	kill() error
}

// child is a berth process.
type child struct {
	cmd    *exec.Cmd
	ended  chan struct{}
	stderr bytes.Buffer // to be read when it has ended
	client *client
}

// errKilled says that the server was killed.
var errKilled = errors.New("the server has been killed")

// start starts a server and waits until it has opened its data. The error is errKilled
// if it is killed first.
func start(verb, dir string, env []string) (*child, error) {
	address := filepath.Join(dir, "server.json")
	if err := os.Remove(address); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	c := &child{cmd: exec.Command(binary, verb, "--data", dir), ended: make(chan struct{})}
	c.cmd.Env, c.cmd.Stderr = env, &c.stderr
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = c.cmd.Wait() // its state says it all
		close(c.ended)
	}()
	for deadline := time.Now().Add(2 * time.Minute); ; {
		var a struct{ Endpoint string }
		if text, err := os.ReadFile(address); err == nil && json.Unmarshal(text, &a) == nil {
			c.client = newClient(a.Endpoint)
			return c, nil
		}
		select {
		case <-c.ended:
			return nil, c.how()
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(errors.New("the server does not start"), c.kill())
		}
	}
}

func (c *child) clients() *client { return c.client }

// how says how a process has ended: errKilled if by SIGKILL.
func (c *child) how() error {
	if c.client != nil {
		c.client.http.CloseIdleConnections()
	}
	for line := range strings.SplitSeq(c.stderr.String(), "\n") {
		if strings.Contains(line, "level=ERROR") || strings.Contains(line, "panic") {
			return fmt.Errorf("the server logged: %s", line)
		}
	}
	if status := c.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() && status.Signal() == syscall.SIGKILL {
		return errKilled
	}
	if c.cmd.ProcessState.Success() {
		return nil
	}
	return fmt.Errorf("the server has ended: %v\n%s", c.cmd.ProcessState, &c.stderr)
}

// died returns how the server has ended, waiting for that.
func (c *child) died() error {
	select {
	case <-c.ended:
		return c.how()
	case <-time.After(time.Minute):
		return errors.Join(errors.New("the server answers no more and has not ended"), c.kill())
	}
}

// kill kills the server, whatever it does.
func (c *child) kill() error {
	_ = c.cmd.Process.Kill() // it may have ended
	<-c.ended
	if err := c.how(); !errors.Is(err, errKilled) {
		return err
	}
	return nil
}

// stop ends the server in an orderly way. The error is errKilled if it was killed
// meanwhile.
func (c *child) stop() error {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	return c.died()
}

func newClient(endpoint string) *client {
	return &client{url: endpoint, http: &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: time.Minute}}
}

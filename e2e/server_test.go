//go:build unix

package e2e

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// server is the berth process of a script, if one runs.
type server struct {
	listen string // where it listens, or did before it was stopped
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the process has ended
	key    string        // of its root
	secret string        // that goes with it
	stores []string      // variables that say where its data is
}

// serverKey finds a script's server.
type serverKey struct{}

func serverOf(ts *testscript.TestScript) *server { return ts.Value(serverKey{}).(*server) }

const serverLog = "server.log"

// serve starts the server and waits until it is ready. A script's server has the
// same address every time that it is started.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	s := serverOf(ts)
	if neg || s.cmd != nil {
		ts.Fatalf("usage: serve [dev] ARGS, once until it is stopped")
	}
	verb := "serve"
	if len(args) > 0 && args[0] == "dev" {
		verb, args = args[0], args[1:]
	}
	if i := slices.Index(args, "--listen"); i >= 0 {
		s.listen = args[i+1]
	} else {
		if s.listen == "" {
			s.listen = freeAddress(ts)
		}
		args = append([]string{"--listen", s.listen}, args...)
	}
	s.start(ts, append([]string{verb, "--data", ts.MkAbs("data")}, args...))
	scheme := "http://"
	if slices.Contains(args, "--tls-cert") {
		scheme = "https://"
	}
	s.ready(ts, scheme+s.listen+"/readyz")
	setVariables(ts)
}

// nextPort is below those that the kernel gives to outgoing connections.
var nextPort atomic.Int32

func freeAddress(ts *testscript.TestScript) string {
	address, err := unusedAddress()
	ts.Check(err)
	return address
}

func unusedAddress() (string, error) {
	for range 1000 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+int(nextPort.Add(1))))
		if l, err := net.Listen("tcp", address); err == nil {
			return address, l.Close()
		}
	}
	return "", errors.New("there is no free port")
}

func (s *server) start(ts *testscript.TestScript, args []string) {
	log, err := os.OpenFile(filepath.Join(ts.Getenv("WORK"), serverLog), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer log.Close()
	s.cmd = exec.Command("berth", args...)
	s.cmd.Dir = ts.MkAbs(".")
	s.cmd.Env = []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "TMPDIR=" + ts.Getenv("TMPDIR")}
	s.cmd.Env = append(s.cmd.Env, s.stores...)
	s.cmd.Stderr = log
	s.ended = make(chan struct{})
	ts.Check(s.cmd.Start())
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait() // its state says it all
		close(ended)
	}(s.cmd, s.ended)
}

// ready waits until the server says that it is.
func (s *server) ready(ts *testscript.TestScript, url string) {
	// Which certificate it has is for the clients to check.
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	ts.Check(poll(20*time.Second, func() error {
		select {
		case <-s.ended:
			ts.Fatalf("berth has ended: %v", s.cmd.ProcessState)
		default:
		}
		resp, err := client.Get(url)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, resp.Status)
		}
		return nil
	}))
}

// setVariables sets what berth env prints.
func setVariables(ts *testscript.TestScript) {
	ts.Check(ts.Exec("berth", "env", "--data", "data", "--output", "json"))
	var variables map[string]string
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &variables))
	for name, value := range variables {
		ts.Setenv(name, value)
	}
	s := serverOf(ts)
	s.key, s.secret = variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"]
}

// stop sends a signal and waits for the end.
func (s *server) stop(sig os.Signal) error {
	if err := s.cmd.Process.Signal(sig); err != nil {
		return err
	}
	select {
	case <-s.ended:
		s.cmd = nil
		return nil
	case <-time.After(time.Minute):
		return fmt.Errorf("berth goes on a minute after %v", sig)
	}
}

func stopServer(ts *testscript.TestScript, neg bool, args []string) {
	s := running(ts, neg, args)
	cmd := s.cmd
	ts.Check(s.stop(syscall.SIGTERM))
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		ts.Fatalf("after SIGTERM, berth ended with %v, want exit code 0", cmd.ProcessState)
	}
}

func killServer(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(running(ts, neg, args).stop(syscall.SIGKILL))
}

func signalServer(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 || args[0] != "HUP" {
		ts.Fatalf("usage: signal HUP")
	}
	ts.Check(running(ts, neg, nil).cmd.Process.Signal(syscall.SIGHUP))
}

func running(ts *testscript.TestScript, neg bool, args []string) *server {
	s := serverOf(ts)
	if neg || len(args) > 0 || s.cmd == nil {
		ts.Fatalf("there is nothing to negate, no argument to give, and a server must be running")
	}
	return s
}

// tidy ends the server at the end of a script. A server that logged an error, or
// its secret, fails the script.
func tidy(env *testscript.Env) {
	s := env.Values[serverKey{}].(*server)
	t := env.T().(testing.TB)
	if t.Skipped() {
		note(t)
	}
	if s.cmd != nil {
		if err := s.stop(syscall.SIGTERM); err != nil {
			t.Error(err, s.stop(syscall.SIGKILL))
		}
	}
	log, err := os.ReadFile(filepath.Join(env.WorkDir, serverLog))
	if err != nil {
		return // it had no server
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	for _, line := range lines {
		if strings.Contains(line, "level=ERROR") || strings.Contains(line, "panic") || s.secret != "" && strings.Contains(line, s.secret) {
			t.Errorf("the server logged: %s", line)
		}
	}
	if t.Failed() {
		t.Logf("the last lines of the server's log:\n%s", strings.Join(lines[max(0, len(lines)-20):], "\n"))
	}
}

// note lists a script that is not run in the file that E2E_SKIPPED names: go test
// does not tell.
func note(t testing.TB) {
	name := os.Getenv("E2E_SKIPPED")
	if name == "" {
		return
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = fmt.Fprintln(f, strings.TrimPrefix(t.Name(), "TestScripts/"))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Error(err)
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
)

// bench holds the built programs and a directory for data.
type bench struct {
	dir    string
	rounds int
	s3Env  []string // what a Berth on S3 is told about the store
	url    string   // of the database that a Berth is to use; its own if ""
	under  []string // a command that a server is run under
}

// newBench builds all programs, with flags.
func newBench(ctx context.Context, rounds int, flags ...string) (*bench, error) {
	dir, err := os.MkdirTemp("", "berth-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{dir: dir, rounds: rounds}
	for name, pkg := range map[string]string{"berth": "berth/cmd/berth", "floor": "berth/bench/floor", "load": "berth/bench/load"} {
		cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"build", "-o", b.path(name)}, flags, []string{pkg})...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			b.close()
			return nil, fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
	}
	return b, nil
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) close() { _ = os.RemoveAll(b.dir) }

// process is a server under measurement.
type process struct {
	cmd     *exec.Cmd
	url     string
	dir     string
	started time.Duration     // from the start to the first answer
	login   []string          // flags of load; Berth's only
	api     *ecr.Client       // Berth's only
	env     map[string]string // likewise: what berth env prints
}

// start starts a server on the data in a directory and waits for its first
// answer.
func (b *bench) start(ctx context.Context, name, dir string) (*process, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p := &process{url: "http://" + address, dir: dir}
	health := p.url + "/v2/"
	switch name {
	case floor:
		p.cmd = exec.CommandContext(ctx, b.path("floor"), "-addr", address, "-dir", dir)
	case floorFS:
		p.cmd = exec.CommandContext(ctx, b.path("floor"), "-addr", address, "-dir", dir, "-fsync")
	case berth, sealed:
		// berth dev makes repositories on push; it stores like berth serve.
		seal := map[string]string{berth: "off", sealed: "on"}[name]
		p.cmd = exec.CommandContext(ctx, b.path("berth"), "dev", "--data", dir, "--listen", address, "--quota", "tags-per-image=100000", "--seal", seal)
		p.cmd.Env = b.environment()
		health = p.url + "/readyz"
	case garbageBerth:
		p.cmd = exec.CommandContext(ctx, b.path("berth"), "dev", "--data", dir, "--listen", address, "--seal", "off", "--deleted-retention", "0", "--gc-grace", "0")
		health = p.url + "/readyz"
	case onS3:
		p.cmd = exec.CommandContext(ctx, b.path("berth"), "dev", "--data", dir, "--listen", address, "--seal", "off")
		p.cmd.Env = append(os.Environ(), b.s3Env...)
		health = p.url + "/readyz"
	case peer:
		file := filepath.Join(dir, "config.yml")
		config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\nhttp: {addr: %q}\n", dir, address)
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			return nil, err
		}
		p.cmd = exec.CommandContext(ctx, "docker-registry", "serve", file)
	}
	if len(b.under) > 0 {
		wrapped := exec.CommandContext(ctx, b.under[0], append(b.under[1:], p.cmd.Args...)...)
		wrapped.Env, p.cmd = p.cmd.Env, wrapped
	}
	begin := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := waitFor(ctx, health); err != nil {
		p.stop()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p.started = time.Since(begin)
	if name == berth || name == sealed || name == onS3 || name == garbageBerth {
		if err := b.logIn(ctx, p); err != nil {
			p.stop()
			return nil, err
		}
	}
	return p, nil
}

// environment is what a Berth is told of the database that it is to use.
func (b *bench) environment() []string {
	env := os.Environ()
	if b.url != "" {
		env = append(env, "BERTH_DATABASE="+b.url, "BERTH_MASTER_KEY="+strings.Repeat("2a", 32),
			"BERTH_ROOT_ACCESS_KEY_ID=AKIAROOTROOTROOTROOT", "BERTH_ROOT_SECRET_ACCESS_KEY="+strings.Repeat("ROOT", 10))
	}
	return env
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait() // killed or not, it has ended
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// waitFor returns when the URL answers.
func waitFor(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			return res.Body.Close()
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("no answer from %s", url)
		}
	}
}

// logIn finds out how to call a Berth and logs in to it.
func (b *bench) logIn(ctx context.Context, p *process) error {
	cmd := exec.CommandContext(ctx, b.path("berth"), "env", "--data", p.dir, "--output", "json")
	cmd.Env = b.environment()
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("berth env: %w", err)
	}
	var env map[string]string
	if err := json.Unmarshal(out, &env); err != nil {
		return err
	}
	p.env, p.api = env, ecr.NewFromConfig(config(env))
	password, err := logIn(ctx, p.api)
	p.login = []string{"-user", "AWS", "-password", password}
	return err
}

// result is the part of load's result that counts.
type result struct {
	Errors   int64   `json:"errors"`
	FirstErr string  `json:"first_error"`
	OpsPerS  float64 `json:"ops_per_s"`
	CPU      float64 `json:"server_cpu_us_per_op"`
	RSSPeak  int64   `json:"server_rss_peak_kib"`
	Bytes    int64   `json:"bytes"`
}

// load runs one load against a server.
func (b *bench) load(ctx context.Context, p *process, seed int, args ...string) (result, error) {
	all := append([]string{"-url", p.url, "-pid", strconv.Itoa(p.cmd.Process.Pid), "-seed", strconv.Itoa(seed)}, p.login...)
	cmd := exec.CommandContext(ctx, b.path("load"), append(all, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var r result
	if jsonErr := json.Unmarshal(out, &r); jsonErr != nil {
		return r, fmt.Errorf("load %v: %w %s", args, err, stderr.String())
	}
	if r.Errors > 0 {
		return r, fmt.Errorf("load %v: %d errors, the first: %s", args, r.Errors, r.FirstErr)
	}
	return r, nil
}

// rss returns the resident memory of a process in KiB.
func (p *process) rss() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	var size, resident int64
	_, _ = fmt.Sscan(string(text), &size, &resident) // 0 where there is no /proc
	return resident * int64(os.Getpagesize()) / 1024
}

// Package pgtest gives tests a PostgreSQL of their own: one server for each test
// process, one schema or database for each test.
package pgtest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
)

// URL returns the URL of an empty schema. Without PostgreSQL on the machine the
// test is skipped, or fails where CI=true.
func URL(t testing.TB) string {
	t.Helper()
	running(t)
	u, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Schema is URL outside of tests.
func Schema() (string, error) {
	s, err := server()
	if err != nil {
		return "", err
	}
	schema := fmt.Sprintf("t%d", s.made.Add(1))
	if _, err := s.db.Exec("CREATE SCHEMA " + schema); err != nil {
		return "", fmt.Errorf("create a schema: %w", err)
	}
	return s.url("postgres", url.Values{"search_path": {schema}}), nil
}

// running returns the process's PostgreSQL.
func running(t testing.TB) *postgres {
	t.Helper()
	s, err := server()
	if errors.Is(err, errAbsent) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	return s
}

var errAbsent = errors.New("PostgreSQL is not installed: apt-get install postgresql")

// postgres is a running server. It ends with the process that started it.
type postgres struct {
	dir  string // of its socket; it listens on no address
	db   *sql.DB
	made atomic.Int64 // schemas and databases
}

// server returns this process's PostgreSQL, which it starts at the first call.
var server = sync.OnceValues(start)

func start() (*postgres, error) {
	initdb, err := program("initdb")
	if err != nil {
		return nil, err
	}
	daemon, err := program("postgres")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "berth-pg-")
	if err != nil {
		return nil, err
	}
	as, err := unprivileged(dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	if err := run(as, initdb, "-D", data, "-A", "trust", "-U", "berth", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"); err != nil {
		return nil, err
	}
	if err := launch(as, dir, daemon, "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "max_connections=500",
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "shared_buffers=64MB"); err != nil {
		return nil, err
	}
	p := &postgres{dir: dir}
	if p.db, err = sql.Open("pgx", p.url("postgres", nil)); err != nil {
		return nil, err
	}
	p.db.SetMaxIdleConns(1)
	return p, p.wait()
}

// program returns the path of one of PostgreSQL's programs, which Debian keeps
// out of PATH.
func program(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name) // the pattern is well-formed
	if len(found) == 0 {
		return "", errAbsent
	}
	sort.Strings(found)
	return found[len(found)-1], nil
}

func run(as func(*exec.Cmd), name string, args ...string) error {
	cmd := exec.Command(name, args...)
	as(cmd)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// launch starts a daemon that ends, and whose directory goes, when this process
// does, however it ends: a shell waits for the end of a pipe whose other end
// this process holds.
func launch(as func(*exec.Cmd), dir, name string, args ...string) error {
	script := `"$@" >"` + dir + `/log" 2>&1 & pid=$!; read -r _; kill -QUIT $pid; wait $pid; rm -rf "` + dir + `"`
	cmd := exec.Command("sh", append([]string{"-c", script, "sh", name}, args...)...)
	as(cmd)
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	held = append(held, pipe)
	return cmd.Start()
}

// held are the pipes that must stay open as long as this process lives.
var held []io.Closer

func (p *postgres) url(database string, query url.Values) string {
	if query == nil {
		query = url.Values{}
	}
	query.Set("host", p.dir)
	return "postgres://berth@/" + database + "?" + query.Encode()
}

// wait returns when the server answers.
func (p *postgres) wait() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		err := p.db.PingContext(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			log, _ := os.ReadFile(filepath.Join(p.dir, "log")) // it may say why
			return fmt.Errorf("%w\n%s", err, strings.TrimSpace(string(bytes.TrimSpace(log))))
		}
		time.Sleep(20 * time.Millisecond) // until another process is ready: there is nothing to wait on
	}
}

//go:build crashpoints

// Package crash, with the tag crashpoints, does what the environment says:
//
//	CRASHPOINT=NAME:HIT    the process is killed (SIGKILL) when it comes to the point
//	                        NAME for the HIT-th time; NAME may be * for any
//	CRASHPOINT_COUNT=FILE  the name of every point that it comes to is added to FILE
package crash

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"os"
	"strconv"
	"strings"
	"sync"
)

type plan struct {
	mu   sync.Mutex
	name string
	left int
	hits *os.File
}

var planned = sync.OnceValue(func() *plan {
	p := &plan{}
	name, hit, ok := strings.Cut(os.Getenv("CRASHPOINT"), ":")
	if p.name = name; ok {
		p.left, _ = strconv.Atoi(hit)
	}
	if file := os.Getenv("CRASHPOINT_COUNT"); file != "" {
		var err error
		if p.hits, err = os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
			panic(err)
		}
	}
	return p
})

// Point is a place where the process may be killed.
func Point(name string) {
	p := planned()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hits != nil {
		_, _ = p.hits.WriteString(name + "\n")
	}
	if p.name != name && p.name != "*" {
		return
	}
	if p.left--; p.left == 0 {
		if self, err := os.FindProcess(os.Getpid()); err == nil {
			_ = self.Kill()
		}
		select {} // with the lock: nothing else comes past a point
	}
}

// Statements returns a database in which there is a Point after each statement.
func Statements(name string, db *sql.DB) *sql.DB {
	out := sql.OpenDB(connector{name, db})
	out.SetMaxIdleConns(-1) // they go back to db
	return out
}

type connector struct {
	name string
	db   *sql.DB
}

func (c connector) Driver() driver.Driver { return c.db.Driver() }

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	held, err := c.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	out := &conn{name: c.name, held: held}
	return out, held.Raw(func(inner any) error {
		out.inner = inner.(session)
		return nil
	})
}

// session is what the drivers of both databases can do.
type session interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
}

type conn struct {
	name  string
	held  *sql.Conn
	inner session
}

func (c *conn) Prepare(query string) (driver.Stmt, error) { return c.inner.Prepare(query) }
func (c *conn) Begin() (driver.Tx, error)                 { return c.inner.Begin() } //nolint:staticcheck // of the interface
func (c *conn) Close() error                              { return c.held.Close() }

func (c *conn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	return c.inner.BeginTx(ctx, o)
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.inner.QueryContext(ctx, query, args)
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	out, err := c.inner.ExecContext(ctx, query, args)
	Point(c.name)
	return out, err
}

// CheckNamedValue leaves to the driver what it takes.
func (c *conn) CheckNamedValue(v *driver.NamedValue) error {
	if checks, ok := c.inner.(driver.NamedValueChecker); ok {
		return checks.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

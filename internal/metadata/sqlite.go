package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"berth/internal/crash"

	"github.com/pressly/goose/v3"
	sqlite3 "modernc.org/sqlite" // and the driver
)

// OpenSQLite opens the database in a file, which it makes if it is not there,
// and brings its schema up to date. The file must be on a local disk and open in
// one process only.
//
// Readers see the last commit and never wait. There is one writer: concurrent
// updates share its commits.
func OpenSQLite(ctx context.Context, path string) (*DB, error) {
	// SQLite would let others read a new file; its -wal and -shm get its mode.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", sqliteURL(path, url.Values{
		"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "foreign_keys(ON)", "synchronous(FULL)", "cache_size(-8192)",
			"secure_delete(ON)", "temp_store(MEMORY)"}, // what is deleted is written over, backing keys among it
	}))
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, goose.DialectSQLite3, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	e := &sqlite{db: db, queue: make(chan *work), done: make(chan struct{})}
	if err := e.start(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &DB{engine: e}, nil
}

// sqlite runs transactions on a fixed set of connections.
type sqlite struct {
	db      *sql.DB
	readers chan *conn // those that are free
	spare   chan *conn // the one for aside, while it is
	writer  *conn      // used by write alone
	memo    memo

	mu     sync.RWMutex
	closed bool // guarded by mu
	queue  chan *work
	done   chan struct{} // closed when write has returned
}

// conn is a connection with the statements that were prepared on it.
type conn struct {
	*sql.Conn
	prepared map[string]*sql.Stmt
	full     bool // commits wait for the disk
	unsound  bool // a write to the disk has failed: see sound
}

func (e *sqlite) start(ctx context.Context) error {
	readers := max(4, 2*runtime.GOMAXPROCS(0))
	e.db.SetMaxOpenConns(readers + 3) // shred opens one
	e.db.SetMaxIdleConns(readers + 2)
	e.readers, e.spare = make(chan *conn, readers), make(chan *conn, 1)
	for i := range readers + 1 {
		c, err := e.connect(ctx, "PRAGMA query_only = ON")
		if err != nil {
			return err
		}
		if i == readers {
			e.spare <- c
		} else {
			e.readers <- c
		}
	}
	w, err := e.connect(ctx, "PRAGMA wal_autocheckpoint = 4000")
	if err != nil {
		return err
	}
	w.full, e.writer = true, w
	go e.write()
	return nil
}

func (e *sqlite) connect(ctx context.Context, pragma string) (*conn, error) {
	c, err := e.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := c.ExecContext(ctx, pragma); err != nil {
		return nil, err
	}
	return &conn{Conn: c, prepared: map[string]*sql.Stmt{}}, nil
}

// stmt returns the query prepared. The number of queries is that of the source
// code, so that the cache does not grow.
func (c *conn) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := c.prepared[query]; ok {
		return s, nil
	}
	s, err := c.PrepareContext(ctx, query)
	if err == nil {
		c.prepared[query] = s
	}
	return s, err
}

func (c *conn) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := c.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

func (c *conn) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := c.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

// release returns the connection to its pool. What was prepared on it would keep it open
// for ever, with the log of the database.
func (c *conn) release() {
	for _, s := range c.prepared {
		_ = s.Close()
	}
	_ = c.Close()
}

func (c *conn) run(query string) error {
	_, err := c.ExecContext(context.Background(), query)
	return err
}

// view implements engine. A transaction begins with its first query: a view that
// recalls all that it asks for needs none.
func (e *sqlite) view(ctx context.Context, fn func(*Tx) error) error {
	return e.viewWith(ctx, e.readers, fn)
}

// aside implements engine.
func (e *sqlite) aside(ctx context.Context, fn func(*Tx) error) error {
	return e.viewWith(ctx, e.spare, fn)
}

// viewWith is view on one of some connections.
func (e *sqlite) viewWith(ctx context.Context, readers chan *conn, fn func(*Tx) error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	for {
		if err := e.viewOnce(ctx, readers, fn); !errors.Is(err, errMoved) {
			return err
		}
	}
}

// viewOnce runs fn. It gives the connection back even if fn panics.
func (e *sqlite) viewOnce(ctx context.Context, readers chan *conn, fn func(*Tx) error) (err error) {
	c := &viewConn{engine: e, readers: readers}
	defer func() { err = errors.Join(err, c.end()) }()
	return fn(&Tx{ctx: ctx, conn: c, memo: &e.memo, generation: e.memo.now()})
}

// errMoved ends a view that has recalled facts and then found that the database
// has moved on: it is run again.
var errMoved = errors.New("the database has changed since the view began")

// viewConn is a connection that is taken, and on which a transaction begins,
// with the first query.
type viewConn struct {
	engine  *sqlite
	readers chan *conn
	conn    *conn
}

// QueryContext implements queryer. A statement takes microseconds and is not
// interrupted: watching the context would cost more.
func (v *viewConn) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if v.conn == nil {
		select {
		case v.conn = <-v.readers:
		case <-v.engine.done:
			return nil, errClosed
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if err := v.conn.run("BEGIN"); err != nil {
			return nil, err
		}
	}
	return v.conn.QueryContext(context.WithoutCancel(ctx), query, args...)
}

// ExecContext implements queryer. Views do not change anything.
func (v *viewConn) ExecContext(context.Context, string, ...any) (sql.Result, error) {
	return nil, errors.New("a view cannot change the database")
}

// end releases the connection.
func (v *viewConn) end() error {
	if v.conn == nil {
		return nil
	}
	err := v.conn.run("COMMIT")
	v.readers <- v.conn
	return err
}

// shred implements engine. The log is emptied into the database, where what was deleted
// has been written over.
func (e *sqlite) shred(ctx context.Context) error {
	c, err := e.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.ExecContext(ctx, "PRAGMA busy_timeout = 100"); err != nil { // writers wait meanwhile
		return err
	}
	var busy, frames, moved int
	err = c.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &moved)
	if err == nil && busy != 0 {
		err = errors.New("the log of the database is in use")
	}
	crash.Point("metadata.shred")
	return err
}

// now implements engine.
func (e *sqlite) now(context.Context) (time.Time, error) { return time.Now(), nil }

// work is one update that waits for its commit.
type work struct {
	ctx     context.Context
	relaxed bool
	fn      func(*Tx) error
	result  chan error
}

// errClosed is returned to those who come after close.
var errClosed = errors.New("database is closed")

// update implements engine.
func (e *sqlite) update(ctx context.Context, relaxed bool, fn func(*Tx) error) error {
	w := &work{ctx, relaxed, fn, make(chan error, 1)}
	e.mu.RLock()
	if e.closed {
		e.mu.RUnlock()
		return errClosed
	}
	select {
	case e.queue <- w:
		e.mu.RUnlock()
		return <-w.result
	case <-ctx.Done():
		e.mu.RUnlock()
		return context.Cause(ctx)
	}
}

// maxGroup bounds how many updates share a commit.
const maxGroup = 128

// write commits updates in groups: those that arrive while one commit waits for
// the disk make up the next.
func (e *sqlite) write() {
	defer close(e.done)
	for first := range e.queue {
		group := []*work{first}
		for more := true; more && len(group) < maxGroup; {
			select {
			case w, ok := <-e.queue:
				if more = ok; ok {
					group = append(group, w)
				}
			default:
				more = false
			}
		}
		e.commit(group)
	}
}

// commit runs a group in one transaction, each member in a savepoint of its own unless
// it is alone, and then tells them all.
func (e *sqlite) commit(group []*work) {
	results := make([]error, len(group))
	if err := e.runGroup(group, results); err != nil {
		for i := range results {
			if results[i] == nil {
				results[i] = err
			}
		}
	}
	for i, w := range group {
		w.result <- results[i]
	}
}

func (e *sqlite) runGroup(group []*work, results []error) error {
	c := e.writer
	if err := c.sound(); err != nil {
		return err
	}
	if err := c.synchronous(group); err != nil {
		return err
	}
	if err := c.run("BEGIN IMMEDIATE"); err != nil {
		return c.failed(fmt.Errorf("begin: %w", err))
	}
	crash.Point("metadata.begin")
	changed := false
	for i, w := range group {
		if results[i] = context.Cause(w.ctx); results[i] != nil {
			continue
		}
		tx := &Tx{ctx: context.Background(), conn: c}
		if !changed { // what views remember is what the writer would read
			tx.memo, tx.generation = &e.memo, e.memo.now()
		}
		if len(group) == 1 {
			if results[i] = call(w.fn, tx); results[i] != nil {
				return c.run("ROLLBACK")
			}
			changed = tx.changed
			break
		}
		if err := c.run("SAVEPOINT member"); err != nil {
			return errors.Join(err, c.run("ROLLBACK"))
		}
		results[i] = call(w.fn, tx)
		changed = changed || tx.changed
		if results[i] != nil {
			if err := c.run("ROLLBACK TO member"); err != nil {
				return errors.Join(err, c.run("ROLLBACK"))
			}
		}
		if err := c.run("RELEASE member"); err != nil {
			return errors.Join(err, c.run("ROLLBACK"))
		}
	}
	if changed {
		e.memo.step()
		defer e.memo.step()
	}
	crash.Point("metadata.commit")
	if err := c.run("COMMIT"); err != nil {
		return errors.Join(c.failed(fmt.Errorf("commit: %w", err)), c.run("ROLLBACK"))
	}
	crash.Point("metadata.committed")
	return nil
}

// errUnsound is returned while the log cannot be done without.
var errUnsound = errors.New("the disk has failed to keep the log of the database")

// failed takes note of an error of the disk and returns it.
func (c *conn) failed(err error) error {
	var e *sqlite3.Error
	c.unsound = c.unsound || errors.As(err, &e) && e.Code()&0xff == sqliteIO
	return err
}

// sound makes what was committed durable in another way than by the log, if the disk
// has failed to keep that: it may have lost any part of it, and a sync that succeeds
// later says nothing about what was to be kept before. The log is written into the
// database and begun anew.
func (c *conn) sound() error {
	if !c.unsound {
		return nil
	}
	var busy, frames, moved int
	err := c.Conn.QueryRowContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &moved)
	if err != nil || busy != 0 {
		return errors.Join(errUnsound, err)
	}
	c.unsound = false
	return nil
}

// synchronous makes the commit wait for the disk if any member wants it.
func (c *conn) synchronous(group []*work) error {
	full := false
	for _, w := range group {
		full = full || !w.relaxed
	}
	if full == c.full {
		return nil
	}
	level := "NORMAL"
	if full {
		level = "FULL"
	}
	if err := c.run("PRAGMA synchronous = " + level); err != nil {
		return err
	}
	c.full = full
	return nil
}

// call turns a panic of fn into an error: the goroutine is everybody's.
func call(fn func(*Tx) error, tx *Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a transaction: %v\n%s", p, debug.Stack())
		}
	}()
	return fn(tx)
}

// close implements engine.
func (e *sqlite) close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	close(e.queue)
	e.mu.Unlock()
	<-e.done
	for range cap(e.readers) {
		(<-e.readers).release()
	}
	(<-e.spare).release()
	e.writer.release()
	return e.db.Close()
}

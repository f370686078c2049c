package pgtest

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
)

// template is the database that others are copies of, once there is one.
var template struct {
	sync.Once
	err error
}

// Migrated returns the URL of a database of the test's own, a copy of one that
// open, called once in a process, has brought up to date: to copy it takes a
// fraction of the time. All calls in a process must be given the same open. The
// database ends with the test.
func Migrated[DB io.Closer](t testing.TB, open func(context.Context, string) (DB, error)) string {
	t.Helper()
	s := running(t)
	template.Do(func() { template.err = migrate(s, open) })
	if template.err != nil {
		t.Fatalf("migrate a database: %v", template.err)
	}
	name := fmt.Sprintf("t%d", s.made.Add(1))
	if err := s.copy(name); err != nil {
		t.Fatalf("copy a database: %v", err)
	}
	t.Cleanup(func() {
		if _, err := s.db.ExecContext(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop a database: %v", err)
		}
	})
	return s.url(name, nil)
}

func migrate[DB io.Closer](s *postgres, open func(context.Context, string) (DB, error)) error {
	if _, err := s.db.ExecContext(context.Background(), "CREATE DATABASE template"); err != nil {
		return err
	}
	db, err := open(context.Background(), s.url("template", nil))
	if err != nil {
		return err
	}
	return db.Close()
}

// copy makes a copy of the template. By default it would be put into the log,
// block by block.
func (s *postgres) copy(name string) error {
	_, err := s.db.ExecContext(context.Background(), "CREATE DATABASE "+name+" TEMPLATE template STRATEGY file_copy")
	return err
}

package metadata

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/internal/blob"
	"berth/internal/metadata/pgtest"
	"berth/internal/metadata/sqlitetest"
	"berth/internal/registry"

	"github.com/opencontainers/go-digest"
)

type store = Store[registry.ReadTx, registry.Tx]

// each runs a test on a new SQLite and on a new PostgreSQL database. open opens
// it, again if it is called again.
func each(t *testing.T, test func(t *testing.T, open func(t *testing.T) *DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "berth.db")
		sqlitetest.Migrated(t, path, OpenSQLite)
		test(t, opener(func(ctx context.Context) (*DB, error) { return OpenSQLite(ctx, path) }))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		url := pgtest.Migrated(t, OpenPostgres)
		test(t, opener(func(ctx context.Context) (*DB, error) { return OpenPostgres(ctx, url) }))
	})
}

func opener(open func(context.Context) (*DB, error)) func(*testing.T) *DB {
	return func(t *testing.T) *DB {
		t.Helper()
		db, err := open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		return db
	}
}

// eachStore runs a test on the store of both databases.
func eachStore(t *testing.T, test func(t *testing.T, s store)) {
	t.Helper()
	each(t, func(t *testing.T, open func(*testing.T) *DB) { test(t, For[registry.ReadTx, registry.Tx](open(t))) })
}

var (
	home = registry.ID{Account: "123456789012", Region: "us-east-1"}
	now  = time.Date(2026, 5, 4, 3, 2, 1, 234567000, time.UTC)
)

// repository returns a repository whose UID is its name, and a letter more.
func repository(name string) *registry.Repository {
	return &registry.Repository{
		Ref: registry.Ref{ID: home, Name: registry.RepositoryName(name)}, UID: "uid of " + name, CreatedAt: now,
		Mutability: registry.Mutability{Mode: registry.Mutable}, Encryption: registry.Encryption{Type: "AES256"},
	}
}

func insert(tx registry.Tx, repos ...*registry.Repository) error {
	for _, r := range repos {
		added, err := tx.InsertRepository(r)
		if err != nil {
			return err
		}
		if !added {
			return errors.New("the name " + string(r.Name) + " is taken")
		}
	}
	return nil
}

// object returns small content as an object.
func object(text string) blob.Object {
	return blob.Object{Digest: digest.FromString(text), Size: int64(len(text)), Content: []byte(text)}
}

func image(repo *registry.Repository, text string) (*registry.Image, blob.Object) {
	o := object(text)
	return &registry.Image{
		UID: "image of " + text + " in " + string(repo.Name), Repository: repo.UID, Digest: o.Digest, MediaType: "a/b", ManifestSize: o.Size,
		Size: o.Size, Status: registry.Active, PushedAt: now,
	}, o
}

// update runs an update that must succeed.
func update(t *testing.T, s store, fn func(registry.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// names returns the names of all repositories.
func names(t *testing.T, s store) []string {
	t.Helper()
	var out []string
	err := s.View(t.Context(), func(tx registry.ReadTx) error {
		var err error
		out, err = tx.RepositoryNames(home, "", 100_000)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func wantNames(t *testing.T, s store, want ...string) {
	t.Helper()
	if got := names(t, s); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("repositories = %v, want %v", got, want)
	}
}

func TestAnUpdateThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		failure := errors.New("no")
		for _, run := range []func(context.Context, func(registry.Tx) error) error{s.Update, s.Relaxed} {
			err := run(t.Context(), func(tx registry.Tx) error {
				if err := insert(tx, repository("aa"), repository("bb")); err != nil {
					return err
				}
				if err := tx.Emit(registry.Event{Kind: registry.RepositoryCreated}); err != nil {
					return err
				}
				if err := tx.PutSetting(home, "a", "b"); err != nil {
					return err
				}
				return failure
			})
			if !errors.Is(err, failure) {
				t.Errorf("Update = %v, want fn's error", err)
			}
		}
		wantNames(t, s)
		err := s.View(t.Context(), func(tx registry.ReadTx) error {
			if value, err := tx.Setting(home, "a"); err != nil || value != "" {
				t.Errorf("Setting = %q, %v, want none", value, err)
			}
			var events int
			if _, err := tx.(*Tx).row("SELECT count(*) FROM outbox", nil, &events); err != nil || events != 0 {
				t.Errorf("%d events, %v, want none", events, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestAnUpdateSeesItsOwnChangesAndOthersSeeThemAfterwards(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		update(t, s, func(tx registry.Tx) error {
			if err := insert(tx, repository("aa")); err != nil {
				return err
			}
			if r, err := tx.Repository(repository("aa").Ref, registry.LockChange); err != nil || r == nil {
				t.Errorf("Repository within the update = %v, %v, want it", r, err)
			}
			wantNames(t, s)
			return nil
		})
		wantNames(t, s, "aa")
	})
}

func TestAStatementThatFailsIsAnErrorOfItsUpdateOnly(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		update(t, s, func(tx registry.Tx) error { return insert(tx, repository("aa")) })
		err := s.Update(t.Context(), func(tx registry.Tx) error {
			if err := insert(tx, repository("bb")); err != nil {
				return err
			}
			img, o := image(repository("no such repository"), "x")
			return tx.InsertImage(repository("no such repository"), img, registry.References{}, o) // breaks a foreign key
		})
		if err == nil {
			t.Error("an update with a statement that fails succeeded")
		}
		update(t, s, func(tx registry.Tx) error { return insert(tx, repository("cc")) })
		wantNames(t, s, "aa", "cc")
	})
}

func TestAPanicInAnUpdateIsAnError(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		err := s.Update(t.Context(), func(tx registry.Tx) error {
			if err := insert(tx, repository("aa")); err != nil {
				return err
			}
			panic("the reason")
		})
		if err == nil || !strings.Contains(err.Error(), "the reason") {
			t.Errorf("Update = %v, want an error with what was panicked with", err)
		}
		wantNames(t, s)
		update(t, s, func(tx registry.Tx) error { return insert(tx, repository("bb")) })
	})
}

func TestAPanicInAViewHoldsNothing(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		for range 200 { // more than there are connections
			func() {
				defer func() {
					if recover() == nil {
						t.Error("the panic was lost")
					}
				}()
				_ = s.View(t.Context(), func(tx registry.ReadTx) error {
					_, err := tx.Setting(home, "a")
					panic(fmt.Sprint("a panic after ", err))
				})
			}()
		}
		update(t, s, func(tx registry.Tx) error { return insert(tx, repository("aa")) })
		wantNames(t, s, "aa")
	})
}

func TestACancelledUpdateDoesNotBegin(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, run := range []func(context.Context, func(registry.Tx) error) error{s.Update, s.Relaxed} {
			err := run(ctx, func(tx registry.Tx) error { return insert(tx, repository("aa")) })
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Update = %v, want Canceled", err)
			}
		}
		err := s.View(ctx, func(tx registry.ReadTx) error {
			_, err := tx.RepositoryNames(home, "", 1)
			return err
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("View = %v, want Canceled", err)
		}
		wantNames(t, s)
	})
}

func TestAViewCannotChangeAnything(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		err := s.View(t.Context(), func(tx registry.ReadTx) error { return insert(tx.(registry.Tx), repository("aa")) })
		if err == nil {
			t.Error("a view inserted a repository")
		}
		wantNames(t, s)
	})
}

func TestWhatWasCommittedIsThereAfterReopening(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func(*testing.T) *DB) {
		db := open(t)
		s := For[registry.ReadTx, registry.Tx](db)
		if err := s.Relaxed(t.Context(), func(tx registry.Tx) error { return insert(tx, repository("relaxed")) }); err != nil {
			t.Fatal(err)
		}
		update(t, s, func(tx registry.Tx) error { return insert(tx, repository("durable")) })
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		wantNames(t, For[registry.ReadTx, registry.Tx](open(t)), "durable", "relaxed")
	})
}

func TestAClosedDatabaseAnswersWithAnError(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func(*testing.T) *DB) {
		db := open(t)
		s := For[registry.ReadTx, registry.Tx](db)
		for range 2 {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for what, err := range map[string]error{
			"Update": s.Update(ctx, func(tx registry.Tx) error { return insert(tx, repository("aa")) }),
			"View":   s.View(ctx, func(tx registry.ReadTx) error { _, err := tx.Setting(home, "a"); return err }),
			"Ping":   db.Ping(ctx),
		} {
			if err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s after Close = %v, want an error at once", what, err)
			}
		}
	})
}

func TestPing(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func(*testing.T) *DB) {
		if err := open(t).Ping(t.Context()); err != nil {
			t.Errorf("Ping = %v, want nil", err)
		}
	})
}

package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"berth/internal/access"
	"berth/internal/backup"

	"github.com/pressly/goose/v3"
)

// notHeld is whether bytes may be removed at the time $1: no backup is being made.
const notHeld = `NOT EXISTS (SELECT 1 FROM leases WHERE name >= 'backup/' AND name < 'backup0' AND lease_until > $1)`

// Source is a database that is backed up. A server may have it open: nothing but the
// backup's lease and its audit record is written to it.
type Source struct {
	db      *sql.DB
	dialect goose.Dialect
}

var _ backup.Source = (*Source)(nil)

// SQLiteSource opens a database in a file, which must be there.
func SQLiteSource(ctx context.Context, path string) (*Source, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", sqliteURL(path, url.Values{"_pragma": {"busy_timeout(10000)", "synchronous(FULL)", "secure_delete(ON)"}}))
	if err != nil {
		return nil, err
	}
	return (&Source{db, goose.DialectSQLite3}).checked(ctx)
}

// PostgresSource opens the database at a URL.
func PostgresSource(ctx context.Context, url string) (*Source, error) {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return nil, err
	}
	return (&Source{db, goose.DialectPostgres}).checked(ctx)
}

// sqliteURL returns the name of a file for the driver.
func sqliteURL(path string, options url.Values) string {
	escaped := (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath() // a name may have a %, ? or #
	return (&url.URL{Scheme: "file", Opaque: escaped, RawQuery: options.Encode()}).String()
}

// checked returns s if it is the database of a berth, and none that is newer.
func (s *Source) checked(ctx context.Context) (*Source, error) {
	at, err := schemaVersion(ctx, s.db)
	if err == nil {
		var known int64
		if known, err = knownSchema(); err == nil && at > known {
			err = errNewer(at, known)
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	return s, nil
}

// Close releases the database.
func (s *Source) Close() error { return s.db.Close() }

// Clock returns a clock that goes as the database's does: servers that share one look at
// its leases, whatever the clock is of the machine that a backup is made on. A database in
// a file has the clock given, which is its server's.
func (s *Source) Clock(ctx context.Context, local func() time.Time) (func() time.Time, error) {
	if s.dialect != goose.DialectPostgres {
		return local, nil
	}
	before := local()
	now, err := (&postgres{spare: s.db}).now(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the database's clock: %w", err)
	}
	ahead := now.Sub(before)
	return func() time.Time { return local().Add(ahead) }, nil
}

// Hold implements [backup.Source].
func (s *Source) Hold(ctx context.Context, name string, first bool, now, until time.Time) error {
	name = "backup/" + name
	if first { // backups that have died are forgotten
		_, err := s.db.ExecContext(ctx, `DELETE FROM leases WHERE name >= 'backup/' AND name < 'backup0' AND lease_until <= $1`, micros(now))
		if err == nil {
			_, err = s.db.ExecContext(ctx, `INSERT INTO leases (name, owner, lease_until) VALUES ($1, '', $2)`, name, micros(until))
		}
		return err
	}
	res, err := s.db.ExecContext(ctx, `UPDATE leases SET lease_until = $3 WHERE name = $1 AND lease_until > $2`, name, micros(now), micros(until))
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, backup.ErrLost)
	}
	return nil
}

// Release implements [backup.Source].
func (s *Source) Release(ctx context.Context, name string) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM leases WHERE name = $1`, "backup/"+name)
	return err
}

// Record adds an audit record. A server may have the database open.
func (s *Source) Record(ctx context.Context, r access.Record) error {
	return (&Tx{ctx: ctx, conn: s.db}).Record(r)
}

// Snapshot implements [backup.Source]. The file is not durable yet.
func (s *Source) Snapshot(ctx context.Context, path string) error {
	if s.dialect == goose.DialectPostgres {
		return exportPostgres(ctx, s.db, path)
	}
	if _, err := s.db.ExecContext(ctx, `VACUUM INTO $1`, path); err != nil {
		return err
	}
	return os.Chmod(path, 0o600)
}

// Facts are the facts of a snapshot, which are only read.
type Facts struct {
	db     *sql.DB
	schema int64  // that the snapshot has
	temp   string // the directory with a copy; "" if it is the snapshot that is read
}

var _ backup.Facts = (*Facts)(nil)

// OpenFacts opens the facts of a snapshot. Nobody may change the file meanwhile. If they
// are of an earlier schema it makes a copy among the temporary files and migrates that.
func OpenFacts(ctx context.Context, path string) (_ *Facts, err error) {
	db, at, err := openSnapshot(ctx, path)
	if err != nil {
		return nil, err
	}
	if known, err := knownSchema(); err != nil || at == known {
		return &Facts{db: db, schema: at}, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp("", "berth-facts-")
	if err != nil {
		return nil, err
	}
	copied := filepath.Join(temp, "facts.db")
	if err = rebuild(ctx, path, copied); err == nil {
		if err = migrateFile(ctx, copied); err == nil {
			db, _, err = openSnapshot(ctx, copied)
		}
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(temp))
	}
	return &Facts{db, at, temp}, nil
}

// migrateFile brings the schema of a file that nobody else has open up to date.
func migrateFile(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", sqliteURL(path, url.Values{"_pragma": {"foreign_keys(ON)", "synchronous(OFF)"}}))
	if err != nil {
		return err
	}
	return errors.Join(migrate(ctx, goose.DialectSQLite3, db), db.Close())
}

// Close implements [backup.Facts].
func (f *Facts) Close() error {
	err := f.db.Close()
	if f.temp != "" {
		err = errors.Join(err, os.RemoveAll(f.temp))
	}
	return err
}

func (f *Facts) tx(ctx context.Context) *Tx { return &Tx{ctx: ctx, conn: f.db} }

// Summary implements [backup.Facts].
func (f *Facts) Summary(ctx context.Context) (s backup.Summary, err error) {
	tx := f.tx(ctx)
	s.Schema = f.schema
	if s.MasterKeys, err = tx.MasterKeys(); err != nil {
		return s, err
	}
	if s.MasterKeys == nil {
		s.MasterKeys = []string{}
	}
	_, err = tx.row(`SELECT (SELECT COUNT(*) FROM repositories WHERE deleted_at = 0), (SELECT COUNT(*) FROM images WHERE deleted_at = 0),
		(SELECT COUNT(*) FROM tags), (SELECT COUNT(*) FROM objects WHERE key <> '' AND deleted_at = 0),
		(SELECT COALESCE(SUM(size), 0) FROM objects WHERE key <> '' AND deleted_at = 0)`, nil,
		&s.Repositories, &s.Images, &s.Tags, &s.Objects, &s.Bytes)
	return s, err
}

// Objects implements [backup.Facts].
func (f *Facts) Objects(ctx context.Context, after string, limit int, all bool) (out []backup.Object, err error) {
	if !all {
		return f.briefly(ctx, `SELECT uid, digest, size, format, key FROM objects WHERE uid > $1 AND key <> '' AND deleted_at = 0 ORDER BY uid LIMIT $2`, after, limit)
	}
	objects, err := f.tx(ctx).Objects(after, limit)
	for _, o := range objects {
		out = append(out, backup.Object{UID: o.UID, Object: o.Object})
	}
	return out, err
}

// Quarantined implements [backup.Facts].
func (f *Facts) Quarantined(ctx context.Context, after string, limit int) ([]backup.Object, error) {
	return f.briefly(ctx, `SELECT uid, digest, size, format, key FROM objects WHERE uid > $1 AND damaged_at <> 0 AND deleted_at = 0 ORDER BY uid LIMIT $2`, after, limit)
}

// briefly returns the objects that a query finds, as far as it takes to copy them.
func (f *Facts) briefly(ctx context.Context, query, after string, limit int) (out []backup.Object, _ error) {
	err := f.tx(ctx).rows(query, []any{after, limit}, func(rows *sql.Rows) error {
		var o backup.Object
		err := rows.Scan(&o.UID, &o.Digest, &o.Size, &o.Format, &o.Key)
		out = append(out, o)
		return err
	})
	return out, err
}

// Held implements [backup.Facts]. The tags of an index are those of its images, too.
func (f *Facts) Held(ctx context.Context, uid string) ([]backup.Held, error) {
	held := []backup.Held{}
	err := f.tx(ctx).rows(`WITH holders (repository, image) AS (
			SELECT l.repository, COALESCE(i.image, '') FROM layers l
				LEFT JOIN image_layers i ON i.repository = l.repository AND i.digest = l.digest WHERE l.object = $1
			UNION SELECT repository, uid FROM images WHERE object = $1),
		tagged (repository, image) AS (SELECT repository, image FROM holders
			UNION SELECT c.repository, c.image FROM holders h JOIN images i ON i.uid = h.image
				JOIN image_children c ON c.repository = i.repository AND c.digest = i.digest)
		SELECT DISTINCT r.account || '/' || r.region || '/' || r.name AS repository, COALESCE(t.name, '') AS tag
			FROM tagged x JOIN repositories r ON r.uid = x.repository LEFT JOIN tags t ON t.image = x.image
			ORDER BY repository, tag`, []any{uid}, func(rows *sql.Rows) error {
		var repository, tag string
		if err := rows.Scan(&repository, &tag); err != nil {
			return err
		}
		if n := len(held); n == 0 || held[n-1].Repository != repository {
			held = append(held, backup.Held{Repository: repository, Tags: []string{}})
		}
		if last := &held[len(held)-1]; tag != "" {
			last.Tags = append(last.Tags, tag)
		}
		return nil
	})
	return held, err
}

// notRestored are tables whose rows are of what goes on where a snapshot comes from: who
// works on what, bytes that are on their way in or out, and credentials for a few hours,
// which may have been revoked since.
var notRestored = []string{
	`DELETE FROM sealers`, `DELETE FROM leases`, `DELETE FROM uploads`, `DELETE FROM leftovers`, `DELETE FROM sessions`,
	`DELETE FROM maintenance`, // a backup may be made in it
	`UPDATE jobs SET owner = '', lease_until = 0`, `DELETE FROM gc_state WHERE name = 'database'`,
}

// Prepare makes of the facts of a snapshot what is to be restored: a database in the file
// to, which is not there yet, of the present schema and another id, if it is not "", whose objects are
// in a place. Those with the missing keys are in quarantine. A process that ends meanwhile
// leaves files that nobody needs.
func Prepare(ctx context.Context, from, to, place, id string, missing ...string) (err error) {
	if err := rebuild(ctx, from, to); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", sqliteURL(to, url.Values{"_pragma": {"foreign_keys(ON)", "secure_delete(ON)"}}))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := migrate(ctx, goose.DialectSQLite3, db); err != nil {
		return err
	}
	changes, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer changes.Rollback() // does nothing after a commit
	tx := &Tx{ctx: ctx, conn: changes}
	for _, statement := range notRestored {
		if err := tx.change(statement); err != nil {
			return err
		}
	}
	for _, key := range missing {
		if err := tx.change(`UPDATE objects SET damaged_at = $2 WHERE key = $1 AND key <> '' AND damaged_at = 0`, key, micros(time.Now())); err != nil {
			return err
		}
	}
	if err := tx.change(`UPDATE objects SET archived = 0, key = CAST($1 AS TEXT) || CASE WHEN substr(key, 1, 3) = 's3:' THEN substr(key, 4) ELSE key END
		WHERE key <> ''`, place); err != nil {
		return err
	}
	if id != "" {
		if _, err := tx.NameDatabase(id); err != nil {
			return err
		}
	}
	return changes.Commit()
}

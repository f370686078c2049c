package metadata

import (
	"database/sql"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"berth/internal/metadata/pgtest"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"
)

var comment = regexp.MustCompile(`--.*`)

// statementsOf returns the statements of a step.
func statementsOf(text string) (out []string) {
	for s := range strings.SplitSeq(comment.ReplaceAllString(text, ""), ";") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s+";")
		}
	}
	return out
}

// dump returns all that is in a database: its schema, and all rows of all tables.
func dump(t *testing.T, db *sql.DB, dialect goose.Dialect) []string {
	t.Helper()
	tx := &Tx{ctx: t.Context(), conn: db}
	tables, schema, row := `SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_' ORDER BY name`,
		`SELECT COALESCE(sql, name) FROM sqlite_master ORDER BY name`, ""
	if dialect == goose.DialectPostgres {
		tables = `SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1`
		schema = `SELECT table_name || ' ' || column_name || ' ' || data_type || COALESCE(column_default, '') FROM information_schema.columns WHERE table_schema = current_schema()
			UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema() ORDER BY 1`
		row = `t::text`
	}
	out := must(tx.strings(schema))
	for _, name := range must(tx.strings(tables)) {
		what := row
		if what == "" {
			columns := must(tx.strings(`SELECT 'quote("' || name || '")' FROM pragma_table_info($1) ORDER BY cid`, name))
			what = strings.Join(columns, " || ' ' || ")
		}
		for _, r := range must(tx.strings(`SELECT ` + what + ` FROM "` + name + `" t ORDER BY 1`)) {
			out = append(out, name+": "+r)
		}
	}
	return out
}

// facts are rows of the first version, which later steps change.
var factsOfOld = []string{
	`INSERT INTO repositories (uid, account, region, name, created_at, mutability, filters, scan_on_push, encryption_type, kms_key, key_domain, tags)
		VALUES ('r', '123456789012', 'us-east-1', 'app', 1, 'MUTABLE', '', 0, 'AES256', '', 'd', '{}')`,
	`INSERT INTO objects (uid, key_domain, digest, size, created_at, key) VALUES ('o', 'd', 'sha256:1', 1, 1, '')`,
	`INSERT INTO images (uid, repository, digest, object, media_type, artifact_type, subject, annotations, manifest_size, size, status, pushed_at)
		VALUES ('i', 'r', 'sha256:1', 'o', 'm', '', '', '', 1, 1, 'ACTIVE', 1)`,
	`INSERT INTO tags (repository, name, image, tagged_at) VALUES ('r', 'v1', 'i', 1)`,
}

// Whatever ends a step, after whichever of its statements, it has changed nothing, and the
// next start makes it.
func TestAStepThatEndsAfterAnyStatementHasChangedNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		driver  string
		dialect goose.Dialect
		file    func(*testing.T) string
	}{
		"sqlite": {"sqlite", goose.DialectSQLite3, func(t *testing.T) string {
			return filepath.Join(t.TempDir(), "berth.db") + "?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_pragma=foreign_keys(ON)"
		}},
		"postgres": {"pgx", goose.DialectPostgres, func(t *testing.T) string { return pgtest.URL(t) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := sql.Open(c.driver, c.file(t))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			steps := must(fs.Sub(migrations, "migrations"))
			if c.dialect == goose.DialectPostgres {
				steps = must(inPostgres(steps))
			}
			files, points := must(fs.Glob(steps, "*.sql")), 0
			slices.Sort(files)
			for n, file := range files {
				points += endEverywhere(t, db, c.dialect, steps, files[:n], file)
				if n == 0 {
					for _, statement := range factsOfOld {
						if _, err := db.ExecContext(t.Context(), statement); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			t.Logf("%d steps, ended after each of %d statements: changed = 0", len(files), points)
		})
	}
}

// endEverywhere has a step fail after each of its statements, and then makes it.
func endEverywhere(t *testing.T, db *sql.DB, dialect goose.Dialect, steps fs.FS, made []string, file string) (points int) {
	t.Helper()
	up := func(text string) error {
		some := fstest.MapFS{file: {Data: []byte(text)}}
		for _, name := range made {
			some[name] = &fstest.MapFile{Data: must(fs.ReadFile(steps, name))}
		}
		p, err := goose.NewProvider(dialect, db, some)
		if err == nil {
			_, err = p.Up(t.Context())
		}
		return err
	}
	text := string(must(fs.ReadFile(steps, file)))
	if strings.Contains(text, "NO TRANSACTION") {
		t.Errorf("%s has no transaction", file)
	}
	statements := statementsOf(text)
	if len(made) == 0 { // goose makes its own table first
		if err := up("-- +goose Up\nINSERT INTO nowhere VALUES (1);\n"); err == nil {
			t.Fatal("a step that fails succeeds")
		}
	}
	before := dump(t, db, dialect)
	for points = 1; points <= len(statements); points++ {
		err := up("-- +goose Up\n" + strings.Join(statements[:points], "\n") + "\nINSERT INTO nowhere VALUES (1);\n")
		if err == nil || !strings.Contains(err.Error(), "nowhere") {
			t.Fatalf("%s: after %d statements: %v", file, points, err)
		}
		if diff := cmp.Diff(before, dump(t, db, dialect)); diff != "" {
			t.Errorf("%s: after %d statements (-before +after):\n%s", file, points, diff)
		}
	}
	if err := up(text); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", file, err))
	}
	return len(statements)
}

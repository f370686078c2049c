package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	_ "berth/internal/metadata" // the drivers of both databases
)

// imagesPerRepository is how many of the images that fill adds are in a repository.
const imagesPerRepository = 1000

// filler adds images to a database by statements that each fill a table. Every image
// has a tag, a configuration and a layer of its own, and two layers that all of its
// repository have. Layers are in no bucket, and manifests are no manifests: images are
// there to be in the way, and can be looked up.
type filler struct {
	db       *sql.DB
	postgres bool
	images   int
}

// fillSQLite adds images to the database in a file that no server has open.
func fillSQLite(ctx context.Context, file string, images int) error {
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, p := range []string{"journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"} { // it is made anew if this fails
		if _, err := db.ExecContext(ctx, "PRAGMA "+p); err != nil {
			return err
		}
	}
	f := filler{db: db, images: images}
	if err := f.run(ctx); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "PRAGMA journal_mode = WAL")
	return err
}

// fillPostgres adds images to a schema of PostgreSQL, and lets the planner know.
func fillPostgres(ctx context.Context, url string, images int) error {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, set := range []string{"session_replication_role = replica", "synchronous_commit = off"} { // references are right, and not looked up
		if _, err := db.ExecContext(ctx, "SET "+set); err != nil {
			return err
		}
	}
	f := filler{db: db, postgres: true, images: images}
	if err := f.run(ctx); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "ANALYZE")
	return err
}

// Kinds of what a number stands for: the same number is another digest in each.
const (
	aManifest = iota + 1
	aConfig
	aLayer
	aBase // of a repository, as is
	another
)

func (f *filler) run(ctx context.Context) error {
	repositories := f.images / imagesPerRepository
	object := func(kind int, key, content string) string {
		return `INSERT INTO objects (uid, key_domain, digest, size, created_at, key, content)
			SELECT ` + f.id("i", kind) + `, key_domain, ` + f.digest("i", kind) + `, length(content), created_at, ` + key + `, ` + content + ` FROM n, model`
	}
	layer := func(kind int, repository string) string {
		return `INSERT INTO layers (repository, digest, object, lease_until)
			SELECT ` + f.repository(repository) + `, ` + f.digest("i", kind) + `, ` + f.id("i", kind) + `, 0 FROM n`
	}
	holds := func(kind int, number string) string {
		return `INSERT INTO image_layers (repository, digest, image, media_type)
			SELECT ` + f.repository(of) + `, ` + f.digest(number, kind) + `, ` + f.id("i", aManifest) + `, 'application/vnd.oci.image.layer.v1.tar+gzip' FROM n`
	}
	inBucket := func(kind int) string { return `'00/' || ` + f.id("i", kind) }
	const inline = `(SELECT content FROM model)`
	for _, s := range []struct {
		rows int
		sql  string
	}{
		{repositories, `INSERT INTO repositories (uid, account, region, name, created_at, mutability, filters, scan_on_push, encryption_type,
				kms_key, key_domain, tags, images)
			SELECT ` + f.repository("i") + `, account, region, 'fill/r' || ` + f.hex("i", 8) + `, created_at, mutability, filters, scan_on_push,
				encryption_type, kms_key, key_domain, tags, ` + fmt.Sprint(imagesPerRepository) + ` FROM n, model`},
		{1, `UPDATE registry_usage SET repositories = repositories + ` + fmt.Sprint(repositories)},
		{repositories, object(aBase, inBucket(aBase), "NULL")},
		{repositories, object(another, inBucket(another), "NULL")},
		{repositories, layer(aBase, "i")},
		{repositories, layer(another, "i")},
		{f.images, object(aManifest, "''", inline)},
		{f.images, object(aConfig, "''", inline)},
		{f.images, object(aLayer, inBucket(aLayer), "NULL")},
		{f.images, layer(aConfig, of)},
		{f.images, layer(aLayer, of)},
		{f.images, `INSERT INTO images (uid, repository, digest, object, media_type, artifact_type, subject, annotations, manifest_size, size,
				status, pushed_at)
			SELECT ` + f.id("i", aManifest) + `, ` + f.repository(of) + `, ` + f.digest("i", aManifest) + `, ` + f.id("i", aManifest) + `,
				'application/vnd.oci.image.manifest.v1+json', '', '', '', length(content), 4000, 'ACTIVE', created_at + i FROM n, model`},
		{f.images, holds(aConfig, "i")},
		{f.images, holds(aLayer, "i")},
		{f.images, holds(aBase, of)},
		{f.images, holds(another, of)},
		{f.images, `INSERT INTO tags (repository, name, image, tagged_at)
			SELECT ` + f.repository(of) + `, 'v' || ` + f.hex("i", 8) + `, ` + f.id("i", aManifest) + `, created_at + i FROM n, model`},
		{f.images, `INSERT INTO tag_history (repository, tag, number, digest, changed_at, principal, policy)
			SELECT ` + f.repository(of) + `, 'v' || ` + f.hex("i", 8) + `, 1, ` + f.digest("i", aManifest) + `, created_at + i, '', 0 FROM n, model`},
		{f.images, `INSERT INTO audit_records (id, time, account, region, event, principal, resource, request_id, record)
			SELECT ` + f.id("i", aManifest) + `, created_at + i, account, region, 'PutImage', 'arn:aws:iam::123456789012:root', '', '', '{}' FROM n, model`},
	} {
		if err := f.fill(ctx, s.rows, s.sql); err != nil {
			return err
		}
	}
	return nil
}

// of is the number of an image's repository.
const of = "(i / 1000)" // imagesPerRepository

// fill runs a statement for the numbers i of n. What it copies from is model: a
// repository that is there, and bytes like those of a manifest.
func (f *filler) fill(ctx context.Context, rows int, statement string) error {
	into, from, selects := strings.Cut(statement, "SELECT ")
	if selects {
		bytes := `CAST('` + strings.Repeat(`{"digest":"sha256:0000"} `, 16) + `' AS BLOB)`
		statement = into + fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT CAST(0 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < %d),
			model AS (SELECT r.*, %s AS content FROM repositories r WHERE uid = (SELECT MAX(uid) FROM repositories WHERE name = '%s/img/r00')) SELECT `,
			rows, bytes, filledRepository) + from
	}
	if f.postgres {
		statement = strings.ReplaceAll(statement, "' AS BLOB", "' AS BYTEA")
	}
	if _, err := f.db.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("fill the database: %w\n%s", err, statement)
	}
	return nil
}

// filledRepository is the repository that others are copies of.
const filledRepository = "fill/model"

// hex writes a number with that many hexadecimal digits.
func (f *filler) hex(number string, digits int) string {
	if f.postgres {
		return fmt.Sprintf(`lpad(to_hex(%s), %d, '0')`, number, digits)
	}
	return fmt.Sprintf(`printf('%%0%dx', %s)`, digits, number)
}

func (f *filler) id(number string, kind int) string {
	return fmt.Sprintf(`%s || '-%d'`, f.hex(number, 8), kind)
}

func (f *filler) repository(number string) string { return f.hex(number, 8) + ` || '-repository'` }

// digest is what looks like the digest of a number: those of numbers that follow each
// other are far apart.
func (f *filler) digest(number string, kind int) string {
	return `'sha256:' || ` + f.hex(`((`+number+` * 2654435761) & 4294967295)`, 8) + ` || ` + f.hex(number, 8) + ` || ` + f.hex(fmt.Sprintf("CAST(%d AS BIGINT)", kind), 48)
}

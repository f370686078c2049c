package server_test

import (
	"bytes"
	"database/sql"
	"io"
	"net/http"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
)

// served returns what a server sends of a layer, and whether it says that this is all.
func served(t *testing.T, c *servertest.Client, path string) ([]byte, bool) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", c.Server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(c.User, c.Pass)
	res, err := c.HTTP.Do(r)
	if err != nil {
		return nil, false // not even a status was sent
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK {
		return nil, false
	}
	return b, err == nil
}

// Whatever bit of what is stored has changed, and wherever it ends too early: what is
// sent is what was pushed, up to the damage, and nobody takes it for all.
func TestNoDamageIsServed(t *testing.T) {
	if raced {
		t.Skip("thousands of requests, one after the other, find no races: they are made without the detector")
	}
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Errors: true, Postgres: true}) // which remembers nothing
	createSealed(t, s, "aes", types.EncryptionTypeAes256, nil)
	createSealed(t, s, "twice", types.EncryptionTypeKmsDsse, nil)
	c := s.Login(t)
	flips, cuts, wrong := 0, 0, 0
	try := func(path string, plain, stored []byte, step int, put func([]byte)) {
		t.Helper()
		look := func(what string, at int) {
			got, whole := served(t, c, path)
			if whole || !bytes.HasPrefix(plain, got) {
				wrong++
				t.Errorf("%s with %s at byte %d of %d: %d bytes were sent as what was pushed, whole: %t", path, what, at, len(stored), len(got), whole)
			}
		}
		for at := 0; at < len(stored); at += step {
			damaged := bytes.Clone(stored)
			damaged[at] ^= 1 << (at % 8)
			put(damaged)
			flips++
			look("a bit changed", at)
		}
		for at := 0; at < len(stored); at += 20 * step {
			put(stored[:at])
			cuts++
			look("its end", at)
		}
		put(stored)
		if got, whole := served(t, c, path); !whole || !bytes.Equal(got, plain) {
			t.Errorf("%s as it was: %d bytes, whole: %t", path, len(got), whole)
		}
	}
	db, err := sql.Open("pgx", s.Config.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for i, name := range []string{"aes", "twice"} {
		layer, img := servertest.Bytes(uint64(i), 200_000), servertest.NewImage(uint64(i))
		c.PushBlob(t, name, layer)
		files := s.Files(t)
		if len(files) != 1 {
			t.Fatalf("%d files, want the layer's", len(files))
		}
		stored := s.ReadFile(t, files[0])
		try("/v2/"+name+"/blobs/"+digest.FromBytes(layer).String(), layer, stored, 293, func(b []byte) { s.WriteFile(t, files[0], b) })
		c.Push(t, name, "v1", img) // whose manifest is in the database
		for _, column := range []string{"content", "wrapped_key"} {
			if err := db.QueryRowContext(t.Context(), `SELECT `+column+` FROM objects WHERE digest = $1`, img.Digest).Scan(&stored); err != nil {
				t.Fatal(err)
			}
			try(manifestPath(name, "v1"), img.Manifest, stored, 1, func(b []byte) {
				if _, err := db.ExecContext(t.Context(), `UPDATE objects SET `+column+` = $1 WHERE digest = $2`, b, img.Digest); err != nil {
					t.Fatal(err)
				}
			})
		}
		for _, f := range s.Files(t) {
			s.RemoveFile(t, f)
		}
	}
	t.Logf("%d flips and %d truncations, wrong bytes served = %d", flips, cuts, wrong)
	if flips < 2000 || cuts < 100 {
		t.Error("these are too few")
	}
}

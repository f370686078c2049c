package server_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"berth/internal/config"
	"berth/internal/metadata"
	"berth/internal/metadata/pgtest"
	"berth/internal/rotate"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/pflag"
)

// The master keys of these tests, and their ids.
var (
	firstKey, secondKey = strings.Repeat("2a", 32), strings.Repeat("2b", 32)
)

const firstID, secondID = "f88f7070", "fa06288a"

// beside starts another server on a server's database and layers, with its own data
// directory.
func beside(t *testing.T, s *servertest.Server, master string, old ...string) *servertest.Server {
	t.Helper()
	return servertest.Start(t, servertest.Options{Configure: func(c *config.Config) {
		c.Database, c.MasterKey, c.OldMasterKeys = s.Config.Database, master, old
		c.Storage, c.S3Endpoint = s.Config.Storage, s.Config.S3Endpoint
		if err := os.Symlink(filepath.Join(s.Config.Data, "blobs"), filepath.Join(c.Data, "blobs")); err != nil {
			t.Fatal(err)
		}
	}})
}

// pulls fails the test unless a server has the image under all tags.
func pulls(t *testing.T, s *servertest.Server, repository string, img servertest.Image, tags ...string) {
	t.Helper()
	c := s.Login(t)
	for _, tag := range tags {
		c.Do(t, "GET", "/v2/"+repository+"/manifests/"+tag, nil).Want(t, 200)
	}
	for _, l := range img.Layers {
		if got := c.Do(t, "GET", "/v2/"+repository+"/blobs/"+digest.FromBytes(l).String(), nil); !bytes.Equal(got.Body, l) {
			t.Errorf("a layer of %s reads back changed: %d", repository, got.Status)
		}
	}
}

// No master key is retired while another server seals under it, and none is needed
// afterwards that was.
func TestAServerKeepsItsMasterKeyFromBeingRetired(t *testing.T) {
	t.Parallel()
	a := servertest.Start(t, servertest.Options{Postgres: true})
	a.Config.OldMasterKeys = []string{secondKey} // to be read
	a.Restart(t)
	b := beside(t, a, firstKey, secondKey)
	a.CreateRepository(t, "app")
	images := []servertest.Image{servertest.NewImage(1, 100_000, 10), servertest.NewImage(2, 100_000), servertest.NewImage(3, 100_000)}
	a.Login(t).Push(t, "app", "v1", images[0])

	a.Config.MasterKey, a.Config.OldMasterKeys = secondKey, []string{firstKey}
	a.Restart(t)
	b.Login(t).Push(t, "app", "v2", images[1])
	_, last := rotateAll(t, a)
	if last.Retired || len(last.Blocked) != 1 {
		t.Fatalf("while another server seals under the earlier key, the last step = %+v", last)
	}
	if by := last.Blocked[0]; by.Kind != rotate.Servers || by.Reason != rotate.Seals || by.Master != firstID ||
		!strings.HasPrefix(by.Example, b.Config.Listen+", on host ") || !by.Until.After(a.Clock.Now()) {
		t.Errorf("retiring is blocked by %+v, want the server at %s", by, b.Config.Listen)
	}
	b.Login(t).Push(t, "app", "v3", images[2]) // which is why

	b.Config.MasterKey, b.Config.OldMasterKeys = secondKey, []string{firstKey}
	b.Restart(t)
	done, last := rotateAll(t, a)
	if !last.Retired || last.Blocked != nil || done["objects"] == 0 {
		t.Fatalf("when all seal under the new key: %v, %+v", done, last)
	}
	for _, s := range []*servertest.Server{a, b} {
		s.Config.OldMasterKeys = nil
		s.Restart(t)
		for i, img := range images {
			pulls(t, s, "app", img, []string{"v1", "v2", "v3"}[i])
		}
	}
}

// masterKeysOf opens a server's database beside it.
func masterKeysOf(t *testing.T, url string) metadata.Store[rotate.Tx, rotate.Tx] {
	t.Helper()
	db, err := metadata.OpenPostgres(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return metadata.For[rotate.Tx, rotate.Tx](db)
}

// A server that was killed says nothing: it counts until its lease is over.
func TestAKilledServerKeepsItsMasterKeyForAWhile(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Postgres: true})
	s.Config.MasterKey, s.Config.OldMasterKeys = secondKey, []string{firstKey}
	s.Restart(t)
	killed := rotate.Sealer{ID: "killed", Name: "killed", Master: firstID}
	killed.Until = s.Clock.Now().Add(1000)
	if err := masterKeysOf(t, s.Config.Database).Update(t.Context(), func(tx rotate.Tx) error {
		ok, err := tx.AddSealer(killed)
		if !ok {
			t.Error("the key of a killed server is not known")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if _, last := rotateAll(t, s); last.Retired || len(last.Blocked) != 1 || last.Blocked[0].Example != "killed" {
		t.Errorf("before its lease is over: %+v", last)
	}
	s.Clock.Advance(1000)
	if _, last := rotateAll(t, s); !last.Retired {
		t.Errorf("after its lease is over: %+v", last)
	}
}

// Of servers that start on an empty database with different master keys one wins.
func TestServersThatStartAtOnceAgreeOnAMasterKey(t *testing.T) {
	t.Parallel()
	for range 3 {
		url := pgtest.URL(t)
		var wg sync.WaitGroup
		errs := make([]error, 4)
		opened := make([]*server.Server, len(errs))
		for i := range errs {
			c, err := config.Load(pflag.NewFlagSet("", pflag.ContinueOnError), []string{
				"BERTH_DATA=" + t.TempDir(), "BERTH_DATABASE=" + url, "BERTH_MASTER_KEY=" + []string{firstKey, secondKey}[i%2],
				"BERTH_ROOT_ACCESS_KEY_ID=AKIAROOT", "BERTH_ROOT_SECRET_ACCESS_KEY=the secret of the root",
			})
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() { opened[i], errs[i] = server.Open(t.Context(), c, server.Options{}) })
		}
		wg.Wait()
		for i, s := range opened {
			if errs[i] == nil {
				if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
			}
		}
		won := 0
		if errs[0] != nil {
			won = 1
		}
		for i, err := range errs {
			var missing *rotate.MissingError
			if i%2 == won && err != nil || i%2 != won && !errors.As(err, &missing) {
				t.Errorf("server %d: %v, of %v", i, err, errs)
			}
		}
	}
}

package server_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/blob/dirbucket"
	"berth/internal/server"
	"berth/internal/servertest"
)

// opens opens a server and closes it again.
func opens(t *testing.T, s *servertest.Server) error {
	t.Helper()
	opened, err := server.Open(t.Context(), s.Config, server.Options{Now: s.Clock.Now, Idle: true})
	if err != nil {
		return err
	}
	return opened.Close(context.WithoutCancel(t.Context()))
}

// An empty database knows of no layer, and would have all of them removed as garbage.
func TestADatabaseDoesNotGetTheLayersOfAnother(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]servertest.Options{"directory": inDirectory, "S3": {S3: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := servertest.Start(t, o)
			s.CreateRepository(t, "app")
			img := inLayers(1, 2)
			s.Login(t).Push(t, "app", "v1", img)
			s.Stop(t)
			files, database := s.Files(t), filepath.Join(s.Config.Data, "berth.db")
			if err := os.Rename(database, database+".aside"); err != nil {
				t.Fatal(err)
			}
			for range 2 { // what the first one has written lets in no second
				if err := opens(t, s); err == nil || !strings.Contains(err.Error(), "layers of another database") {
					t.Errorf("a server with an empty database: %v", err)
				}
			}
			if _, err := server.Fsck(t.Context(), s.Config, server.FsckOptions{}); err == nil || !strings.Contains(err.Error(), "layers of another database") {
				t.Errorf("fsck with an empty database: %v", err)
			}
			if is := s.Files(t); len(is) != len(files) {
				t.Errorf("there were %d files, and are %d", len(files), len(is))
			}
			if err := os.Rename(database+".aside", database); err != nil {
				t.Fatal(err)
			}
			s.Restart(t)
			pulled(t, s, "app", img)
		})
	}
}

// Versions before there were owners have left layers without one.
func TestLayersWithoutAnOwnerAreTakenOver(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, inDirectory)
	s.Stop(t)
	owner := filepath.Join(s.Config.Data, "blobs", "owner")
	was, err := os.ReadFile(owner)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(owner); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Fsck(t.Context(), s.Config, server.FsckOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(owner); err == nil {
		t.Error("fsck has taken it over")
	}
	if err := opens(t, s); err != nil {
		t.Error(err)
	}
	if is, err := os.ReadFile(owner); err != nil || string(is) != string(was) {
		t.Errorf("the owner was %q, is %q, %v", was, is, err)
	}
}

// A first start that ends before the file has its name leaves the id in the database.
func TestAFirstStartThatIsInterruptedGoesOn(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, inDirectory)
	s.Stop(t)
	dir := filepath.Join(s.Config.Data, "blobs")
	was, err := os.ReadFile(filepath.Join(dir, "owner"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "owner"), filepath.Join(dir, "owner.new")); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "owner.new"), 3); err != nil {
		t.Fatal(err)
	}
	if err := opens(t, s); err != nil {
		t.Fatal(err)
	}
	b, err := dirbucket.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if is, err := b.Owner(t.Context()); err != nil || is+"\n" != string(was) {
		t.Errorf("the owner was %q, is %q, %v", was, is, err)
	}
}

package server_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

// What a partial restore could not bring back is not there for who pushes.
func TestAPushHealsAPartialRestore(t *testing.T) {
	t.Parallel()
	s, dir := servertest.Start(t, inDirectory), filepath.Join(t.TempDir(), "backup")
	s.CreateRepository(t, "app")
	img := servertest.NewImage(1, 70_000)
	s.Login(t).Push(t, "app", "v1", img)
	backUp(t, s, dir, server.BackupOptions{})
	if err := os.Remove(ofSize(t, filesIn(t, filepath.Join(dir, "objects")), sealed70000)); err != nil {
		t.Fatal(err)
	}
	to := elsewhere(t, s)
	if res, err := server.Restore(t.Context(), to, dir, server.RestoreOptions{Partial: true}); err != nil || !res.Done {
		t.Fatalf("restore = %+v, %v", res, err)
	}
	s.Stop(t)
	s.Config.Data = to.Data
	s.Restart(t)
	pushedAgain(t, s, img)
}

// pushedAgain pushes an image whose layer is lost, and pulls the layer.
func pushedAgain(t *testing.T, s *servertest.Server, img servertest.Image) {
	t.Helper()
	c, path := s.Login(t), "/v2/app/blobs/"+digest.FromBytes(img.Layers[0]).String()
	c.Do(t, "HEAD", path, nil).Want(t, 404)
	c.Push(t, "app", "v1", img)
	if got := c.Do(t, "GET", path, nil).Want(t, 200).Body; !bytes.Equal(got, img.Layers[0]) {
		t.Error("the layer differs")
	}
}

func TestAPushHealsWhatFsckHasRepaired(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		img := servertest.NewImage(1, 70_000)
		s.Login(t).Push(t, "app", "v1", img)
		for _, name := range s.Files(t) {
			s.RemoveFile(t, name)
		}
		s.Stop(t)
		for range 2 {
			report, err := server.Fsck(t.Context(), s.Config, server.FsckOptions{Repair: true})
			if err != nil || report.Lost() != 1 {
				t.Errorf("fsck = %+v, %v", report, err)
			}
		}
		s.Restart(t)
		pushedAgain(t, s, img)
	})
}

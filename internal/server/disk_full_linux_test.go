package server_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/opencontainers/go-digest"
)

// A disk with no room at all, for layers and for the database, refuses pushes and serves
// what it has. Once there is room pushes go on, and nobody has restarted anything.
func TestAFullDiskRefusesAndRecovers(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s := servertest.Start(t, servertest.Options{Errors: true, Configure: func(c *config.Config) { c.Data, c.Storage = dir, "" }})
	s.CreateRepository(t, "app")
	c := s.Login(t)
	kept := numbered(0)
	c.PushBlob(t, "app", kept)
	ballast := filepath.Join(dir, "ballast")
	for round := range 3 {
		fill(t, ballast)
		refused := 0
		for i := range 40 { // small ones, too, until the database has no page left
			content := numbered(100*round + i + 1)
			if i%2 == 1 {
				content = fmt.Appendf(make([]byte, 20_000), "%d %d", round, i)
			}
			switch got := inOne(t, c, content); got {
			case 507:
				refused++
			case 201:
			default:
				t.Errorf("push to a full disk: %d, want 507 or 201", got)
			}
		}
		name := fmt.Sprintf("team%d", round)
		_, err := s.ECR().CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: &name})
		if refused < 10 || err != nil && servertest.ErrorCode(err) != "ServiceUnavailable" {
			t.Errorf("%d of 40 pushes refused; CreateRepository = %v", refused, err)
		}
		if got := c.Do(t, "GET", "/v2/app/blobs/"+digest.FromBytes(kept).String(), nil).Want(t, 200).Body; !bytes.Equal(got, kept) {
			t.Error("the layer differs from what was pushed")
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		if got := inOne(t, c, numbered(1000+round)); got != 201 {
			t.Errorf("push once there is room: %d, want 201", got)
		}
	}
	nothingLost(t, s)
}

// fill leaves no room on the disk that a file is on.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 16
		}
	}
}

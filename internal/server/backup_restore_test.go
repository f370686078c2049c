package server_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/blob/dirbucket"
	"berth/internal/config"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// inDirectory has the layers in the data directory, whatever the environment says.
var inDirectory = servertest.Options{Configure: func(c *config.Config) {
	c.Storage, c.S3Endpoint, c.S3PathStyle, c.S3AccessKeyID, c.S3SecretAccessKey = "", "", false, "", ""
}}

// filesIn returns the files below a directory.
func filesIn(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// elsewhere is a configuration like a server's with another data directory, which is empty.
func elsewhere(t *testing.T, s *servertest.Server) *config.Config {
	t.Helper()
	c := *s.Config
	c.Data = t.TempDir()
	return &c
}

// ofSize returns the one file of that size.
func ofSize(t *testing.T, names []string, size int64) (found string) {
	t.Helper()
	for _, name := range names {
		if fi, err := os.Stat(name); err == nil && fi.Size() == size {
			found = name
		}
	}
	if found == "" {
		t.Fatalf("no file has %d bytes", size)
	}
	return found
}

const sealed70000 = 70_000 + 2*16 // two chunks, each with a tag

func TestAnObjectThatABackupLacksIsNamedWithWhoHasIt(t *testing.T) {
	t.Parallel()
	s, dir := servertest.Start(t, inDirectory), filepath.Join(t.TempDir(), "backup")
	c := s.Login(t)
	s.CreateRepository(t, "team/app")
	lost, whole := servertest.NewImage(1, 70_000), servertest.NewImage(2, 80_000)
	c.Push(t, "team/app", "v1", lost)
	c.Push(t, "team/app", "latest", lost)
	c.Push(t, "team/app", "v2", whole)
	c.PushManifest(t, "team/app", "all", ocispec.MediaTypeImageIndex, servertest.Index(lost)).Want(t, 201)
	backUp(t, s, dir, server.BackupOptions{})
	file := ofSize(t, filesIn(t, filepath.Join(dir, "objects")), sealed70000)
	for what, spoil := range map[string]func() error{
		"its 70032 bytes are not there": func() error { return os.Rename(file, dir+"/aside") },
		"70031 bytes instead of 70032":  func() error { return os.Truncate(file, sealed70000-1) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		to := elsewhere(t, s)
		res, err := server.Restore(t.Context(), to, dir, server.RestoreOptions{})
		if err != nil || res.Done || len(res.Missing) != 1 {
			t.Fatalf("restore = %+v, %v", res, err)
		}
		m := res.Missing[0]
		if m.Digest != digest.FromBytes(lost.Layers[0]).String() || !strings.Contains(m.Reason, what) || len(m.Held) != 1 ||
			m.Held[0].Repository != "123456789012/us-east-1/team/app" || strings.Join(m.Held[0].Tags, " ") != "all latest v1" {
			t.Errorf("missing: %+v", m)
		}
		if found := filesIn(t, to.Data); len(found) != 1 || filepath.Base(found[0]) != "lock" {
			t.Errorf("a restore that gives up leaves %v", found)
		}
		res, err = server.Restore(t.Context(), to, dir, server.RestoreOptions{Partial: true})
		if err != nil || !res.Done || len(res.Missing) != 1 || res.Objects != 1 {
			t.Errorf("partial restore = %+v, %v", res, err)
		}
		report, err := server.Fsck(t.Context(), to, server.FsckOptions{})
		if err != nil || len(report.Problems) != 1 || report.Lost() != 1 || report.Problems[0].Digest != m.Digest {
			t.Errorf("fsck = %+v, %v", report, err)
		}
		if what[0] == 'i' {
			if err := os.Rename(dir+"/aside", file); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if again := backUp(t, s, dir, server.BackupOptions{}); again.Copied != 1 || len(again.Missing) > 0 {
			t.Errorf("the next backup puts it right: %+v", again)
		}
	}
}

func TestAnObjectThatAServerHasLostIsNamedInItsBackup(t *testing.T) {
	t.Parallel()
	s, dir := servertest.Start(t, inDirectory), filepath.Join(t.TempDir(), "backup")
	s.CreateRepository(t, "app")
	c, lost := s.Login(t), servertest.NewImage(1, 70_000)
	c.Push(t, "app", "v1", lost)
	c.Push(t, "app", "v2", servertest.NewImage(2, 80_000))
	files := s.Files(t)
	for _, name := range files {
		if len(s.ReadFile(t, name)) == sealed70000 {
			s.RemoveFile(t, name)
		}
	}
	res := backUp(t, s, dir, server.BackupOptions{})
	all, err := server.Snapshots(dir)
	if err != nil || len(all) != 1 || len(all[0].Missing) != 1 || len(res.Missing) != 1 || res.Copied != 1 {
		t.Fatalf("backup = %+v, %+v, %v", res, all, err)
	}
	if m := all[0].Missing[0]; m.Digest != digest.FromBytes(lost.Layers[0]).String() || m.Held[0].Tags[0] != "v1" {
		t.Errorf("missing: %+v", m)
	}
}

func TestARestoreBeginsOnlyWhereItCanEnd(t *testing.T) {
	t.Parallel()
	s, dir := servertest.Start(t, inDirectory), filepath.Join(t.TempDir(), "backup")
	s.CreateRepository(t, "app")
	s.Login(t).Push(t, "app", "v1", servertest.NewImage(1, 70_000))
	res := backUp(t, s, dir, server.BackupOptions{})
	facts := filepath.Join(dir, "snapshots", res.ID, "facts.db")
	text, err := os.ReadFile(facts)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil func(*config.Config) error
		want  string
	}{
		"another master key": {func(c *config.Config) error { c.MasterKey = strings.Repeat("2b", 32); return nil }, "sealed under the master key " + res.MasterKeys[0]},
		"no master key":      {func(c *config.Config) error { c.MasterKey = ""; return nil }, "master.key is not there, and what is stored is sealed under the master key " + res.MasterKeys[0]},
		"a database":         {func(c *config.Config) error { return os.WriteFile(filepath.Join(c.Data, "berth.db"), nil, 0o600) }, "is not empty, it has berth.db"},
		"two places":         {func(c *config.Config) error { c.StorageFrom = "directory"; return nil }, "storage-from"},
		"other objects": {func(c *config.Config) error {
			at := filepath.Join(c.Data, "blobs")
			b, err := dirbucket.Open(at)
			if err == nil {
				err = errors.Join(b.Close(), os.WriteFile(filepath.Join(at, "objects", "00", strings.Repeat("0", 32)), nil, 0o600))
			}
			return err
		}, "there is something else where objects are to be restored to"},
		"damaged facts": {func(*config.Config) error {
			damaged := bytes.Clone(text)
			damaged[5000] ^= 1
			return os.WriteFile(facts, damaged, 0o600)
		}, "is damaged"},
	} {
		to := elsewhere(t, s)
		if err := c.spoil(to); err != nil {
			t.Fatal(err)
		}
		before := filesIn(t, to.Data)
		_, err := server.Restore(t.Context(), to, dir, server.RestoreOptions{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: restore = %v, want %q", name, err, c.want)
		}
		if after := filesIn(t, to.Data); len(after) > len(before)+1 {
			t.Errorf("%s: a restore that is refused leaves %v", name, after)
		}
		if err := os.WriteFile(facts, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDamageInABackupIsFound(t *testing.T) {
	t.Parallel()
	s, dir := servertest.Start(t, inDirectory), filepath.Join(t.TempDir(), "backup")
	s.CreateRepository(t, "app")
	s.Login(t).Push(t, "app", "v1", servertest.NewImage(1, 70_000))
	backUp(t, s, dir, server.BackupOptions{})
	file := ofSize(t, filesIn(t, filepath.Join(dir, "objects")), sealed70000)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	without := elsewhere(t, s)
	without.MasterKey = ""
	for n, damaged := range [][]byte{text, append([]byte{text[0] ^ 1}, text[1:]...), text[1:]} {
		if err := os.WriteFile(file, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		v, err := server.VerifyBackup(t.Context(), s.Config, dir, "", nil)
		if err != nil || (len(v.Lost) == 1) != (n > 0) || v.NoKey != "" || v.Sealed != 0 {
			t.Errorf("%d: verify = %+v, %v", n, v, err)
		}
		v, err = server.VerifyBackup(t.Context(), without, dir, "", nil)
		if err != nil || (len(v.Lost) == 1) != (n > 1) || !strings.Contains(v.NoKey, "master.key is not there") || v.Sealed == 0 {
			t.Errorf("%d: verify without the master key = %+v, %v", n, v, err)
		}
		if found := filesIn(t, without.Data); len(found) > 0 {
			t.Errorf("verifying makes %v", found)
		}
	}
}

func TestABackupIsNeverInsideTheData(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, inDirectory)
	for _, dir := range []string{s.Config.Data, filepath.Join(s.Config.Data, "backup")} {
		if _, err := server.Backup(t.Context(), s.Config, dir, server.BackupOptions{}); err == nil || !strings.Contains(err.Error(), "is in the data directory") {
			t.Errorf("backup to %s = %v", dir, err)
		}
	}
}

// What is in quarantine is copied as it is: the copy may be older than the damage.
func TestWhatIsInQuarantineIsNamedInABackup(t *testing.T) {
	t.Parallel()
	s, dir := servertest.Start(t, inDirectory), filepath.Join(t.TempDir(), "backup")
	s.CreateRepository(t, "app")
	c, damaged := s.Login(t), servertest.NewImage(1, 70_000)
	c.Push(t, "app", "v1", damaged)
	c.Push(t, "app", "v2", servertest.NewImage(2, 80_000))
	c.PushBlob(t, "app", []byte("a layer in the database"))
	if _, err := openVault(t, s).ExecContext(t.Context(), `UPDATE objects SET damaged_at = 1 WHERE size IN (70000, 23)`); err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		res := backUp(t, s, dir, server.BackupOptions{})
		if len(res.Missing) != 2 || res.Copied+res.Present != 2 || res.Present != int64(2*n) {
			t.Fatalf("backup = %+v", res)
		}
		for _, m := range res.Missing {
			if !strings.Contains(m.Reason, "quarantine") || m.Size == 70_000 && m.Held[0].Tags[0] != "v1" {
				t.Errorf("missing: %+v", m)
			}
		}
	}
	to := elsewhere(t, s)
	if res, err := server.Restore(t.Context(), to, dir, server.RestoreOptions{}); err != nil || !res.Done || len(res.Missing) > 0 {
		t.Errorf("restore = %+v, %v", res, err)
	}
}

// A flipped bit does not change the size, by which a backup knows what it has.
func TestDamageInABackupIsRepaired(t *testing.T) {
	t.Parallel()
	s, dir := servertest.Start(t, inDirectory), filepath.Join(t.TempDir(), "backup")
	s.CreateRepository(t, "app")
	s.Login(t).Push(t, "app", "v1", servertest.NewImage(1, 70_000))
	backUp(t, s, dir, server.BackupOptions{})
	file := ofSize(t, filesIn(t, filepath.Join(dir, "objects")), sealed70000)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, damaged := range [][]byte{append([]byte{text[0] ^ 1}, text[1:]...), text[1:]} {
		if err := os.WriteFile(file, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		v, err := server.RepairBackup(t.Context(), s.Config, dir, "", nil)
		if err != nil || len(v.Lost) != 1 || v.Removed != 1 {
			t.Errorf("repair = %+v, %v", v, err)
		}
		if res := backUp(t, s, dir, server.BackupOptions{}); res.Copied != 1 || len(res.Missing) > 0 {
			t.Errorf("the next backup: %+v", res)
		}
		if v, err := server.RepairBackup(t.Context(), s.Config, dir, "", nil); err != nil || len(v.Lost) > 0 || v.Removed > 0 {
			t.Errorf("verify = %+v, %v", v, err)
		}
	}
}

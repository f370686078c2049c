package server_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/config"
	"berth/internal/server"
	"berth/internal/servertest"
)

// A backup is made before an upgrade, whichever version makes it, and is there after many.
func TestBackupsOfDataOfEveryReleasedVersionAreRestored(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(fixtures + "/*.tar.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("fixtures: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".tar.gz"), func(t *testing.T) {
			t.Parallel()
			old, dir := t.TempDir(), filepath.Join(t.TempDir(), "backup")
			unpack(t, file, old)
			s := servertest.Start(t, servertest.Options{Configure: func(c *config.Config) {
				inDirectory.Configure(c)
				from := *c
				from.Data = old
				for n := range 3 { // the last one removes the first
					if res, err := server.Backup(t.Context(), &from, dir, server.BackupOptions{Keep: 2}); err != nil || len(res.Missing) > 0 || len(res.PrunedIDs) != n/2 || res.PrunedObjects > 0 {
						t.Fatalf("backup = %+v, %v", res, err)
					}
				}
				v, err := server.VerifyBackup(t.Context(), c, dir, "", nil)
				if err != nil || len(v.Lost) > 0 || v.NoKey != "" || v.Objects < 5 {
					t.Fatalf("verify = %+v, %v", v, err)
				}
				if res, err := server.Restore(t.Context(), c, dir, server.RestoreOptions{}); err != nil || !res.Done {
					t.Fatalf("restore = %+v, %v", res, err)
				}
				text, err := os.ReadFile(filepath.Join(old, "expected.json"))
				if err := errors.Join(err, os.WriteFile(filepath.Join(c.Data, "expected.json"), text, 0o600)); err != nil {
					t.Fatal(err)
				}
			}})
			upgradedIsWhole(t, s)
		})
	}
}

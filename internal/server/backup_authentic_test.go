package server_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/backup"
	"berth/internal/config"
	"berth/internal/server"
	"berth/internal/servertest"
)

// Whoever writes where backups lie is not to be the administrator after a restore.
func TestASnapshotThatWasChangedIsNotRestored(t *testing.T) {
	t.Parallel()
	s, dir := servertest.Start(t, inDirectory), filepath.Join(t.TempDir(), "backup")
	s.CreateRepository(t, "app")
	res := backUp(t, s, dir, server.BackupOptions{})
	if res.AuthenticatedBy == "" || res.NotAuthenticated != "" {
		t.Errorf("backup = %+v", res)
	}
	snapshot := filepath.Join(dir, "snapshots", res.ID)
	restore := func(o server.RestoreOptions) (*server.Restored, error) {
		return server.Restore(t.Context(), elsewhere(t, s), dir, o)
	}
	if r, err := restore(server.RestoreOptions{}); err != nil || !r.Done || r.By != res.AuthenticatedBy {
		t.Fatalf("restore = %+v, %v", r, err)
	}
	// The facts are changed, and their sum in the manifest.
	db, err := sql.Open("sqlite", filepath.Join(snapshot, "facts.db"))
	if err == nil {
		_, err = db.ExecContext(t.Context(), `UPDATE repositories SET name = 'mine'`)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	facts, err := os.ReadFile(filepath.Join(snapshot, "facts.db"))
	if err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(snapshot, "manifest.json")
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(facts)
	forged := bytes.ReplaceAll(text, []byte(res.Facts.SHA256), []byte(hex.EncodeToString(sum[:])))
	if err := os.WriteFile(manifest, forged, 0o600); err != nil || int64(len(facts)) != res.Facts.Size || bytes.Equal(forged, text) {
		t.Fatal(err, "nothing was forged")
	}
	if _, err := server.VerifyBackup(t.Context(), s.Config, dir, "", nil); !errors.Is(err, backup.ErrForged) {
		t.Errorf("verify = %v", err)
	}
	for _, trust := range []bool{false, true} {
		if _, err := restore(server.RestoreOptions{Trust: trust}); !errors.Is(err, backup.ErrForged) {
			t.Errorf("restore = %v", err)
		}
	}
	// Nothing says any more that it is authentic.
	if err := os.Remove(filepath.Join(snapshot, "manifest.mac")); err != nil {
		t.Fatal(err)
	}
	if _, err := restore(server.RestoreOptions{}); !errors.Is(err, backup.ErrUnauthenticated) {
		t.Errorf("restore = %v", err)
	}
	if r, err := restore(server.RestoreOptions{Trust: true}); err != nil || !r.Done || r.By != "" {
		t.Errorf("restore by who trusts it = %+v, %v", r, err)
	}
}

func TestASnapshotIsAuthenticatedByTheMasterKeyAlone(t *testing.T) {
	t.Parallel()
	s, dir := servertest.Start(t, servertest.Options{Configure: func(c *config.Config) {
		inDirectory.Configure(c)
		c.Seal = "off"
	}}), filepath.Join(t.TempDir(), "backup")
	s.CreateRepository(t, "app")
	without := *s.Config
	without.MasterKey = ""
	for name, test := range map[string]struct {
		by, to *config.Config
		want   bool
	}{
		"the same key":           {s.Config, s.Config, true},
		"no key for the restore": {s.Config, &without, false},
		"another key":            {s.Config, func() *config.Config { c := *s.Config; c.MasterKey = strings.Repeat("2b", 32); return &c }(), false},
		"one that came before": {s.Config, func() *config.Config {
			c := *s.Config
			c.MasterKey, c.OldMasterKeys = strings.Repeat("2b", 32), []string{s.Config.MasterKey}
			return &c
		}(), true},
		"no key when it was made": {&without, s.Config, false},
	} {
		res, err := server.Backup(t.Context(), test.by, dir, server.BackupOptions{Now: s.Clock.Now})
		if err != nil || (res.AuthenticatedBy == "") != (test.by == &without) || (res.NotAuthenticated != "") != (test.by == &without) {
			t.Fatalf("%s: backup = %+v, %v", name, res, err)
		}
		to := *test.to
		to.Data = t.TempDir()
		v, err := server.VerifyBackup(t.Context(), &to, dir, "", nil)
		if err != nil || v.Authenticated != test.want || (v.NotAuthenticated == "") != test.want {
			t.Errorf("%s: verify = %+v, %v", name, v, err)
		}
		if _, err := server.Restore(t.Context(), &to, dir, server.RestoreOptions{}); test.want != (err == nil) {
			t.Errorf("%s: restore = %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(to.Data, "master.key")); err == nil {
			t.Errorf("%s: a restore makes a key", name)
		}
	}
	if _, err := os.Stat(filepath.Join(s.Config.Data, "master.key")); err == nil {
		t.Error("a backup makes a key")
	}
}

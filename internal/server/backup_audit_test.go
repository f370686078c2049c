package server_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/backup"
	"berth/internal/server"
	"berth/internal/servertest"
)

func TestBackupsAndRestoresAreInTheAuditLog(t *testing.T) {
	t.Parallel()
	s, dir := servertest.Start(t, inDirectory), filepath.Join(t.TempDir(), "backup")
	s.CreateRepository(t, "app")
	s.Login(t).Push(t, "app", "v1", servertest.NewImage(1, 70_000))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	records := func(s *servertest.Server, event string) []string {
		t.Helper()
		return column(t, openVault(t, s).DB, `SELECT record FROM audit_records WHERE event = '`+event+`' ORDER BY id`)
	}
	interrupt := func(backup.Progress) { cancel() }
	if _, err := server.Backup(ctx, s.Config, dir, server.BackupOptions{Now: s.Clock.Now, Progress: interrupt}); err == nil {
		t.Fatal("a backup that was interrupted succeeds")
	}
	res := backUp(t, s, dir, server.BackupOptions{})
	if all := records(s, "BackupRegistry"); len(all) != 2 || !strings.Contains(all[0], `"errorCode":"Failed"`) {
		t.Fatalf("records: %v", all)
	}
	text := strings.Join(records(s, "BackupRegistry"), "\n")
	for _, want := range []string{`"snapshot":"` + res.ID + `"`, `"directory":"` + dir + `"`, `"objects":1`, `"authenticated":true`, `"eventType":"AwsServiceEvent"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no record has %s: %s", want, text)
		}
	}
	to, _ := restored(t, dir, inDirectory)
	if got := records(to, "RestoreRegistry"); len(got) != 1 || !strings.Contains(got[0], `"snapshot":"`+res.ID+`"`) {
		t.Errorf("records of the restore: %v", got)
	}
}

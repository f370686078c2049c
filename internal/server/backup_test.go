package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth/internal/backup"
	"berth/internal/config"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// backUp backs a server up, which may be running, to a directory.
func backUp(t testing.TB, s *servertest.Server, dir string, o server.BackupOptions) *backup.Result {
	t.Helper()
	o.Now = s.Clock.Now
	res, err := server.Backup(context.Background(), s.Config, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// restored starts a server on what a backup has.
func restored(t *testing.T, dir string, o servertest.Options) (s *servertest.Server, res *server.Restored) {
	t.Helper()
	configure := o.Configure
	o.Configure = func(c *config.Config) {
		if configure != nil {
			configure(c)
		}
		var err error
		if res, err = server.Restore(t.Context(), c, dir, server.RestoreOptions{}); err != nil || !res.Done {
			t.Fatalf("restore = %+v, %v", res, err)
		}
	}
	return servertest.Start(t, o), res
}

// pullAll pulls all that tags of a repository lead to, and returns how many there are.
func pullAll(t *testing.T, s *servertest.Server, repository string) map[string]string {
	t.Helper()
	c, tags := s.Login(t), map[string]string{}
	var list struct{ Tags []string }
	if err := json.Unmarshal(c.Do(t, "GET", "/v2/"+repository+"/tags/list?n=1000", nil).Want(t, 200).Body, &list); err != nil {
		t.Fatal(err)
	}
	for _, tag := range list.Tags {
		text := c.Do(t, "GET", manifestPath(repository, tag), nil).Want(t, 200).Body
		tags[tag] = digest.FromBytes(text).String()
		var m ocispec.Manifest
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		for _, d := range append(m.Layers, m.Config) {
			got := c.Do(t, "GET", "/v2/"+repository+"/blobs/"+d.Digest.String(), nil)
			if got.Status != 200 || digest.FromBytes(got.Body) != d.Digest {
				t.Errorf("%s:%s: %s is pulled as %d with %d bytes", repository, tag, d.Digest, got.Status, len(got.Body))
			}
		}
	}
	return tags
}

// changing pushes, tags anew and deletes images until it is told to end. It returns how many
// changes there were, and which tags were there throughout.
func changing(t *testing.T, s *servertest.Server) (end func() int64, firm map[string]string) {
	t.Helper()
	for _, name := range []string{"app", "keys"} {
		in := ecr.CreateRepositoryInput{RepositoryName: &name}
		if name == "keys" {
			in.EncryptionConfiguration = &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeKms}
		}
		if _, err := s.ECR().CreateRepository(t.Context(), &in); err != nil {
			t.Fatal(err)
		}
	}
	c, firm := s.Login(t), map[string]string{}
	for i := range 8 {
		img, tag := servertest.NewImage(uint64(i), 100, 100_000+i), fmt.Sprint("firm", i)
		c.Push(t, "app", tag, img)
		c.Push(t, "keys", tag, img)
		firm[tag] = img.Digest.String()
	}
	var changes atomic.Int64
	var stop atomic.Bool
	var wg sync.WaitGroup
	for worker := range 3 {
		wg.Go(func() {
			for n := 0; !stop.Load(); n++ {
				img := servertest.NewImage(uint64(1000+worker*1000+n), 70_000, 10)
				repository := []string{"app", "keys"}[n%2]
				c.Push(t, repository, fmt.Sprint("moving", worker), img)
				c.PushManifest(t, repository, fmt.Sprintf("new%d-%d", worker, n), ocispec.MediaTypeImageManifest, img.Manifest).Want(t, 201)
				if n%3 == 2 {
					c.Do(t, "DELETE", manifestPath(repository, img.Digest.String()), nil).Want(t, 202)
				}
				changes.Add(1)
			}
		})
	}
	return func() int64 {
		stop.Store(true)
		wg.Wait()
		return changes.Load()
	}, firm
}

// What a backup is made of, and where it is restored to, are different things.
func TestABackupThatIsMadeInAStormIsRestoredElsewhere(t *testing.T) {
	t.Parallel()
	here, s3 := servertest.Options{}, servertest.Options{S3: true}
	cluster, cluster3 := servertest.Options{Postgres: true}, servertest.Options{Postgres: true, S3: true}
	for name, way := range map[string][2]servertest.Options{
		"sqlite": {here, here}, "postgres": {cluster, cluster}, "sqlite to postgres and S3": {here, cluster3}, "postgres and S3 to sqlite": {cluster3, here}, "S3": {s3, s3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, dir := servertest.Start(t, way[0]), filepath.Join(t.TempDir(), "backup")
			end, firm := changing(t, s)
			var first, second *backup.Result
			func() {
				defer func() { t.Logf("%d images pushed meanwhile", end()) }()
				first = backUp(t, s, dir, server.BackupOptions{})
				for range 4 {
					second = backUp(t, s, dir, server.BackupOptions{Keep: 2})
				}
			}()
			if len(first.Missing)+len(second.Missing) > 0 || second.Present < first.Objects/2 || second.Copied+second.Present != second.Objects || second.Copied >= second.Objects {
				t.Errorf("backups: %+v\n%+v", first, second)
			}
			v, err := server.VerifyBackup(t.Context(), s.Config, dir, "", nil)
			if err != nil || len(v.Lost) > 0 || v.Sealed > 0 || v.NoKey != "" || v.Objects <= second.Objects {
				t.Errorf("verify = %+v, %v", v, err)
			}
			to, res := restored(t, dir, way[1])
			pulled := int64(0)
			for _, repository := range []string{"app", "keys"} {
				tags := pullAll(t, to, repository)
				pulled += int64(len(tags))
				for tag, want := range firm {
					if tags[tag] != want {
						t.Errorf("%s:%s is %q, and was %s before the backup", repository, tag, tags[tag], want)
					}
				}
			}
			if pulled != second.Tags || res.Tags != pulled {
				t.Errorf("%d tags are pulled, the snapshot has %d", pulled, second.Tags)
			}
			to.Login(t).Push(t, "app", "after", servertest.NewImage(99, 100_000))
			to.CheckData(t)
			t.Logf("%d of %d tags pulled, %d of %d objects copied by the second backup, backed up in %.2f s, restored in %.2f s",
				pulled, second.Tags, second.Copied, second.Objects, second.Seconds, res.Seconds)
		})
	}
}

// Layers move away as soon as a backup has read the facts, and what was copied is to go.
func TestBytesStayWhileABackupIsMade(t *testing.T) {
	t.Parallel()
	for name, postgres := range map[string]bool{"sqlite": false, "postgres": true} {
		for what, away := range map[string]time.Duration{"it goes on": 5 * time.Minute, "it has died": 11 * time.Minute} {
			t.Run(name+" "+what, func(t *testing.T) {
				t.Parallel()
				keepBytes(t, startMoving(t, "on", servertest.Options{Postgres: postgres}), away)
			})
		}
	}
}

func keepBytes(t *testing.T, m *moving, away time.Duration) {
	layers := m.push(t, 100_001, 100_002, 100_003, 100_004, 100_005, 100_006, 100_007, 100_008)
	before, dir := *m.Config, filepath.Join(t.TempDir(), "backup")
	m.restart(t, inS3, "directory")
	remove := func() int {
		if err := m.Server.Server().RemoveMoved(t.Context()); err != nil {
			t.Error(err)
		}
		directory, _ := m.stored(t)
		return directory
	}
	var once sync.Once
	res, err := server.Backup(t.Context(), &before, dir, server.BackupOptions{Now: m.Clock.Now, Progress: func(backup.Progress) {
		once.Do(func() {
			in := server.MigrateRequest{GraceSeconds: new(int64(1))}
			for more := true; more; {
				_, p, _ := m.step(t, in)
				if more = p.After != nil; more {
					in.After = *p.After
				}
			}
			m.Clock.Advance(away)
			if n := remove(); (n == len(layers)) != (away < 10*time.Minute) {
				t.Errorf("%d of %d layers are left", n, len(layers))
			}
		})
	}})
	if away < 10*time.Minute {
		if err != nil || len(res.Missing) > 0 || res.Copied != int64(len(layers)) {
			t.Errorf("backup = %+v, %v", res, err)
		}
	} else if all, failure := server.Snapshots(dir); !errors.Is(err, backup.ErrLost) || failure != nil || len(all) > 0 {
		t.Errorf("backup = %+v, %v, want that its lease has run out, and no snapshot: %v, %v", res, err, all, failure)
	}
	if n := remove(); n != 0 {
		t.Errorf("%d layers are left when nothing keeps them", n)
	}
	layers.check(t, m.Login(t))
}

// A backup that is interrupted anywhere is none, and the next one goes on.
func TestABackupGoesOnAfterAnInterruption(t *testing.T) {
	t.Parallel()
	s, dir := servertest.Start(t, inDirectory), filepath.Join(t.TempDir(), "backup")
	c := s.Login(t)
	s.CreateRepository(t, "app")
	for i := range 12 {
		c.Push(t, "app", fmt.Sprint("v", i), servertest.NewImage(uint64(i), 70_000+i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	copied := 0
	_, err := server.Backup(ctx, s.Config, dir, server.BackupOptions{Now: s.Clock.Now, Progress: func(backup.Progress) {
		if copied++; copied == 5 {
			cancel()
		}
	}})
	if err == nil {
		t.Fatal("a backup that was interrupted succeeds")
	}
	if all, err := server.Snapshots(dir); err != nil || len(all) != 0 {
		t.Errorf("snapshots after an interruption: %+v, %v", all, err)
	}
	_, err = server.Restore(t.Context(), s.Config, dir, server.RestoreOptions{})
	if err == nil || !strings.Contains(err.Error(), "there is no snapshot") {
		t.Errorf("restore = %v", err)
	}
	res := backUp(t, s, dir, server.BackupOptions{})
	if res.Present < 5 || res.Present+res.Copied != 12 {
		t.Errorf("the next backup: %+v", res)
	}

	// So it is with restoring, wherever it ends.
	to := *s.Config
	to.Data = t.TempDir()
	ctx, cancel = context.WithCancel(t.Context())
	copied = 0
	if _, err := server.Restore(ctx, &to, dir, server.RestoreOptions{Progress: func(backup.Progress) {
		if copied++; copied == 5 {
			cancel()
		}
	}}); err == nil {
		t.Fatal("a restore that was interrupted succeeds")
	}
	if _, err := os.Stat(filepath.Join(to.Data, "berth.db")); err == nil {
		t.Error("half a restore has a database")
	}
	back, err := server.Restore(t.Context(), &to, dir, server.RestoreOptions{})
	if err != nil || back.Present < 5 || back.Present+back.Objects != 12 || !back.Done {
		t.Errorf("the next restore: %+v, %v", back, err)
	}
	if _, err := server.Restore(t.Context(), &to, dir, server.RestoreOptions{}); err == nil || !strings.Contains(err.Error(), "is not empty, it has berth.db") {
		t.Errorf("restoring to what is there = %v", err)
	}
	s.Stop(t)
	report, err := server.Fsck(t.Context(), &to, server.FsckOptions{})
	if err != nil || len(report.Problems) > 0 {
		t.Errorf("fsck = %+v, %v", report, err)
	}
}

func TestOldSnapshotsAreRemovedWithWhatOnlyTheyHave(t *testing.T) {
	t.Parallel()
	s, dir := servertest.Start(t, inDirectory), filepath.Join(t.TempDir(), "backup")
	c := s.Login(t)
	s.CreateRepository(t, "app")
	for i := range 4 {
		c.Push(t, "app", fmt.Sprint("v", i), servertest.NewImage(uint64(i), 70_000+i))
		if i == 1 {
			if _, err := openVault(t, s).ExecContext(t.Context(), `UPDATE objects SET deleted_at = 1 WHERE size = 70000`); err != nil { // no snapshot from here on names its layer
				t.Fatal(err)
			}
		}
		res := backUp(t, s, dir, server.BackupOptions{Keep: 2})
		all, err := server.Snapshots(dir)
		if err != nil || len(all) != min(i+1, 2) || all[len(all)-1].ID != res.ID {
			t.Errorf("%d: snapshots = %+v, %v", i, all, err)
		}
		if res.Copied != 1 {
			t.Errorf("%d: %d objects were copied", i, res.Copied)
		}
		if want := map[int]int64{2: 1}[i]; res.PrunedObjects != want {
			t.Errorf("%d: %d objects were removed, want %d", i, res.PrunedObjects, want)
		}
		v, err := server.VerifyBackup(t.Context(), s.Config, dir, all[0].ID, nil)
		if err != nil || len(v.Lost) > 0 {
			t.Errorf("%d: verify = %+v, %v", i, v, err)
		}
		s.Clock.Advance(time.Hour)
	}
}

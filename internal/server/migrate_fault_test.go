package server_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/blob/buckettest"
	"berth/internal/move"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/opencontainers/go-digest"
)

// settle moves what is left, and checks that all is where it should be and nothing else.
func (m *moving) settle(t *testing.T, layers layersOf) {
	t.Helper()
	if _, last := m.migrate(t); last.Left.Objects != 0 {
		t.Errorf("%+v left, want nothing", last.Left)
	}
	layers.check(t, m.Login(t))
	m.CheckData(t)
	m.Clock.Advance(time.Hour)
	m.migrate(t)
	d, s3 := m.stored(t)
	if m.Config.Storage == "" {
		d, s3 = s3, d
	}
	if d != 0 || s3 != len(layers) {
		t.Errorf("%d are where they were and %d where they should be, want 0 and %d", d, s3, len(layers))
	}
	layers.check(t, m.Login(t))
	m.CheckData(t)
}

// A store that is away, or a copy that breaks off, costs nothing: the next run goes on.
func TestAMoveOutlivesFaults(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"PutObject", "UploadPart", "CompleteMultipartUpload", "GetObject", "HeadObject"} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			eachSeal(t, func(t *testing.T, seal string) {
				m := startMoving(t, seal, servertest.Options{Errors: true})
				layers := m.push(t, 100_000, 6<<20, 300_000)
				m.restart(t, inS3, "directory")
				m.proxy.Plan(buckettest.Always(operation, buckettest.Denied))
				status, p, text := m.step(t, server.MigrateRequest{})
				if all := operation == "GetObject" || operation == "HeadObject"; all && (status != 503 || !strings.Contains(text, "could not be copied")) {
					t.Errorf("without %s: %d %s, want 503", operation, status, text)
				} else if !all && (status != 200 || len(p.Failed) == 0 || p.Objects == 0) {
					t.Errorf("without %s: %d %s, want some that stay", operation, status, text)
				}
				m.proxy.Plan(nil)
				m.settle(t, layers)
			})
		})
	}
}

// damage does something to the file of each layer.
func (m *moving) damage(t *testing.T, do func(file string, size int64) error) {
	t.Helper()
	m.Stop(t)
	files, err := filepath.Glob(filepath.Join(m.Config.Data, "blobs/objects/*/*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err == nil {
			err = do(f, info.Size())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	m.restart(t, inS3, "directory")
}

func TestDamagedLayersStay(t *testing.T) {
	t.Parallel()
	eachSeal(t, func(t *testing.T, seal string) {
		m := startMoving(t, seal, servertest.Options{})
		layers := m.push(t, 100_000, 200_000, 300_000)
		m.damage(t, func(file string, size int64) error {
			switch {
			case size >= 300_000:
				return nil
			case size >= 200_000:
				return os.Truncate(file, 150_000)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			text[50_000]++
			return os.WriteFile(file, text, 0o600)
		})
		moved, last := m.migrate(t)
		if moved != 1 || len(last.Failed) != 2 || last.Left.Objects != 2 || last.Unverified != 0 {
			t.Errorf("%d moved, %+v, want 1 and 2 that fail", moved, last)
		}
		layers[2:].check(t, m.Login(t))
	})
}

// More than move at once: those after them move all the same.
func TestLayersThatCannotBeReadStay(t *testing.T) {
	t.Parallel()
	m := startMoving(t, "on", servertest.Options{})
	sizes := make([]int, 20)
	for i := range sizes {
		sizes[i] = 70_000 + i*1000
	}
	m.push(t, sizes...)
	bad := 0
	m.damage(t, func(file string, _ int64) error {
		if bad++; bad > 18 {
			return nil
		}
		return errors.Join(os.Remove(file), os.Symlink(filepath.Base(file), file)) // which leads nowhere
	})
	failed := 0
	for in := (server.MigrateRequest{}); ; {
		status, p, text := m.step(t, in)
		if status != 200 {
			t.Fatalf("migrate = %d %s", status, text)
		}
		failed += len(p.Failed)
		if p.After == nil {
			if failed != 18 || p.Left.Objects != 18 {
				t.Errorf("%d stay, %+v, want 18", failed, p.Left)
			}
			return
		}
		in.After = *p.After
	}
}

func TestLayersWhoseKeyCannotBeUsedMoveUnverified(t *testing.T) {
	t.Parallel()
	m := startMoving(t, "on", servertest.Options{})
	key := m.CreateKey(t)
	deleteRepository(t, m.Server, "app")
	createSealed(t, m.Server, "app", types.EncryptionTypeKms, &key)
	layers := m.push(t, 100_000, 6<<20, 200_000)
	m.damage(t, func(file string, size int64) error {
		if size < 200_000 {
			return os.Truncate(file, size-1)
		}
		return nil
	})
	if _, err := m.KMS().DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &key}); err != nil {
		t.Fatal(err)
	}
	moved, last := m.migrate(t)
	if _, err := m.KMS().EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: &key}); err != nil {
		t.Fatal(err)
	}
	if moved != 2 || last.Unverified != 2 || len(last.Failed) != 1 {
		t.Errorf("%d moved, %+v, want 2 unverified and the short one not", moved, last)
	}
	layers[1:].check(t, m.Login(t))
}

// A copy has taken so long that it is removed just as it is about to become an object.
func TestACopyThatIsRemovedBecomesNoObject(t *testing.T) {
	t.Parallel()
	eachSeal(t, func(t *testing.T, seal string) {
		m := startMoving(t, seal, servertest.Options{Errors: true})
		layers := m.push(t, 100_000)
		m.restart(t, inS3, "directory")
		reading := m.holds("GetObject")
		stepped := make(chan server.MigrateResponse)
		go func() {
			_, p, _ := m.step(t, server.MigrateRequest{})
			stepped <- p
		}()
		<-reading.arrived
		m.Clock.Advance(49 * time.Hour)
		removing := m.holds("HeadObject")
		removed := make(chan error)
		go func() { removed <- m.Server.Server().RemoveMoved(t.Context()) }()
		<-removing.arrived
		close(reading.release)
		if p := <-stepped; p.Objects != 0 || len(p.Failed) != 1 {
			t.Errorf("%+v, want a copy that was removed", p)
		}
		close(removing.release)
		if err := <-removed; err != nil {
			t.Errorf("Remove = %v", err)
		}
		layers.check(t, m.Login(t))
		m.settle(t, layers)
	})
}

// The server ends while the store is at something.
func TestAMoveThatIsStoppedGoesOn(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "GetObject", "DeleteObject"} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			m := startMoving(t, "on", servertest.Options{Errors: true})
			layers := m.push(t, 6<<20, 100_000)
			m.restart(t, inS3, "directory")
			if operation == "DeleteObject" {
				m.settle(t, layers)
				m.restart(t, "", inS3)
				m.migrate(t)
				m.Clock.Advance(time.Hour)
			}
			h := m.holds(operation)
			stepped, stopped := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(stepped)
				m.step(t, server.MigrateRequest{})
			}()
			<-h.arrived
			go func() {
				defer close(stopped)
				m.Stop(t)
			}()
			if operation != "DeleteObject" {
				<-stepped // which waits no longer than a step takes
			}
			close(h.release)
			<-stepped
			<-stopped
			m.Restart(t)
			layers.check(t, m.Login(t))
			m.settle(t, layers)
		})
	}
}

func TestALayerMayTakeLongerThanAStep(t *testing.T) {
	t.Parallel()
	m := startMoving(t, "on", servertest.Options{})
	layers := m.push(t, 6<<20)
	m.restart(t, inS3, "directory")
	h := m.holds("CompleteMultipartUpload")
	var both sync.WaitGroup
	for range 2 { // two who ask get one copy
		both.Go(func() {
			if status, p, text := m.step(t, server.MigrateRequest{}); status != 200 || p.After == nil || p.Objects != 0 || p.Copying < 6<<20 {
				t.Errorf("migrate = %d %s, want a layer that is being copied", status, text)
			}
		})
	}
	both.Wait()
	m.CreateRepository(t, "another")
	m.Login(t).PushBlob(t, "another", layers[0]) // which is stored once
	close(h.release)
	if moved, _ := m.migrate(t); moved != 1 {
		t.Errorf("%d moved, want 1", moved)
	}
	m.settle(t, layers)
}

// As two processes would: the second one moves everything while the first one is at it.
func TestTwoMoversDoEachOtherNoHarm(t *testing.T) {
	t.Parallel()
	for name, postgres := range map[string]bool{"sqlite": false, "postgres": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := startMoving(t, "on", servertest.Options{Postgres: postgres})
			layers := m.push(t, 100_000, 6<<20, 200_000)
			m.restart(t, inS3, "directory")
			h := m.holds("GetObject")
			stepped := make(chan server.MigrateResponse)
			go func() {
				_, p, _ := m.step(t, server.MigrateRequest{})
				stepped <- p
			}()
			<-h.arrived
			root := access.Call{Caller: access.Caller{Account: servertest.Account, ID: servertest.Account, ARN: "arn:aws:iam::" + servertest.Account + ":root", Type: access.Root}}
			another := m.Server.Server().AnotherMover()
			if p, err := another.Step(t.Context(), root, move.Input{}); err != nil || p.Objects < 1 {
				t.Errorf("Step = %+v, %v", p, err)
			}
			close(h.release)
			<-stepped
			m.settle(t, layers)
		})
	}
}

// A bucket from which nothing can be deleted does not keep layers from moving.
func TestWhatCannotBeRemovedIsReported(t *testing.T) {
	t.Parallel()
	m := startMoving(t, "on", servertest.Options{})
	layers := m.push(t, 100_000, 200_000)
	m.restart(t, inS3, "directory")
	m.settle(t, layers)
	m.restart(t, "", inS3)
	m.migrate(t)
	m.Clock.Advance(time.Hour)
	m.proxy.Plan(buckettest.Always("DeleteObject", buckettest.Denied))
	if _, last := m.migrate(t); last.Left.Copied != 2 || !strings.Contains(last.Unremoved, "could not be removed") {
		t.Errorf("%+v, want 2 that cannot be removed", last)
	}
	m.proxy.Plan(nil)
	m.settle(t, layers)
}

// An upload whose bytes another server could reach is not lost.
func TestAnUploadOutOfReachWaits(t *testing.T) {
	t.Parallel()
	m := startMoving(t, "off", servertest.Options{Errors: true})
	content := layer(200_000)
	c := m.Login(t)
	location := c.Do(t, "POST", uploadsOfApp, nil).Want(t, http.StatusAccepted).Header.Get("Location")
	c.Do(t, "PATCH", location, content[:100_000]).Want(t, http.StatusAccepted)
	finish := location + "?digest=" + digest.FromBytes(content).String()
	m.restart(t, inS3, "")
	c = m.Login(t)
	c.Do(t, "PATCH", location, content[100_000:]).Want(t, http.StatusServiceUnavailable)
	m.restart(t, inS3, "directory")
	c = m.Login(t)
	c.Do(t, "PATCH", location, content[100_000:]).Want(t, http.StatusAccepted)
	c.Do(t, "PUT", finish, nil).Want(t, http.StatusCreated)
	m.settle(t, layersOf{content})
}

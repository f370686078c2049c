package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/internal/blob/buckettest"
	"berth/internal/config"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

// moving is a server whose layers move between its directory and an S3 store behind a
// proxy.
type moving struct {
	*servertest.Server
	proxy *buckettest.Proxy
}

func startMoving(t *testing.T, o servertest.Options) *moving {
	t.Helper()
	o.Configure = func(c *config.Config) {
		c.Storage, c.S3Endpoint, c.S3PathStyle, c.S3AccessKeyID, c.S3SecretAccessKey = "", "", false, "", ""
	}
	m := &moving{Server: servertest.Start(t, o), proxy: buckettest.StartProxy(t, buckettest.StartFakeS3(t))}
	m.CreateRepository(t, "app")
	return m
}

// restart starts the server again with other places.
func (m *moving) restart(t *testing.T, storage, from string) {
	t.Helper()
	c := m.Config
	c.Storage, c.StorageFrom, c.S3Endpoint, c.S3PathStyle, c.S3AccessKeyID, c.S3SecretAccessKey = storage, from, "", false, "", ""
	if storage+from != "" {
		c.S3Endpoint, c.S3PathStyle, c.S3AccessKeyID, c.S3SecretAccessKey = m.proxy.URL, true, "access", "the secret"
	}
	m.Restart(t)
}

// step takes a step.
func (m *moving) step(t *testing.T, in server.MigrateRequest) (int, server.MigrateResponse, string) {
	t.Helper()
	body, _ := json.Marshal(in) // texts and a number
	status, text := m.PostAs(t, m.AWS(), server.MigratePath, string(body))
	var p server.MigrateResponse
	if err := json.Unmarshal([]byte(text), &p); err != nil && status == 200 {
		t.Fatal(err)
	}
	return status, p, text
}

// migrate takes all steps and returns how many objects have moved, and what is left.
func (m *moving) migrate(t *testing.T) (moved int, last server.MigrateResponse) {
	t.Helper()
	for in := (server.MigrateRequest{}); ; {
		status, p, text := m.step(t, in)
		if status != 200 {
			t.Fatalf("migrate = %d %s", status, text)
		}
		moved, last = moved+p.Objects, p
		if p.After == nil {
			return moved, last
		}
		in.After = *p.After
	}
}

// stored counts what is in the directory and in S3.
func (m *moving) stored(t *testing.T) (directory, s3 int) {
	t.Helper()
	for e, err := range m.Server.Server().Bucket().List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(e.Key, "s3:") {
			s3++
		} else {
			directory++
		}
	}
	return directory, s3
}

// layersOf are contents that c has pushed.
type layersOf [][]byte

func (l layersOf) check(t *testing.T, c *servertest.Client) {
	t.Helper()
	for _, content := range l {
		if r := c.Do(t, "GET", "/v2/app/blobs/"+digest.FromBytes(content).String(), nil); r.Status != 200 || !bytes.Equal(r.Body, content) {
			t.Errorf("a layer of %d bytes reads back as %d with %d bytes", len(content), r.Status, len(r.Body))
		}
	}
}

const inS3 = "s3://" + buckettest.S3Bucket + "/moved"

func TestLayersMoveToS3AndBack(t *testing.T) {
	t.Parallel()
	for name, postgres := range map[string]bool{"sqlite": false, "postgres": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := startMoving(t, servertest.Options{Postgres: postgres})
			moveThereAndBack(t, m)
		})
	}
}

func moveThereAndBack(t *testing.T, m *moving) {
	c := m.Login(t)
	var layers layersOf
	for i := range 19 {
		layers = append(layers, layer(70_000+i))
	}
	layers = append(layers, layer(6<<20), layer(100))
	for _, content := range layers {
		c.PushBlob(t, "app", content)
	}
	more := layer(200_000)
	location := c.Do(t, "POST", uploadsOfApp, nil).Want(t, 202).Header.Get("Location")
	c.Do(t, "PATCH", location, more[:100_000]).Want(t, 202)

	m.restart(t, inS3, "directory")
	end, ended := make(chan struct{}), make(chan struct{})
	go func() { // pulls go on all the time
		defer close(ended)
		for {
			layers.check(t, c)
			select {
			case <-end:
				return
			default:
			}
		}
	}()
	if moved, last := m.migrate(t); moved != 20 || len(last.Failed) > 0 || last.Left.Objects != 0 || last.Left.Uploads != 1 || last.Left.Copied != 20 {
		t.Errorf("%d moved, %+v left, want 20, and 1 upload under way", moved, last.Left)
	}
	close(end)
	<-ended
	new := layer(80_000)
	c.PushBlob(t, "app", new)
	c.Do(t, "PATCH", location, more[100_000:]).Want(t, 202)
	c.Do(t, "PUT", location+"?digest="+digest.FromBytes(more).String(), nil).Want(t, 201)
	layers = append(layers, new, more)
	if moved, last := m.migrate(t); moved != 1 || last.Left.Objects != 0 || last.Left.Uploads != 0 {
		t.Errorf("%d moved, %+v left, want the upload that has ended", moved, last.Left)
	}
	m.CheckData(t)
	if d, s3 := m.stored(t); d != 21 || s3 != 22 {
		t.Errorf("%d are in the directory and %d in S3, want 21 and 22", d, s3)
	}
	m.Clock.Advance(time.Hour)
	if moved, last := m.migrate(t); moved != 0 || last.Left.Copied != 0 {
		t.Errorf("%d moved, %+v left, want nothing", moved, last.Left)
	}
	if d, s3 := m.stored(t); d != 0 || s3 != 22 {
		t.Errorf("%d are in the directory and %d in S3, want 0 and 22", d, s3)
	}
	m.restart(t, inS3, "")
	c = m.Login(t)
	layers.check(t, c)
	m.CheckData(t)

	m.restart(t, "", inS3)
	if moved, last := m.migrate(t); moved != 22 || last.Left.Objects != 0 || last.Left.Uploads != 0 {
		t.Errorf("%d moved back, %+v left, want 22", moved, last.Left)
	}
	m.CheckData(t)
	m.Clock.Advance(time.Hour)
	m.migrate(t)
	if d, s3 := m.stored(t); d != 22 || s3 != 0 {
		t.Errorf("%d are in the directory and %d in S3, want 22 and 0", d, s3)
	}
	m.restart(t, "", "")
	layers.check(t, m.Login(t))
	m.CheckData(t)
}

func TestLayersOutOfReachAreRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	m := startMoving(t, servertest.Options{})
	refused := func(want string) {
		t.Helper()
		m.Stop(t)
		s, err := server.Open(context.Background(), m.Config, server.Options{})
		if err == nil {
			_ = s.Close(context.Background())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open = %v, want %q", err, want)
		}
	}
	m.Login(t).PushBlob(t, "app", layer(100_000))
	m.restart(t, inS3, "directory")
	m.Config.StorageFrom = ""
	refused("storage-from: directory")
	m.restart(t, inS3, "directory")
	m.migrate(t)
	m.restart(t, inS3, "")
	m.Config.Storage = ""
	refused("there are layers in S3")
	m.restart(t, inS3, "")
}

// A store that is away, or a copy that breaks off, costs nothing: the next run goes on.
func TestAMoveOutlivesFaults(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"PutObject", "UploadPart", "CompleteMultipartUpload", "GetObject"} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			m := startMoving(t, servertest.Options{Errors: true})
			layers := layersOf{layer(100_000), layer(6 << 20), layer(300_000)}
			for _, content := range layers {
				m.Login(t).PushBlob(t, "app", content)
			}
			m.restart(t, inS3, "directory")
			m.proxy.Plan(buckettest.Always(operation, buckettest.Denied))
			if status, _, text := m.step(t, server.MigrateRequest{}); status != 503 || !strings.Contains(text, "could not be copied") {
				t.Errorf("without %s: %d %s, want 503", operation, status, text)
			}
			m.proxy.Plan(nil)
			layers.check(t, m.Login(t))
			if _, last := m.migrate(t); last.Left.Objects != 0 {
				t.Errorf("%+v left, want nothing", last.Left)
			}
			m.CheckData(t)
			m.Clock.Advance(time.Hour)
			m.migrate(t)
			if d, s3 := m.stored(t); d != 0 || s3 != len(layers) {
				t.Errorf("%d are in the directory and %d in S3, want 0 and %d", d, s3, len(layers))
			}
			layers.check(t, m.Login(t))
		})
	}
}

func TestDamagedLayersStay(t *testing.T) {
	t.Parallel()
	m := startMoving(t, servertest.Options{})
	c := m.Login(t)
	layers := layersOf{layer(100_000), layer(200_000), layer(300_000)}
	for _, content := range layers {
		c.PushBlob(t, "app", content)
	}
	m.Stop(t)
	files, err := filepath.Glob(filepath.Join(m.Config.Data, "blobs/objects/*/*"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%d files, %v, want 3", len(files), err)
	}
	for _, f := range files {
		if text, err := os.ReadFile(f); err != nil {
			t.Fatal(err)
		} else if len(text) < 300_000 {
			text[50_000]++
			if err := os.WriteFile(f, text[:min(len(text), 150_000)], 0o600); err != nil { // one is too short as well
				t.Fatal(err)
			}
		}
	}
	m.restart(t, inS3, "directory")
	moved, last := m.migrate(t)
	if moved != 1 || len(last.Failed) != 2 || last.Left.Objects != 2 {
		t.Errorf("%d moved, %+v, want 1 and 2 that fail", moved, last)
	}
	layers[2:].check(t, m.Login(t))
}

func TestStepsRefuseWhatIsNone(t *testing.T) {
	t.Parallel()
	m := startMoving(t, servertest.Options{})
	for _, test := range []struct {
		from   string
		bodies []string
	}{
		{"", []string{`{}`}},
		{"directory", []string{`{"after":{"keyDomain":"\u0000","digest":""}}`, `{"after":{"keyDomain":"é","digest":"x"}}`, `{"graceSeconds":-1}`, `{"graceSeconds":604801}`}},
	} {
		if test.from != "" {
			m.restart(t, inS3, test.from)
		}
		for _, body := range test.bodies {
			if status, text := m.PostAs(t, m.AWS(), server.MigratePath, body); status != 400 || !strings.Contains(text, "InvalidParameterException") {
				t.Errorf("migrate %s = %d %s, want InvalidParameterException", body, status, text)
			}
		}
	}
}

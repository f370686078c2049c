package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
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
	hold  atomic.Pointer[hold]
}

func startMoving(t *testing.T, seal string, o servertest.Options) *moving {
	t.Helper()
	o.Configure = func(c *config.Config) {
		c.Seal = seal
		c.Storage, c.S3Endpoint, c.S3PathStyle, c.S3AccessKeyID, c.S3SecretAccessKey = "", "", false, "", ""
	}
	m := &moving{}
	fake := buckettest.FakeS3()
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := m.hold.Load(); h != nil {
			h.wait(r)
		}
		fake.ServeHTTP(w, r)
	}))
	t.Cleanup(store.Close)
	m.Server, m.proxy = servertest.Start(t, o), buckettest.StartProxy(t, store.URL)
	m.CreateRepository(t, "app")
	return m
}

// hold has the first request for an operation wait at the store.
type hold struct {
	operation        string
	taken            atomic.Bool
	arrived, release chan struct{}
}

// holds makes the first request for an operation wait from now on.
func (m *moving) holds(operation string) *hold {
	h := &hold{operation: operation, arrived: make(chan struct{}), release: make(chan struct{})}
	m.hold.Store(h)
	return h
}

func (h *hold) wait(r *http.Request) {
	if buckettest.Operation(r) == h.operation && !h.taken.Swap(true) {
		close(h.arrived)
		<-h.release
	}
}

// push pushes layers of those sizes.
func (m *moving) push(t *testing.T, sizes ...int) layersOf {
	t.Helper()
	c := m.Login(t)
	var layers layersOf
	for _, n := range sizes {
		layers = append(layers, layer(n))
		c.PushBlob(t, "app", layers[len(layers)-1])
	}
	return layers
}

// eachSeal runs a test with layers that are sealed, and that are not.
func eachSeal(t *testing.T, test func(t *testing.T, seal string)) {
	t.Helper()
	for _, seal := range []string{"on", "off"} {
		t.Run("seal "+seal, func(t *testing.T) {
			t.Parallel()
			test(t, seal)
		})
	}
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
			eachSeal(t, func(t *testing.T, seal string) {
				moveThereAndBack(t, startMoving(t, seal, servertest.Options{Postgres: postgres}))
			})
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
	m := startMoving(t, "on", servertest.Options{})
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
	refused("there are layers in the data directory")
	m.restart(t, inS3, "directory")
	m.migrate(t)
	m.restart(t, inS3, "")
	m.Config.Storage = ""
	refused("there are layers in S3")
	m.restart(t, inS3, "")
}

func TestStepsRefuseWhatIsNone(t *testing.T) {
	t.Parallel()
	m := startMoving(t, "on", servertest.Options{})
	for _, test := range []struct {
		from   string
		bodies []string
	}{
		{"", []string{`{}`}},
		{"directory", []string{`{"after":{"keyDomain":"\u0000","digest":""}}`, `{"after":{"keyDomain":"é","digest":"x"}}`, `{"after":{"algorithm":"\n"}}`, `{"graceSeconds":0}`, `{"graceSeconds":604801}`}},
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

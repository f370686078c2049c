package server_test

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"

	"berth/internal/config"
	"berth/internal/fsck"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// wire is a proxy before PostgreSQL that can be cut.
type wire struct {
	socket string

	mu      sync.Mutex
	away    bool // guarded by mu: nothing is connected, or stays so
	commits int  // guarded by mu: the commit that is cut, counted down; 0 for none
	reach   bool // guarded by mu: the commit is done, and only its answer is lost
	cuts    int  // guarded by mu
	open    map[net.Conn]bool
}

// wired returns a server whose database is behind a wire.
func wired(t *testing.T) (*servertest.Server, *wire) {
	t.Helper()
	w := &wire{open: map[net.Conn]bool{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := servertest.Start(t, servertest.Options{Postgres: true, Errors: true, Configure: func(c *config.Config) {
		at, err := url.Parse(c.Database)
		if err != nil {
			t.Fatal(err)
		}
		q := at.Query()
		w.socket = filepath.Join(q.Get("host"), ".s.PGSQL.5432")
		q.Set("host", "127.0.0.1")
		q.Set("port", l.Addr().String()[len("127.0.0.1:"):])
		q.Set("sslmode", "disable")
		at.RawQuery = q.Encode()
		c.Database = at.String()
		go w.serve(l)
	}})
	s.CreateRepository(t, "app")
	return s, w
}

func (w *wire) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		db, err := net.Dial("unix", w.socket)
		if err != nil {
			_ = c.Close()
			continue
		}
		w.mu.Lock()
		refuse := w.away
		w.open[c] = true
		w.mu.Unlock()
		if refuse {
			_, _ = c.Close(), db.Close()
			continue
		}
		go w.send(c, db)
		go func() {
			_, _ = io.Copy(c, db)
			_, _ = c.Close(), db.Close()
		}()
	}
}

// send passes on what the server asks, and cuts the wire at a commit.
func (w *wire) send(c, db net.Conn) {
	defer c.Close()
	defer db.Close()
	buf := make([]byte, 1<<20)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if cut, reach := w.cut(buf[:n]); cut {
			_ = c.Close()
			if reach {
				_, _ = db.Write(buf[:n])
				_, _ = db.Read(buf) // until it is done, unless the other direction reads that
			}
			return
		}
		if _, err := db.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (w *wire) cut(p []byte) (cut, reach bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.commits == 0 || !bytes.Contains(p, []byte("commit\x00")) {
		return false, false
	}
	w.commits--
	if w.commits == 0 {
		w.cuts++
	}
	return w.commits == 0, w.reach
}

// arm cuts the wire at the n-th commit from now on.
func (w *wire) arm(n int, reach bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commits, w.reach = n, reach
}

// spent reports whether the wire was cut since arm.
func (w *wire) spent() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.commits == 0
}

func (w *wire) leave(away bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = away
	for c := range w.open {
		_ = c.Close()
	}
	clear(w.open)
}

// Whether a commit has happened whose answer is lost cannot be known. What is asked for
// again must then have happened once.
func TestACommitWhoseOutcomeIsUnknownHappensOnce(t *testing.T) {
	t.Parallel()
	s, w := wired(t)
	c := s.Login(t)
	count := 0
	for _, reach := range []bool{true, false} {
		for n := 1; ; n++ {
			count++
			img := servertest.NewImage(uint64(count), 1000)
			content := numbered(count)
			steps := []func() int{
				func() int { return inOne(t, c, content) },
				func() int { return inPieces(t, c, img.Config) },
				func() int { return inOne(t, c, img.Layers[0]) },
				func() int {
					return c.PushManifest(t, "app", "latest", ocispec.MediaTypeImageManifest, img.Manifest).Status
				},
			}
			w.arm(n, reach)
			for i, step := range steps {
				status := step()
				for try := 0; status == 503 && try < 10; try++ {
					status = step()
				}
				if status != 201 {
					t.Errorf("cut at commit %d (done: %v), step %d: %d, want 503 and then 201", n, reach, i, status)
				}
			}
			spent := w.spent()
			w.arm(0, false)
			if got := c.Do(t, "GET", "/v2/app/manifests/latest", nil).Want(t, 200).Body; !bytes.Equal(got, img.Manifest) {
				t.Errorf("cut at commit %d (done: %v): the tag leads to another image", n, reach)
			}
			if got := c.Do(t, "GET", "/v2/app/blobs/"+digest.FromBytes(content).String(), nil).Want(t, 200).Body; !bytes.Equal(got, content) {
				t.Errorf("cut at commit %d (done: %v): the layer is another", n, reach)
			}
			if !spent {
				break
			}
		}
	}
	t.Logf("%d cuts", w.cuts)
	out, err := s.ECR().DescribeImages(t.Context(), &ecr.DescribeImagesInput{RepositoryName: new("app")})
	if err != nil || len(out.ImageDetails) != count || w.cuts < 10 {
		t.Errorf("%d images after %d pushes and %d cuts, %v", len(out.ImageDetails), count, w.cuts, err)
	}
	s.Stop(t)
	report, err := server.Fsck(t.Context(), s.Config, server.FsckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Problems {
		if p.Kind != fsck.Orphan && p.Kind != fsck.Abandoned {
			t.Errorf("fsck: %s %s: %s", p.Kind, p.Digest, p.Detail)
		}
	}
}

func TestADatabaseThatIsAwayComesBack(t *testing.T) {
	t.Parallel()
	s, w := wired(t)
	c := s.Login(t)
	img := servertest.NewImage(1)
	c.Push(t, "app", "v1", img)
	w.leave(true)
	for _, r := range []*servertest.Response{
		c.Do(t, "POST", uploadsOfApp, nil), c.Do(t, "GET", "/v2/app/manifests/v1", nil),
		c.PushManifest(t, "app", "v2", ocispec.MediaTypeImageManifest, img.Manifest),
	} {
		if r.Status != 503 || r.Code() != "UNAVAILABLE" || r.Header.Get("Retry-After") == "" {
			t.Errorf("without the database: %d %s, Retry-After %q", r.Status, r.Body, r.Header.Get("Retry-After"))
		}
	}
	if _, err := s.ECR().DescribeImages(t.Context(), &ecr.DescribeImagesInput{RepositoryName: new("app")}); servertest.ErrorCode(err) != "ServiceUnavailable" {
		t.Errorf("DescribeImages without the database = %v", err)
	}
	w.leave(false)
	c.PushManifest(t, "app", "v2", ocispec.MediaTypeImageManifest, img.Manifest).Want(t, 201)
	c.Do(t, "GET", "/v2/app/manifests/v2", nil).Want(t, 200)
}

package oci_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

// The size of a page is the client's wish, never a size that memory is taken
// for.
func TestPageSizes(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		c.Push(t, "app", "v1", servertest.NewImage(1, 10))
		for _, path := range []string{"/v2/_catalog", "/v2/app/tags/list"} {
			for n, status := range map[string]int{
				"0": 200, "1": 200, "10001": 200, "1000000000": 200, "9223372036854775807": 200,
				"-1": 400, "x": 400, "1e9": 400, "9223372036854775808": 400, "18446744073709551616": 400, "1.5": 400, "0x10": 400,
				"+1": 400, " 1": 400, "1,2": 400, "\x00": 400, "\xff": 400, strings.Repeat("9", 1000): 400,
			} {
				what := "GET " + path + "?n=" + n
				r := c.Do(t, "GET", path+"?n="+url.QueryEscape(n), nil)
				if status == 200 {
					check(t, what, r, 200)
				} else {
					checkError(t, what, r, status, "PAGINATION_NUMBER_INVALID")
				}
			}
		}
		// Referrers have no page size; whatever is asked for, a page is a page.
		for _, query := range []string{"?n=-1", "?n=1000000000", "?n=x", "?n=9223372036854775808"} {
			check(t, "GET referrers"+query, c.Do(t, "GET", referrersPath("app", digest.FromString("x"))+query, nil), 200)
		}
	})
}

// This test is not parallel: it looks at how much memory the process takes.
func TestLargePageSizesTakeNoMemory(t *testing.T) {
	s := servertest.Start(t, servertest.Options{})
	c := begin(t, s, "app")
	c.Push(t, "app", "v1", servertest.NewImage(1, 10))
	paths := []string{"/v2/_catalog?n=1000000000", "/v2/app/tags/list?n=9223372036854775807", "/v2/app/tags/list?n=9223372036854775808",
		referrersPath("app", digest.FromString("x")) + "?n=1000000000"}
	for _, path := range paths {
		c.Do(t, "GET", path, nil) // so that what is taken once has been
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, path := range paths {
		c.Do(t, "GET", path, nil)
	}
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; taken > 2<<20 {
		t.Errorf("four requests took %d bytes, want less than 2 MiB", taken)
	}
}

func TestPlacesInListsMayBeAnything(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		c.Push(t, "app", "v1", servertest.NewImage(1, 10))
		for _, last := range []string{"v1", "a b", "'; DROP TABLE tags; --", "%", "_", "é", "\U0010ffff", "..", "\x00", "v\x00", "\xff", "v\xc3", "\ud7ff\x00",
			strings.Repeat("v", 512), strings.Repeat("v", 513), strings.Repeat("v", 50_000)} {
			for _, path := range []string{"/v2/_catalog", "/v2/app/tags/list"} {
				r := c.Do(t, "GET", path+"?last="+url.QueryEscape(last), nil)
				if r.Status != 200 && r.Status != 400 && r.Status != 414 {
					t.Errorf("GET %s after %.20q = %d, want 200, 400 or 414; body: %s", path, last, r.Status, r.Body)
				}
			}
			r := c.Do(t, "GET", referrersPath("app", digest.FromString("x"))+"?artifactType="+url.QueryEscape(last), nil)
			if r.Status != 200 && r.Status != 400 && r.Status != 414 || r.Status == 200 && len(last) > 255 {
				t.Errorf("GET referrers of type %.20q = %d, want 200, 400 or 414; body: %s", last, r.Status, r.Body)
			}
		}
	})
}

// endless is a body that never ends and counts what is taken of it.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += int64(len(p))
	return len(p), nil
}

func TestBodiesThatAreTooLargeAreNotRead(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	c := begin(t, s, "app")
	for _, length := range []int64{-1, 1 << 40} {
		body := &endless{}
		req := httptest.NewRequest("PUT", manifestPath("app", "v1"), io.NopCloser(body))
		req.ContentLength = length
		req.Header.Set("Content-Type", typeManifest)
		req.SetBasicAuth(c.User, c.Pass)
		w := httptest.NewRecorder()
		s.Server().Handler().ServeHTTP(w, req)
		if w.Code != http.StatusRequestEntityTooLarge || body.read > 8<<20 {
			t.Errorf("PUT of an endless manifest of length %d = %d after %d bytes, want 413 before 8 MiB", length, w.Code, body.read)
		}
	}
	// A stranger's body is not read at all.
	for _, e := range everyEndpoint {
		body := &endless{}
		req := httptest.NewRequest(e.method, fill(e.path, "app"), io.NopCloser(body))
		w := httptest.NewRecorder()
		s.Server().Handler().ServeHTTP(w, req)
		if w.Code != http.StatusUnauthorized || body.read > 0 {
			t.Errorf("%s %s of a stranger = %d after %d bytes, want 401 at once", e.method, e.path, w.Code, body.read)
		}
	}
	// Bodies are for some requests only; others ignore them.
	for _, path := range []string{"/v2/", "/v2/_catalog", "/v2/app/tags/list", manifestPath("app", "absent"), blobPath("app", digest.FromString("x"))} {
		body := &endless{}
		req := httptest.NewRequest("GET", path, io.NopCloser(body))
		req.SetBasicAuth(c.User, c.Pass)
		s.Server().Handler().ServeHTTP(httptest.NewRecorder(), req)
		if body.read > 0 {
			t.Errorf("GET %s read %d bytes of a body", path, body.read)
		}
	}
}

// A layer has no more bytes than ECR allows, which is more than a test can send:
// what announces more is refused before it comes, and the upload with it.
func TestLayersThatAreTooLargeAreRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	c := begin(t, s, "app")
	const most = 52_000 << 20
	for _, method := range []string{"PATCH", "PUT"} {
		u := startUpload(t, c, "app", "")
		check(t, "PATCH", u.patch(t, []byte("x")), 202)
		body := &endless{}
		req := httptest.NewRequest(method, u.location+"?digest="+digest.FromString("x").String(), io.NopCloser(body))
		req.ContentLength = most
		req.SetBasicAuth(c.User, c.Pass)
		w := httptest.NewRecorder()
		s.Server().Handler().ServeHTTP(w, req)
		const text = "The layer exceeds the maximum layer size: the quota 'Maximum layer size' (L-BE000002) is 52000 MiB"
		if w.Code != http.StatusRequestEntityTooLarge || !strings.Contains(w.Body.String(), `"DENIED","message":"`+text) || body.read > 0 {
			t.Errorf("%s of too much = %d %s after %d bytes, want 413 DENIED at once", method, w.Code, w.Body, body.read)
		}
		checkError(t, "status", u.status(t), 404, "BLOB_UPLOAD_UNKNOWN")
	}
}

package oci_test

import (
	"bytes"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

const mebibyte = 1 << 20

// left returns what is used of the one storage quota, and fails the test if the
// upload is still there.
func left(t *testing.T, s *servertest.Server, u *upload) int64 {
	t.Helper()
	checkError(t, "status of an upload that broke a quota", u.status(t), 404, "BLOB_UPLOAD_UNKNOWN")
	uses, err := s.Server().Registry().StorageUse(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return uses[0].Used
}

func checkDenied(t *testing.T, what string, r *servertest.Response, status int, message string) {
	t.Helper()
	checkError(t, what, r, status, "DENIED")
	if r.Message() != message {
		t.Errorf("%s: message = %q, want %q", what, r.Message(), message)
	}
}

// What does not fit is refused by its announced length, or else where it passes
// what is left, and nothing of it stays.
func TestUploadsEndWhereAQuotaDoes(t *testing.T) {
	t.Parallel()
	const (
		storage = "The maximum number of bytes in layers has been reached: the storage quota '123456789012/team' is 5242880 bytes"
		size    = "The layer exceeds the maximum layer size: the quota 'Maximum layer size' (L-BE000002) is 4 MiB"
	)
	o := servertest.Options{Configure: func(c *config.Config) {
		c.Quotas, c.StorageQuotas = []string{"layer-size=4"}, []string{servertest.Account + "/team=5242880"}
	}}
	servertest.Each(t, o, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "team/app", "other")
		for _, tt := range []struct {
			repository string
			first      int // bytes that fit
			status     int
			message    string
		}{{"other", mebibyte, 413, size}, {"team/app", mebibyte, 413, size}} {
			content := servertest.Bytes(1, 4*mebibyte+1)
			u := startUpload(t, c, tt.repository, "")
			check(t, "PATCH", u.patch(t, content[:tt.first]), 202)
			checkDenied(t, "PATCH with a length", u.patch(t, content[tt.first:]), tt.status, tt.message)
			left(t, s, u)
			u = startUpload(t, c, tt.repository, "")
			check(t, "PATCH", u.patch(t, content[:tt.first]), 202)
			checkDenied(t, "PATCH in chunks", c.Send(t, "PATCH", u.location, stream(content[tt.first:])), tt.status, tt.message)
			left(t, s, u)
		}
		c.PushBlob(t, "team/app", servertest.Bytes(2, 4*mebibyte))
		content := servertest.Bytes(3, mebibyte+1)
		at := "?digest=" + digest.FromBytes(content).String()
		u := startUpload(t, c, "team/app", "")
		checkDenied(t, "PUT with a length", c.Do(t, "PUT", u.location+at, content), 403, storage)
		left(t, s, u)
		u = startUpload(t, c, "team/app", "")
		checkDenied(t, "PUT in chunks", c.Send(t, "PUT", u.location+at, stream(content)), 403, storage)
		checkDenied(t, "POST with a length", c.Do(t, "POST", "/v2/team/app/blobs/uploads/"+at, content), 403, storage)
		if used := left(t, s, u); used != 4*mebibyte {
			t.Errorf("%d bytes are used, want 4 MiB", used)
		}
		s.CheckData(t)
		c.PushBlob(t, "team/app", content[:mebibyte])
		checkDenied(t, "POST when nothing is left", c.Do(t, "POST", "/v2/team/app/blobs/uploads/", nil), 403, storage)
		c.PushBlob(t, "other", content)
		s.CheckData(t)
	})
}

// An announced length is enough: not a byte is read.
func TestBytesThatDoNotFitAreNotRead(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Configure: func(c *config.Config) {
		c.Quotas, c.StorageQuotas = []string{"manifest-size=1"}, []string{servertest.Account + "=1000"}
	}})
	c := begin(t, s, "app")
	for name, tt := range map[string]struct {
		method, path string
		status       int
	}{
		"a layer":    {"PATCH", startUpload(t, c, "app", "").location, 403},
		"a manifest": {"PUT", "/v2/app/manifests/v1", 413},
	} {
		body := &endless{}
		r := httptest.NewRequest(tt.method, tt.path, io.NopCloser(body))
		r.ContentLength = 2 * mebibyte
		r.SetBasicAuth(c.User, c.Pass)
		w := httptest.NewRecorder()
		s.Server().Handler().ServeHTTP(w, r)
		if w.Code != tt.status || body.read > 0 {
			t.Errorf("%s = %d %s after %d bytes, want %d at once", name, w.Code, w.Body, body.read, tt.status)
		}
	}
}

func TestQuotasOfImagesTagsAndManifests(t *testing.T) {
	t.Parallel()
	o := servertest.Options{Configure: func(c *config.Config) {
		c.Quotas = []string{"images-per-repository=2", "tags-per-image=3", "manifest-size=1"}
	}}
	servertest.Each(t, o, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		a, b, third := servertest.NewImage(1), servertest.NewImage(2), servertest.NewImage(3)
		c.PushBlobs(t, "app", third)
		c.Push(t, "app", "a", a)
		c.Push(t, "app", "b", b)
		const full = "The maximum number of images per repository has been reached: the quota 'Images per repository' (L-03A36CE1) is 2"
		checkDenied(t, "PUT of a third image", c.PushManifest(t, "app", "third", typeManifest, third.Manifest), 403, full)
		checkError(t, "GET of it", c.Do(t, "GET", manifestPath("app", "third"), nil), 404, "MANIFEST_UNKNOWN")
		checkDenied(t, "POST of a layer for it", c.Do(t, "POST", "/v2/app/blobs/uploads/", nil), 403, full)
		check(t, "PUT of an image that is there", c.PushManifest(t, "app", "a2", typeManifest, a.Manifest), 201)

		const tags = "The maximum number of tags per image has been reached: the quota 'Tags per image' (L-BE000004) is 3"
		check(t, "PUT of a third tag", c.PushManifest(t, "app", "a3", typeManifest, a.Manifest), 201)
		checkDenied(t, "PUT of a fourth tag", c.PushManifest(t, "app", "a4", typeManifest, a.Manifest), 403, tags)
		check(t, "DELETE", c.Do(t, "DELETE", manifestPath("app", "b"), nil), 202)
		checkDenied(t, "PUT with four tags", c.PushManifest(t, "app", third.Digest.String()+"?tag=1&tag=2&tag=3&tag=4", typeManifest, third.Manifest), 403, tags)
		checkError(t, "GET of it", c.Do(t, "GET", manifestPath("app", third.Digest.String()), nil), 404, "MANIFEST_UNKNOWN")
		check(t, "PUT of a second image again", c.PushManifest(t, "app", "third", typeManifest, third.Manifest), 201)

		large := append(bytes.Clone(third.Manifest), strings.Repeat(" ", mebibyte)...)
		const size = "The image manifest exceeds the maximum manifest size: the quota 'Maximum manifest size' (L-BE000003) is 1 MiB"
		for what, r := range map[string]*servertest.Response{
			"with a length": c.PushManifest(t, "app", "third", typeManifest, large),
			"in chunks":     c.Send(t, "PUT", manifestPath("app", "third"), stream(large), "Content-Type", typeManifest),
		} {
			checkError(t, "PUT of a large manifest "+what, r, 413, "SIZE_INVALID")
			if r.Message() != size {
				t.Errorf("message = %q, want %q", r.Message(), size)
			}
		}
	})
}

// A request that came too soon has done nothing: the client makes it again as it
// was.
func TestAThrottledPushCanBeMadeAgain(t *testing.T) {
	t.Parallel()
	o := servertest.Options{Configure: func(c *config.Config) {
		c.RequestRates, c.Quotas = "ecr", []string{"rate-CompleteLayerUpload=1"}
	}}
	servertest.Each(t, o, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		content := servertest.Bytes(1, 100_000)
		at := "?digest=" + digest.FromBytes(content).String()
		u := startUpload(t, c, "app", "")
		check(t, "PATCH", u.patch(t, content[:70_000]), 202)
		c.PushBlob(t, "app", []byte("another"))
		checkError(t, "PUT too soon", c.Do(t, "PUT", u.location+at, content[70_000:]), 429, "TOOMANYREQUESTS")
		checkError(t, "PUT of nothing too soon", c.Do(t, "PUT", u.location+at, nil), 429, "TOOMANYREQUESTS")
		s.Clock.Advance(time.Second)
		check(t, "the same PUT again", c.Do(t, "PUT", u.location+at, content[70_000:]), 201)

		second := servertest.Bytes(2, 100_000)
		at = "/v2/app/blobs/uploads/?digest=" + digest.FromBytes(second).String()
		checkError(t, "POST too soon", c.Do(t, "POST", at, second), 429, "TOOMANYREQUESTS")
		s.CheckData(t)
		s.Clock.Advance(time.Second)
		check(t, "the same POST again", c.Do(t, "POST", at, second), 201)
		s.CheckData(t)
	})
}

// A mount that becomes an upload is one call.
func TestAMountCountsOnce(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Configure: func(c *config.Config) {
		c.RequestRates, c.Quotas = "ecr", []string{"rate-InitiateLayerUpload=1"}
	}})
	c := begin(t, s, "app", "other")
	content := []byte("content")
	d := digest.FromBytes(content)
	c.PushBlob(t, "other", content)
	s.Clock.Advance(time.Second)
	at := "/v2/app/blobs/uploads/?from=other&mount="
	check(t, "mount of nothing", c.Do(t, "POST", at+digest.FromString("none").String(), nil), 202)
	checkError(t, "mount too soon", c.Do(t, "POST", at+d.String(), nil), 429, "TOOMANYREQUESTS")
	s.Clock.Advance(time.Second)
	check(t, "mount", c.Do(t, "POST", at+d.String(), nil), 201)
}

// Nobody is told the upload of a POST that failed, so that it must not stay.
func TestAPostThatFailsLeavesNoUpload(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		content := servertest.Bytes(1, 100_000)
		at := "/v2/app/blobs/uploads/?digest="
		checkError(t, "POST of another digest", c.Do(t, "POST", at+digest.FromString("other").String(), content), 400, "DIGEST_INVALID")
		s.CheckData(t)
		r := httptest.NewRequest("POST", at+digest.FromBytes(content).String(), io.NopCloser(io.MultiReader(bytes.NewReader(content), iotest.ErrReader(io.ErrUnexpectedEOF))))
		r.SetBasicAuth(c.User, c.Pass)
		w := httptest.NewRecorder()
		s.Server().Handler().ServeHTTP(w, r)
		if w.Code != 400 {
			t.Errorf("POST whose body ends too soon = %d %s, want 400", w.Code, w.Body)
		}
		s.CheckData(t)
	})
}

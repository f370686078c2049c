package oci_test

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"strconv"
	"testing"

	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

// blobSizes are those of blobs that are kept in the database and of one that is
// kept in a file.
var blobSizes = []int{0, 1, 2048, 64 << 10, 64<<10 + 1, 1 << 20}

func TestGetBlob(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "team/app")
		for _, size := range blobSizes {
			content := servertest.Bytes(uint64(size), size)
			d := digest.FromBytes(content)
			checkNoBlob(t, c, "team/app", d)
			c.PushBlob(t, "team/app", content)
			for _, method := range []string{"GET", "HEAD"} {
				what := method + " of a blob of " + strconv.Itoa(size) + " bytes"
				r := c.Do(t, method, blobPath("team/app", d), nil)
				check(t, what, r, 200)
				checkHeaders(t, what, r, "Content-Length", strconv.Itoa(size), "Content-Type", "application/octet-stream",
					"Docker-Content-Digest", d.String(), "ETag", `"`+d.String()+`"`, "Accept-Ranges", "bytes",
					"Cache-Control", "private, max-age=31536000, immutable", "X-Content-Type-Options", "nosniff", "Last-Modified", "")
				if method == "GET" && !bytes.Equal(r.Body, content) {
					t.Errorf("%s: the content is not what was pushed", what)
				}
				if method == "HEAD" && len(r.Body) > 0 {
					t.Errorf("%s: body of %d bytes, want none", what, len(r.Body))
				}
			}
		}
		for _, d := range []digest.Digest{digest.FromString("absent"), digest.SHA512.FromString("absent")} {
			checkNoBlob(t, c, "team/app", d)
		}
		checkError(t, "GET of no digest", c.Do(t, "GET", "/v2/team/app/blobs/sha256:abc", nil), 400, "DIGEST_INVALID")
	})
}

func TestBlobRanges(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		for _, size := range []int{2048, 200_000} { // in the database, in a file
			content := servertest.Bytes(uint64(size), size)
			path := blobPath("app", digest.FromBytes(content))
			c.PushBlob(t, "app", content)
			end := strconv.Itoa(size - 1)
			total := "/" + strconv.Itoa(size)
			for _, test := range []struct {
				header      string
				status      int
				contentType string // of the answer: Content-Range
				want        []byte
			}{
				{"bytes=500-1499", 206, "bytes 500-1499" + total, content[500:1500]},
				{"bytes=0-0", 206, "bytes 0-0" + total, content[:1]},
				{"bytes=500-", 206, "bytes 500-" + end + total, content[500:]},
				{"bytes=-500", 206, "bytes " + strconv.Itoa(size-500) + "-" + end + total, content[size-500:]},
				{"bytes=2000-500000", 206, "bytes 2000-" + end + total, content[2000:]},
				{"bytes=-500000", 206, "bytes 0-" + end + total, content},
				{"bytes=0-9223372036854775807", 206, "bytes 0-" + end + total, content},
				{"", 200, "", content},
				{"bytes=500-0", 416, "", nil},
				{"bytes=500000-600000", 416, "bytes */" + strconv.Itoa(size), nil},
				{"bytes=9223372036854775808-", 416, "", nil},
				{"bytes=a-b", 416, "", nil},
				{"bytes=--5", 416, "", nil},
				{"bytes=1-2-3", 416, "", nil},
			} {
				what := "GET with Range: " + test.header
				r := c.Do(t, "GET", path, nil, "Range", test.header)
				check(t, what, r, test.status)
				checkHeaders(t, what, r, "Content-Range", test.contentType)
				if test.status == 416 {
					checkHeaders(t, what, r, "Cache-Control", "", "ETag", "")
				} else if !bytes.Equal(r.Body, test.want) {
					t.Errorf("%s: %d bytes, want the %d asked for", what, len(r.Body), len(test.want))
				}
			}
			check(t, "HEAD with a range", c.Do(t, "HEAD", path, nil, "Range", "bytes=0-0"), 200)
		}
	})
}

func TestManyBlobRanges(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		content := servertest.Bytes(1, 200_000)
		path := blobPath("app", digest.FromBytes(content))
		c.PushBlob(t, "app", content)
		r := c.Do(t, "GET", path, nil, "Range", "bytes=0-9,100000-100099,-5")
		check(t, "GET of three ranges", r, 206)
		kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || kind != "multipart/byteranges" {
			t.Fatalf("Content-Type = %q, want multipart/byteranges", r.Header.Get("Content-Type"))
		}
		parts := multipart.NewReader(bytes.NewReader(r.Body), parameters["boundary"])
		for _, want := range []struct {
			header string
			bytes  []byte
		}{
			{"bytes 0-9/200000", content[:10]},
			{"bytes 100000-100099/200000", content[100_000:100_100]},
			{"bytes 199995-199999/200000", content[199_995:]},
		} {
			part, err := parts.NextPart()
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(part)
			if err != nil || !bytes.Equal(got, want.bytes) || part.Header.Get("Content-Range") != want.header {
				t.Errorf("part %q = %d bytes, %v, want %q with %d bytes", part.Header.Get("Content-Range"), len(got), err, want.header, len(want.bytes))
			}
		}
		if _, err := parts.NextPart(); err != io.EOF {
			t.Errorf("after the last part: %v, want EOF", err)
		}
		// Ranges that add up to more than the blob get the blob: they are no way
		// to make the server send a lot for little.
		r = c.Do(t, "GET", path, nil, "Range", "bytes=0-199999,0-199999,0-199999")
		check(t, "GET of the same range three times", r, 200)
		if !bytes.Equal(r.Body, content) {
			t.Errorf("GET of the same range three times = %d bytes, want the blob", len(r.Body))
		}
	})
}

func TestConditionalBlobRequests(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		content := servertest.Bytes(1, 100_000)
		d := digest.FromBytes(content)
		c.PushBlob(t, "app", content)
		tag, other := `"`+d.String()+`"`, `"`+digest.FromString("other").String()+`"`
		for _, test := range []struct {
			name   string
			header []string
			status int
			length int
		}{
			{"If-Range with its tag", []string{"Range", "bytes=10-19", "If-Range", tag}, 206, 10},
			{"If-Range with another tag", []string{"Range", "bytes=10-19", "If-Range", other}, 200, len(content)},
			{"If-Range with a weak tag", []string{"Range", "bytes=10-19", "If-Range", "W/" + tag}, 200, len(content)},
			{"If-Range with a date", []string{"Range", "bytes=10-19", "If-Range", "Sat, 01 Jan 2000 00:00:00 GMT"}, 200, len(content)},
			{"If-None-Match with its tag", []string{"If-None-Match", tag}, 304, 0},
			{"If-None-Match with a list", []string{"If-None-Match", other + ", W/" + tag}, 304, 0},
			{"If-None-Match with any", []string{"If-None-Match", "*"}, 304, 0},
			{"If-None-Match with another tag", []string{"If-None-Match", other}, 200, len(content)},
			{"If-Match with its tag", []string{"If-Match", tag}, 200, len(content)},
			{"If-Match with another tag", []string{"If-Match", other}, 412, 0},
		} {
			t.Run(test.name, func(t *testing.T) {
				r := c.Do(t, "GET", blobPath("app", d), nil, test.header...)
				check(t, "GET", r, test.status)
				if len(r.Body) != test.length {
					t.Errorf("body of %d bytes, want %d", len(r.Body), test.length)
				}
			})
		}
	})
}

func TestDeleteBlob(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app", "other")
		img := servertest.NewImage(1, 100, 100_000)
		c.Push(t, "app", "v1", img)
		c.Push(t, "other", "v1", img)
		for _, content := range append(img.Layers, img.Config) {
			d := digest.FromBytes(content)
			checkError(t, "DELETE of a blob in use", c.Do(t, "DELETE", blobPath("app", d), nil), 405, "UNSUPPORTED")
			checkBlob(t, c, "app", d, content)
		}
		check(t, "DELETE of the image", c.Do(t, "DELETE", manifestPath("app", "v1"), nil), 202)
		for _, content := range append(img.Layers, img.Config) {
			d := digest.FromBytes(content)
			r := c.Do(t, "DELETE", blobPath("app", d), nil)
			check(t, "DELETE of a blob", r, 202)
			checkHeaders(t, "DELETE of a blob", r, "Content-Length", "0")
			checkNoBlob(t, c, "app", d)
			checkError(t, "DELETE of a blob again", c.Do(t, "DELETE", blobPath("app", d), nil), 404, "BLOB_UNKNOWN")
			checkBlob(t, c, "other", d, content) // a repository's own
		}
		checkError(t, "PUT of an image over deleted blobs", c.PushManifest(t, "app", "v1", typeManifest, img.Manifest), 404, "MANIFEST_BLOB_UNKNOWN")
		c.Push(t, "app", "v1", img)
		checkManifest(t, c, "app", "v1", typeManifest, img.Manifest)
		// A manifest is no blob.
		checkError(t, "DELETE of a manifest as a blob", c.Do(t, "DELETE", blobPath("app", img.Digest), nil), 404, "BLOB_UNKNOWN")
	})
}

package oci_test

import (
	"fmt"
	"net/url"
	"path"
	"testing"

	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

// contentRange is the header of a chunk: the positions of its first and its last
// byte.
func contentRange(first, last int) []string {
	return []string{"Content-Range", fmt.Sprintf("%d-%d", first, last), "Content-Type", "application/octet-stream"}
}

// checkProgress reports an answer that does not say that the upload holds size
// bytes.
func checkProgress(t testing.TB, what string, r *servertest.Response, status, size int, location string) {
	t.Helper()
	check(t, what, r, status)
	checkHeaders(t, what, r, "Location", location, "Docker-Upload-UUID", path.Base(location), "Range", fmt.Sprintf("0-%d", max(size-1, 0)))
}

func TestPushBlobInChunks(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "team/app")
		for _, algorithm := range algorithms {
			// Chunks that stay in the database, that outgrow it, and that never were.
			for _, chunk := range []int{1, 171, 40_000, 100_000} {
				content := servertest.Bytes(uint64(chunk), 3*chunk-chunk/2)
				d := algorithm.FromBytes(content)
				for _, last := range []string{"PATCH", "PUT"} {
					u := startUpload(t, c, "team/app", "?digest-algorithm="+algorithm.String())
					location := u.location
					checkProgress(t, "status of an empty upload", u.status(t), 204, 0, location)
					sent := 0
					for sent < len(content) {
						part := content[sent:min(sent+chunk, len(content))]
						header := contentRange(sent, sent+len(part)-1)
						if sent+len(part) == len(content) && last == "PUT" {
							checkCreated(t, "PUT of the last chunk", u.put(t, d, part, header...), "team/app", d)
							sent = len(content)
							continue
						}
						sent += len(part)
						checkProgress(t, "PATCH", u.patch(t, part, header...), 202, sent, location)
						checkProgress(t, "status", u.status(t), 204, sent, location)
					}
					if last == "PATCH" {
						checkCreated(t, "PUT", u.put(t, d, nil), "team/app", d)
					}
					checkBlob(t, c, "team/app", d, content)
					check(t, "DELETE", c.Do(t, "DELETE", blobPath("team/app", d), nil), 202)
				}
			}
		}
	})
}

func TestChunksOutOfOrderAreRefused(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		for _, chunk := range []int{100, 100_000} {
			content := servertest.Bytes(uint64(chunk), 3*chunk)
			d := digest.FromBytes(content)
			u := startUpload(t, c, "app", "")
			location := u.location
			refused := func(what string, r *servertest.Response, size int) {
				t.Helper()
				checkError(t, what, r, 416, "BLOB_UPLOAD_INVALID")
				checkProgress(t, "status after "+what, u.status(t), 204, size, location)
			}
			refused("a first chunk that is the second", u.patch(t, content[chunk:2*chunk], contentRange(chunk, 2*chunk-1)...), 0)
			check(t, "PATCH", u.patch(t, content[:chunk], contentRange(0, chunk-1)...), 202)
			refused("the same chunk again", u.patch(t, content[:chunk], contentRange(0, chunk-1)...), chunk)
			refused("a chunk too far", u.patch(t, content[2*chunk:], contentRange(2*chunk, 3*chunk-1)...), chunk)
			refused("a chunk that overlaps", u.patch(t, content[chunk-1:2*chunk], contentRange(chunk-1, 2*chunk-1)...), chunk)
			refused("a last chunk too far", u.put(t, d, content[2*chunk:], contentRange(2*chunk, 3*chunk-1)...), chunk)
			refused("a last chunk that is the first", u.put(t, d, content[:chunk], contentRange(0, chunk-1)...), chunk)
			// Whoever asks how far it came can go on.
			check(t, "PATCH", u.patch(t, content[chunk:2*chunk], contentRange(chunk, 2*chunk-1)...), 202)
			checkCreated(t, "PUT", u.put(t, d, content[2*chunk:], contentRange(2*chunk, 3*chunk-1)...), "app", d)
			checkBlob(t, c, "app", d, content)
		}
	})
}

func TestContentRangesThatLie(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		content := servertest.Bytes(1, 100)
		d := digest.FromBytes(content)
		for _, test := range []struct {
			header string
			status int
			code   string
		}{
			{"0-98", 400, "SIZE_INVALID"},
			{"0-100", 400, "SIZE_INVALID"},
			{"0-0", 400, "SIZE_INVALID"},
			{"0-999999999999999999", 400, "SIZE_INVALID"},
			{"99-0", 416, "BLOB_UPLOAD_INVALID"},
			{"0", 400, "BLOB_UPLOAD_INVALID"},
			{"-", 400, "BLOB_UPLOAD_INVALID"},
			{"-1-98", 400, "BLOB_UPLOAD_INVALID"},
			{"0-9999999999999999999", 400, "BLOB_UPLOAD_INVALID"},
			{"0x0-0x63", 400, "BLOB_UPLOAD_INVALID"},
			{"bytes", 400, "BLOB_UPLOAD_INVALID"},
			{"bytes */100", 400, "BLOB_UPLOAD_INVALID"},
			{"items 0-99/100", 400, "BLOB_UPLOAD_INVALID"},
			{"0-99, 0-99", 400, "BLOB_UPLOAD_INVALID"},
		} {
			t.Run(test.header, func(t *testing.T) {
				u := startUpload(t, c, "app", "")
				checkError(t, "PATCH", u.patch(t, content, "Content-Range", test.header), test.status, test.code)
				checkError(t, "PUT", u.put(t, d, content, "Content-Range", test.header), test.status, test.code)
				checkHeaders(t, "status", u.status(t), "Range", "0-0")
				checkNoBlob(t, c, "app", d)
			})
		}
		// The form of HTTP is understood as well as that of the specification.
		for _, header := range []string{"0-99", "bytes 0-99/100", "bytes 0-99/*", "bytes=0-99"} {
			u := startUpload(t, c, "app", "")
			r := u.patch(t, content, "Content-Range", header)
			check(t, "PATCH with "+header, r, 202)
			checkHeaders(t, "PATCH with "+header, r, "Range", "0-99")
		}
		// A range announces how much there is of a body that does not say so.
		u := startUpload(t, c, "app", "")
		r := c.Send(t, "PATCH", u.location, stream(content[:50]), contentRange(0, 99)...)
		checkError(t, "PATCH of half of what was announced", r, 416, "BLOB_UPLOAD_INVALID")
		r = c.Send(t, "PUT", startUpload(t, c, "app", "").location+"?digest="+d.String(), stream(content), contentRange(0, 49)...)
		checkError(t, "PUT of twice what was announced", r, 416, "BLOB_UPLOAD_INVALID")
		checkNoBlob(t, c, "app", d)
	})
}

func TestUploadsGoOnAfterARestart(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		for _, algorithm := range algorithms {
			for _, chunk := range []int{0, 100, 100_000} {
				content := servertest.Bytes(uint64(chunk), 2*chunk+10)
				d := algorithm.FromBytes(content)
				u := startUpload(t, c, "app", "")
				check(t, "PATCH", u.patch(t, content[:chunk]), 202)
				restart(t, s, c)
				checkProgress(t, "status after a restart", u.status(t), 204, chunk, u.location)
				check(t, "PATCH after a restart", u.patch(t, content[chunk:2*chunk]), 202)
				restart(t, s, c)
				checkCreated(t, "PUT after another restart", u.put(t, d, content[2*chunk:]), "app", d)
				checkBlob(t, c, "app", d, content)
				restart(t, s, c)
				checkBlob(t, c, "app", d, content)
			}
		}
	})
}

func TestUploadBelongsToItsRepository(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app", "other")
		content := []byte("content")
		d := digest.FromBytes(content)
		u := startUpload(t, c, "app", "")
		check(t, "PATCH", u.patch(t, content), 202)
		elsewhere := "/v2/other/blobs/uploads/" + path.Base(u.location)
		for _, method := range []string{"GET", "PATCH", "PUT", "DELETE"} {
			r := c.Do(t, method, elsewhere+"?digest="+url.QueryEscape(d.String()), nil)
			checkError(t, method+" in another repository", r, 404, "BLOB_UPLOAD_UNKNOWN")
		}
		checkHeaders(t, "status", u.status(t), "Range", "0-6")
		checkCreated(t, "PUT", u.put(t, d, nil), "app", d)
		checkNoBlob(t, c, "other", d)
	})
}

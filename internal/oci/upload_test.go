package oci_test

import (
	"bytes"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/opencontainers/go-digest"
)

var algorithms = []digest.Algorithm{digest.SHA256, digest.SHA512}

// stream hides the size of a body, so that it is sent in chunks.
func stream(content []byte) io.Reader { return io.MultiReader(bytes.NewReader(content)) }

func uploadsPath(repository, query string) string {
	return "/v2/" + repository + "/blobs/uploads/" + query
}

// checkCreated reports an answer that is not that to the push of a blob.
func checkCreated(t testing.TB, what string, r *servertest.Response, repository string, d digest.Digest) {
	t.Helper()
	check(t, what, r, 201)
	checkHeaders(t, what, r, "Location", blobPath(repository, d), "Docker-Content-Digest", d.String(), "Content-Length", "0")
}

// Every way to push a blob in one or two requests, with both algorithms.
func TestPushBlob(t *testing.T) {
	t.Parallel()
	ways := []struct {
		name string
		push func(testing.TB, *servertest.Client, []byte, digest.Digest) *servertest.Response
	}{
		{"POST and PUT", func(t testing.TB, c *servertest.Client, content []byte, d digest.Digest) *servertest.Response {
			return startUpload(t, c, "app", "").put(t, d, content, "Content-Type", "application/octet-stream")
		}},
		{"POST and PUT in chunks", func(t testing.TB, c *servertest.Client, content []byte, d digest.Digest) *servertest.Response {
			u := startUpload(t, c, "app", "")
			return c.Send(t, "PUT", u.location+"?digest="+url.QueryEscape(d.String()), stream(content))
		}},
		{"POST with the algorithm", func(t testing.TB, c *servertest.Client, content []byte, d digest.Digest) *servertest.Response {
			return startUpload(t, c, "app", "?digest-algorithm="+d.Algorithm().String()).put(t, d, content)
		}},
		{"a single POST", func(t testing.TB, c *servertest.Client, content []byte, d digest.Digest) *servertest.Response {
			r := c.Do(t, "POST", uploadsPath("app", "?digest="+url.QueryEscape(d.String())), content)
			if r.Status == 202 { // the empty body means that more follows, unless that is the blob
				return (&upload{c, r.Header.Get("Location")}).put(t, d, content)
			}
			return r
		}},
		{"a single POST in chunks", func(t testing.TB, c *servertest.Client, content []byte, d digest.Digest) *servertest.Response {
			return c.Send(t, "POST", uploadsPath("app", "?digest="+d.String()), stream(content))
		}},
		{"POST without a slash", func(t testing.TB, c *servertest.Client, content []byte, d digest.Digest) *servertest.Response {
			r := c.Do(t, "POST", "/v2/app/blobs/uploads", nil).Want(t, 202)
			return (&upload{c, r.Header.Get("Location")}).put(t, d, content)
		}},
		{"a stream", func(t testing.TB, c *servertest.Client, content []byte, d digest.Digest) *servertest.Response {
			u := startUpload(t, c, "app", "")
			r := c.Send(t, "PATCH", u.location, stream(content), "Content-Type", "application/octet-stream")
			check(t, "PATCH", r, 202)
			checkHeaders(t, "PATCH", r, "Range", fmt.Sprintf("0-%d", max(len(content)-1, 0)))
			return u.put(t, d, nil)
		}},
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		seed := uint64(0)
		for _, way := range ways {
			t.Run(way.name, func(t *testing.T) {
				for _, algorithm := range algorithms {
					for _, size := range []int{0, 2, 300, 64 << 10, 300_000} {
						seed++
						content := servertest.Bytes(seed, size)
						d := algorithm.FromBytes(content)
						checkCreated(t, way.name, way.push(t, c, content, d), "app", d)
						checkBlob(t, c, "app", d, content)
						// What is there already can be pushed again.
						checkCreated(t, way.name+" again", way.push(t, c, content, d), "app", d)
						check(t, "DELETE", c.Do(t, "DELETE", blobPath("app", d), nil), 202)
					}
				}
			})
		}
	})
}

var uploadLocation = regexp.MustCompile(`\A/v2/team/app/blobs/uploads/([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})\z`)

func TestStartUpload(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "team/app")
		absent := digest.FromString("absent").String()
		seen := map[string]bool{}
		for _, query := range []string{"", "", "?digest=" + absent, "?digest-algorithm=sha256", "?digest-algorithm=sha512", "?mount=" + absent} {
			what := "POST " + query
			r := c.Do(t, "POST", uploadsPath("team/app", query), nil, "Content-Length", "0")
			check(t, what, r, 202)
			id := uploadLocation.FindStringSubmatch(r.Header.Get("Location"))
			if id == nil || seen[id[1]] {
				t.Fatalf("%s: Location = %q, want an upload with a fresh random UUID", what, r.Header.Get("Location"))
			}
			seen[id[1]] = true
			checkHeaders(t, what, r, "Docker-Upload-UUID", id[1], "Range", "0-0", "Content-Length", "0", "OCI-Chunk-Min-Length", "")
		}
		for _, query := range []string{"?digest-algorithm=md5", "?digest-algorithm=SHA256", "?digest=sha256:abc", "?mount=sha256:abc", "?digest=md5:abc"} {
			checkError(t, "POST "+query, c.Do(t, "POST", uploadsPath("team/app", query), nil), 400, "DIGEST_INVALID")
		}
	})
}

func TestBlobThatDoesNotMatchItsDigestIsRefused(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		for i, size := range []int{300, 300_000} {
			content := servertest.Bytes(uint64(i), size)
			wrong := append(bytes.Clone(content), "oh no"...)
			for _, algorithm := range algorithms {
				d := algorithm.FromBytes(content)
				r := c.Do(t, "POST", uploadsPath("app", "?digest="+d.String()), wrong)
				checkError(t, "a single POST", r, 400, "DIGEST_INVALID")

				u := startUpload(t, c, "app", "")
				checkError(t, "POST and PUT", u.put(t, d, wrong), 400, "DIGEST_INVALID")
				checkError(t, "the upload afterwards", u.status(t), 404, "BLOB_UPLOAD_UNKNOWN")

				u = startUpload(t, c, "app", "")
				check(t, "PATCH", u.patch(t, wrong), 202)
				checkError(t, "PATCH and PUT", u.put(t, d, nil), 400, "DIGEST_INVALID")

				u = startUpload(t, c, "app", "")
				check(t, "PATCH", u.patch(t, content), 202)
				checkError(t, "PUT with bytes too many", u.put(t, d, []byte("oh no")), 400, "DIGEST_INVALID")

				for _, d := range []digest.Digest{d, algorithm.FromBytes(wrong)} {
					checkNoBlob(t, c, "app", d)
				}
			}
		}
	})
}

func TestFinishWithoutADigest(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		content := []byte("content")
		u := startUpload(t, c, "app", "")
		check(t, "PATCH", u.patch(t, content), 202)
		for _, query := range []string{"", "?digest=", "?digest=sha256:abc", "?digest=md5:9a0364b9e99bb480dd25e1f0284c8555", "?Digest=" + digest.FromBytes(content).String()} {
			checkError(t, "PUT "+query, c.Do(t, "PUT", u.location+query, nil), 400, "DIGEST_INVALID")
		}
		// A request that was wrong in itself has not cost the upload.
		checkHeaders(t, "status", u.status(t), "Range", "0-6")
		checkCreated(t, "PUT", u.put(t, digest.FromBytes(content), nil), "app", digest.FromBytes(content))
	})
}

func TestCancelUpload(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		for _, size := range []int{0, 100, 100_000} {
			content := servertest.Bytes(uint64(size), size)
			u := startUpload(t, c, "app", "")
			check(t, "PATCH", u.patch(t, content), 202)
			r := c.Do(t, "DELETE", u.location, nil)
			check(t, "DELETE", r, 204)
			for _, method := range []string{"GET", "PATCH", "DELETE", "PUT"} {
				r := c.Do(t, method, u.location+"?digest="+digest.FromBytes(content).String(), nil)
				checkError(t, method+" of a cancelled upload", r, 404, "BLOB_UPLOAD_UNKNOWN")
			}
			checkNoBlob(t, c, "app", digest.FromBytes(content))
		}
	})
}

func TestUploadsEnd(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		content := []byte("content")
		done, old := startUpload(t, c, "app", ""), startUpload(t, c, "app", "")
		done.put(t, digest.FromBytes(content), content).Want(t, 201)
		checkError(t, "status of a finished upload", done.status(t), 404, "BLOB_UPLOAD_UNKNOWN")
		checkError(t, "PUT of a finished upload", done.put(t, digest.FromBytes(content), nil), 404, "BLOB_UPLOAD_UNKNOWN")
		checkError(t, "PATCH of a finished upload", done.patch(t, content), 404, "BLOB_UPLOAD_UNKNOWN")

		s.Clock.Advance(24 * time.Hour)
		c.Pass = s.Password(t) // the first one has expired
		check(t, "status after a day", old.status(t), 204)
		s.Clock.Advance(time.Second)
		checkError(t, "status after more than a day", old.status(t), 404, "BLOB_UPLOAD_UNKNOWN")
		checkError(t, "PATCH after more than a day", old.patch(t, content), 404, "BLOB_UPLOAD_UNKNOWN")
		checkError(t, "PUT after more than a day", old.put(t, digest.FromBytes(content), content), 404, "BLOB_UPLOAD_UNKNOWN")
	})
}

// A small blob that comes in one piece is recorded once, when it is a layer. That both
// calls were made is known, and nothing is lost if the second one is refused.
func TestWhatComesInOnePieceIsKeptUntilItMayBeCompleted(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		user := s.LoginAs(t, s.CreateUserOf(t, s.AWS(), "pusher", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*","Resource":"*"}]}`))
		calls := func() string {
			var events []string
			for _, r := range s.AuditRecords(t) {
				for _, event := range []string{"UploadLayerPart", "CompleteLayerUpload"} {
					if strings.Contains(r, `"`+event+`"`) {
						events = append(events, event)
					}
				}
			}
			return strings.Join(events, " ")
		}
		content := []byte("small")
		d := digest.FromBytes(content)
		check(t, "a digest of something else", startUpload(t, user, "app", "").put(t, digest.FromString("else"), content), 400)
		if _, err := s.ECR().SetRepositoryPolicy(t.Context(), &ecr.SetRepositoryPolicyInput{RepositoryName: new("app"), PolicyText: new(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"ecr:CompleteLayerUpload"}]}`)}); err != nil {
			t.Fatal(err)
		}
		u := startUpload(t, user, "app", "")
		check(t, "PUT by who must not complete", u.put(t, d, content), 403)
		checkHeaders(t, "the upload", user.Do(t, "GET", u.location, nil), "Range", "0-4")
		if _, err := s.ECR().DeleteRepositoryPolicy(t.Context(), &ecr.DeleteRepositoryPolicyInput{RepositoryName: new("app")}); err != nil {
			t.Fatal(err)
		}
		checkCreated(t, "PUT by who may", u.put(t, d, nil), "app", d)
		checkCreated(t, "a push in one piece", startUpload(t, user, "app", "").put(t, digest.FromString("more"), []byte("more")), "app", digest.FromString("more"))
		const part, complete = "UploadLayerPart", "CompleteLayerUpload"
		want := strings.Join([]string{part, part, complete, part, complete}, " ") // and then the refusals
		if got := calls(); !strings.HasPrefix(got, want+" ") || strings.Count(got, complete) != 4 {
			t.Errorf("calls on record: %s, want %s and two more that were refused", got, want)
		}
	})
}

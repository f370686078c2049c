package server_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// stranger are headers that no two answers have in common.
var stranger = []string{"Date", "X-Amzn-Requestid", "X-Request-Id"}

// rendered returns all of an answer but what no two have in common.
func rendered(status int, header http.Header, body string) string {
	header = header.Clone()
	for _, name := range stranger {
		header.Del(name)
	}
	var text strings.Builder
	fmt.Fprintln(&text, status)
	_ = header.Write(&text) // a builder never fails
	return text.String() + body
}

// inquire returns the answers of the operations of ECR that are wanted, and of the
// distribution API, about the repository app: by its tag v1, and by the digest of
// an image and of a layer.
func inquire(t testing.TB, s *servertest.Server, c *servertest.Client, want func(operation, body string) bool, d, layer digest.Digest, paths []string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for name, op := range operations {
		for _, layer := range []digest.Digest{layer, d} {
			body := strings.NewReplacer("ACCOUNT", servertest.Account, "NAME", "app", "LAYER", layer.String(), "NEW", layer.String(),
				"UPLOAD", "0195d4c2-0000-7000-8000-000000000000", "MANIFEST", `"{}"`).Replace(op.body)
			for _, body := range []string{body, strings.ReplaceAll(body, `{"imageTag":"v1"}`, `{"imageDigest":"`+d.String()+`"}`)} {
				if !want(name, body) {
					continue
				}
				r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+"/", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/x-amz-json-1.1")
				r.Header.Set("X-Amz-Target", ecrTarget+name)
				if err := sign(r, "ecr", []byte(body)); err != nil {
					t.Fatal(err)
				}
				plain := &servertest.Client{Server: s, HTTP: c.HTTP}
				res := plain.Send(t, "POST", "/", strings.NewReader(body), headers(r)...)
				out[name+" "+body] = rendered(res.Status, res.Header, string(res.Body))
			}
		}
	}
	for _, p := range paths {
		method, path, _ := strings.Cut(p, " ")
		var body []byte
		if method == "PUT" || method == "PATCH" {
			body = []byte("{}")
		}
		res := c.Do(t, method, path, body, "Content-Type", ocispec.MediaTypeImageManifest)
		out[p] = rendered(res.Status, res.Header, string(res.Body))
	}
	return out
}

func headers(r *http.Request) []string {
	var out []string
	for name := range r.Header {
		out = append(out, name, r.Header.Get(name))
	}
	return out
}

var reads = regexp.MustCompile(`^(BatchCheck|BatchGet|Describe|Get|List)`)

// A deleted image is to whoever asks as if it never had been.
func TestADeletedImageIsInvisible(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		c := s.Login(t)
		img, other := servertest.NewImage(1, 10), servertest.NewImage(2, 10)
		c.Push(t, "app", "other", other)
		c.PushBlobs(t, "app", img) // layers stay without an image, too
		c.PushBlob(t, "app", []byte("{}"))
		signature := servertest.Referrer(other, "a/signature", "1")
		layer := digest.FromBytes(img.Layers[0])
		want := func(operation, _ string) bool {
			return reads.MatchString(operation) && operation != "GetAuthorizationToken" || operation == "BatchDeleteImage" || operation == "UpdateImageStorageClass"
		}
		paths := []string{"GET /v2/_catalog", "GET /v2/app/tags/list"}
		for _, method := range []string{"GET ", "HEAD ", "DELETE "} {
			for _, reference := range []string{"v1", "v2", img.Digest.String(), digest.FromBytes(signature).String()} {
				paths = append(paths, method+manifestPath("app", reference))
			}
		}
		for _, d := range []digest.Digest{img.Digest, other.Digest, layer} {
			paths = append(paths, "GET /v2/app/referrers/"+d.String(), "GET /v2/app/blobs/"+d.String(), "HEAD /v2/app/blobs/"+d.String())
		}
		before := inquire(t, s, c, want, img.Digest, layer, paths)
		c.PushManifest(t, "app", "v1", ocispec.MediaTypeImageManifest, img.Manifest).Want(t, 201)
		c.PushManifest(t, "app", "v2", ocispec.MediaTypeImageManifest, img.Manifest).Want(t, 201)
		c.PushManifest(t, "app", digest.FromBytes(signature).String(), ocispec.MediaTypeImageManifest, signature).Want(t, 201)
		c.Do(t, "DELETE", manifestPath("app", img.Digest.String()), nil).Want(t, 202)
		c.Do(t, "DELETE", manifestPath("app", digest.FromBytes(signature).String()), nil).Want(t, 202)
		if diff := cmp.Diff(before, inquire(t, s, c, want, img.Digest, layer, paths)); diff != "" {
			t.Errorf("answers about an image that never was, and about one that was deleted (-never +deleted):\n%s", diff)
		}
		same(t, "deleted images", sorted(deletedImages(t, s, `{"repositoryName":"app"}`)),
			sorted([]string{img.Digest.String() + " v1,v2", digest.FromBytes(signature).String() + " "}))
	})
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

// So is a deleted repository.
func TestADeletedRepositoryIsInvisible(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "other")
		c := s.Login(t)
		img := servertest.NewImage(1, 10)
		layer := digest.FromBytes(img.Layers[0])
		want := func(operation, body string) bool {
			return operation != "CreateRepository" && operation != "GetAuthorizationToken" && (reads.MatchString(operation) || strings.Contains(body, `app"`))
		}
		paths := []string{"GET /v2/_catalog", "GET /v2/app/tags/list", "POST /v2/app/blobs/uploads/", "PUT " + manifestPath("app", "v1"),
			"POST /v2/app/blobs/uploads/?mount=" + layer.String() + "&from=other"}
		for _, method := range []string{"GET ", "HEAD ", "DELETE "} {
			for _, p := range []string{manifestPath("app", "v1"), manifestPath("app", img.Digest.String()), "/v2/app/blobs/" + layer.String()} {
				paths = append(paths, method+p)
			}
		}
		paths = append(paths, "GET /v2/app/referrers/"+img.Digest.String())
		upload := "/v2/app/blobs/uploads/0195d4c2-0000-7000-8000-000000000000"
		before := inquire(t, s, c, want, img.Digest, layer, append(paths, "GET "+upload, "PATCH "+upload, "DELETE "+upload))

		s.CreateRepository(t, "app")
		c.Push(t, "app", "v1", img)
		call(t, s, "PutLifecyclePolicy", `{"repositoryName":"app",`+lifecyclePolicy+`}`)
		call(t, s, "StartLifecyclePolicyPreview", `{"repositoryName":"app"}`)
		real := strings.Split(c.Do(t, "POST", "/v2/app/blobs/uploads/", nil).Want(t, 202).Header.Get("Location"), "/v2/")[1]
		_, link := call(t, s, "GetDownloadUrlForLayer", `{"repositoryName":"app","layerDigest":"`+layer.String()+`"}`)
		link = regexp.MustCompile(`/_berth/[^"]*`).FindString(link)
		if got := c.Do(t, "GET", link, nil).Status; got != 200 {
			t.Errorf("GET %s = %d", link, got)
		}
		deleteRepository(t, s, "app")
		if diff := cmp.Diff(before, inquire(t, s, c, want, img.Digest, layer, append(paths, "GET "+upload, "PATCH "+upload, "DELETE "+upload))); diff != "" {
			t.Errorf("answers about a repository that never was, and about one that was deleted (-never +deleted):\n%s", diff)
		}
		for _, method := range []string{"GET", "PATCH", "DELETE"} { // the upload that it had
			res := c.Do(t, method, "/v2/"+real, nil, "Content-Type", ocispec.MediaTypeImageManifest)
			if got := rendered(res.Status, res.Header, string(res.Body)); method != "PATCH" && got != before[method+" "+upload] {
				t.Errorf("%s of its upload = %s\nwant %s", method, got, before[method+" "+upload])
			}
		}
		if got := c.Do(t, "GET", link, nil).Status; got == 200 {
			t.Error("a download link of a deleted repository works")
		}
		for _, from := range []string{"", "&from=app"} {
			c.Do(t, "POST", "/v2/other/blobs/uploads/?mount="+layer.String()+from, nil).Want(t, 202) // an upload, no mount
		}
	})
}

package oci_test

import (
	"encoding/json"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

func TestBase(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s)
		for _, path := range []string{"/v2/", "/v2"} {
			r := c.Do(t, "GET", path, nil)
			check(t, "GET "+path, r, 200)
			checkHeaders(t, "GET "+path, r, "Docker-Distribution-Api-Version", "registry/2.0",
				"Content-Type", "application/json", "X-Content-Type-Options", "nosniff", "Warning", "")
			if string(r.Body) != "{}" {
				t.Errorf("GET %s: body = %q, want {}", path, r.Body)
			}
			check(t, "HEAD "+path, c.Do(t, "HEAD", path, nil), 200)
		}
	})
}

// everyEndpoint has a request for each entry of the API's table, in a repository
// NAME. The digest is of nothing that is stored.
var everyEndpoint = []struct{ method, path string }{
	{"GET", "/v2/NAME/blobs/DIGEST"},
	{"HEAD", "/v2/NAME/blobs/DIGEST"},
	{"DELETE", "/v2/NAME/blobs/DIGEST"},
	{"GET", "/v2/NAME/manifests/latest"},
	{"HEAD", "/v2/NAME/manifests/latest"},
	{"GET", "/v2/NAME/manifests/DIGEST"},
	{"HEAD", "/v2/NAME/manifests/DIGEST"},
	{"PUT", "/v2/NAME/manifests/latest"},
	{"DELETE", "/v2/NAME/manifests/latest"},
	{"DELETE", "/v2/NAME/manifests/DIGEST"},
	{"POST", "/v2/NAME/blobs/uploads/"},
	{"POST", "/v2/NAME/blobs/uploads/?digest=DIGEST"},
	{"POST", "/v2/NAME/blobs/uploads/?mount=DIGEST"},
	{"POST", "/v2/NAME/blobs/uploads/?mount=DIGEST&from=there"},
	{"GET", "/v2/NAME/blobs/uploads/6f0b4a3e-1f0a-4e0e-8f2a-0d5b1c2d3e4f"},
	{"HEAD", "/v2/NAME/blobs/uploads/6f0b4a3e-1f0a-4e0e-8f2a-0d5b1c2d3e4f"},
	{"PATCH", "/v2/NAME/blobs/uploads/6f0b4a3e-1f0a-4e0e-8f2a-0d5b1c2d3e4f"},
	{"PUT", "/v2/NAME/blobs/uploads/6f0b4a3e-1f0a-4e0e-8f2a-0d5b1c2d3e4f?digest=DIGEST"},
	{"DELETE", "/v2/NAME/blobs/uploads/6f0b4a3e-1f0a-4e0e-8f2a-0d5b1c2d3e4f"},
	{"GET", "/v2/NAME/tags/list"},
	{"HEAD", "/v2/NAME/tags/list"},
	{"GET", "/v2/NAME/referrers/DIGEST"},
	{"HEAD", "/v2/NAME/referrers/DIGEST"},
}

func fill(path, name string) string {
	return strings.NewReplacer("NAME", name, "DIGEST", digest.FromString("nothing").String()).Replace(path)
}

func TestEveryEndpointOfAMissingRepositoryIsNameUnknown(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "there")
		for _, e := range everyEndpoint {
			what, body := e.method+" "+e.path, []byte(nil)
			if e.method == "PUT" && strings.Contains(e.path, "manifests") {
				body = servertest.NewImage(1).Manifest
			}
			r := c.Do(t, e.method, fill(e.path, "team/absent"), body, "Content-Type", typeManifest)
			if e.method == "HEAD" {
				check(t, what, r, 404)
				continue
			}
			checkError(t, what, r, 404, "NAME_UNKNOWN")
			const text = "The repository with name 'team/absent' does not exist in the registry with id '123456789012'"
			if r.Message() != text {
				t.Errorf("%s: message = %q, want %q", what, r.Message(), text)
			}
		}
	})
}

func TestStrangersAreChallenged(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "there")
		img := servertest.NewImage(1, 100)
		c.Push(t, "there", "latest", img)
		c.User = ""
		realm := `Basic realm="` + s.URL + `/",service="ecr.amazonaws.com"`
		requests := append(everyEndpoint[:len(everyEndpoint):len(everyEndpoint)],
			struct{ method, path string }{"GET", "/v2/"}, struct{ method, path string }{"HEAD", "/v2/"},
			struct{ method, path string }{"GET", "/v2/_catalog"}, struct{ method, path string }{"HEAD", "/v2/_catalog"},
			struct{ method, path string }{"GET", "/v2/nonsense"}, struct{ method, path string }{"TRACE", "/v2/"},
		)
		for _, e := range requests {
			for _, name := range []string{"there", "absent"} {
				what := e.method + " " + fill(e.path, name)
				r := c.Do(t, e.method, fill(e.path, name), nil)
				check(t, what, r, 401)
				checkHeaders(t, what, r, "WWW-Authenticate", realm, "Docker-Content-Digest", "", "ETag", "", "Location", "")
				if want := `{"errors":[{"code":"UNAUTHORIZED","message":"Not Authorized"}]}`; e.method != "HEAD" && string(r.Body) != want {
					t.Errorf("%s: body = %s, want %s", what, r.Body, want)
				}
			}
		}
	})
}

func TestErrorsHaveTheShapeOfTheSpecification(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "there")
		r := c.Do(t, "GET", "/v2/there/manifests/absent", nil)
		check(t, "GET of an absent tag", r, 404)
		checkHeaders(t, "GET of an absent tag", r, "Content-Type", "application/json", "X-Content-Type-Options", "nosniff",
			"Docker-Distribution-Api-Version", "registry/2.0", "Cache-Control", "")
		if want := `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"Requested image not found"}]}`; string(r.Body) != want {
			t.Errorf("body = %s, want %s", r.Body, want)
		}
		if len(r.Header.Get("X-Amzn-Requestid")) != 36 {
			t.Errorf("X-Amzn-RequestId = %q, want a UUID", r.Header.Get("X-Amzn-Requestid"))
		}
		// What a client sent comes back as valid JSON, cut.
		odd := "/v2/" + strings.Repeat("%22%3C%ff%0a", 200) + "/tags/list"
		r = c.Do(t, "GET", odd, nil)
		checkError(t, "GET of an odd name", r, 400, "NAME_INVALID")
		if !json.Valid(r.Body) || len(r.Body) > 1000 {
			t.Errorf("body = %s, want short JSON", r.Body)
		}
	})
}

func TestOtherMethodsAreRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	c := begin(t, s, "there")
	d := digest.FromString("nothing").String()
	for path, allow := range map[string]string{
		"/v2/":                         "GET, HEAD",
		"/v2/_catalog":                 "GET, HEAD",
		"/v2/there/tags/list":          "GET, HEAD",
		"/v2/there/referrers/" + d:     "GET, HEAD",
		"/v2/there/blobs/" + d:         "DELETE, GET, HEAD",
		"/v2/there/manifests/latest":   "DELETE, GET, HEAD, PUT",
		"/v2/there/blobs/uploads/":     "POST",
		"/v2/there/blobs/uploads/some": "DELETE, GET, HEAD, PATCH, PUT",
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"} {
			if strings.Contains(", "+allow+",", ", "+method+",") {
				continue
			}
			r := c.Do(t, method, path, nil)
			if method == "HEAD" {
				check(t, method+" "+path, r, 405)
			} else {
				checkError(t, method+" "+path, r, 405, "UNSUPPORTED")
			}
			checkHeaders(t, method+" "+path, r, "Allow", allow)
		}
	}
}

package oci_test

import (
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

// A path has one spelling. Whatever else is sent is answered as no endpoint, and
// never without a password.
func TestOtherSpellingsOfPaths(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	c := begin(t, s, "app", "team/app")
	img := servertest.NewImage(1, 10)
	c.Push(t, "app", "v1", img)
	c.Push(t, "team/app", "v1", img)
	stranger := in(c, "")
	stranger.User = ""
	blob := digest.FromBytes(img.Config).String()
	for _, path := range []string{
		"//v2/", "/v2//", "/v2/.", "/v2/./", "/v2/..", "/v2/../v2/", "/./v2/", "/x/../v2/", "/v2/../v2/_catalog", "/V2/", "/v2%2f", "/v2;/", "/v2/;x", "/v2/%20",
		"//v2/_catalog", "/v2//_catalog", "/v2/./_catalog", "/v2/_catalog/", "/v2/_catalog/.", "/v2/_CATALOG", "/v2/_catalog%2f", "/v2/%2e/_catalog", "/v2/_catalog;", "/v2/_catalog%00",
		"/v2/app/tags/list/", "/v2/app//tags/list", "/v2/app/tags//list", "/v2//app/tags/list", "/v2/app/./tags/list", "/v2/app/tags/./list", "/v2/x/../app/tags/list",
		"/v2/app/tags/LIST", "/v2/app/tags", "/v2/app/tags/list%2f", "/v2/app%2ftags/list", "/v2/team%2fapp/tags/list", "/v2/team%2Fapp/manifests/v1", "//v2/app/tags/list",
		"/v2/app/manifests/v1/", "/v2/app//manifests/v1", "/v2/app/manifests//v1", "/v2/app/manifests/./v1", "/v2/app/Manifests/v1", "/v2/app/manifests%2fv1", "/v2/app/manifests", "/v2/app/manifests/x/../v1",
		"/v2/app/blobs/" + blob + "/", "/v2/app/blobs//" + blob, "/v2/app/blobs/./" + blob, "/v2/app/blobs%2f" + blob, "/v2/app/blobs/" + strings.Replace(blob, ":", "/", 1), "/v2/app/blobs",
		"/v2/app/referrers", "/v2/app/referrers/" + blob + "/", "/v2/app", "/v2/app/", "/v2/app/nonsense", "/v2/app/blobs/uploads/x/y",
	} {
		for _, method := range []string{"GET", "HEAD", "DELETE", "POST", "PUT"} {
			what := method + " " + path
			r := sendPath(t, c, method, path, nil)
			if r.Status != 404 && r.Status != 400 && !(r.Status == 405 && r.Header.Get("Allow") == "") {
				t.Errorf("%s = %d %.200s, want 404 or 400", what, r.Status, r.Body)
			}
			if l := r.Header.Get("Location"); l != "" {
				t.Errorf("%s redirects to %q", what, l)
			}
			r = sendPath(t, stranger, method, path, nil)
			if r.Status != 401 && r.Status != 404 {
				t.Errorf("%s of a stranger = %d, want 401 or 404", what, r.Status)
			}
		}
	}
	if d := s.Decisions(); len(d) == 0 || d[len(d)-1].Action != "ecr:PutImage" {
		t.Errorf("the last decision was about %v, want the push before", d[len(d)-1])
	}

	// Escapes that mean the same character are the same path, and are decided as
	// that.
	for path, action := range map[string]string{
		"/v2/%5fcatalog": "ecr:DescribeRepositories", "/%76%32/app/tags/list": "ecr:ListImages", "/v2/%61pp/tags/list": "ecr:ListImages",
		"/v2/app/manifests/%76%31": "ecr:BatchGetImage", "/v2/app/blobs/" + strings.Replace(blob, ":", "%3A", 1): "ecr:GetDownloadUrlForLayer",
	} {
		check(t, "GET "+path, sendPath(t, c, "GET", path, nil), 200)
		if d := s.Decisions(); len(d) != 1 || d[0].Action != action {
			t.Errorf("GET %s: decisions = %v, want one about %s", path, d, action)
		}
		check(t, "GET "+path+" of a stranger", sendPath(t, stranger, "GET", path, nil), 401)
		check(t, "GET "+path+" in another account", sendPath(t, in(c, "210987654321.dkr.ecr.us-east-1.localhost"), "GET", path, nil), 403)
		s.Decisions()
	}
}

// The method is the one of the request line.
func TestMethodsCannotBeOverridden(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	c := begin(t, s, "app")
	img := servertest.NewImage(1, 10)
	c.Push(t, "app", "v1", img)
	s.Decisions()
	for _, header := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
		for _, method := range []string{"GET", "HEAD"} {
			check(t, method+" with "+header, c.Do(t, method, manifestPath("app", "v1"), nil, header, "DELETE"), 200)
		}
		check(t, "POST with "+header, c.Do(t, "POST", manifestPath("app", "v1"), nil, header, "DELETE"), 405)
		check(t, "GET with _method", c.Do(t, "GET", manifestPath("app", "v1")+"?_method=DELETE", nil), 200)
	}
	for _, d := range s.Decisions() {
		if d.Action != "ecr:BatchGetImage" {
			t.Errorf("a decision about %s", d.Action)
		}
	}
	checkManifest(t, c, "app", "v1", typeManifest, img.Manifest)
}

// Words of the API may be parts of names.
func TestNamesMadeOfTheAPIsWords(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		all := []string{"manifests", "blobs/uploads", "tags/list", "a/tags/list/b", "a/blobs/uploads/b", "a/manifests/b", "v2", "v2/app", "referrers", "blobs", "uploads/x"}
		c := begin(t, s, all...)
		for i, name := range all {
			img := servertest.NewImage(uint64(i), 10)
			c.Push(t, name, "list", img)
			checkManifest(t, c, name, "list", typeManifest, img.Manifest)
			checkManifest(t, c, name, img.Digest.String(), typeManifest, img.Manifest)
			checkBlob(t, c, name, digest.FromBytes(img.Config), img.Config)
			if got := names(t, c.Do(t, "GET", "/v2/"+name+"/tags/list", nil)); len(got) != 1 || got[0] != "list" {
				t.Errorf("tags of %s = %q, want its one", name, got)
			}
			check(t, "referrers in "+name, c.Do(t, "GET", referrersPath(name, img.Digest), nil), 200)
		}
	})
}

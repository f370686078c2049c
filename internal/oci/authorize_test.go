package oci_test

import (
	"slices"
	"strings"
	"testing"

	"berth/internal/oci"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

// Every endpoint asks whether the caller may do what it does to what it does it
// to, and does nothing for one who may not.
func TestEveryEndpointAsksTheAuthorizer(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "team/app")
		stranger := in(c, "210987654321.dkr.ecr.us-east-1.localhost") // the root of one account is nobody in another
		for _, e := range oci.Endpoints() {
			what := e.Method + " " + e.Path
			if slices.Contains(servertest.OpenEndpoints, servertest.Endpoint(e)) {
				s.Decisions()
				check(t, what, c.Do(t, e.Method, e.Path, nil), 200)
				if d := s.Decisions(); len(d) > 0 {
					t.Errorf("%s asked about %v", what, d)
				}
				continue
			}
			want := servertest.EndpointActions[servertest.Endpoint(e)]
			if want == nil {
				t.Errorf("%s is in no table of tests", what)
				continue
			}
			img := servertest.NewImage(1, 10)
			c.Push(t, "team/app", "v1", img)
			u := startUpload(t, c, "team/app", "")
			content := []byte("content of " + what)
			blob := digest.FromBytes(content)
			c.PushBlob(t, "team/app", content)
			path := strings.NewReplacer("NAME", "team/app", "TAG", "v1", "DIGEST", blob.String(),
				"UPLOAD", u.location[strings.LastIndexByte(u.location, '/')+1:]).Replace(e.Path)
			var body []byte
			if strings.Contains(path, "manifests") && e.Method == "PUT" {
				body = img.Manifest
			} else if e.Method == "PUT" {
				path, body = path+"?digest="+blob.String(), content
			}
			resource := "arn:aws:ecr:us-east-1:123456789012:repository/team/app"
			if strings.Contains(path, "_catalog") {
				resource = "arn:aws:ecr:us-east-1:123456789012:repository/*"
			}

			s.Decisions()
			r := stranger.Do(t, e.Method, path, body, "Content-Type", typeManifest)
			check(t, what+" of a stranger", r, 403)
			asked := s.Decisions()
			if len(asked) != 1 || asked[0].Action != want[0] || asked[0].Account != "210987654321" {
				t.Errorf("%s of a stranger asked about %v, want %s only", what, asked, want[0])
			}

			r = c.Do(t, e.Method, path, body, "Content-Type", typeManifest)
			if r.Status >= 300 {
				t.Errorf("%s = %d %s", what, r.Status, r.Body)
			}
			var got []string
			for _, d := range s.Decisions() {
				got = append(got, d.Action)
				if d.Resource != resource || d.Account != servertest.Account || d.Caller.ARN != "arn:aws:iam::123456789012:root" {
					t.Errorf("%s asked about %s in %s for %s, want %s", what, d.Resource, d.Account, d.Caller.ARN, resource)
				}
			}
			if got = slices.Compact(got); !slices.Equal(got, want) {
				t.Errorf("%s asked about %q, want %q", what, got, want)
			}
		}
		for e := range servertest.EndpointActions {
			if !slices.Contains(oci.Endpoints(), oci.Endpoint(e)) {
				t.Errorf("%v is in this test's table but is no endpoint", e)
			}
		}
	})
}

// A refusal is the same whether there is something or not.
func TestRefusalsSayNothing(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s)
		stranger := in(c, "210987654321.dkr.ecr.us-east-1.localhost")
		for _, e := range everyEndpoint {
			r := stranger.Do(t, e.method, fill(e.path, "app"), servertest.NewImage(1).Manifest, "Content-Type", typeManifest)
			check(t, e.method+" "+e.path, r, 403)
			if e.method != "HEAD" && r.Code() != "DENIED" {
				t.Errorf("%s %s = %s, want DENIED", e.method, e.path, r.Code())
			}
		}
	})
}

func TestMountAsksAboutItsSource(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "source", "target")
		content := []byte("content")
		c.PushBlob(t, "source", content)
		for _, from := range []string{"source", ""} {
			s.Decisions()
			mount(t, c, "target", digest.FromBytes(content), from).Want(t, 201)
			d := s.Decisions()
			if len(d) < 2 || d[0].Action != "ecr:InitiateLayerUpload" || d[0].Resource != "arn:aws:ecr:us-east-1:123456789012:repository/target" ||
				d[1].Action != "ecr:GetDownloadUrlForLayer" || d[1].Resource != "arn:aws:ecr:us-east-1:123456789012:repository/source" && from != "" {
				t.Errorf("a mount from %q asked about %v", from, d)
			}
		}
	})
}

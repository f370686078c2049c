package oci_test

import (
	"slices"
	"testing"

	"berth/internal/access"
	"berth/internal/registry"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

// addTemplate adds a creation template to the default registry.
func addTemplate(t testing.TB, s *servertest.Server, prefix string, mode registry.Mode, appliedFor ...string) {
	t.Helper()
	root := access.Caller{Account: servertest.Account, ID: servertest.Account, ARN: "arn:aws:iam::123456789012:root", Type: access.Root}
	_, err := s.Server().Registry().CreateRepositoryCreationTemplate(t.Context(), root, registry.ID{Account: servertest.Account, Region: servertest.Region},
		registry.Template{Prefix: prefix, AppliedFor: appliedFor, Mutability: registry.Mutability{Mode: mode}})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPushMakesTheRepositoryIfATemplateSaysSo(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "source")
		img := servertest.NewImage(1, 10)
		c.PushBlobs(t, "source", img)
		addTemplate(t, s, "team", registry.Mutable, registry.CreateOnPush)
		addTemplate(t, s, "team/fixed", registry.Immutable, registry.CreateOnPush)
		addTemplate(t, s, "other", registry.Mutable, "REPLICATION")

		for _, name := range []string{"team", "teams/app", "other/app", "app"} {
			checkError(t, "POST to "+name, c.Do(t, "POST", uploadsPath(name, ""), nil), 404, "NAME_UNKNOWN")
			checkError(t, "PUT to "+name, c.PushManifest(t, name, "v1", typeManifest, img.Manifest), 404, "NAME_UNKNOWN")
		}
		// Only a push makes a repository, and only a whole one.
		for _, e := range everyEndpoint {
			if e.method != "POST" && e.method != "PUT" || e.method == "PUT" && e.path[:16] == "/v2/NAME/blobs/u" {
				check(t, e.method+" "+e.path, c.Do(t, e.method, fill(e.path, "team/app"), nil), 404)
			}
		}
		checkError(t, "PUT of what is no manifest", c.PushManifest(t, "team/app", "v1", typeManifest, []byte("{}")), 400, "MANIFEST_INVALID")
		checkError(t, "PUT without layers", c.PushManifest(t, "team/app", "v1", typeManifest, img.Manifest), 404, "MANIFEST_BLOB_UNKNOWN")
		check(t, "GET of the tags", c.Do(t, "GET", "/v2/team/app/tags/list", nil), 404)

		s.Decisions()
		check(t, "POST", c.Do(t, "POST", uploadsPath("team/app", ""), nil), 202)
		var actions []string
		for _, d := range s.Decisions() {
			actions = append(actions, d.Action)
		}
		if want := []string{"ecr:InitiateLayerUpload", "ecr:CreateRepository"}; !slices.Equal(actions, want) {
			t.Errorf("the first push asked about %q, want %q", actions, want)
		}
		c.Push(t, "team/app", "v1", img)
		checkManifest(t, c, "team/app", "v1", typeManifest, img.Manifest)
		checkCreated(t, "mount", mount(t, c, "team/mounted", digest.FromBytes(img.Config), "source"), "team/mounted", digest.FromBytes(img.Config))

		// The template with the longest prefix counts.
		c.Push(t, "team/fixed/app", "v1", img)
		checkFrozen(t, "PUT", c.PushManifest(t, "team/fixed/app", "v1", typeManifest, img.Manifest), "team/fixed/app", "v1")
		empty := list(typeIndex)
		check(t, "PUT of an empty index", c.PushManifest(t, "team/index", "v1", typeIndex, empty), 201)

		addTemplate(t, s, "ROOT", registry.Mutable, registry.CreateOnPush)
		c.Push(t, "anything", "v1", img)
		want := []string{"anything", "source", "team/app", "team/fixed/app", "team/index", "team/mounted"}
		if got := names(t, c.Do(t, "GET", "/v2/_catalog", nil)); !slices.Equal(got, want) {
			t.Errorf("the catalog = %q, want %q", got, want)
		}
	})
}

func TestManyFirstPushesMakeOneRepository(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s)
		addTemplate(t, s, "ROOT", registry.Mutable, registry.CreateOnPush)
		content := []byte("content")
		d := digest.FromBytes(content)
		answers := together(writers, func(int) *servertest.Response {
			return c.Do(t, "POST", uploadsPath("app", "?digest="+d.String()), content)
		})
		if count(answers, 201) != writers {
			for _, r := range answers {
				if r.Status != 201 {
					t.Errorf("POST = %d %s, want 201", r.Status, r.Body)
				}
			}
		}
		checkBlob(t, c, "app", d, content)
	})
}

package oci_test

import (
	"net/url"
	"testing"

	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

// checkFrozen reports an answer that is not ECR's refusal to move a tag.
func checkFrozen(t testing.TB, what string, r *servertest.Response, repository, tag string) {
	t.Helper()
	checkError(t, what, r, 400, "TAG_INVALID")
	want := "The image tag '" + tag + "' already exists in the '" + repository + "' repository and cannot be overwritten because the tag is immutable."
	if r.Message() != want {
		t.Errorf("%s: message = %q, want %q", what, r.Message(), want)
	}
}

func TestTagMutability(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createWith(t, s, "mutable", types.ImageTagMutabilityMutable)
		createWith(t, s, "immutable", types.ImageTagMutabilityImmutable)
		createWith(t, s, "mutable-but", types.ImageTagMutabilityMutableWithExclusion, "v*", "release-*-final", "latest")
		createWith(t, s, "immutable-but", types.ImageTagMutabilityImmutableWithExclusion, "dev*", "*-snapshot", "latest", "a*b*")
		c := begin(t, s)
		one, two := servertest.NewImage(1, 10), servertest.NewImage(2, 10)
		for _, repository := range []string{"mutable", "immutable", "mutable-but", "immutable-but"} {
			c.PushBlobs(t, repository, one)
			c.PushBlobs(t, repository, two)
		}
		for _, test := range []struct {
			repository, tag string
			frozen          bool
		}{
			{"mutable", "latest", false},
			{"mutable", "v1", false},
			{"immutable", "latest", true}, // no name is special
			{"immutable", "v1", true},
			{"mutable-but", "v1", true},
			{"mutable-but", "v", true},
			{"mutable-but", "V1", false},
			{"mutable-but", "dev", false},
			{"mutable-but", "latest", true},
			{"mutable-but", "latest2", false},
			{"mutable-but", "release-3-final", true},
			{"mutable-but", "release--final", true},
			{"mutable-but", "release-final", false},
			{"mutable-but", "release-3-final-2", false},
			{"immutable-but", "v1", true},
			{"immutable-but", "dev", false},
			{"immutable-but", "dev-7", false},
			{"immutable-but", "undev", true},
			{"immutable-but", "1.0-snapshot", false},
			{"immutable-but", "1.0-snapshots", true},
			{"immutable-but", "latest", false},
			{"immutable-but", "ab", false},
			{"immutable-but", "axbx", false},
			{"immutable-but", "ba", true},
		} {
			t.Run(test.repository+" "+test.tag, func(t *testing.T) {
				check(t, "first PUT", c.PushManifest(t, test.repository, test.tag, typeManifest, one.Manifest), 201)
				r := c.PushManifest(t, test.repository, test.tag, typeManifest, two.Manifest)
				if !test.frozen {
					check(t, "PUT of another image", r, 201)
					checkManifest(t, c, test.repository, test.tag, typeManifest, two.Manifest)
					check(t, "PUT of the same image", c.PushManifest(t, test.repository, test.tag, typeManifest, two.Manifest), 201)
					return
				}
				checkFrozen(t, "PUT of another image", r, test.repository, test.tag)
				checkManifest(t, c, test.repository, test.tag, typeManifest, one.Manifest)
				// As in ECR, the same image counts as another.
				checkFrozen(t, "PUT of the same image",
					c.PushManifest(t, test.repository, test.tag, typeManifest, one.Manifest), test.repository, test.tag)
			})
		}
	})
}

// A push that is refused has no effect at all.
func TestRefusedPushLeavesNothing(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createWith(t, s, "app", types.ImageTagMutabilityImmutable)
		c := begin(t, s)
		one, two := servertest.NewImage(1, 10), servertest.NewImage(2, 10)
		c.Push(t, "app", "v1", one)
		c.PushBlobs(t, "app", two)
		path := manifestPath("app", two.Digest.String()) + "?" + url.Values{"tag": {"a", "v1", "z"}}.Encode()
		checkFrozen(t, "PUT with three tags", c.Do(t, "PUT", path, two.Manifest, "Content-Type", typeManifest), "app", "v1")
		for _, reference := range []string{"a", "z", two.Digest.String()} {
			check(t, "GET "+reference, c.Do(t, "GET", manifestPath("app", reference), nil), 404)
		}
		// By digest, or under a new tag, the image is welcome.
		check(t, "PUT by digest", c.PushManifest(t, "app", two.Digest.String(), typeManifest, two.Manifest), 201)
		check(t, "PUT by digest again", c.PushManifest(t, "app", two.Digest.String(), typeManifest, two.Manifest), 201)
		check(t, "PUT under a new tag", c.PushManifest(t, "app", "v2", typeManifest, two.Manifest), 201)
		checkManifest(t, c, "app", "v1", typeManifest, one.Manifest)
	})
}

func TestMutabilityChangesForLaterPushes(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		one, two := servertest.NewImage(1, 10), servertest.NewImage(2, 10)
		set := func(mode types.ImageTagMutability) {
			t.Helper()
			name := "app"
			if _, err := s.ECR().PutImageTagMutability(t.Context(), &ecr.PutImageTagMutabilityInput{RepositoryName: &name, ImageTagMutability: mode}); err != nil {
				t.Fatal(err)
			}
		}
		c.Push(t, "app", "v1", one)
		c.PushBlobs(t, "app", two)
		set(types.ImageTagMutabilityImmutable)
		checkFrozen(t, "PUT after the change", c.PushManifest(t, "app", "v1", typeManifest, two.Manifest), "app", "v1")
		set(types.ImageTagMutabilityMutable)
		check(t, "PUT after the change back", c.PushManifest(t, "app", "v1", typeManifest, two.Manifest), 201)
		checkManifest(t, c, "app", "v1", typeManifest, two.Manifest)
		checkManifest(t, c, "app", one.Digest.String(), typeManifest, one.Manifest)
	})
}

func TestImmutableRepushMayBeAccepted(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{Configure: func(c *config.Config) { c.ImmutableRepush = "accept" }}, func(t *testing.T, s *servertest.Server) {
		createWith(t, s, "app", types.ImageTagMutabilityImmutable)
		c := begin(t, s)
		one, two := servertest.NewImage(1, 10), servertest.NewImage(2, 10)
		c.Push(t, "app", "v1", one)
		c.PushBlobs(t, "app", two)
		check(t, "PUT of the same image", c.PushManifest(t, "app", "v1", typeManifest, one.Manifest), 201)
		checkFrozen(t, "PUT of another image", c.PushManifest(t, "app", "v1", typeManifest, two.Manifest), "app", "v1")
		checkManifest(t, c, "app", "v1", typeManifest, one.Manifest)
	})
}

package oci_test

import (
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
)

func TestDeleteTag(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		img := servertest.NewImage(1, 100)
		c.Push(t, "app", "v1", img)
		c.PushManifest(t, "app", "v2", typeManifest, img.Manifest).Want(t, 201)

		// One of two tags goes alone.
		r := c.Do(t, "DELETE", manifestPath("app", "v1"), nil)
		check(t, "DELETE v1", r, 202)
		checkHeaders(t, "DELETE v1", r, "Content-Length", "0")
		check(t, "HEAD v1", c.Do(t, "HEAD", manifestPath("app", "v1"), nil), 404)
		checkManifest(t, c, "app", "v2", typeManifest, img.Manifest)
		checkManifest(t, c, "app", img.Digest.String(), typeManifest, img.Manifest)

		// The last one takes the image with it, as ECR has it.
		check(t, "DELETE v2", c.Do(t, "DELETE", manifestPath("app", "v2"), nil), 202)
		check(t, "HEAD v2", c.Do(t, "HEAD", manifestPath("app", "v2"), nil), 404)
		check(t, "HEAD of the digest", c.Do(t, "HEAD", manifestPath("app", img.Digest.String()), nil), 404)
		checkError(t, "DELETE v2 again", c.Do(t, "DELETE", manifestPath("app", "v2"), nil), 404, "MANIFEST_UNKNOWN")

		// Its layers stay, so that the next push is quick.
		checkBlob(t, c, "app", digest.FromBytes(img.Layers[0]), img.Layers[0])
		check(t, "PUT again", c.PushManifest(t, "app", "v1", typeManifest, img.Manifest), 201)
		checkManifest(t, c, "app", "v1", typeManifest, img.Manifest)
	})
}

func TestDeleteManifest(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app", "other")
		img := servertest.NewImage(1, 100)
		for _, repository := range []string{"app", "other"} {
			c.Push(t, repository, "v1", img)
			c.PushManifest(t, repository, "v2", typeManifest, img.Manifest).Want(t, 201)
		}
		check(t, "DELETE by digest", c.Do(t, "DELETE", manifestPath("app", img.Digest.String()), nil), 202)
		for _, reference := range []string{"v1", "v2", img.Digest.String()} {
			checkError(t, "GET "+reference, c.Do(t, "GET", manifestPath("app", reference), nil), 404, "MANIFEST_UNKNOWN")
			checkManifest(t, c, "other", reference, typeManifest, img.Manifest)
		}
		if got := c.Do(t, "GET", "/v2/app/tags/list", nil); string(got.Body) != `{"name":"app","tags":[]}` {
			t.Errorf("tags = %s, want none", got.Body)
		}
		for _, reference := range []string{img.Digest.String(), "v1", "-no-tag", digest.SHA512.FromString("x").String()} {
			checkError(t, "DELETE "+reference, c.Do(t, "DELETE", manifestPath("app", reference), nil), 404, "MANIFEST_UNKNOWN")
		}
		checkError(t, "DELETE of no digest", c.Do(t, "DELETE", manifestPath("app", "sha256:abc"), nil), 400, "DIGEST_INVALID")
	})
}

func TestChildrenOfAnIndexAreKept(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		one, two := servertest.NewImage(1, 100), servertest.NewImage(2, 100)
		c.Push(t, "app", "amd64", one)
		c.PushManifest(t, "app", "also-amd64", typeManifest, one.Manifest).Want(t, 201)
		c.Push(t, "app", two.Digest.String(), two)
		index := servertest.Index(one, two)
		c.PushManifest(t, "app", "v1", typeIndex, index).Want(t, 201)

		refused := func(reference string) {
			t.Helper()
			r := c.Do(t, "DELETE", manifestPath("app", reference), nil)
			checkError(t, "DELETE "+reference, r, 405, "UNSUPPORTED")
			if want := "Requested image referenced by manifest list: [" + digestOf(index) + "]"; r.Message() != want {
				t.Errorf("DELETE %s: message = %q, want %q", reference, r.Message(), want)
			}
		}
		refused(one.Digest.String())
		refused(two.Digest.String())
		check(t, "DELETE of one of a child's tags", c.Do(t, "DELETE", manifestPath("app", "also-amd64"), nil), 202)
		refused("amd64")
		checkManifest(t, c, "app", "amd64", typeManifest, one.Manifest)
		checkManifest(t, c, "app", two.Digest.String(), typeManifest, two.Manifest)

		// Without the index they are images like any other.
		check(t, "DELETE of the index", c.Do(t, "DELETE", manifestPath("app", "v1"), nil), 202)
		check(t, "DELETE of the child's last tag", c.Do(t, "DELETE", manifestPath("app", "amd64"), nil), 202)
		check(t, "DELETE of the other child", c.Do(t, "DELETE", manifestPath("app", two.Digest.String()), nil), 202)
		for _, d := range []string{digestOf(index), one.Digest.String(), two.Digest.String()} {
			check(t, "HEAD "+d, c.Do(t, "HEAD", manifestPath("app", d), nil), 404)
		}
	})
}

// Immutability is about moving tags, not about taking them away.
func TestDeleteFromAnImmutableRepository(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createWith(t, s, "app", types.ImageTagMutabilityImmutable)
		c := begin(t, s)
		one, two := servertest.NewImage(1, 100), servertest.NewImage(2, 100)
		c.Push(t, "app", "v1", one)
		check(t, "DELETE of an immutable tag", c.Do(t, "DELETE", manifestPath("app", "v1"), nil), 202)
		c.Push(t, "app", "v1", two)
		checkManifest(t, c, "app", "v1", typeManifest, two.Manifest)
	})
}

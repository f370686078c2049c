package oci_test

import (
	"bytes"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestPutManifest(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "team/app")
		img := servertest.NewImage(1, 100)
		c.PushBlobs(t, "team/app", img)
		for _, reference := range []string{"v1", img.Digest.String(), "v1", "v2"} {
			what := "PUT " + reference
			r := c.PushManifest(t, "team/app", reference, typeManifest, img.Manifest)
			check(t, what, r, 201)
			checkHeaders(t, what, r, "Location", manifestPath("team/app", img.Digest.String()), "Docker-Content-Digest", img.Digest.String(),
				"Content-Length", "0", "OCI-Subject", "", "OCI-Tag", "")
			got := c.Do(t, "GET", r.Header.Get("Location"), nil)
			if string(got.Body) != string(img.Manifest) {
				t.Errorf("%s: what is at its Location is not what was pushed", what)
			}
		}
		// Parameters of the content type are ignored.
		r := c.PushManifest(t, "team/app", "v3", typeManifest+"; charset=utf-8", img.Manifest)
		check(t, "PUT with parameters", r, 201)
		checkManifest(t, c, "team/app", "v3", typeManifest, img.Manifest)
	})
}

func TestManifestThatDoesNotMatchIsRefused(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		img := servertest.NewImage(1, 100)
		c.PushBlobs(t, "app", img)
		padded := append(bytes.Clone(img.Manifest), "  "...)
		missing := servertest.NewImage(2, 100)
		config := servertest.Descriptor(ocispec.MediaTypeImageConfig, img.Config)
		for _, test := range []struct {
			name, reference, mediaType string
			body                       []byte
			status                     int
			code                       string
		}{
			{"other bytes than the digest says", img.Digest.String(), typeManifest, padded, 400, "DIGEST_INVALID"},
			{"sha512 of other bytes", digest.SHA512.FromBytes(img.Manifest).String(), typeManifest, padded, 400, "DIGEST_INVALID"},
			{"a digest that is none", "sha256:baddigeststring", typeManifest, img.Manifest, 400, "DIGEST_INVALID"},
			{"an algorithm that nobody knows", "md5:d41d8cd98f00b204e9800998ecf8427e", typeManifest, img.Manifest, 400, "DIGEST_INVALID"},
			{"sha384", digest.SHA384.FromBytes(img.Manifest).String(), typeManifest, img.Manifest, 400, "DIGEST_INVALID"},
			{"a tag that is none", "-v1", typeManifest, img.Manifest, 400, "TAG_INVALID"},
			{"a tag that is too long", strings.Repeat("t", 129), typeManifest, img.Manifest, 400, "TAG_INVALID"},
			{"layers that are not there", "v1", typeManifest, missing.Manifest, 404, "MANIFEST_BLOB_UNKNOWN"},
			{"an empty body", "v1", typeManifest, nil, 400, "MANIFEST_INVALID"},
			{"no JSON", "v1", typeManifest, []byte("manifest"), 400, "MANIFEST_INVALID"},
			{"an array", "v1", typeManifest, []byte("[]"), 400, "MANIFEST_INVALID"},
			{"two documents", "v1", typeManifest, append(bytes.Clone(img.Manifest), img.Manifest...), 400, "MANIFEST_INVALID"},
			{"another type than it names", "v1", typeDocker, img.Manifest, 400, "MANIFEST_INVALID"},
			{"a type that is no manifest's", "v1", "application/json", img.Manifest, 400, "MANIFEST_INVALID"},
			{"a malformed type", "v1", "application/;;", img.Manifest, 400, "MANIFEST_INVALID"},
			{"no type at all", "v1", "", []byte(`{"schemaVersion":2}`), 400, "MANIFEST_INVALID"},
			{"schema version 1", "v1", typeManifest, bytes.Replace(img.Manifest, []byte(`"schemaVersion":2`), []byte(`"schemaVersion":1`), 1), 400, "MANIFEST_INVALID"},
			{"schema 1", "v1", "application/vnd.docker.distribution.manifest.v1+prettyjws", []byte(`{"schemaVersion":1,"fsLayers":[]}`), 400, "MANIFEST_INVALID"},
			{"no configuration", "v1", typeManifest, []byte(`{"schemaVersion":2,"layers":[]}`), 400, "MANIFEST_INVALID"},
			{"no layers", "v1", typeManifest, servertest.JSON(map[string]any{"schemaVersion": 2, "config": config}), 400, "MANIFEST_INVALID"},
			{"an index without manifests", "v1", typeIndex, []byte(`{"schemaVersion":2}`), 400, "MANIFEST_INVALID"},
			{"a descriptor without digest", "v1", typeManifest, []byte(`{"schemaVersion":2,"config":{"mediaType":"a/b","size":2},"layers":[]}`), 400, "MANIFEST_INVALID"},
			{"a subject without digest", "v1", typeManifest, servertest.JSON(map[string]any{
				"schemaVersion": 2, "config": config, "layers": []any{}, "subject": map[string]any{"mediaType": typeManifest, "size": 2}}), 400, "MANIFEST_INVALID"},
			{"a negative size", "v1", typeManifest, servertest.JSON(map[string]any{
				"schemaVersion": 2, "config": map[string]any{"mediaType": "a/b", "digest": config.Digest, "size": -1}, "layers": []any{}}), 400, "MANIFEST_INVALID"},
		} {
			t.Run(test.name, func(t *testing.T) {
				r := c.PushManifest(t, "app", test.reference, test.mediaType, test.body)
				checkError(t, "PUT", r, test.status, test.code)
				checkHeaders(t, "PUT", r, "Docker-Content-Digest", "", "Location", "")
			})
		}
		check(t, "GET of the tag that was never pushed", c.Do(t, "GET", manifestPath("app", "v1"), nil), 404)
		if got := c.Do(t, "GET", "/v2/app/tags/list", nil); string(got.Body) != `{"name":"app","tags":[]}` {
			t.Errorf("tags = %s, want none", got.Body)
		}
	})
}

func TestMissingReferencesAreNamed(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		img, child := servertest.NewImage(1, 100, 200), servertest.NewImage(2)
		c.PushBlob(t, "app", img.Config)
		c.PushBlob(t, "app", img.Layers[1])
		r := c.PushManifest(t, "app", "v1", typeManifest, img.Manifest)
		checkError(t, "PUT without a layer", r, 404, "MANIFEST_BLOB_UNKNOWN")
		want := "Layers with digests '[" + digest.FromBytes(img.Layers[0]).String() +
			"]' required for pushing image into repository with name 'app' in the registry with id '123456789012' do not exist"
		if r.Message() != want {
			t.Errorf("message = %q, want %q", r.Message(), want)
		}
		r = c.PushManifest(t, "app", "v1", typeIndex, servertest.Index(child))
		checkError(t, "PUT of an index without its child", r, 404, "MANIFEST_BLOB_UNKNOWN")
		want = "Images with digests '[" + child.Digest.String() +
			"]' required for pushing image into repository with name 'app' in the registry with id '123456789012' do not exist"
		if r.Message() != want {
			t.Errorf("message = %q, want %q", r.Message(), want)
		}
		// A blob of the child's digest is not the child.
		c.PushBlob(t, "app", child.Manifest)
		checkError(t, "PUT of an index over a blob", c.PushManifest(t, "app", "v1", typeIndex, servertest.Index(child)), 404, "MANIFEST_BLOB_UNKNOWN")
	})
}

// sized returns a manifest of exactly n bytes.
func sized(n int) []byte {
	note := map[string]string{"note": ""}
	m := artifact(func(m *ocispec.Manifest) { m.Annotations = note })
	note["note"] = strings.Repeat("a", n-len(m))
	return artifact(func(m *ocispec.Manifest) { m.Annotations = note })
}

func TestManifestSizeLimit(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		c.PushBlob(t, "app", []byte("{}"))
		const most = 4 << 20
		largest, over := sized(most), sized(most+1)
		if len(largest) != most || len(over) != most+1 {
			t.Fatalf("the manifests have %d and %d bytes", len(largest), len(over))
		}
		stream := func(b []byte) io.Reader { return io.MultiReader(bytes.NewReader(b)) } // of no known size
		check(t, "PUT of 4 MiB", c.PushManifest(t, "app", "most", typeManifest, largest), 201)
		checkManifest(t, c, "app", "most", typeManifest, largest)
		checkManifest(t, c, "app", digestOf(largest), typeManifest, largest)
		check(t, "PUT of 4 MiB in chunks", c.Send(t, "PUT", manifestPath("app", "again"), stream(largest), "Content-Type", typeManifest), 201)
		checkError(t, "PUT of one byte more", c.PushManifest(t, "app", "over", typeManifest, over), 413, "SIZE_INVALID")
		checkError(t, "PUT of one byte more in chunks",
			c.Send(t, "PUT", manifestPath("app", "over"), stream(over), "Content-Type", typeManifest), 413, "SIZE_INVALID")
		check(t, "GET of what was too large", c.Do(t, "GET", manifestPath("app", digestOf(over)), nil), 404)
	})
}

func TestTagParameters(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		img := servertest.NewImage(1, 100)
		c.PushBlobs(t, "app", img)
		put := func(d digest.Digest, tags ...string) *servertest.Response {
			t.Helper()
			path := manifestPath("app", d.String()) + "?" + url.Values{"tag": tags}.Encode()
			return c.Do(t, "PUT", path, img.Manifest, "Content-Type", typeManifest)
		}
		var tags []string
		for i := range 100 {
			tags = append(tags, fmt.Sprintf("v%d", i))
		}
		r := put(img.Digest, tags...)
		check(t, "PUT with 100 tags", r, 201)
		checkHeaders(t, "PUT with 100 tags", r, "OCI-Tag", strings.Join(tags, ", "))
		for _, tag := range []string{"v0", "v57", "v99"} {
			checkManifest(t, c, "app", tag, typeManifest, img.Manifest)
		}
		checkError(t, "PUT with 101 tags", put(img.Digest, append(tags, "new")...), 414, "UNSUPPORTED")
		checkError(t, "PUT with a tag that is none", put(img.Digest, "new", "a b"), 400, "TAG_INVALID")
		checkError(t, "PUT with an empty tag", put(img.Digest, "new", ""), 400, "TAG_INVALID")
		check(t, "GET of a tag of a refused push", c.Do(t, "GET", manifestPath("app", "new"), nil), 404)

		// A tag under another algorithm's digest answers with that digest.
		d := digest.SHA512.FromBytes(img.Manifest)
		r = put(d, "sha512", "sha512")
		check(t, "PUT by sha512", r, 201)
		checkHeaders(t, "PUT by sha512", r, "OCI-Tag", "sha512, sha512", "Docker-Content-Digest", d.String())
		r = c.Do(t, "HEAD", manifestPath("app", "sha512"), nil)
		checkHeaders(t, "HEAD of the tag", r, "Docker-Content-Digest", d.String(), "ETag", `"`+d.String()+`"`)

		// In a push by tag, the path says which tag.
		r = c.Do(t, "PUT", manifestPath("app", "path")+"?tag=query", img.Manifest, "Content-Type", typeManifest)
		check(t, "PUT by tag with a tag", r, 201)
		checkHeaders(t, "PUT by tag with a tag", r, "OCI-Tag", "")
		check(t, "GET of the query's tag", c.Do(t, "GET", manifestPath("app", "query"), nil), 404)
	})
}

// Under two algorithms the same bytes are two images.
func TestSHA512Manifests(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		img := servertest.NewImage(1, 100)
		c.PushBlobs(t, "app", img)
		d := digest.SHA512.FromBytes(img.Manifest)
		r := c.PushManifest(t, "app", d.String(), typeManifest, img.Manifest)
		check(t, "PUT by sha512", r, 201)
		checkHeaders(t, "PUT by sha512", r, "Docker-Content-Digest", d.String(), "Location", manifestPath("app", d.String()))
		checkManifest(t, c, "app", d.String(), typeManifest, img.Manifest)
		check(t, "GET by sha256", c.Do(t, "GET", manifestPath("app", img.Digest.String()), nil), 404)

		// An index may name its children and itself by sha512.
		child := ocispec.Descriptor{MediaType: typeManifest, Digest: d, Size: int64(len(img.Manifest))}
		index := servertest.JSON(map[string]any{"schemaVersion": 2, "mediaType": typeIndex, "manifests": []any{child}})
		di := digest.SHA512.FromBytes(index).String()
		check(t, "PUT of the index", c.PushManifest(t, "app", di, typeIndex, index), 201)
		checkManifest(t, c, "app", di, typeIndex, index)
		checkError(t, "DELETE of the child", c.Do(t, "DELETE", manifestPath("app", d.String()), nil), 405, "UNSUPPORTED")
		check(t, "DELETE of the index", c.Do(t, "DELETE", manifestPath("app", di), nil), 202)
		check(t, "DELETE of the child", c.Do(t, "DELETE", manifestPath("app", d.String()), nil), 202)
		check(t, "GET of the child", c.Do(t, "GET", manifestPath("app", d.String()), nil), 404)
	})
}

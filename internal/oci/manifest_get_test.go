package oci_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"testing"

	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestGetManifest(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "team/app")
		img := servertest.NewImage(1, 100)
		c.Push(t, "team/app", "v1", img)
		for _, reference := range []string{"v1", img.Digest.String()} {
			cache := "no-cache"
			if reference != "v1" {
				cache = "private, max-age=31536000, immutable"
			}
			for _, method := range []string{"GET", "HEAD"} {
				what := method + " " + reference
				r := c.Do(t, method, manifestPath("team/app", reference), nil)
				check(t, what, r, 200)
				checkHeaders(t, what, r, "Content-Type", typeManifest, "Content-Length", strconv.Itoa(len(img.Manifest)),
					"Docker-Content-Digest", img.Digest.String(), "ETag", `"`+img.Digest.String()+`"`, "Cache-Control", cache,
					"Docker-Distribution-Api-Version", "registry/2.0", "X-Content-Type-Options", "nosniff")
				want := img.Manifest
				if method == "HEAD" {
					want = nil
				}
				if string(r.Body) != string(want) {
					t.Errorf("%s: body = %q, want the manifest pushed", what, r.Body)
				}
			}
		}
	})
}

func TestAbsentManifestsAreNotFound(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "team/app", "other")
		img := servertest.NewImage(1, 100)
		c.Push(t, "other", "v1", img)
		for _, reference := range []string{
			"v1", "absent", img.Digest.String(), digest.FromString("x").String(), digest.SHA512.FromString("x").String(),
			"-no-tag", "no tag",
		} {
			path := manifestPath("team/app", reference)
			checkError(t, "GET "+reference, c.Do(t, "GET", path, nil), 404, "MANIFEST_UNKNOWN")
			check(t, "HEAD "+reference, c.Do(t, "HEAD", path, nil), 404)
		}
		// A blob is no manifest, even if its bytes are one's.
		c.PushBlob(t, "team/app", img.Manifest)
		checkError(t, "GET of a blob as a manifest", c.Do(t, "GET", manifestPath("team/app", img.Digest.String()), nil), 404, "MANIFEST_UNKNOWN")
		checkNoBlob(t, c, "other", img.Digest)
	})
}

func TestManifestIfNoneMatch(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		img := servertest.NewImage(1, 100)
		c.Push(t, "app", "v1", img)
		d, other := img.Digest.String(), digest.FromString("other").String()
		for _, test := range []struct {
			name, header string
			status       int
		}{
			{"the same tag", `"` + d + `"`, 304},
			{"a weak tag", `W/"` + d + `"`, 304},
			{"without quotes", d, 304},
			{"any", `*`, 304},
			{"a list", `"` + other + `", "` + d + `"`, 304},
			{"a list without spaces", `"` + other + `",W/"` + d + `"`, 304},
			{"another tag", `"` + other + `"`, 200},
			{"a list of others", `"` + other + `", "sha256:abc"`, 200},
			{"a part of the tag", `"` + d[:70] + `"`, 200},
			{"nonsense", `",,"`, 200},
		} {
			t.Run(test.name, func(t *testing.T) {
				for _, reference := range []string{"v1", d} {
					for _, method := range []string{"GET", "HEAD"} {
						what := method + " " + reference + " If-None-Match: " + test.header
						r := c.Do(t, method, manifestPath("app", reference), nil, "If-None-Match", test.header)
						check(t, what, r, test.status)
						checkHeaders(t, what, r, "ETag", `"`+d+`"`, "Docker-Content-Digest", d)
						if test.status == http.StatusNotModified && len(r.Body) > 0 {
							t.Errorf("%s: body = %q, want none", what, r.Body)
						}
					}
				}
			})
		}
	})
}

// A manifest is served as what it was pushed as, by whatever name it is asked for
// and whatever the client says it accepts; but one who accepts Docker's types and
// not OCI's, or the other way, gets what it can read if it asks by tag.
func TestAcceptConvertsTagsOnly(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		img := servertest.NewImage(1, 100)
		c.Push(t, "app", "v1", img)
		for _, accept := range []string{
			"", "*/*", "application/*", typeManifest, typeDocker, typeManifest + ", " + typeDocker, typeIndex + ", " + typeDockerList,
			"text/plain;q=0.5", ";;,,", typeManifest + ";q=0",
		} {
			for _, reference := range []string{"v1", img.Digest.String()} {
				what := "GET " + reference + " with Accept: " + accept
				r := c.Do(t, "GET", manifestPath("app", reference), nil, "Accept", accept)
				check(t, what, r, 200)
				if reference == "v1" && accept == typeDocker {
					checkHeaders(t, what, r, "Content-Type", typeDocker, "Docker-Content-Digest", digestOf(r.Body))
					continue
				}
				checkHeaders(t, what, r, "Content-Type", typeManifest, "Docker-Content-Digest", img.Digest.String())
			}
		}

		// What is converted and pushed again converts back to what it was made of.
		docker := c.Do(t, "GET", manifestPath("app", "v1"), nil, "Accept", typeDocker).Body
		c.PushManifest(t, "app", "v2", typeDocker, docker).Want(t, 201)
		r := c.Do(t, "GET", manifestPath("app", "v2"), nil, "Accept", typeManifest).Want(t, 200)
		checkHeaders(t, "GET of Docker's as OCI's", r, "Content-Type", typeManifest)
		var got, want ocispec.Manifest
		if err := errors.Join(json.Unmarshal(r.Body, &got), json.Unmarshal(img.Manifest, &want)); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("converted there and back = %+v, want %+v", got, want)
		}
	})
}

// What the other family has no words for is served as it is.
func TestAcceptConvertsNoArtifacts(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		img := servertest.NewImage(1, 100)
		c.Push(t, "app", "v1", img)
		c.PushBlob(t, "app", []byte("{}"))
		c.PushManifest(t, "app", "sbom", typeManifest, servertest.Referrer(img, "application/vnd.example.sbom", "1")).Want(t, 201)
		c.PushManifest(t, "app", "index", typeIndex, servertest.Index(img)).Want(t, 201)
		for tag, want := range map[string]string{"sbom": typeManifest, "index": typeIndex} {
			r := c.Do(t, "GET", manifestPath("app", tag), nil, "Accept", typeDocker)
			checkHeaders(t, "GET "+tag, r, "Content-Type", want)
		}
	})
}

func TestTagMovesAndTheOldImageStays(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		first, second := servertest.NewImage(1, 100), servertest.NewImage(2, 100)
		c.Push(t, "app", "latest", first)
		etag := c.Do(t, "GET", manifestPath("app", "latest"), nil).Want(t, 200).Header.Get("ETag")
		c.Push(t, "app", "latest", second)
		r := c.Do(t, "GET", manifestPath("app", "latest"), nil, "If-None-Match", etag).Want(t, 200)
		checkHeaders(t, "GET of the moved tag", r, "Docker-Content-Digest", second.Digest.String())
		checkManifest(t, c, "app", "latest", typeManifest, second.Manifest)
		checkManifest(t, c, "app", first.Digest.String(), typeManifest, first.Manifest)
		// Moving it back needs no new image.
		c.PushManifest(t, "app", "latest", typeManifest, first.Manifest).Want(t, 201)
		checkManifest(t, c, "app", "latest", typeManifest, first.Manifest)
	})
}

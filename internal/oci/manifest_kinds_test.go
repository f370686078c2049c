package oci_test

import (
	"fmt"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// pushed uploads a blob and returns its descriptor.
func pushed(t testing.TB, c *servertest.Client, mediaType, content string) ocispec.Descriptor {
	t.Helper()
	c.PushBlob(t, "app", []byte(content))
	return servertest.Descriptor(mediaType, []byte(content))
}

// absent returns the descriptor of a blob or manifest that is not stored.
func absent(mediaType, content string, urls ...string) ocispec.Descriptor {
	d := servertest.Descriptor(mediaType, []byte(content))
	d.URLs = urls
	return d
}

// pushedImage uploads a small image by digest and returns its descriptor.
func pushedImage(t testing.TB, c *servertest.Client, seed uint64) ocispec.Descriptor {
	t.Helper()
	img := servertest.NewImage(seed, 64)
	c.Push(t, "app", img.Digest.String(), img)
	return servertest.Descriptor(typeManifest, img.Manifest)
}

// document is a manifest of any shape.
type document struct {
	SchemaVersion int                  `json:"schemaVersion,omitempty"`
	MediaType     string               `json:"mediaType,omitempty"`
	ArtifactType  string               `json:"artifactType,omitempty"`
	Config        *ocispec.Descriptor  `json:"config,omitempty"`
	Layers        []ocispec.Descriptor `json:"layers,omitempty"`
	Blobs         []ocispec.Descriptor `json:"blobs,omitempty"`
	Manifests     []ocispec.Descriptor `json:"manifests,omitempty"`
	Annotations   map[string]string    `json:"annotations,omitempty"`
}

// list is an index's document, with a list of manifests even if it is empty.
func list(mediaType string, manifests ...ocispec.Descriptor) []byte {
	return servertest.JSON(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: mediaType, Manifests: append([]ocispec.Descriptor{}, manifests...)})
}

// image returns an image manifest over a configuration and layers.
func image(mediaType string, config ocispec.Descriptor, layers ...ocispec.Descriptor) []byte {
	return servertest.JSON(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: mediaType, Config: config, Layers: append([]ocispec.Descriptor{}, layers...),
	})
}

// kinds are manifests of all sorts that are accepted. Each is made after what it
// needs has been pushed to the repository app.
var kinds = []struct {
	name, mediaType string
	make            func(testing.TB, *servertest.Client) []byte
}{
	{"an image without layers", typeManifest, func(t testing.TB, c *servertest.Client) []byte {
		return image(typeManifest, pushed(t, c, ocispec.MediaTypeImageConfig, `{"os":"linux"}`))
	}},
	{"an image that does not name its type", typeManifest, func(t testing.TB, c *servertest.Client) []byte {
		return image("", pushed(t, c, ocispec.MediaTypeImageConfig, `{"os":"plan9"}`))
	}},
	{"an index that does not name its type", typeIndex, func(t testing.TB, c *servertest.Client) []byte {
		return list("", pushedImage(t, c, 10))
	}},
	{"Docker's schema 2", typeDocker, func(t testing.TB, c *servertest.Client) []byte {
		return image(typeDocker, pushed(t, c, "application/vnd.docker.container.image.v1+json", `{"a":1}`),
			pushed(t, c, "application/vnd.docker.image.rootfs.diff.tar.gzip", "docker layer"))
	}},
	{"Docker's manifest list", typeDockerList, func(t testing.TB, c *servertest.Client) []byte {
		m := image(typeDocker, pushed(t, c, "application/vnd.docker.container.image.v1+json", `{"a":2}`))
		c.PushManifest(t, "app", digestOf(m), typeDocker, m).Want(t, 201)
		return list(typeDockerList, servertest.Descriptor(typeDocker, m))
	}},
	{"layers of Docker's foreign type", typeDocker, func(t testing.TB, c *servertest.Client) []byte {
		return image(typeDocker, pushed(t, c, "application/vnd.docker.container.image.v1+json", `{"a":3}`),
			absent("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "windows", "https://mcr.example/layer"),
			pushed(t, c, "application/vnd.docker.image.rootfs.diff.tar.gzip", "on windows"))
	}},
	{"layers that must not be distributed", typeManifest, func(t testing.TB, c *servertest.Client) []byte {
		return image(typeManifest, pushed(t, c, ocispec.MediaTypeImageConfig, `{"a":4}`),
			absent("application/vnd.oci.image.layer.nondistributable.v1.tar", "n1"),
			absent("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "n2", "https://store.example/n2"),
			absent("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", "n3"),
			pushed(t, c, typeLayer, "distributable"))
	}},
	{"a layer that is elsewhere", typeManifest, func(t testing.TB, c *servertest.Client) []byte {
		return image(typeManifest, pushed(t, c, ocispec.MediaTypeImageConfig, `{"a":5}`), absent(typeLayer, "u1", "https://store.example/u1"))
	}},
	{"a layer of the zstd type", typeManifest, func(t testing.TB, c *servertest.Client) []byte {
		return image(typeManifest, pushed(t, c, ocispec.MediaTypeImageConfig, `{"a":6}`), pushed(t, c, ocispec.MediaTypeImageLayerZstd, "zstd"))
	}},
	{"layers of unknown types", typeManifest, func(t testing.TB, c *servertest.Client) []byte {
		return image(typeManifest, pushed(t, c, "application/vnd.example.config.v9", "config"),
			pushed(t, c, "application/vnd.example.layer.v9", "layer"), pushed(t, c, "", "no type"), pushed(t, c, "no slash", "odd type"))
	}},
	{"the same layer twice", typeManifest, func(t testing.TB, c *servertest.Client) []byte {
		l := pushed(t, c, typeLayer, "twice")
		return image(typeManifest, pushed(t, c, ocispec.MediaTypeImageConfig, `{"a":7}`), l, l)
	}},
	{"an artifact", typeManifest, func(t testing.TB, c *servertest.Client) []byte {
		config := pushed(t, c, ocispec.MediaTypeEmptyJSON, "{}")
		return servertest.JSON(document{SchemaVersion: 2, MediaType: typeManifest, ArtifactType: "application/vnd.example.sbom.v1",
			Config: &config, Layers: []ocispec.Descriptor{pushed(t, c, "text/plain", "sbom")}})
	}},
	{"an artifact whose layer is its configuration", typeManifest, func(t testing.TB, c *servertest.Client) []byte {
		config := pushed(t, c, ocispec.MediaTypeEmptyJSON, "{}")
		return servertest.JSON(document{SchemaVersion: 2, MediaType: typeManifest, ArtifactType: "application/vnd.example.note.v1",
			Config: &config, Layers: []ocispec.Descriptor{config}})
	}},
	{"an artifact of OCI 1.1's release candidate", "application/vnd.oci.artifact.manifest.v1+json", func(t testing.TB, c *servertest.Client) []byte {
		return servertest.JSON(document{MediaType: "application/vnd.oci.artifact.manifest.v1+json", ArtifactType: "a/b",
			Blobs: []ocispec.Descriptor{pushed(t, c, "text/plain", "blob")}})
	}},
	{"an artifact of ORAS", "application/vnd.cncf.oras.artifact.manifest.v1+json", func(t testing.TB, c *servertest.Client) []byte {
		return servertest.JSON(document{MediaType: "application/vnd.cncf.oras.artifact.manifest.v1+json", ArtifactType: "a/b",
			Blobs: []ocispec.Descriptor{pushed(t, c, "text/plain", "oras")}})
	}},
	{"an index", typeIndex, func(t testing.TB, c *servertest.Client) []byte {
		return list(typeIndex, pushedImage(t, c, 20), pushedImage(t, c, 21))
	}},
	{"an index with an artifact type", typeIndex, func(t testing.TB, c *servertest.Client) []byte {
		return servertest.JSON(document{SchemaVersion: 2, MediaType: typeIndex, ArtifactType: "application/vnd.example.bundle.v1",
			Manifests: []ocispec.Descriptor{pushedImage(t, c, 22)}})
	}},
	{"an index of indexes", typeIndex, func(t testing.TB, c *servertest.Client) []byte {
		var inner []ocispec.Descriptor
		for seed := uint64(30); seed < 32; seed++ {
			m := list(typeIndex, pushedImage(t, c, seed))
			c.PushManifest(t, "app", digestOf(m), typeIndex, m).Want(t, 201)
			inner = append(inner, servertest.Descriptor(typeIndex, m))
		}
		return list(typeIndex, inner...)
	}},
	{"an empty index", typeIndex, func(testing.TB, *servertest.Client) []byte { return list(typeIndex) }},
	{"an index that lists a child twice", typeIndex, func(t testing.TB, c *servertest.Client) []byte {
		d := pushedImage(t, c, 23)
		return list(typeIndex, d, d)
	}},
	{"a build cache of BuildKit", typeIndex, func(t testing.TB, c *servertest.Client) []byte {
		return list(typeIndex, pushed(t, c, typeLayer, "cached layer"), pushed(t, c, ocispec.MediaTypeImageLayerZstd, "another"),
			pushed(t, c, "application/vnd.buildkit.cacheconfig.v0", `{"layers":[],"records":[]}`))
	}},
	{"a build cache of BuildKit as a manifest list", typeDockerList, func(t testing.TB, c *servertest.Client) []byte {
		return list(typeDockerList, pushed(t, c, "application/vnd.docker.image.rootfs.diff.tar.gzip", "cached layer"),
			pushed(t, c, "application/vnd.buildkit.cacheconfig.v0", `{"layers":[1],"records":[]}`))
	}},
	{"a build cache of BuildKit as an image", typeManifest, func(t testing.TB, c *servertest.Client) []byte {
		return image(typeManifest, pushed(t, c, "application/vnd.buildkit.cacheconfig.v0", `{"layers":[2]}`), pushed(t, c, typeLayer, "cached layer"))
	}},
	{"an attestation beside its image", typeIndex, func(t testing.TB, c *servertest.Client) []byte {
		m := image(typeManifest, pushed(t, c, ocispec.MediaTypeImageConfig, `{"a":8}`), pushed(t, c, "application/vnd.in-toto+json", `{"_type":"x"}`))
		c.PushManifest(t, "app", digestOf(m), typeManifest, m).Want(t, 201)
		child, attestation := pushedImage(t, c, 24), servertest.Descriptor(typeManifest, m)
		attestation.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
		attestation.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": child.Digest.String()}
		return list(typeIndex, child, attestation)
	}},
	{"descriptors with data", typeManifest, func(t testing.TB, c *servertest.Client) []byte {
		config := pushed(t, c, ocispec.MediaTypeImageConfig, `{"a":9}`)
		config.Data = []byte(`{"a":9}`)
		return image(typeManifest, config)
	}},
	{"members that nobody knows", typeManifest, func(t testing.TB, c *servertest.Client) []byte {
		m := image(typeManifest, pushed(t, c, ocispec.MediaTypeImageConfig, `{"a":10}`))
		return []byte(strings.Replace(string(m), "{", `{ "org.example.custom" : {"deep":[{"digest":1,"Digest":2}]} , `, 1))
	}},
	{"white space at will", typeManifest, func(t testing.TB, c *servertest.Client) []byte {
		m := image(typeManifest, pushed(t, c, ocispec.MediaTypeImageConfig, `{"a":11}`))
		return []byte("\r\n\t " + strings.ReplaceAll(string(m), ",", " ,\n") + "\n")
	}},
}

func TestKindsOfManifests(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		type stored struct {
			mediaType string
			bytes     []byte
		}
		all := map[string]stored{}
		for i, kind := range kinds {
			t.Run(kind.name, func(t *testing.T) {
				m := kind.make(t, c)
				tag := fmt.Sprintf("kind%d", i)
				r := c.PushManifest(t, "app", tag, kind.mediaType, m)
				check(t, "PUT", r, 201)
				checkHeaders(t, "PUT", r, "Docker-Content-Digest", digestOf(m))
				checkManifest(t, c, "app", tag, kind.mediaType, m)
				checkManifest(t, c, "app", digestOf(m), kind.mediaType, m)
				all[tag] = stored{kind.mediaType, m}
			})
		}
		// The type that a manifest was pushed as is its type for ever: after a
		// restart, and after it was sent as something else.
		restart(t, s, c)
		for tag, m := range all {
			for _, other := range []string{typeManifest, typeIndex, typeDocker, typeDockerList} {
				if other != m.mediaType {
					checkError(t, "PUT as "+other, c.PushManifest(t, "app", tag, other, m.bytes), 400, "MANIFEST_INVALID")
				}
			}
			checkManifest(t, c, "app", tag, m.mediaType, m.bytes)
			checkManifest(t, c, "app", digestOf(m.bytes), m.mediaType, m.bytes)
		}
	})
}

func TestManifestsWithMissingPartsAreRefused(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app", "elsewhere")
		config := pushed(t, c, ocispec.MediaTypeImageConfig, `{"a":1}`)
		child := pushedImage(t, c, 1)
		other := servertest.NewImage(2, 64)
		c.Push(t, "elsewhere", "v1", other)
		inner := list(typeIndex, child)
		for _, test := range []struct {
			name, mediaType string
			manifest        []byte
		}{
			{"a sparse index", typeIndex, list(typeIndex, child, absent(typeManifest, "missing"))},
			{"a sparse manifest list", typeDockerList, list(typeDockerList, absent(typeDocker, "missing"))},
			{"an index over an index that was not pushed", typeIndex, list(typeIndex, servertest.Descriptor(typeIndex, inner))},
			{"an index over another repository's image", typeIndex, list(typeIndex, servertest.Descriptor(typeManifest, other.Manifest))},
			{"an index whose child has urls", typeIndex, list(typeIndex, absent(typeManifest, "missing", "https://store.example/m"))},
			{"a build cache without a layer", typeIndex, list(typeIndex, config, absent(typeLayer, "missing"))},
			{"an image without its configuration", typeManifest, image(typeManifest, absent(ocispec.MediaTypeImageConfig, "missing"))},
			{"an image without a layer", typeManifest, image(typeManifest, config, absent(typeLayer, "missing"))},
			{"an image with another repository's layer", typeManifest, image(typeManifest, config, servertest.Descriptor(typeLayer, other.Layers[0]))},
			{"an image without a zstd layer", typeManifest, image(typeManifest, config, absent(ocispec.MediaTypeImageLayerZstd, "missing"))},
			{"an image without a layer of an unknown type", typeManifest, image(typeManifest, config, absent("a/b", "missing"))},
			{"an artifact without its blob", "application/vnd.oci.artifact.manifest.v1+json", servertest.JSON(document{
				MediaType: "application/vnd.oci.artifact.manifest.v1+json", Blobs: []ocispec.Descriptor{absent("a/b", "missing")}})},
		} {
			t.Run(test.name, func(t *testing.T) {
				checkError(t, "PUT", c.PushManifest(t, "app", "v1", test.mediaType, test.manifest), 404, "MANIFEST_BLOB_UNKNOWN")
				check(t, "GET", c.Do(t, "GET", manifestPath("app", digest.FromBytes(test.manifest).String()), nil), 404)
			})
		}
	})
}

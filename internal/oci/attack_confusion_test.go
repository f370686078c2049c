package oci_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"berth/internal/servertest"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Documents that two clients could read differently. CONFIG, LAYER, MISSING and
// CHILD stand for descriptors' contents, without braces; the layer and the child
// are in the repository.
var ambiguous = []struct{ name, mediaType, document string }{
	{"an image with a list of manifests", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"layers":[],"manifests":[{CHILD}]}`},
	{"an image with an empty list of manifests", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"layers":[],"manifests":[]}`},
	{"an index with layers", typeIndex, `{"schemaVersion":2,"manifests":[{CHILD}],"layers":[{LAYER}]}`},
	{"an index with configuration and layers", typeIndex, `{"schemaVersion":2,"manifests":[{CHILD}],"config":{CONFIG},"layers":[]}`},
	{"an image with blobs", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"layers":[],"blobs":[{LAYER}]}`},
	{"an artifact with layers", "application/vnd.oci.artifact.manifest.v1+json", `{"blobs":[{LAYER}],"layers":[{LAYER}]}`},
	{"an artifact with manifests", "application/vnd.oci.artifact.manifest.v1+json", `{"blobs":[{LAYER}],"manifests":[{CHILD}]}`},
	{"an image with layers of schema 1", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"layers":[],"fsLayers":[]}`},
	{"another type than it was sent as", typeManifest, `{"schemaVersion":2,"mediaType":"` + typeIndex + `","config":{CONFIG},"layers":[]}`},
	{"another type in another case", typeManifest, `{"schemaVersion":2,"mediaType":"` + strings.ToUpper(typeManifest) + `","config":{CONFIG},"layers":[]}`},
	{"layers twice", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"layers":[{LAYER}],"layers":[]}`},
	{"layers twice, once escaped", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"layers":[{LAYER}],"layer\u0073":[]}`},
	{"the same layers twice", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"layers":[],"layers":[]}`},
	{"the type twice", typeManifest, `{"schemaVersion":2,"mediaType":"` + typeManifest + `","mediaType":"` + typeManifest + `","config":{CONFIG},"layers":[]}`},
	{"layers in capitals", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"layers":[],"Layers":[{LAYER}]}`},
	{"layers in capitals only", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"LAYERS":[{LAYER}]}`},
	{"layers with a long s", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"layers":[],"layer\u017f":[{LAYER}]}`},
	{"manifests with a long s", typeIndex, `{"schemaVersion":2,"manifests":[{CHILD}],"manife` + "\u017f" + `ts":[]}`},
	{"a subject with a long s", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"layers":[],"` + "\u017f" + `ubject":{CHILD}}`},
	{"manifests with capitals", typeIndex, `{"schemaVersion":2,"manifests":[{CHILD}],"Manifests":[]}`},
	{"the type in other letters", typeManifest, `{"schemaVersion":2,"MediaType":"` + typeIndex + `","config":{CONFIG},"layers":[]}`},
	{"the version in other letters", typeManifest, `{"schemaversion":2,"config":{CONFIG},"layers":[]}`},
	{"a digest twice", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"layers":[{LAYER,"digest":"sha256:` + strings.Repeat("0", 64) + `"}]}`},
	{"a digest in capitals", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"layers":[{LAYER,"Digest":"sha256:` + strings.Repeat("0", 64) + `"}]}`},
	{"a digest in a configuration in capitals", typeManifest, `{"schemaVersion":2,"config":{CONFIG,"DIGEST":"sha256:` + strings.Repeat("0", 64) + `"},"layers":[]}`},
	{"urls with a long s", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"layers":[{MISSING,"url` + "\u017f" + `":["https://store.example"]}]}`},
	{"a size with a long s", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"layers":[{LAYER,"` + "\u017f" + `ize":1}]}`},
	{"a platform in capitals", typeIndex, `{"schemaVersion":2,"manifests":[{CHILD,"platform":{"os":"linux","OS":"windows"}}]}`},
	{"a size twice", typeIndex, `{"schemaVersion":2,"manifests":[{CHILD,"size":1}]}`},
	{"an annotation twice", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"layers":[],"annotations":{"a":"1","a":"2"}}`},
	{"an unknown member twice", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"layers":[],"x":1,"x":2}`},
	{"what is not UTF-8", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"layers":[],"x":"` + "\xff" + `"}`},
	{"a byte order mark", typeManifest, "\ufeff" + `{"schemaVersion":2,"config":{CONFIG},"layers":[]}`},
	{"a comment", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"layers":[]/* layers */}`},
	{"a comma too many", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"layers":[],}`},
	{"bytes after the document", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"layers":[]}{}`},
	{"a NUL after the document", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"layers":[]}` + "\x00"},
	{"null layers", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"layers":null}`},
	{"a null configuration", typeManifest, `{"schemaVersion":2,"config":null,"layers":[]}`},
	{"a NUL in a media type", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"layers":[],"artifactType":"a/b\u0000"}`},
	{"layers that are no list", typeManifest, `{"schemaVersion":2,"config":{CONFIG},"layers":{}}`},
	{"numbers that are no version", typeManifest, `{"schemaVersion":2.5,"config":{CONFIG},"layers":[]}`},
}

func TestAmbiguousManifestsAreRefused(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		bare := func(d ocispec.Descriptor) string { return strings.Trim(string(servertest.JSON(d)), "{}") }
		fill := strings.NewReplacer(
			"CONFIG", bare(pushed(t, c, ocispec.MediaTypeImageConfig, `{"a":1}`)), "LAYER", bare(pushed(t, c, typeLayer, "layer")),
			"CHILD", bare(pushedImage(t, c, 1)), "MISSING", bare(absent(typeLayer, "missing")))
		for _, test := range ambiguous {
			t.Run(test.name, func(t *testing.T) {
				document := []byte(fill.Replace(test.document))
				for _, reference := range []string{"v1", digestOf(document)} {
					checkError(t, "PUT", c.PushManifest(t, "app", reference, test.mediaType, document), 400, "MANIFEST_INVALID")
					check(t, "GET", c.Do(t, "GET", manifestPath("app", reference), nil), 404)
				}
			})
		}
		// The same without what was wrong is accepted.
		document := []byte(fill.Replace(`{"schemaVersion":2,"config":{CONFIG},"layers":[{LAYER}],"x":{"Digest":1,"digest":2},"annotations":{"a":"1","A":"2"}}`))
		check(t, "PUT of a clear one", c.PushManifest(t, "app", "v1", typeManifest, document), 201)
	})
}

// A stored type cannot be changed by sending the same bytes as something else,
// not even bytes that do not say what they are and would do as both.
func TestStoredTypeCannotBeChanged(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app", "other")
		for _, repository := range []string{"app", "other"} {
			c.PushBlob(t, repository, []byte("{}"))
		}
		m := image("", servertest.Descriptor("application/vnd.docker.container.image.v1+json", []byte("{}")))
		check(t, "PUT as OCI", c.PushManifest(t, "app", "v1", typeManifest, m), 201)
		for _, reference := range []string{"v1", "v2", digestOf(m)} {
			for _, mediaType := range []string{typeDocker, typeIndex, typeDockerList, "application/vnd.oci.artifact.manifest.v1+json", "text/html", ""} {
				checkError(t, "PUT "+reference+" as "+mediaType, c.PushManifest(t, "app", reference, mediaType, m), 400, "MANIFEST_INVALID")
			}
		}
		check(t, "GET of a refused tag", c.Do(t, "GET", manifestPath("app", "v2"), nil), 404)
		// What another repository holds the bytes as is its own matter.
		check(t, "PUT as Docker's elsewhere", c.PushManifest(t, "other", "v1", typeDocker, m), 201)
		for _, reference := range []string{"v1", digestOf(m)} {
			checkManifest(t, c, "app", reference, typeManifest, m)
			checkManifest(t, c, "other", reference, typeDocker, m)
		}
		// Deleted and pushed again, it is a new image.
		c.Do(t, "DELETE", manifestPath("app", "v1"), nil).Want(t, 202)
		check(t, "PUT as Docker's", c.PushManifest(t, "app", "v1", typeDocker, m), 201)
		checkManifest(t, c, "app", "v1", typeDocker, m)
	})
}

func TestDeepDocumentsAreRefused(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		const depth = 100_000
		for name, document := range map[string]string{
			"arrays":                strings.Repeat("[", depth),
			"closed arrays":         strings.Repeat("[", depth) + strings.Repeat("]", depth),
			"objects":               strings.Repeat(`{"a":`, depth),
			"closed objects":        strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth),
			"layers in layers":      `{"schemaVersion":2,"layers":` + strings.Repeat(`[{"layers":`, depth),
			"annotations":           `{"schemaVersion":2,"annotations":` + strings.Repeat(`{"a":`, depth),
			"an unknown member":     `{"schemaVersion":2,"x":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + "}",
			"a descriptor's member": `{"schemaVersion":2,"config":{"platform":` + strings.Repeat("[", depth),
		} {
			for _, mediaType := range []string{typeManifest, typeIndex} {
				checkError(t, "PUT of "+name, c.PushManifest(t, "app", "deep", mediaType, []byte(document)), 400, "MANIFEST_INVALID")
			}
		}
	})
}

// Indexes may nest as deep as somebody pushes them, one by one; work on one of
// them does not go down.
func TestIndexesOfIndexes(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		child := pushedImage(t, c, 1)
		var digests []string
		for range 50 {
			m := list(typeIndex, child)
			c.PushManifest(t, "app", digestOf(m), typeIndex, m).Want(t, 201)
			child = servertest.Descriptor(typeIndex, m)
			digests = append(digests, digestOf(m))
		}
		for i := range digests {
			d := digests[len(digests)-1-i]
			if i > 0 { // what is on top of it is gone
				check(t, "GET", c.Do(t, "GET", manifestPath("app", digests[len(digests)-i]), nil), 404)
			}
			check(t, fmt.Sprintf("DELETE of index %d", i), c.Do(t, "DELETE", manifestPath("app", d), nil), 202)
		}
	})
}

// A manifest may name as much as its size allows.
func TestManifestOfManyDescriptors(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	c := begin(t, s, "app")
	var many []ocispec.Descriptor
	for i := range 20_000 {
		many = append(many, absent(typeLayer, fmt.Sprint(i)))
	}
	r := c.PushManifest(t, "app", "v1", typeManifest, image(typeManifest, pushed(t, c, "a/b", "{}"), many...))
	checkError(t, "PUT of 20,000 missing layers", r, 404, "MANIFEST_BLOB_UNKNOWN")
	same := bytes.Repeat([]byte(string(servertest.JSON(pushed(t, c, typeLayer, "layer")))+","), 20_000)
	m := bytes.Replace(image(typeManifest, pushed(t, c, "a/b", "{}")), []byte(`"layers":[]`), append([]byte(`"layers":[`), append(same[:len(same)-1], ']')...), 1)
	check(t, "PUT of one layer 20,000 times", c.PushManifest(t, "app", "v1", typeManifest, m), 201)
	checkManifest(t, c, "app", "v1", typeManifest, m)
}

package servertest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Image is a small image: the same for the same seed.
type Image struct {
	Config   []byte
	Layers   [][]byte
	Manifest []byte
	Digest   digest.Digest
}

// NewImage returns an image with layers of the sizes given.
func NewImage(seed uint64, sizes ...int) Image {
	img := Image{Config: fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":{"Labels":{"seed":"%d"}}}`, seed)}
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: Descriptor(ocispec.MediaTypeImageConfig, img.Config), Layers: []ocispec.Descriptor{},
	}
	for i, n := range sizes {
		layer := Bytes(seed*1000+uint64(i), n)
		img.Layers = append(img.Layers, layer)
		m.Layers = append(m.Layers, Descriptor(ocispec.MediaTypeImageLayerGzip, layer))
	}
	img.Manifest = JSON(m)
	img.Digest = digest.FromBytes(img.Manifest)
	return img
}

// Bytes returns n bytes: the same for the same seed.
func Bytes(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)})
	_, _ = r.Read(b) // never fails
	return b
}

// Descriptor returns the descriptor of some content.
func Descriptor(mediaType string, content []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
}

// Index returns an index of images.
func Index(children ...Image) []byte {
	m := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, c := range children {
		m.Manifests = append(m.Manifests, Descriptor(ocispec.MediaTypeImageManifest, c.Manifest))
	}
	return JSON(m)
}

// Referrer returns an artifact without layers that names an image as its subject.
// Another n makes it another artifact. Its configuration is the empty document.
func Referrer(subject Image, artifactType, n string) []byte {
	config := ocispec.DescriptorEmptyJSON
	config.Data = nil
	of := Descriptor(ocispec.MediaTypeImageManifest, subject.Manifest)
	return JSON(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: artifactType,
		Config: config, Layers: []ocispec.Descriptor{}, Subject: &of, Annotations: map[string]string{"n": n},
	})
}

// JSON encodes a document that can be encoded.
func JSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// PushBlob uploads a blob in one request.
func (c *Client) PushBlob(t testing.TB, repository string, content []byte) {
	t.Helper()
	start := c.Do(t, "POST", "/v2/"+repository+"/blobs/uploads/", nil).Want(t, 202)
	location := start.Header.Get("Location") + "?digest=" + url.QueryEscape(digest.FromBytes(content).String())
	c.Do(t, "PUT", location, content, "Content-Type", "application/octet-stream").Want(t, 201)
}

// PushManifest puts a manifest under a tag or digest.
func (c *Client) PushManifest(t testing.TB, repository, reference, mediaType string, manifest []byte) *Response {
	t.Helper()
	return c.Do(t, "PUT", "/v2/"+repository+"/manifests/"+reference, manifest, "Content-Type", mediaType)
}

// PushBlobs uploads an image's layers and configuration.
func (c *Client) PushBlobs(t testing.TB, repository string, img Image) {
	t.Helper()
	c.PushBlob(t, repository, img.Config)
	for _, l := range img.Layers {
		c.PushBlob(t, repository, l)
	}
}

// Push uploads an image and puts it under a tag or its digest.
func (c *Client) Push(t testing.TB, repository, reference string, img Image) {
	t.Helper()
	c.PushBlobs(t, repository, img)
	c.PushManifest(t, repository, reference, ocispec.MediaTypeImageManifest, img.Manifest).Want(t, 201)
}

func (r *Response) field(name string) string {
	var body struct {
		Errors []map[string]any `json:"errors"`
	}
	if json.Unmarshal(r.Body, &body) != nil || len(body.Errors) == 0 {
		return ""
	}
	s, _ := body.Errors[0][name].(string)
	return s
}

//go:build unix

package storm

import (
	"fmt"
	"math/rand/v2"

	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// content is a layer or a configuration.
type content struct {
	bytes  []byte
	digest digest.Digest
}

func newContent(b []byte) content { return content{b, digest.FromBytes(b)} }

// random returns n bytes that are like no others.
func random(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(r.Uint32())
	}
	_, _ = rand.NewChaCha8(seed).Read(b) // never fails
	return b
}

// someSize returns the size of a layer: more than 64 KiB are in the bucket, less in the
// database.
func someSize(r *rand.Rand) int {
	if r.IntN(5) < 2 {
		return 65<<10 + r.IntN(120<<10)
	}
	return 100 + r.IntN(4000)
}

// someShared returns a layer that many images have; of some it is seldom any.
func (s *storm) someShared(r *rand.Rand) content {
	f := r.Float64()
	return s.shared[int(f*f*f*float64(len(s.shared)))]
}

// image is a manifest and what has to be pushed before it.
type image struct {
	layers    []content
	manifest  []byte
	digest    digest.Digest
	mediaType string
}

// newImage returns an image like no other, with layers that others have too.
func (w *worker) newImage(subject *ocispec.Descriptor) image {
	config := newContent(fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"author":"%x"}`, random(w.r, 16)))
	img := image{layers: []content{config}, mediaType: ocispec.MediaTypeImageManifest}
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Subject: subject,
		Config: servertest.Descriptor(ocispec.MediaTypeImageConfig, config.bytes), Layers: []ocispec.Descriptor{},
		Annotations: map[string]string{"n": fmt.Sprintf("%x", random(w.r, 8))},
	}
	for range 1 + w.r.IntN(3) {
		l := w.someShared(w.r)
		if w.r.IntN(2) == 0 {
			l = newContent(random(w.r, someSize(w.r)))
		}
		img.layers = append(img.layers, l)
		m.Layers = append(m.Layers, servertest.Descriptor(ocispec.MediaTypeImageLayerGzip, l.bytes))
	}
	img.manifest = servertest.JSON(m)
	img.digest = digest.FromBytes(img.manifest)
	return img
}

// newIndex returns an index of images.
func (w *worker) newIndex(children []image) image {
	m := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Annotations: map[string]string{"n": fmt.Sprintf("%x", random(w.r, 8))}}
	for _, c := range children {
		m.Manifests = append(m.Manifests, servertest.Descriptor(ocispec.MediaTypeImageManifest, c.manifest))
	}
	img := image{manifest: servertest.JSON(m), mediaType: ocispec.MediaTypeImageIndex}
	img.digest = digest.FromBytes(img.manifest)
	return img
}

package registry

import (
	"encoding/json"
	"mime"
	"slices"

	"github.com/opencontainers/go-digest"
)

// MaxManifestSize is the greatest size of a manifest in bytes.
const MaxManifestSize = 4 << 20

// The media types of manifests.
const (
	typeOCIManifest    = "application/vnd.oci.image.manifest.v1+json"
	typeOCIIndex       = "application/vnd.oci.image.index.v1+json"
	typeOCIArtifact    = "application/vnd.oci.artifact.manifest.v1+json" // of a release candidate of OCI 1.1
	typeORASArtifact   = "application/vnd.cncf.oras.artifact.manifest.v1+json"
	typeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	typeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// shape is what a manifest of some media type refers to.
type shape int

const (
	shapeImage    shape = iota + 1 // config and layers
	shapeIndex                     // manifests
	shapeArtifact                  // blobs
)

var manifestShapes = map[string]shape{
	typeOCIManifest: shapeImage, typeDockerManifest: shapeImage,
	typeOCIIndex: shapeIndex, typeDockerList: shapeIndex,
	typeOCIArtifact: shapeArtifact, typeORASArtifact: shapeArtifact,
}

// foreignLayers are the layers that clients may keep to themselves.
var foreignLayers = []string{
	"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
	"application/vnd.oci.image.layer.nondistributable.v1.tar",
	"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
	"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
}

// Descriptor is a reference from a manifest, as the image specification has it.
type Descriptor struct {
	MediaType    string        `json:"mediaType"`
	Digest       digest.Digest `json:"digest"`
	Size         int64         `json:"size"`
	URLs         []string      `json:"urls"`
	ArtifactType string        `json:"artifactType"`
}

// foreign reports whether the content need not be in the registry.
func (d Descriptor) foreign() bool {
	return len(d.URLs) > 0 || slices.Contains(foreignLayers, d.MediaType)
}

// Manifest is a manifest, parsed and found to be unambiguous.
type Manifest struct {
	MediaType   string
	Config      *Descriptor
	Blobs       []Descriptor // the layers, or an artifact's blobs
	Manifests   []Descriptor // an index's children
	Subject     *Descriptor
	Artifact    string // the artifact's type: artifactType, else the configuration's media type
	Annotations map[string]string
}

// manifestDocument are the members that any of the shapes has.
type manifestDocument struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        *Descriptor       `json:"config"`
	Layers        []Descriptor      `json:"layers"`
	Blobs         []Descriptor      `json:"blobs"`
	Manifests     []Descriptor      `json:"manifests"`
	Subject       *Descriptor       `json:"subject"`
	Annotations   map[string]string `json:"annotations"`
	FSLayers      json.RawMessage   `json:"fsLayers"`
}

// ParseManifest reads a manifest that was sent as contentType, which may be ""
// if the document names its own media type. It refuses whatever two clients
// could read differently: members twice or in another case, a media type in the
// document other than the one it was sent as, members of two shapes at once.
// The error is InvalidParameterException.
func ParseManifest(data []byte, contentType string) (*Manifest, error) {
	if len(data) > MaxManifestSize {
		return nil, errManifestTooLarge()
	}
	if err := checkUnambiguous(data); err != nil {
		return nil, err
	}
	var doc manifestDocument
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, errManifest("Invalid JSON syntax")
	}
	mediaType, err := doc.mediaType(contentType)
	if err != nil {
		return nil, err
	}
	if err := doc.checkShape(manifestShapes[mediaType]); err != nil {
		return nil, err
	}
	m := &Manifest{
		MediaType: mediaType, Config: doc.Config, Blobs: append(doc.Layers, doc.Blobs...), Manifests: doc.Manifests,
		Subject: doc.Subject, Artifact: doc.ArtifactType, Annotations: doc.Annotations,
	}
	if m.Artifact == "" && m.Config != nil && !isIndex(mediaType) {
		m.Artifact = m.Config.MediaType
	}
	return m, m.checkDescriptors()
}

// mediaType decides which type the document is of.
func (doc *manifestDocument) mediaType(contentType string) (string, error) {
	sent := ""
	if contentType != "" {
		t, _, err := mime.ParseMediaType(contentType)
		if err != nil {
			return "", errManifest("the media type '%.100s' is malformed", contentType)
		}
		sent = t
	}
	switch {
	case doc.MediaType == "" && sent == "":
		return "", errManifest("image manifest mediatype not provided in manifest or parameter")
	case doc.MediaType == "":
	case sent == "":
		sent = doc.MediaType
	case sent != doc.MediaType:
		return "", errManifest("the manifest's mediaType '%.100s' is not the media type '%.100s' that it was sent as", doc.MediaType, sent)
	}
	if manifestShapes[sent] == 0 {
		return "", errManifest("the media type '%.100s' is not supported", sent)
	}
	return sent, nil
}

func (doc *manifestDocument) checkShape(s shape) error {
	if doc.FSLayers != nil {
		return errManifest("schema 1 manifests are not supported")
	}
	if s != shapeArtifact && doc.SchemaVersion != 2 {
		return errManifest("schemaVersion must be 2")
	}
	has := map[string]bool{
		"config": doc.Config != nil, "layers": doc.Layers != nil, "manifests": doc.Manifests != nil, "blobs": doc.Blobs != nil,
	}
	may := map[shape][]string{shapeImage: {"config", "layers"}, shapeIndex: {"manifests", "config"}, shapeArtifact: {"blobs"}}[s]
	for name, there := range has {
		if there && !slices.Contains(may, name) {
			return errManifest("a manifest of this media type has no member '%s'", name)
		}
	}
	if s == shapeImage && (doc.Config == nil || doc.Layers == nil) {
		return errManifest("an image manifest has the members 'config' and 'layers'")
	}
	if s == shapeIndex && doc.Manifests == nil {
		return errManifest("an index has the member 'manifests'")
	}
	return nil
}

// maxMediaType is the most characters that a media type may have: RFC 6838 gives
// each of its two names 127.
const maxMediaType = 255

// checkDescriptors returns an error unless everything referred to is named by a
// digest that can be looked up, and every media type can be kept.
func (m *Manifest) checkDescriptors() error {
	all := slices.Concat(m.Blobs, m.Manifests)
	for _, d := range []*Descriptor{m.Config, m.Subject} {
		if d != nil {
			all = append(all, *d)
		}
	}
	mediaTypes := []string{m.Artifact}
	for _, d := range all {
		if !ValidDigest(string(d.Digest)) {
			return errManifest("'%.150s' is not a digest", d.Digest)
		}
		if d.Size < 0 {
			return errManifest("the size of '%s' is negative", d.Digest)
		}
		mediaTypes = append(mediaTypes, d.MediaType)
	}
	for _, t := range mediaTypes {
		if len(t) > maxMediaType || hasControl(t) {
			return errManifest("a media type has control characters or more than %d characters", maxMediaType)
		}
	}
	return nil
}

// Layers returns the blobs that the manifest names as such, configuration
// included, each digest once.
func (m *Manifest) Layers() []Descriptor {
	all := m.Blobs
	if m.Config != nil {
		all = append([]Descriptor{*m.Config}, all...)
	}
	seen := make(map[digest.Digest]bool, len(all))
	out := make([]Descriptor, 0, len(all))
	for _, d := range all {
		if !seen[d.Digest] {
			seen[d.Digest] = true
			out = append(out, d)
		}
	}
	return out
}

// isIndex reports whether the media type is that of a list of manifests.
func isIndex(mediaType string) bool { return manifestShapes[mediaType] == shapeIndex }

package registry

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// counterparts are the media types of OCI and those of Docker that mean the same.
var counterparts = map[string]string{
	typeOCIManifest: typeDockerManifest,
	"application/vnd.oci.image.config.v1+json":                     "application/vnd.docker.container.image.v1+json",
	"application/vnd.oci.image.layer.v1.tar":                       "application/vnd.docker.image.rootfs.diff.tar",
	"application/vnd.oci.image.layer.v1.tar+gzip":                  "application/vnd.docker.image.rootfs.diff.tar.gzip",
	"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
}

// counterpart returns the media type of the other family that means the same, ""
// if there is none.
func counterpart(mediaType string) string {
	if docker, ok := counterparts[mediaType]; ok {
		return docker
	}
	for oci, docker := range counterparts {
		if docker == mediaType {
			return oci
		}
	}
	return ""
}

// convertedManifest is an image manifest in either family: the members that both
// have.
type convertedManifest struct {
	SchemaVersion int                   `json:"schemaVersion"`
	MediaType     string                `json:"mediaType"`
	Config        convertedDescriptor   `json:"config"`
	Layers        []convertedDescriptor `json:"layers"`
}

type convertedDescriptor struct {
	MediaType string        `json:"mediaType"`
	Size      int64         `json:"size"`
	Digest    digest.Digest `json:"digest"`
	URLs      []string      `json:"urls,omitempty"`
}

// convert makes the image one of the other family if the caller accepts that and
// not the one that is stored, as ECR does for pulls by tag. An image that the
// other family cannot describe (zstd layers, artifacts, referrers) is left as it
// is.
func (s *StoredImage) convert(accept []string) {
	to := counterpart(s.MediaType)
	if to == "" || s.Subject != "" || accepts(accept, s.MediaType) || !slices.Contains(accept, to) {
		return
	}
	var m convertedManifest
	if json.Unmarshal(s.Manifest, &m) != nil {
		return // it has been parsed before: it is a manifest
	}
	m.MediaType = to
	for _, d := range append([]*convertedDescriptor{&m.Config}, pointers(m.Layers)...) {
		if d.MediaType = counterpart(d.MediaType); d.MediaType == "" {
			return
		}
	}
	manifest, err := json.Marshal(m)
	if err != nil {
		return // structs of texts and numbers: it cannot be
	}
	s.Manifest, s.MediaType, s.ManifestSize, s.Digest = manifest, to, int64(len(manifest)), digest.FromBytes(manifest)
}

// accepts reports whether a list of media types, perhaps of patterns such as */*,
// has one in it. An empty list accepts all.
func accepts(accept []string, mediaType string) bool {
	if len(accept) == 0 {
		return true
	}
	return slices.ContainsFunc(accept, func(a string) bool {
		prefix, pattern := strings.CutSuffix(a, "*")
		return a == mediaType || a == "*/*" || pattern && strings.HasSuffix(prefix, "/") && strings.HasPrefix(mediaType, prefix)
	})
}

func pointers[T any](s []T) []*T {
	out := make([]*T, len(s))
	for i := range s {
		out[i] = &s[i]
	}
	return out
}

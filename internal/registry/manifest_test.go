package registry

import (
	"encoding/json"
	"strings"
	"testing"

	"berth/internal/fault"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	digestC = "sha512:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
)

func descriptor(mediaType, d, more string) string {
	return `{"mediaType":"` + mediaType + `","digest":"` + d + `","size":7` + more + `}`
}

func TestParseManifestReadsEveryKind(t *testing.T) {
	t.Parallel()
	config := descriptor("application/vnd.oci.image.config.v1+json", digestA, "")
	layer := descriptor("application/vnd.oci.image.layer.v1.tar+zstd", digestB, "")
	parsed := func(mediaType, d string) Descriptor {
		return Descriptor{MediaType: mediaType, Digest: digest.Digest(d), Size: 7}
	}
	wantConfig, wantLayer := parsed("application/vnd.oci.image.config.v1+json", digestA), parsed("application/vnd.oci.image.layer.v1.tar+zstd", digestB)
	for name, tt := range map[string]struct {
		data, contentType string
		want              Manifest
	}{
		"an OCI image": {
			`{"schemaVersion":2,"mediaType":"` + typeOCIManifest + `","config":` + config + `,"layers":[` + layer + `]}`, "",
			Manifest{MediaType: typeOCIManifest, Config: &wantConfig, Blobs: []Descriptor{wantLayer}, Artifact: wantConfig.MediaType},
		},
		"an image whose type is in the header only": {
			`{"schemaVersion":2,"config":` + config + `,"layers":[]}`, typeOCIManifest,
			Manifest{MediaType: typeOCIManifest, Config: &wantConfig, Blobs: []Descriptor{}, Artifact: wantConfig.MediaType},
		},
		"a header with parameters, in capitals": {
			`{"schemaVersion":2,"config":` + config + `,"layers":[]}`, "Application/vnd.OCI.image.manifest.v1+json ; charset=utf-8",
			Manifest{MediaType: typeOCIManifest, Config: &wantConfig, Blobs: []Descriptor{}, Artifact: wantConfig.MediaType},
		},
		"a Docker image": {
			`{"schemaVersion":2,"mediaType":"` + typeDockerManifest + `","config":` + config + `,"layers":[` + layer + `,` + layer + `]}`, typeDockerManifest,
			Manifest{MediaType: typeDockerManifest, Config: &wantConfig, Blobs: []Descriptor{wantLayer, wantLayer}, Artifact: wantConfig.MediaType},
		},
		"an index": {
			`{"schemaVersion":2,"mediaType":"` + typeOCIIndex + `","manifests":[` + descriptor(typeOCIManifest, digestC, `,"platform":{"os":"linux"}`) + `]}`, "",
			Manifest{MediaType: typeOCIIndex, Manifests: []Descriptor{parsed(typeOCIManifest, digestC)}},
		},
		"a Docker list": {
			`{"schemaVersion":2,"mediaType":"` + typeDockerList + `","manifests":[]}`, "", Manifest{MediaType: typeDockerList, Manifests: []Descriptor{}},
		},
		"an artifact with a subject": {
			`{"schemaVersion":2,"mediaType":"` + typeOCIManifest + `","artifactType":"a/b","config":` + config + `,"layers":[],"subject":` +
				descriptor(typeOCIManifest, digestB, "") + `,"annotations":{"k":"v"}}`, "",
			Manifest{
				MediaType: typeOCIManifest, Config: &wantConfig, Blobs: []Descriptor{}, Artifact: "a/b",
				Subject: new(parsed(typeOCIManifest, digestB)), Annotations: map[string]string{"k": "v"},
			},
		},
		"an artifact manifest": {
			`{"mediaType":"` + typeOCIArtifact + `","artifactType":"a/b","blobs":[` + layer + `]}`, "",
			Manifest{MediaType: typeOCIArtifact, Blobs: []Descriptor{wantLayer}, Artifact: "a/b"},
		},
		"an ORAS artifact manifest": {
			`{"mediaType":"` + typeORASArtifact + `","artifactType":"a/b"}`, "", Manifest{MediaType: typeORASArtifact, Artifact: "a/b"},
		},
		"BuildKit's cache index has a configuration": {
			`{"schemaVersion":2,"mediaType":"` + typeOCIIndex + `","manifests":[` + layer + `],"config":` + config + `}`, "",
			Manifest{MediaType: typeOCIIndex, Manifests: []Descriptor{wantLayer}, Config: &wantConfig},
		},
		"unknown members, also ones like known ones elsewhere": {
			`{"schemaVersion":2,"x":{"Digest":1,"digest":2,"x":[{"Config":null}]},"config":` + config + `,"layers":[` +
				descriptor("application/vnd.oci.image.layer.v1.tar+zstd", digestB, `,"x":1`) + `]}`, typeOCIManifest,
			Manifest{MediaType: typeOCIManifest, Config: &wantConfig, Blobs: []Descriptor{wantLayer}, Artifact: wantConfig.MediaType},
		},
	} {
		got, err := ParseManifest([]byte(tt.data), tt.contentType)
		if err != nil {
			t.Errorf("ParseManifest of %s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(&tt.want, got); diff != "" {
			t.Errorf("ParseManifest of %s (-want +got):\n%s", name, diff)
		}
	}
}

func TestParseManifestRefusesWhatClientsCouldReadDifferently(t *testing.T) {
	t.Parallel()
	config, layer := descriptor("a/b", digestA, ""), descriptor("a/b", digestB, "")
	image := func(more string) string { return `{"schemaVersion":2,"config":` + config + `,"layers":[]` + more + `}` }
	for name, tt := range map[string]struct{ data, contentType, want string }{
		"nothing":                         {"", typeOCIManifest, "Invalid JSON syntax"},
		"null":                            {"null", typeOCIManifest, "Invalid JSON syntax"},
		"a byte order mark":               {"\ufeff" + image(""), typeOCIManifest, "Invalid JSON syntax"},
		"no UTF-8":                        {image(`,"x":"` + "\xff" + `"`), typeOCIManifest, "Invalid JSON syntax"},
		"text after the end":              {image("") + "{}", typeOCIManifest, "Invalid JSON syntax"},
		"a comment":                       {image(`/**/`), typeOCIManifest, "Invalid JSON syntax"},
		"a million descriptors":           {`{"schemaVersion":2,"manifests":[` + strings.Repeat("{},", 1_000_000) + `{}]}`, typeOCIIndex, "more than 100000 values"},
		"a million URLs":                  {image(`,"subject":{"urls":[` + strings.Repeat(`"",`, 1_000_000) + `""]}`), typeOCIManifest, "more than 100000 values"},
		"a member twice":                  {image(`,"layers":[` + layer + `]`), typeOCIManifest, "the member 'layers' is there twice"},
		"a member twice, by an escape":    {image(`,"lay\u0065rs":[]`), typeOCIManifest, "the member 'layers' is there twice"},
		"an unknown member twice":         {image(`,"x":1,"x":2`), typeOCIManifest, "the member 'x' is there twice"},
		"an annotation twice":             {image(`,"annotations":{"a":"1","a":"2"}`), typeOCIManifest, "the member 'a' is there twice"},
		"a member in another case":        {image(`,"Layers":[` + layer + `]`), typeOCIManifest, "the member 'Layers' is spelled 'layers'"},
		"a member of a layer in capitals": {`{"schemaVersion":2,"config":` + config + `,"layers":[{"DIGEST":"` + digestA + `"}]}`, typeOCIManifest, "the member 'DIGEST' is spelled 'digest'"},
		"a member of the configuration":   {`{"schemaVersion":2,"config":{"Size":1},"layers":[]}`, typeOCIManifest, "the member 'Size' is spelled 'size'"},
		"deep nesting":                    {image(`,"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40)), typeOCIManifest, "nested more than 32 levels deep"},
		"very deep nesting":               {strings.Repeat(`{"x":`, 500_000), typeOCIManifest, "nested more than 32 levels deep"},
		"image and index at once":         {image(`,"manifests":[]`), typeOCIManifest, "no member 'manifests'"},
		"index and image at once":         {`{"schemaVersion":2,"manifests":[],"layers":[]}`, typeOCIIndex, "no member 'layers'"},
		"image and artifact at once":      {image(`,"blobs":[]`), typeOCIManifest, "no member 'blobs'"},
		"schema 1":                        {`{"schemaVersion":2,"fsLayers":[],"config":` + config + `,"layers":[]}`, typeOCIManifest, "schema 1 manifests are not supported"},
		"schema 1's media type":           {`{"schemaVersion":1}`, "application/vnd.docker.distribution.manifest.v1+prettyjws", "is not supported"},
		"no version":                      {`{"config":` + config + `,"layers":[]}`, typeOCIManifest, "schemaVersion must be 2"},
		"a version that is text":          {`{"schemaVersion":"2","config":` + config + `,"layers":[]}`, typeOCIManifest, "Invalid JSON syntax"},
		"layers that are null":            {`{"schemaVersion":2,"config":` + config + `,"layers":null}`, typeOCIManifest, "has the members 'config' and 'layers'"},
		"a media type of another":         {image(`,"mediaType":"` + typeDockerManifest + `"`), typeOCIManifest, "is not the media type"},
		"a media type in capitals":        {image(`,"mediaType":"` + strings.ToUpper(typeOCIManifest) + `"`), "", "is not supported"},
		"no media type":                   {image(""), "", "image manifest mediatype not provided in manifest or parameter"},
		"a media type that is none":       {image(""), "/", "is malformed"},
		"a layer without a digest":        {`{"schemaVersion":2,"config":` + config + `,"layers":[{}]}`, typeOCIManifest, "'' is not a digest"},
		"a layer that is null":            {`{"schemaVersion":2,"config":` + config + `,"layers":[null]}`, typeOCIManifest, "'' is not a digest"},
		"a subject without a digest":      {image(`,"subject":{}`), typeOCIManifest, "'' is not a digest"},
		"a child with a path":             {`{"schemaVersion":2,"manifests":[` + descriptor("a/b", "../"+digestA, "") + `]}`, typeOCIIndex, "is not a digest"},
		"a negative size":                 {`{"schemaVersion":2,"config":{"digest":"` + digestA + `","size":-1},"layers":[]}`, typeOCIManifest, "is negative"},
		"a size beyond 64 bits":           {`{"schemaVersion":2,"config":{"digest":"` + digestA + `","size":9223372036854775808},"layers":[]}`, typeOCIManifest, "Invalid JSON syntax"},
		"half a byte":                     {`{"schemaVersion":2,"config":{"digest":"` + digestA + `","size":1.5},"layers":[]}`, typeOCIManifest, "Invalid JSON syntax"},
		"a media type with a NUL":         {`{"schemaVersion":2,"config":` + config + `,"layers":[` + descriptor(`a\u0000`, digestB, "") + `]}`, typeOCIManifest, "control characters"},
		"a long artifact type":            {image(`,"artifactType":"` + strings.Repeat("a", 256) + `"`), typeOCIManifest, "more than 255 characters"},
		"more than 4 MiB":                 {strings.Repeat(" ", MaxManifestSize+1), typeOCIManifest, "less than or equal to 4194304"},
	} {
		_, err := ParseManifest([]byte(tt.data), tt.contentType)
		if fault.CodeOf(err) != "InvalidParameterException" || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ParseManifest of %s = %v, want InvalidParameterException with %q", name, err, tt.want)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("ParseManifest of %s: the message has %d bytes", name, len(err.Error()))
		}
	}
}

func TestAManifestOf4MiBIsRead(t *testing.T) {
	t.Parallel()
	data := `{"schemaVersion":2,"config":` + descriptor("a/b", digestA, "") + `,"layers":[]}`
	data += strings.Repeat(" ", MaxManifestSize-len(data))
	if _, err := ParseManifest([]byte(data), typeOCIManifest); err != nil {
		t.Errorf("ParseManifest of 4 MiB: %v", err)
	}
}

// The greatest manifest of nothing but digests is not refused for their number.
func TestAManifestOfManyDescriptorsIsRead(t *testing.T) {
	t.Parallel()
	head, one := `{"schemaVersion":2,"manifests":[`, `{"digest":"`+digestA+`"}`
	n := (MaxManifestSize - len(head) - 2) / (len(one) + 1)
	m, err := ParseManifest([]byte(head+strings.Repeat(one+",", n-1)+one+"]}"), typeOCIIndex)
	if err != nil || len(m.Manifests) != n {
		t.Errorf("ParseManifest of %d descriptors: %v", n, err)
	}
}

func TestLayersOfAManifestAreNamedOnce(t *testing.T) {
	t.Parallel()
	d := func(s string) Descriptor { return Descriptor{Digest: digest.Digest(s)} }
	m := Manifest{Config: new(d(digestA)), Blobs: []Descriptor{d(digestB), d(digestA), d(digestB), d(digestC)}}
	var got []string
	for _, l := range m.Layers() {
		got = append(got, string(l.Digest))
	}
	if diff := cmp.Diff([]string{digestA, digestB, digestC}, got); diff != "" {
		t.Errorf("Layers (-want +got):\n%s", diff)
	}
}

func TestForeignLayers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`{"mediaType":"application/vnd.oci.image.layer.v1.tar"}`:                                          false,
		`{"mediaType":"application/vnd.oci.image.layer.v1.tar","urls":[]}`:                                false,
		`{"mediaType":"application/vnd.oci.image.layer.v1.tar","urls":["https://example.com/"]}`:          true,
		`{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"}`:                       true,
		`{"mediaType":"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"}`:                    true,
		`{"mediaType":"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd; charset=\"utf-8\""}`: false,
	} {
		var d Descriptor
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			t.Fatal(err)
		}
		if got := d.foreign(); got != want {
			t.Errorf("foreign(%s) = %t, want %t", text, got, want)
		}
	}
}

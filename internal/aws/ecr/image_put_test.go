package ecr_test

import (
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

func TestPutImageReturnsTheImage(t *testing.T) {
	t.Parallel()
	img := servertest.NewImage(1, 10)
	cases := map[string]struct {
		in ecr.PutImageInput
		id types.ImageIdentifier
	}{
		"with a tag":               {ecr.PutImageInput{ImageTag: new("v1")}, byBoth(img.Digest, "v1")},
		"without a tag":            {ecr.PutImageInput{}, byDigest(img.Digest)},
		"with the digest":          {ecr.PutImageInput{ImageDigest: new(img.Digest.String())}, byDigest(img.Digest)},
		"with the digest and tag":  {ecr.PutImageInput{ImageDigest: new(img.Digest.String()), ImageTag: new("v1")}, byBoth(img.Digest, "v1")},
		"with its media type":      {ecr.PutImageInput{ImageManifestMediaType: new(ocispec.MediaTypeImageManifest)}, byDigest(img.Digest)},
		"with a tag of 128":        {ecr.PutImageInput{ImageTag: new(strings.Repeat("A", 128))}, byBoth(img.Digest, strings.Repeat("A", 128))},
		"with any character":       {ecr.PutImageInput{ImageTag: new("_aZ09.-_")}, byBoth(img.Digest, "_aZ09.-_")},
		"with one's own registry":  {ecr.PutImageInput{RegistryId: new("123456789012")}, byDigest(img.Digest)},
		"with a digest of SHA-512": {ecr.PutImageInput{ImageDigest: new(digest.SHA512.FromBytes(img.Manifest).String())}, byDigest(digest.SHA512.FromBytes(img.Manifest))},
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		for name, tt := range cases {
			t.Run(name, func(t *testing.T) {
				in := tt.in
				in.RepositoryName = new("app/" + strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(name), " ", "-"), "'", ""))
				in.ImageManifest = new(string(img.Manifest))
				createRepository(t, c, *in.RepositoryName)
				pushLayer(t, c, *in.RepositoryName, img.Config)
				pushLayer(t, c, *in.RepositoryName, img.Layers[0])
				out := must(c.PutImage(t.Context(), &in))(t)
				wantEqual(t, "PutImage", out.Image, &types.Image{
					RegistryId: new("123456789012"), RepositoryName: in.RepositoryName, ImageId: &tt.id, ImageManifest: in.ImageManifest,
					ImageManifestMediaType: new(ocispec.MediaTypeImageManifest),
				})
				wantEqual(t, "ListImages", listImages(t, c, *in.RepositoryName), []string{text(tt.id)})
			})
		}
	})
}

// manifest returns an image manifest whose configuration and layers are empty
// objects, changed as said. The first of the changes is to the map of its
// members.
func manifest(change func(map[string]any)) string {
	empty := ocispec.DescriptorEmptyJSON
	m := map[string]any{
		"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest,
		"config": map[string]any{"mediaType": empty.MediaType, "digest": empty.Digest, "size": empty.Size},
		"layers": []any{},
	}
	if change != nil {
		change(m)
	}
	return string(servertest.JSON(m))
}

func set(name string, value any) func(map[string]any) {
	return func(m map[string]any) {
		if value == nil {
			delete(m, name)
		} else {
			m[name] = value
		}
	}
}

func TestPutImageAcceptsTheFormsOfManifests(t *testing.T) {
	t.Parallel()
	empty := ocispec.DescriptorEmptyJSON
	foreign := map[string]any{
		"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "digest": unknownDigest, "size": 7,
		"urls": []string{"https://example.com/layer"},
	}
	cases := map[string]struct {
		manifest, mediaType, want string
		artifact                  string
	}{
		"an OCI manifest without layers": {manifest(nil), "", ocispec.MediaTypeImageManifest, empty.MediaType},
		"an OCI manifest that names its type in the parameter only": {
			manifest(set("mediaType", nil)), ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageManifest, empty.MediaType,
		},
		"a media type with parameters": {manifest(nil), ocispec.MediaTypeImageManifest + "; charset=utf-8", ocispec.MediaTypeImageManifest, empty.MediaType},
		"a Docker manifest":            {manifest(set("mediaType", dockerManifest)), "", dockerManifest, empty.MediaType},
		"a Docker list":                {`{"schemaVersion":2,"mediaType":"` + dockerList + `","manifests":[]}`, "", dockerList, ""},
		"an index":                     {`{"schemaVersion":2,"manifests":[]}`, ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageIndex, ""},
		"an artifact":                  {manifest(set("artifactType", "application/vnd.example")), "", ocispec.MediaTypeImageManifest, "application/vnd.example"},
		"a foreign layer that is nowhere": {
			manifest(set("layers", []any{foreign})), "", ocispec.MediaTypeImageManifest, empty.MediaType,
		},
		"a subject that does not exist": {
			manifest(set("subject", map[string]any{"mediaType": ocispec.MediaTypeImageManifest, "digest": unknownDigest, "size": 7})),
			"", ocispec.MediaTypeImageManifest, empty.MediaType,
		},
		"annotations and unknown members": {
			manifest(func(m map[string]any) {
				m["annotations"] = map[string]string{"a": "b\x00", "A": "c"}
				m["x-extension"] = []int{1, 2}
			}), "", ocispec.MediaTypeImageManifest, empty.MediaType,
		},
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		pushLayer(t, c, "app", []byte("{}"))
		for name, tt := range cases {
			t.Run(name, func(t *testing.T) {
				in := &ecr.PutImageInput{RepositoryName: new("app"), ImageManifest: &tt.manifest, ImageTag: new("t")}
				if tt.mediaType != "" {
					in.ImageManifestMediaType = &tt.mediaType
				}
				must(c.PutImage(t.Context(), in))(t)
				got := describeImages(t, c, "app", byTag("t"))[0]
				wantEqual(t, "media type", *got.ImageManifestMediaType, tt.want)
				artifact := ""
				if got.ArtifactMediaType != nil {
					artifact = *got.ArtifactMediaType
				}
				wantEqual(t, "artifact media type", artifact, tt.artifact)
				deleteImages(t, c, "app", byTag("t"))
			})
		}
	})
}

func TestPutImageOfTheSameManifestWithAnotherTagAddsTheTag(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		img := servertest.NewImage(1)
		pushImage(t, c, "app", img, "v1")
		// As the ECR guide retags: the manifest is read by BatchGetImage.
		got := must(c.BatchGetImage(t.Context(), &ecr.BatchGetImageInput{RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{byTag("v1")}}))(t)
		out := must(c.PutImage(t.Context(), &ecr.PutImageInput{
			RepositoryName: new("app"), ImageTag: new("v2"), ImageManifest: got.Images[0].ImageManifest,
			ImageManifestMediaType: got.Images[0].ImageManifestMediaType,
		}))(t)
		wantEqual(t, "id", text(*out.Image.ImageId), img.Digest.String()+"@v2")
		wantEqual(t, "images", listImages(t, c, "app"), []string{img.Digest.String() + "@v1", img.Digest.String() + "@v2"})
	})
}

func TestAMutableTagMovesAndLeavesTheOldImageUntagged(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		one, two := servertest.NewImage(1), servertest.NewImage(2)
		pushImage(t, c, "app", one, "latest")
		pushImage(t, c, "app", two, "latest")
		got := must(c.BatchGetImage(t.Context(), &ecr.BatchGetImageInput{
			RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{byTag("latest"), byDigest(one.Digest)},
		}))(t)
		if len(got.Images) != 2 || *got.Images[0].ImageManifest != string(two.Manifest) || *got.Images[1].ImageManifest != string(one.Manifest) {
			t.Errorf("BatchGetImage = %v, want the new image by tag and the old one by digest", got.Images)
		}
		wantEqual(t, "tags of the old image", describeImages(t, c, "app", byDigest(one.Digest))[0].ImageTags, nil)
	})
}

func TestPutImageOfWhatIsThereAlreadyIsRefused(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		img := servertest.NewImage(1)
		pushImage(t, c, "app", img, "v1")
		in := &ecr.PutImageInput{RepositoryName: new("app"), ImageManifest: new(string(img.Manifest)), ImageTag: new("v1")}
		_, err := c.PutImage(t.Context(), in)
		wantError(t, err, "ImageAlreadyExistsException",
			"Image with digest '"+img.Digest.String()+"' and tag 'v1' already exists in the repository with name 'app' in registry with id '123456789012'")
		in.ImageTag = nil
		_, err = c.PutImage(t.Context(), in)
		wantError(t, err, "ImageAlreadyExistsException",
			"Image with digest '"+img.Digest.String()+"' already exists in the repository with name 'app' in registry with id '123456789012'")
	})
}

func TestPutImageNamesAllThatIsMissing(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		createRepository(t, c, "other")
		img, child := servertest.NewImage(1, 10, 20), servertest.NewImage(2)
		pushImage(t, c, "other", img, "v1") // what another repository has does not count
		pushImage(t, c, "app", child)
		d := func(b []byte) string { return digest.FromBytes(b).String() }
		put := func(manifest []byte) error {
			_, err := c.PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: new("app"), ImageManifest: new(string(manifest)), ImageTag: new("v1")})
			return err
		}
		const tail = "' required for pushing image into repository with name 'app' in the registry with id '123456789012' do not exist"

		wantError(t, put(img.Manifest), "LayersNotFoundException",
			"Layers with digests '["+d(img.Config)+", "+d(img.Layers[0])+", "+d(img.Layers[1])+"]"+tail)
		pushLayer(t, c, "app", img.Config)
		pushLayer(t, c, "app", img.Layers[1])
		wantError(t, put(img.Manifest), "LayersNotFoundException", "Layers with digests '["+d(img.Layers[0])+"]"+tail)

		third := servertest.NewImage(3)
		wantError(t, put(servertest.Index(img, child, third)), "ReferencedImagesNotFoundException",
			"Images with digests '["+img.Digest.String()+", "+third.Digest.String()+"]"+tail)
		wantEqual(t, "images", listImages(t, c, "app"), []string{child.Digest.String()})

		pushLayer(t, c, "app", img.Layers[0])
		if err := put(img.Manifest); err != nil {
			t.Errorf("PutImage with all layers: %v", err)
		}
	})
}

func TestAnIndexMayListWhatIsNoManifest(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		layer, config := servertest.Bytes(1, 1000), []byte(`{"layers":[]}`)
		pushLayer(t, c, "app", layer)
		pushLayer(t, c, "app", config)
		cache := servertest.JSON(ocispec.Index{ // as BuildKit writes its caches
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
			Manifests: []ocispec.Descriptor{
				servertest.Descriptor(ocispec.MediaTypeImageLayerGzip, layer), servertest.Descriptor("application/vnd.buildkit.cacheconfig.v0", config),
			},
		})
		putImage(t, c, "app", cache, "cache")
		wantEqual(t, "size", *describeImages(t, c, "app", byTag("cache"))[0].ImageSizeInBytes, int64(1000+len(config)))
		missing := strings.ReplaceAll(string(cache), digest.FromBytes(layer).String(), unknownDigest)
		_, err := c.PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: new("app"), ImageManifest: &missing})
		wantError(t, err, "LayersNotFoundException", "Layers with digests '["+unknownDigest+
			"]' required for pushing image into repository with name 'app' in the registry with id '123456789012' do not exist")
	})
}

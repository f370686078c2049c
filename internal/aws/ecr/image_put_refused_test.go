package ecr_test

import (
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestPutImageRefuses(t *testing.T) {
	t.Parallel()
	const (
		badManifest = "Invalid parameter at 'ImageManifest' failed to satisfy constraint: "
		badTag      = "Invalid parameter at 'imageTag' failed to satisfy constraint: "
		badDigest   = "Invalid parameter at 'imageDigest' failed to satisfy constraint: 'must satisfy regular expression '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+''"
		tagRegexp   = "'must satisfy regular expression '[a-zA-Z0-9-_.]+''"
	)
	good := manifest(nil)
	descriptor := func(mediaType, digest string, size int) map[string]any {
		return map[string]any{"mediaType": mediaType, "digest": digest, "size": size}
	}
	with := func(name string, value any) ecr.PutImageInput {
		return ecr.PutImageInput{ImageManifest: new(manifest(set(name, value)))}
	}
	raw := func(text string) ecr.PutImageInput {
		return ecr.PutImageInput{ImageManifest: &text, ImageManifestMediaType: new(ocispec.MediaTypeImageManifest)}
	}
	cases := map[string]struct {
		in      ecr.PutImageInput
		message string // of InvalidParameterException
	}{
		"no media type":            {with("mediaType", nil), badManifest + "'image manifest mediatype not provided in manifest or parameter'"},
		"another media type":       {with("mediaType", "application/json"), badManifest + "'the media type 'application/json' is not supported'"},
		"a media type that is not": {ecr.PutImageInput{ImageManifest: &good, ImageManifestMediaType: new("a/b/c;")}, badManifest + "'the media type 'a/b/c;' is malformed'"},
		"two media types": {
			ecr.PutImageInput{ImageManifest: &good, ImageManifestMediaType: new(dockerManifest)},
			badManifest + "'the manifest's mediaType '" + ocispec.MediaTypeImageManifest + "' is not the media type '" + dockerManifest + "' that it was sent as'",
		},
		"no JSON":             {raw("{"), badManifest + "'Invalid JSON syntax'"},
		"a list":              {raw("[]"), badManifest + "'Invalid JSON syntax'"},
		"text after the end":  {raw(good + "x"), badManifest + "'Invalid JSON syntax'"},
		"two documents":       {raw(good + good), badManifest + "'Invalid JSON syntax'"},
		"a number for a list": {with("layers", 1), badManifest + "'Invalid JSON syntax'"},
		"a member twice":      {raw(`{"schemaVersion":2,"schemaVersion":2}`), badManifest + "'the member 'schemaVersion' is there twice'"},
		"another case":        {raw(`{"SchemaVersion":2}`), badManifest + "'the member 'SchemaVersion' is spelled 'schemaVersion''"},
		"schema 1":            {raw(`{"schemaVersion":1,"fsLayers":[]}`), badManifest + "'schema 1 manifests are not supported'"},
		"another version":     {with("schemaVersion", 3), badManifest + "'schemaVersion must be 2'"},
		"no configuration":    {with("config", nil), badManifest + "'an image manifest has the members 'config' and 'layers''"},
		"no layers":           {with("layers", nil), badManifest + "'an image manifest has the members 'config' and 'layers''"},
		"an image with manifests": {
			with("manifests", []any{}), badManifest + "'a manifest of this media type has no member 'manifests''",
		},
		"an index with layers": {
			ecr.PutImageInput{ImageManifest: new(`{"schemaVersion":2,"manifests":[],"layers":[]}`), ImageManifestMediaType: new(ocispec.MediaTypeImageIndex)},
			badManifest + "'a manifest of this media type has no member 'layers''",
		},
		"an index without manifests": {
			ecr.PutImageInput{ImageManifest: new(`{"schemaVersion":2}`), ImageManifestMediaType: new(ocispec.MediaTypeImageIndex)},
			badManifest + "'an index has the member 'manifests''",
		},
		"a layer without digest": {with("layers", []any{descriptor("a/b", "", 1)}), badManifest + "''' is not a digest'"},
		"a layer with another algorithm": {
			with("layers", []any{descriptor("a/b", "md5:d41d8cd98f00b204e9800998ecf8427e", 1)}),
			badManifest + "''md5:d41d8cd98f00b204e9800998ecf8427e' is not a digest'",
		},
		"a negative size": {with("layers", []any{descriptor("a/b", unknownDigest, -1)}), badManifest + "'the size of '" + unknownDigest + "' is negative'"},
		"a media type with a NUL": {
			with("layers", []any{descriptor("a/b\x00", ocispec.DescriptorEmptyJSON.Digest.String(), 2)}),
			badManifest + "'a media type has control characters or more than 255 characters'",
		},
		"a configuration's media type with a NUL": {
			with("config", descriptor("a/b\x00", ocispec.DescriptorEmptyJSON.Digest.String(), 2)),
			badManifest + "'a media type has control characters or more than 255 characters'",
		},
		"an artifact type with a NUL": {
			with("artifactType", "a/b\x00"), badManifest + "'a media type has control characters or more than 255 characters'",
		},
		"an artifact type of 256 characters": {
			with("artifactType", "a/"+strings.Repeat("b", 254)), badManifest + "'a media type has control characters or more than 255 characters'",
		},
		"a tag with a colon":        {ecr.PutImageInput{ImageTag: new("a:b")}, badTag + tagRegexp},
		"a tag with a NUL":          {ecr.PutImageInput{ImageTag: new("a\x00")}, badTag + tagRegexp},
		"a tag that begins with -":  {ecr.PutImageInput{ImageTag: new("-a")}, badTag + tagRegexp},
		"a tag that begins with .":  {ecr.PutImageInput{ImageTag: new(".a")}, badTag + tagRegexp},
		"a tag of 129 characters":   {ecr.PutImageInput{ImageTag: new(strings.Repeat("a", 129))}, badTag + tagRegexp},
		"an empty tag":              {ecr.PutImageInput{ImageTag: new("")}, badTag + tagRegexp},
		"a tag of 301 characters":   {ecr.PutImageInput{ImageTag: new(strings.Repeat("a", 301))}, badTag + "'Member must have length less than or equal to 300'"},
		"a digest that is none":     {ecr.PutImageInput{ImageDigest: new("sha256:0")}, badDigest},
		"an algorithm we know not":  {ecr.PutImageInput{ImageDigest: new("md5:d41d8cd98f00b204e9800998ecf8427e")}, badDigest},
		"an empty manifest":         {raw(""), "Invalid parameter at 'imageManifest' failed to satisfy constraint: 'Member must have length greater than or equal to 1'"},
		"more than 4 MiB":           {raw(strings.Repeat(" ", 4<<20+1)), "Invalid parameter at 'imageManifest' failed to satisfy constraint: 'Member must have length less than or equal to 4194304'"},
		"4 MiB in fewer characters": {raw(strings.Repeat("é", 2<<20+1)), badManifest + "'Member must have length less than or equal to 4194304'"},
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createRepository(t, s.ECR(), "app")
		pushLayer(t, s.ECR(), "app", []byte("{}"))
		for name, tt := range cases {
			t.Run(name, func(t *testing.T) {
				in := tt.in
				in.RepositoryName = new("app")
				if in.ImageManifest == nil {
					in.ImageManifest = &good
				}
				_, err := s.ECR().PutImage(t.Context(), &in)
				wantError(t, err, "InvalidParameterException", tt.message)
			})
		}
		wantEqual(t, "images", listImages(t, s.ECR(), "app"), nil)
	})
}

func TestPutImageRefusesAnotherDigest(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createRepository(t, s.ECR(), "app")
		pushLayer(t, s.ECR(), "app", []byte("{}"))
		in := &ecr.PutImageInput{RepositoryName: new("app"), ImageManifest: new(manifest(nil)), ImageDigest: new(unknownDigest)}
		_, err := s.ECR().PutImage(t.Context(), in)
		wantError(t, err, "ImageDigestDoesNotMatchException", "The digest '"+digest.FromString(manifest(nil)).String()+
			"' of the image manifest does not match the digest that was given: '"+unknownDigest+"'")
		wantEqual(t, "images", listImages(t, s.ECR(), "app"), nil)
	})
}

func TestPutImageIntoAnUnknownRepositoryIsRefused(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		in := &ecr.PutImageInput{RepositoryName: new("absent"), ImageManifest: new(manifest(nil))}
		_, err := s.ECR().PutImage(t.Context(), in)
		wantError(t, err, "RepositoryNotFoundException", noRepository)
		in.ImageManifest = new("not even a manifest")
		_, err = s.ECR().PutImage(t.Context(), in)
		wantError(t, err, "RepositoryNotFoundException", noRepository)
		in.RegistryId = new("999999999999")
		_, err = s.ECR().PutImage(t.Context(), in)
		wantError(t, err, "AccessDeniedException",
			"User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:PutImage on resource: "+
				"arn:aws:ecr:us-east-1:999999999999:repository/absent because no resource-based policy allows the ecr:PutImage action")
	})
}

func TestTheSameBytesCannotBecomeAManifestOfAnotherType(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createRepository(t, s.ECR(), "app")
		pushLayer(t, s.ECR(), "app", []byte("{}"))
		in := &ecr.PutImageInput{
			RepositoryName: new("app"), ImageManifest: new(manifest(set("mediaType", nil))), ImageManifestMediaType: new(ocispec.MediaTypeImageManifest),
		}
		must(s.ECR().PutImage(t.Context(), in))(t)
		in.ImageManifestMediaType, in.ImageTag = new(dockerManifest), new("v1")
		_, err := s.ECR().PutImage(t.Context(), in)
		wantError(t, err, "InvalidParameterException", "Invalid parameter at 'ImageManifest' failed to satisfy constraint: "+
			"'the image is stored with the media type '"+ocispec.MediaTypeImageManifest+"', which cannot be changed to '"+dockerManifest+"''")
	})
}

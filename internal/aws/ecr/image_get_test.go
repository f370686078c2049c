package ecr_test

import (
	"slices"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestBatchGetImageReturnsManifestsInTheOrderOfTheIDs(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		one, two := servertest.NewImage(1), servertest.NewImage(2)
		two.Manifest = []byte("\n " + strings.ReplaceAll(string(two.Manifest), ",", ",\t") + "\n") // kept as it is
		two.Digest = servertest.Descriptor("", two.Manifest).Digest
		pushImage(t, c, "app", one, "v1", "latest")
		pushImage(t, c, "app", two, "v2")
		out := must(c.BatchGetImage(t.Context(), &ecr.BatchGetImageInput{
			RepositoryName: new("app"), RegistryId: new("123456789012"), AcceptedMediaTypes: []string{ocispec.MediaTypeImageManifest},
			ImageIds: []types.ImageIdentifier{byTag("v2"), byTag("v9"), byTag("v1"), byDigest(two.Digest), byBoth(one.Digest, "latest"), byTag("v2")},
		}))(t)
		image := func(id types.ImageIdentifier, img servertest.Image) types.Image {
			return types.Image{
				RegistryId: new("123456789012"), RepositoryName: new("app"), ImageId: &id, ImageManifest: new(string(img.Manifest)),
				ImageManifestMediaType: new(ocispec.MediaTypeImageManifest),
			}
		}
		wantEqual(t, "images", out.Images, []types.Image{
			image(byBoth(two.Digest, "v2"), two), image(byBoth(one.Digest, "v1"), one), image(byDigest(two.Digest), two),
			image(byBoth(one.Digest, "latest"), one), image(byBoth(two.Digest, "v2"), two),
		})
		wantEqual(t, "failures", failures(out.Failures), []string{"@v9 ImageNotFound: Requested image not found"})
	})
}

func TestBatchGetImageSucceedsIfAllFail(t *testing.T) {
	t.Parallel()
	const (
		noDigest = "InvalidImageDigest: Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"
		noTag    = "InvalidImageTag: Invalid request parameters: image tag should satisfy the regex '[a-zA-Z0-9-_.]+'"
	)
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		one, two := servertest.NewImage(1), servertest.NewImage(2)
		pushImage(t, c, "app", one, "v1")
		pushImage(t, c, "app", two, "v2")
		for _, tt := range []struct {
			id   types.ImageIdentifier
			want string
		}{
			{byTag("v9"), "@v9 ImageNotFound: Requested image not found"},
			{byTag("V1"), "@V1 ImageNotFound: Requested image not found"},
			{byDigest(unknownDigest), unknownDigest + " ImageNotFound: Requested image not found"},
			{types.ImageIdentifier{}, " MissingDigestAndTag: Invalid request parameters: both tag and digest cannot be null"},
			{
				byBoth(one.Digest, "v2"),
				one.Digest.String() + "@v2 ImageTagDoesNotMatchDigest: Invalid request parameters: the tag and the digest refer to different images",
			},
			{byBoth(one.Digest, "v9"), one.Digest.String() + "@v9 ImageNotFound: Requested image not found"},
			{byDigest("sha256:" + strings.Repeat("a", 63)), "sha256:" + strings.Repeat("a", 63) + " " + noDigest},
			{byDigest(strings.ToUpper(unknownDigest)), strings.ToUpper(unknownDigest) + " " + noDigest},
			{byDigest("md5:d41d8cd98f00b204e9800998ecf8427e"), "md5:d41d8cd98f00b204e9800998ecf8427e " + noDigest},
			{byDigest("v1"), "v1 " + noDigest},
			{byTag("v1\x00"), "@v1\x00 " + noTag},
			{byTag("é"), "@é " + noTag},
			{byTag("-v1"), "@-v1 " + noTag},
			{byTag(strings.Repeat("a", 129)), "@" + strings.Repeat("a", 129) + " " + noTag},
		} {
			out := must(c.BatchGetImage(t.Context(), &ecr.BatchGetImageInput{RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{tt.id}}))(t)
			wantEqual(t, "failures", failures(out.Failures), []string{tt.want})
			if out.Images == nil || len(out.Images) != 0 {
				t.Errorf("images of %s = %v, want an empty list", text(tt.id), out.Images)
			}
		}
	})
}

func TestBatchGetImageRefuses(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createRepository(t, s.ECR(), "app")
		v1 := []types.ImageIdentifier{byTag("v1")}
		for name, tt := range map[string]struct {
			in            ecr.BatchGetImageInput
			code, message string
		}{
			"an unknown repository": {ecr.BatchGetImageInput{RepositoryName: new("absent"), ImageIds: v1}, "RepositoryNotFoundException", noRepository},
			"no id": {
				ecr.BatchGetImageInput{ImageIds: []types.ImageIdentifier{}}, "InvalidParameterException",
				"Invalid parameter at 'imageIds' failed to satisfy constraint: 'Member must have length greater than or equal to 1'",
			},
			"101 ids": {
				ecr.BatchGetImageInput{ImageIds: slices.Repeat(v1, 101)}, "InvalidParameterException",
				"Invalid parameter at 'imageIds' failed to satisfy constraint: 'Member must have length less than or equal to 100'",
			},
			"a tag of 301 characters": {
				ecr.BatchGetImageInput{ImageIds: []types.ImageIdentifier{byTag(strings.Repeat("a", 301))}}, "InvalidParameterException",
				"Invalid parameter at 'imageIds.1.member.imageTag' failed to satisfy constraint: 'Member must have length less than or equal to 300'",
			},
			"another account": {
				ecr.BatchGetImageInput{RegistryId: new("999999999999"), ImageIds: v1}, "AccessDeniedException",
				"User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:BatchGetImage on resource: " +
					"arn:aws:ecr:us-east-1:999999999999:repository/app because no resource-based policy allows the ecr:BatchGetImage action",
			},
		} {
			t.Run(name, func(t *testing.T) {
				if tt.in.RepositoryName == nil {
					tt.in.RepositoryName = new("app")
				}
				_, err := s.ECR().BatchGetImage(t.Context(), &tt.in)
				wantError(t, err, tt.code, tt.message)
			})
		}
	})
}

package ecr_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// describeImages returns the images that the ids name, or all.
func describeImages(t *testing.T, c *ecr.Client, repository string, ids ...types.ImageIdentifier) []types.ImageDetail {
	t.Helper()
	return must(c.DescribeImages(t.Context(), &ecr.DescribeImagesInput{RepositoryName: &repository, ImageIds: ids}))(t).ImageDetails
}

func TestDescribeImagesTellsWhatIsKnownOfAnImage(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		small, large := servertest.NewImage(1, 10, 20), servertest.NewImage(2, 1000, 100_000)
		pushed := s.Clock.Now()
		pushImage(t, c, "app", small, "v1", "latest")
		pushImage(t, c, "app", large)
		s.Clock.Advance(time.Hour)
		index := servertest.Index(small, large)
		putImage(t, c, "app", index, "multi")
		signature := servertest.JSON(ocispec.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
			ArtifactType: "application/vnd.example.signature", Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{},
			Subject: &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: small.Digest, Size: int64(len(small.Manifest))},
		})
		pushLayer(t, c, "app", []byte("{}"))
		putImage(t, c, "app", signature)

		image := func(d digest.Digest, size int, tags ...string) types.ImageDetail {
			return types.ImageDetail{
				RegistryId: new("123456789012"), RepositoryName: new("app"), ImageDigest: new(d.String()), ImageTags: tags,
				ImageSizeInBytes: new(int64(size)), ImagePushedAt: &pushed, ImageManifestMediaType: new(ocispec.MediaTypeImageManifest),
				ArtifactMediaType: new(ocispec.MediaTypeImageConfig), ImageStatus: types.ImageStatusActive,
			}
		}
		later := s.Clock.Now()
		wantIndex := image(digest.FromBytes(index), len(large.Config)+101_000, "multi")
		wantIndex.ImageManifestMediaType, wantIndex.ArtifactMediaType, wantIndex.ImagePushedAt = new(ocispec.MediaTypeImageIndex), nil, &later
		wantSignature := image(digest.FromBytes(signature), 2)
		wantSignature.ArtifactMediaType, wantSignature.SubjectManifestDigest = new("application/vnd.example.signature"), new(small.Digest.String())
		wantSignature.ImagePushedAt = &later
		want := []types.ImageDetail{
			image(small.Digest, len(small.Config)+30, "latest", "v1"), image(large.Digest, len(large.Config)+101_000), wantIndex, wantSignature,
		}
		slices.SortFunc(want, func(a, b types.ImageDetail) int { return compare(*a.ImageDigest, *b.ImageDigest) })
		wantEqual(t, "DescribeImages", describeImages(t, c, "app"), want)
	})
}

func compare(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

func TestDescribeImagesByIDKeepsTheOrderOfTheIDs(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		one, two := servertest.NewImage(1), servertest.NewImage(2)
		pushImage(t, c, "app", one, "v1", "latest")
		pushImage(t, c, "app", two, "v2")
		var got []string
		for _, d := range describeImages(t, c, "app", byTag("v2"), byTag("v1"), byDigest(two.Digest), byBoth(one.Digest, "latest")) {
			got = append(got, fmt.Sprint(*d.ImageDigest, d.ImageTags))
		}
		wantEqual(t, "images", got, []string{
			two.Digest.String() + "[v2]", one.Digest.String() + "[latest v1]", two.Digest.String() + "[v2]", one.Digest.String() + "[latest v1]",
		})
	})
}

func TestDescribeImagesPages(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		want := map[types.TagStatus][]string{}
		for i := range uint64(7) {
			img := servertest.NewImage(i)
			var tags []string
			status := types.TagStatusUntagged
			if i%3 != 0 {
				tags, status = []string{fmt.Sprint("v", i), fmt.Sprint("w", i)}, types.TagStatusTagged
			}
			pushImage(t, c, "app", img, tags...)
			line := fmt.Sprint(img.Digest, tags)
			want[status] = append(want[status], line)
			want[types.TagStatusAny] = append(want[types.TagStatusAny], line)
			want[""] = append(want[""], line)
		}
		for status, images := range want {
			slices.Sort(images)
			for size := range int32(9) {
				in := &ecr.DescribeImagesInput{RepositoryName: new("app"), Filter: &types.DescribeImagesFilter{TagStatus: status}}
				if size > 0 {
					in.MaxResults = &size
				}
				var got []string
				pages := ecr.NewDescribeImagesPaginator(c, in)
				for pages.HasMorePages() {
					for _, d := range must(pages.NextPage(t.Context()))(t).ImageDetails {
						got = append(got, fmt.Sprint(*d.ImageDigest, d.ImageTags))
					}
				}
				wantEqual(t, fmt.Sprintf("%s images in pages of %d", status, size), got, images)
			}
		}
	})
}

func TestAnImageKeepsTheTimeOfItsFirstPush(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		img, other := servertest.NewImage(1), servertest.NewImage(2)
		first := s.Clock.Now()
		pushImage(t, c, "app", img, "v1")
		s.Clock.Advance(time.Hour)
		putImage(t, c, "app", img.Manifest, "v2")
		pushImage(t, c, "app", other, "v1")
		got := describeImages(t, c, "app", byTag("v2"))[0]
		wantEqual(t, "pushed at", *got.ImagePushedAt, first)
		wantEqual(t, "tags", got.ImageTags, []string{"v2"})
		wantEqual(t, "the other, pushed at", *describeImages(t, c, "app", byTag("v1"))[0].ImagePushedAt, first.Add(time.Hour))

		must(c.BatchDeleteImage(t.Context(), &ecr.BatchDeleteImageInput{
			RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{byDigest(img.Digest)},
		}))(t)
		s.Clock.Advance(time.Hour)
		putImage(t, c, "app", img.Manifest, "v3")
		wantEqual(t, "after a deletion, pushed at", *describeImages(t, c, "app", byTag("v3"))[0].ImagePushedAt, first.Add(2*time.Hour))
	})
}

func TestDescribeImagesRefuses(t *testing.T) {
	t.Parallel()
	const paging = "Invalid parameter at 'imageIds' failed to satisfy constraint: 'nextToken and maxResults cannot be used with imageIds'"
	img := servertest.NewImage(1)
	notFound := func(d, tag string) string {
		return "The image with imageId {imageDigest:'" + d + "', imageTag:'" + tag + "'} does not exist within the repository " +
			"with name 'app' in the registry with id '123456789012'"
	}
	ids := func(ids ...types.ImageIdentifier) ecr.DescribeImagesInput {
		return ecr.DescribeImagesInput{ImageIds: ids}
	}
	cases := map[string]struct {
		in            ecr.DescribeImagesInput
		code, message string
	}{
		"an unknown repository": {ecr.DescribeImagesInput{RepositoryName: new("absent")}, "RepositoryNotFoundException", noRepository},
		"an unknown tag":        {ids(byTag("v1"), byTag("v9")), "ImageNotFoundException", notFound("null", "v9")},
		"an unknown digest":     {ids(byDigest(unknownDigest)), "ImageNotFoundException", notFound(unknownDigest, "null")},
		"a tag of another image": {
			ids(byBoth(unknownDigest, "v1")), "ImageNotFoundException", notFound(unknownDigest, "v1"),
		},
		"an unknown tag of the image": {ids(byBoth(img.Digest, "v9")), "ImageNotFoundException", notFound(img.Digest.String(), "v9")},
		"an empty id": {
			ids(types.ImageIdentifier{}), "InvalidParameterException", "Invalid request parameters: both tag and digest cannot be null",
		},
		"a digest that is none": {
			ids(byDigest("sha256:zz")), "InvalidParameterException",
			"Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'",
		},
		"a tag that is none": {
			ids(byTag("a\x00")), "InvalidParameterException", "Invalid request parameters: image tag should satisfy the regex '[a-zA-Z0-9-_.]+'",
		},
		"ids with a page size": {
			ecr.DescribeImagesInput{ImageIds: []types.ImageIdentifier{byTag("v1")}, MaxResults: new(int32(1))}, "InvalidParameterException", paging,
		},
		"ids with a token": {
			ecr.DescribeImagesInput{ImageIds: []types.ImageIdentifier{byTag("v1")}, NextToken: new("x")}, "InvalidParameterException", paging,
		},
		"101 ids": {
			ids(slices.Repeat([]types.ImageIdentifier{byTag("v1")}, 101)...), "InvalidParameterException",
			"Invalid parameter at 'imageIds' failed to satisfy constraint: 'Member must have length less than or equal to 100'",
		},
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createRepository(t, s.ECR(), "app")
		pushImage(t, s.ECR(), "app", img, "v1")
		for name, tt := range cases {
			t.Run(name, func(t *testing.T) {
				in := tt.in
				if in.RepositoryName == nil {
					in.RepositoryName = new("app")
				}
				_, err := s.ECR().DescribeImages(t.Context(), &in)
				wantError(t, err, tt.code, tt.message)
			})
		}
	})
}

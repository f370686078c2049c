package ecrpublic_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestPutImage(t *testing.T) {
	t.Parallel()
	img := servertest.NewImage(1, 10)
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECRPublic()
		alias := aliasOf(create(t, s, "app"))
		pushImage(t, c, "app", img)
		for _, id := range []string{account, alias} {
			out := must(c.PutImage(t.Context(), &ecrpublic.PutImageInput{
				RegistryId: &id, RepositoryName: new("app"), ImageManifest: new(string(img.Manifest)), ImageTag: new("by-" + id),
			}))(t)
			wantEqual(t, "PutImage", out.Image, &types.Image{
				RegistryId: new(account), RepositoryName: new("app"), ImageManifest: new(string(img.Manifest)),
				ImageId:                &types.ImageIdentifier{ImageDigest: new(img.Digest.String()), ImageTag: new("by-" + id)},
				ImageManifestMediaType: new(ocispec.MediaTypeImageManifest),
			})
		}
		// What the API has put, everybody can pull.
		got := s.Anonymous(t).Do(t, "GET", "/v2/"+alias+"/app/manifests/by-"+alias, nil).Want(t, 200)
		if string(got.Body) != string(img.Manifest) {
			t.Error("the manifest was changed")
		}
	})
}

func TestPutImageRefuses(t *testing.T) {
	t.Parallel()
	img, other := servertest.NewImage(1, 10), servertest.NewImage(2, 10)
	in := func(manifest []byte, change func(*ecrpublic.PutImageInput)) ecrpublic.PutImageInput {
		in := ecrpublic.PutImageInput{RepositoryName: new("app"), ImageManifest: new(string(manifest))}
		change(&in)
		return in
	}
	config, layer := digest.FromBytes(other.Config), digest.FromBytes(other.Layers[0])
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECRPublic()
		create(t, s, "app")
		pushImage(t, c, "app", img, "v1")
		for name, tt := range map[string]struct {
			in            ecrpublic.PutImageInput
			code, message string
		}{
			"the same image and tag": {
				in(img.Manifest, func(in *ecrpublic.PutImageInput) { in.ImageTag = new("v1") }), "ImageAlreadyExistsException",
				"Image with digest '" + img.Digest.String() + "' and tag 'v1' already exists in the repository with name 'app' in registry with id '123456789012'",
			},
			"layers that are not there": {
				in(other.Manifest, func(*ecrpublic.PutImageInput) {}), "LayersNotFoundException",
				"Layers with digests '[" + config.String() + ", " + layer.String() + "]' required for pushing image into repository with name 'app' in the registry with id '123456789012' do not exist",
			},
			"images that are not there": {
				in(servertest.Index(other), func(*ecrpublic.PutImageInput) {}), "ReferencedImagesNotFoundException",
				"Images with digests '[" + other.Digest.String() + "]' required for pushing image into repository with name 'app' in the registry with id '123456789012' do not exist",
			},
			"another digest": {
				in(img.Manifest, func(in *ecrpublic.PutImageInput) { in.ImageDigest = new(unknownDigest) }), "ImageDigestDoesNotMatchException",
				"The digest '" + img.Digest.String() + "' of the image manifest does not match the digest that was given: '" + unknownDigest + "'",
			},
			"a tag that is none": {
				in(img.Manifest, func(in *ecrpublic.PutImageInput) { in.ImageTag = new("a b") }), "InvalidParameterException",
				"Invalid parameter at 'imageTag' failed to satisfy constraint: 'must satisfy regular expression '[a-zA-Z0-9-_.]+''",
			},
			"no manifest": {
				in([]byte("{"), func(*ecrpublic.PutImageInput) {}), "InvalidParameterException",
				"Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'",
			},
			"no repository": {
				in(img.Manifest, func(in *ecrpublic.PutImageInput) { in.RepositoryName = new("absent") }), "RepositoryNotFoundException", noRepository,
			},
			"no registry": {
				in(img.Manifest, func(in *ecrpublic.PutImageInput) { in.RegistryId = new("nobody") }), "RegistryNotFoundException", noAlias,
			},
			"an alias in capitals": {
				in(img.Manifest, func(in *ecrpublic.PutImageInput) { in.RegistryId = new("NOBODY") }), "InvalidParameterException",
				"Invalid parameter at 'registryAliasName' failed to satisfy constraint: 'Member must satisfy regular expression pattern: [a-z][a-z0-9]+(?:[._-][a-z0-9]+)*'",
			},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := c.PutImage(t.Context(), &tt.in)
				wantError(t, err, tt.code, tt.message)
			})
		}
		stranger := in(img.Manifest, func(in *ecrpublic.PutImageInput) { in.RegistryId = new(stranger) })
		_, err := c.PutImage(t.Context(), &stranger)
		wantDenied(t, err, "PutImage", "arn:aws:ecr-public::210987654321:repository/app")
	})
}

func TestDescribeImages(t *testing.T) {
	t.Parallel()
	img := servertest.NewImage(1, 1000)
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECRPublic()
		create(t, s, "app")
		none := must(c.DescribeImages(t.Context(), &ecrpublic.DescribeImagesInput{RepositoryName: new("app")}))(t)
		if none.ImageDetails == nil || len(none.ImageDetails) != 0 {
			t.Errorf("images of an empty repository = %v, want an empty list", none.ImageDetails)
		}
		pushImage(t, c, "app", img, "v1", "latest")
		for _, ids := range [][]types.ImageIdentifier{nil, {byTag("v1")}, {byDigest(img.Digest)}} {
			out := must(c.DescribeImages(t.Context(), &ecrpublic.DescribeImagesInput{RepositoryName: new("app"), ImageIds: ids}))(t)
			wantEqual(t, "DescribeImages", out.ImageDetails, []types.ImageDetail{{
				RegistryId: new(account), RepositoryName: new("app"), ImageDigest: new(img.Digest.String()), ImageTags: []string{"latest", "v1"},
				ImageSizeInBytes: new(int64(1000 + len(img.Config))), ImagePushedAt: new(s.Clock.Now()),
				ImageManifestMediaType: new(ocispec.MediaTypeImageManifest), ArtifactMediaType: new(ocispec.MediaTypeImageConfig),
			}})
		}
		for i := range uint64(4) {
			pushImage(t, c, "app", servertest.NewImage(i+2), fmt.Sprint(i))
		}
		for _, size := range []int32{1, 2, 5, 100} {
			seen := map[string]bool{}
			pages := ecrpublic.NewDescribeImagesPaginator(c, &ecrpublic.DescribeImagesInput{RepositoryName: new("app"), MaxResults: &size})
			for pages.HasMorePages() {
				for _, d := range must(pages.NextPage(t.Context()))(t).ImageDetails {
					seen[*d.ImageDigest] = true
				}
			}
			if len(seen) != 5 {
				t.Errorf("pages of %d have %d images, want 5", size, len(seen))
			}
		}
		for name, tt := range map[string]struct {
			in            ecrpublic.DescribeImagesInput
			code, message string
		}{
			"an image that is not there": {
				ecrpublic.DescribeImagesInput{RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{byTag("absent")}}, "ImageNotFoundException",
				"The image with imageId {imageDigest:'null', imageTag:'absent'} does not exist within the repository with name 'app' in the registry with id '123456789012'",
			},
			"no repository": {ecrpublic.DescribeImagesInput{RepositoryName: new("absent")}, "RepositoryNotFoundException", noRepository},
			"no token":      {ecrpublic.DescribeImagesInput{RepositoryName: new("app"), NextToken: new("x")}, "InvalidParameterException", badToken},
			"ids and a page": {
				ecrpublic.DescribeImagesInput{RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{byTag("v1")}, MaxResults: new(int32(1))},
				"InvalidParameterException", "Invalid parameter at 'imageIds' failed to satisfy constraint: 'nextToken and maxResults cannot be used with imageIds'",
			},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := c.DescribeImages(t.Context(), &tt.in)
				wantError(t, err, tt.code, tt.message)
			})
		}
		_, err := c.DescribeImages(t.Context(), &ecrpublic.DescribeImagesInput{RepositoryName: new("app"), RegistryId: new(stranger)})
		wantDenied(t, err, "DescribeImages", "arn:aws:ecr-public::210987654321:repository/app")
	})
}

func TestDescribeImageTagsSaysWhenATagWasPut(t *testing.T) {
	t.Parallel()
	one, two := servertest.NewImage(1, 10), servertest.NewImage(2, 20)
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECRPublic()
		create(t, s, "app")
		none := must(c.DescribeImageTags(t.Context(), &ecrpublic.DescribeImageTagsInput{RepositoryName: new("app")}))(t)
		if none.ImageTagDetails == nil || len(none.ImageTagDetails) != 0 {
			t.Errorf("tags of an empty repository = %v, want an empty list", none.ImageTagDetails)
		}
		first := s.Clock.Now()
		pushImage(t, c, "app", one, "latest", "v1")
		s.Clock.Advance(time.Hour)
		pushImage(t, c, "app", two, "latest") // moves the tag
		detail := func(tag string, at time.Time, img servertest.Image, pushed time.Time) types.ImageTagDetail {
			return types.ImageTagDetail{ImageTag: &tag, CreatedAt: &at, ImageDetail: &types.ReferencedImageDetail{
				ImageDigest: new(img.Digest.String()), ImageSizeInBytes: new(int64(len(img.Config) + len(img.Layers[0]))), ImagePushedAt: &pushed,
				ImageManifestMediaType: new(ocispec.MediaTypeImageManifest), ArtifactMediaType: new(ocispec.MediaTypeImageConfig),
			}}
		}
		want := []types.ImageTagDetail{detail("latest", s.Clock.Now(), two, s.Clock.Now()), detail("v1", first, one, first)}
		for _, size := range []int32{1, 2, 1000} {
			var got []types.ImageTagDetail
			pages := ecrpublic.NewDescribeImageTagsPaginator(c, &ecrpublic.DescribeImageTagsInput{RepositoryName: new("app"), MaxResults: &size})
			for pages.HasMorePages() {
				got = append(got, must(pages.NextPage(t.Context()))(t).ImageTagDetails...)
			}
			wantEqual(t, fmt.Sprint("pages of ", size), got, want)
		}
		_, err := c.DescribeImageTags(t.Context(), &ecrpublic.DescribeImageTagsInput{RepositoryName: new("absent")})
		wantError(t, err, "RepositoryNotFoundException", noRepository)
		page := must(c.DescribeImageTags(t.Context(), &ecrpublic.DescribeImageTagsInput{RepositoryName: new("app"), MaxResults: new(int32(1))}))(t)
		create(t, s, "other")
		for _, token := range []*string{new("x"), page.NextToken} {
			_, err = c.DescribeImageTags(t.Context(), &ecrpublic.DescribeImageTagsInput{RepositoryName: new("other"), NextToken: token})
			wantError(t, err, "InvalidParameterException", badToken)
		}
		_, err = c.DescribeImageTags(t.Context(), &ecrpublic.DescribeImageTagsInput{RepositoryName: new("app"), RegistryId: new(stranger)})
		wantDenied(t, err, "DescribeImageTags", "arn:aws:ecr-public::210987654321:repository/app")
	})
}

func TestBatchDeleteImage(t *testing.T) {
	t.Parallel()
	img := servertest.NewImage(1, 10)
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECRPublic()
		alias := aliasOf(create(t, s, "app"))
		pushImage(t, c, "app", img, "v1", "v2")
		index := servertest.Index(img)
		must(c.PutImage(t.Context(), &ecrpublic.PutImageInput{RepositoryName: new("app"), ImageManifest: new(string(index)), ImageTag: new("index")}))(t)
		out := must(c.BatchDeleteImage(t.Context(), &ecrpublic.BatchDeleteImageInput{
			RegistryId: &alias, RepositoryName: new("app"),
			ImageIds: []types.ImageIdentifier{byTag("v1"), byDigest(img.Digest), byTag("absent"), byDigest("sha256:x"), {}, {ImageDigest: new(unknownDigest), ImageTag: new("v2")}},
		}))(t)
		wantEqual(t, "deleted", out.ImageIds, []types.ImageIdentifier{{ImageDigest: new(img.Digest.String()), ImageTag: new("v1")}})
		codes := map[types.ImageFailureCode]int{}
		for _, f := range out.Failures {
			codes[f.FailureCode]++
		}
		wantEqual(t, "failures", codes, map[types.ImageFailureCode]int{
			types.ImageFailureCodeImageReferencedByManifestList: 1, types.ImageFailureCodeImageNotFound: 1,
			types.ImageFailureCodeInvalidImageDigest: 1, types.ImageFailureCodeMissingDigestAndTag: 1, types.ImageFailureCodeImageTagDoesNotMatchDigest: 1,
		})
		out = must(c.BatchDeleteImage(t.Context(), &ecrpublic.BatchDeleteImageInput{
			RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{byDigest(img.Digest), byTag("index")},
		}))(t)
		if len(out.ImageIds) != 2 || len(out.Failures) != 0 {
			t.Errorf("BatchDeleteImage = %v, %v, want the index and its image", out.ImageIds, out.Failures)
		}
		ids := []types.ImageIdentifier{byTag("v1")}
		_, err := c.BatchDeleteImage(t.Context(), &ecrpublic.BatchDeleteImageInput{RepositoryName: new("absent"), ImageIds: ids})
		wantError(t, err, "RepositoryNotFoundException", noRepository)
		_, err = c.BatchDeleteImage(t.Context(), &ecrpublic.BatchDeleteImageInput{RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{}})
		if servertest.ErrorCode(err) != "InvalidParameterException" || !strings.Contains(servertest.ErrorMessage(err), "'imageIds'") {
			t.Errorf("BatchDeleteImage of nothing: %v, want InvalidParameterException", err)
		}
		_, err = c.BatchDeleteImage(t.Context(), &ecrpublic.BatchDeleteImageInput{RepositoryName: new("app"), RegistryId: new(stranger), ImageIds: ids})
		wantDenied(t, err, "BatchDeleteImage", "arn:aws:ecr-public::210987654321:repository/app")
	})
}

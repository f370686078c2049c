package ecr_test

import (
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
)

func TestDeleteRepositoryReturnsWhatItDeleted(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		created := createRepository(t, s.ECR(), "app")
		createRepository(t, s.ECR(), "other")
		out := must(s.ECR().DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: new("app")}))(t)
		wantEqual(t, "DeleteRepository", out.Repository, created)
		wantEqual(t, "repositories", repositoryNames(t, s.ECR()), []string{"other"})
	})
}

func TestARepositoryWithImagesIsDeletedOnlyByForce(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		pushImage(t, c, "app", servertest.NewImage(1), "v1")
		_, err := c.DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: new("app")})
		wantError(t, err, "RepositoryNotEmptyException",
			"The repository with name 'app' in registry with id '123456789012' cannot be deleted because it still contains images")
		must(c.DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: new("app"), Force: true}))(t)
		wantEqual(t, "repositories", repositoryNames(t, c), []string{})
	})
}

func TestARepositoryWithoutImagesIsEmpty(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		img := servertest.NewImage(1)
		pushImage(t, c, "app", img, "v1") // its layers stay when it goes
		startUpload(t, c, "app")
		must(c.BatchDeleteImage(t.Context(), &ecr.BatchDeleteImageInput{
			RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{byDigest(img.Digest)},
		}))(t)
		must(c.DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: new("app")}))(t)
	})
}

func TestANewRepositoryHasNothingOfADeletedOneOfItsName(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		for _, name := range []string{"app", "copy"} {
			createRepository(t, c, name)
			pushImage(t, c, name, servertest.NewImage(1, 100, 70_000), "v1", "v2")
		}
		must(c.TagResource(t.Context(), &ecr.TagResourceInput{
			ResourceArn: new("arn:aws:ecr:us-east-1:123456789012:repository/app"), Tags: []types.Tag{{Key: new("k"), Value: new("v")}},
		}))(t)
		must(c.PutImageTagMutability(t.Context(), &ecr.PutImageTagMutabilityInput{
			RepositoryName: new("app"), ImageTagMutability: types.ImageTagMutabilityImmutable,
		}))(t)
		upload := startUpload(t, c, "app")
		page := must(c.ListImages(t.Context(), &ecr.ListImagesInput{RepositoryName: new("app"), MaxResults: new(int32(1))}))(t).NextToken
		must(c.DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: new("app"), Force: true}))(t)
		if _, err := c.ListImages(t.Context(), &ecr.ListImagesInput{RepositoryName: new("app")}); servertest.ErrorCode(err) != "RepositoryNotFoundException" {
			t.Errorf("ListImages of a deleted repository: %v, want RepositoryNotFoundException", err)
		}

		fresh := createRepository(t, c, "app")
		wantEqual(t, "mutability", fresh.ImageTagMutability, types.ImageTagMutabilityMutable)
		tags := must(c.ListTagsForResource(t.Context(), &ecr.ListTagsForResourceInput{ResourceArn: fresh.RepositoryArn}))(t)
		wantEqual(t, "resource tags", tags.Tags, []types.Tag{})
		wantEqual(t, "images", listImages(t, c, "app"), nil)
		img := servertest.NewImage(1, 100, 70_000)
		got := must(c.BatchGetImage(t.Context(), &ecr.BatchGetImageInput{
			RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{byDigest(img.Digest), byTag("v1")},
		}))(t)
		wantEqual(t, "failures", failures(got.Failures), []string{
			img.Digest.String() + " ImageNotFound: Requested image not found", "@v1 ImageNotFound: Requested image not found",
		})
		for _, content := range [][]byte{img.Config, img.Layers[0], img.Layers[1]} {
			wantEqual(t, "availability", availability(t, c, "app", digest.FromBytes(content)), []string{"UNAVAILABLE"})
			wantEqual(t, "availability in the other repository", availability(t, c, "copy", digest.FromBytes(content)), []string{"AVAILABLE"})
		}
		_, err := c.UploadLayerPart(t.Context(), part("app", upload, 0, []byte("x")))
		wantError(t, err, "UploadNotFoundException",
			"The upload with id '"+upload+"' does not exist in the repository with name 'app' in the registry with id '123456789012'")
		_, err = c.ListImages(t.Context(), &ecr.ListImagesInput{RepositoryName: new("app"), NextToken: page})
		wantError(t, err, "InvalidParameterException", "Invalid parameter at 'nextToken' failed to satisfy constraint: 'Invalid token'")

		pushImage(t, c, "app", img, "v1")
		wantEqual(t, "images after a push", listImages(t, c, "app"), []string{img.Digest.String() + "@v1"})
	})
}

func TestDeleteRepositoryRefuses(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		for name, tt := range map[string]struct {
			in            ecr.DeleteRepositoryInput
			code, message string
		}{
			"an unknown name": {ecr.DeleteRepositoryInput{RepositoryName: new("absent")}, "RepositoryNotFoundException", noRepository},
			"force on an unknown name": {
				ecr.DeleteRepositoryInput{RepositoryName: new("absent"), Force: true}, "RepositoryNotFoundException", noRepository,
			},
			"a name that is none": {ecr.DeleteRepositoryInput{RepositoryName: new("No")}, "InvalidParameterException", nameRegexp},
			"the registry of another account": {
				ecr.DeleteRepositoryInput{RepositoryName: new("absent"), RegistryId: new("999999999999")}, "AccessDeniedException",
				"User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:DeleteRepository on resource: " +
					"arn:aws:ecr:us-east-1:999999999999:repository/absent because no resource-based policy allows the ecr:DeleteRepository action",
			},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := s.ECR().DeleteRepository(t.Context(), &tt.in)
				wantError(t, err, tt.code, tt.message)
			})
		}
	})
}

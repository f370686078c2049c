package ecr_test

import (
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
)

func TestTheSameNameInTwoRegionsIsTwoRepositories(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		east, west := s.ECR(), s.ECRIn("eu-west-1")
		one, two := servertest.NewImage(1, 100, 70_000), servertest.NewImage(2, 100, 70_000)
		_, port, _ := strings.Cut(s.Host, ":")

		createRepository(t, east, "app")
		wantEqual(t, "repositories of the other region", repositoryNames(t, west), []string{})
		got := createRepository(t, west, "app")
		wantEqual(t, "ARN", *got.RepositoryArn, "arn:aws:ecr:eu-west-1:123456789012:repository/app")
		wantEqual(t, "URI", *got.RepositoryUri, "123456789012.dkr.ecr.eu-west-1.localhost:"+port+"/app")

		pushImage(t, east, "app", one, "v1")
		wantEqual(t, "images of the other region", listImages(t, west, "app"), nil)
		layer := digest.FromBytes(one.Layers[1])
		wantEqual(t, "layers of the other region", availability(t, west, "app", layer), []string{"UNAVAILABLE"})
		_, err := west.PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: new("app"), ImageManifest: new(string(one.Manifest))})
		if servertest.ErrorCode(err) != "LayersNotFoundException" {
			t.Errorf("PutImage with the layers of another region: %v, want LayersNotFoundException", err)
		}
		client := s.Login(t)
		client.Host = "123456789012.dkr.ecr.eu-west-1.localhost:" + port
		client.Do(t, "POST", "/v2/app/blobs/uploads/?mount="+layer.String()+"&from=app", nil).Want(t, 202)
		client.Do(t, "POST", "/v2/app/blobs/uploads/?mount="+layer.String(), nil).Want(t, 202)

		pushImage(t, west, "app", two, "v1")
		for c, want := range map[*ecr.Client]servertest.Image{east: one, west: two} {
			out := must(c.BatchGetImage(t.Context(), &ecr.BatchGetImageInput{RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{byTag("v1")}}))(t)
			wantEqual(t, "digest under the tag", *out.Images[0].ImageId.ImageDigest, want.Digest.String())
		}
		pushImage(t, west, "app", one)
		wantEqual(t, "objects of a layer in both regions", rows(t, s, "SELECT count(DISTINCT key_domain) FROM objects WHERE digest = $1", layer.String()), []string{"2"})

		must(east.DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: new("app"), Force: true}))(t)
		wantEqual(t, "repositories left", repositoryNames(t, west), []string{"app"})
		wantEqual(t, "layers left", availability(t, west, "app", layer), []string{"AVAILABLE"})
		client.Do(t, "GET", "/v2/app/blobs/"+layer.String(), nil).Want(t, 200)
	})
}

func TestUploadsAndTokensOfOneRegionAreUnknownInAnother(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		east, west := s.ECR(), s.ECRIn("eu-west-1")
		for _, c := range []*ecr.Client{east, west} {
			createRepository(t, c, "app")
			createRepository(t, c, "other")
		}
		id := startUpload(t, east, "app")
		_, err := west.UploadLayerPart(t.Context(), part("app", id, 0, []byte("x")))
		wantError(t, err, "UploadNotFoundException", noUpload(id))
		_, err = west.CompleteLayerUpload(t.Context(), completion("app", id, digest.FromString("")))
		wantError(t, err, "UploadNotFoundException", noUpload(id))
		must(east.UploadLayerPart(t.Context(), part("app", id, 0, []byte("x"))))(t)

		page := must(east.DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{MaxResults: new(int32(1))}))(t).NextToken
		_, err = west.DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{NextToken: page})
		wantError(t, err, "InvalidParameterException", "Invalid parameter at 'nextToken' failed to satisfy constraint: 'Invalid token'")
	})
}

func TestRegionsHaveTheirOwnSettingsAndRules(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		east, west := s.ECR(), s.ECRIn("eu-west-1")
		createRepository(t, east, "app")
		createRepository(t, west, "app")
		putMutability(t, east, types.ImageTagMutabilityImmutable)
		read := must(west.DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{RepositoryNames: []string{"app"}}))(t)
		wantEqual(t, "mutability elsewhere", read.Repositories[0].ImageTagMutability, types.ImageTagMutabilityMutable)
		must(0, tagResource(t, east, appARN, "k", "v"))(t)
		wantEqual(t, "tags elsewhere", listTags(t, west, "arn:aws:ecr:eu-west-1:123456789012:repository/app"), []types.Tag{})
	})
}

package ecr_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
)

// allowed are the errors that calls may meet when others change the same
// repositories at the same time. A fault of the server is none of them.
var allowed = []string{
	"", "RepositoryNotFoundException", "RepositoryAlreadyExistsException", "RepositoryNotEmptyException", "ImageAlreadyExistsException",
	"LayersNotFoundException", "ReferencedImagesNotFoundException", "UploadNotFoundException", "LayerAlreadyExistsException",
}

// Several clients push, retag, delete and list in the same few repositories.
// Whatever the order, no call fails for another reason than what others did, and
// what is left in the end is whole.
func TestClientsThatChangeTheSameRepositoriesAtOnce(t *testing.T) {
	t.Parallel()
	images := []servertest.Image{servertest.NewImage(1, 10), servertest.NewImage(2, 10), servertest.NewImage(3, 70_000)}
	index := servertest.Index(images[0], images[1])
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		repositories := []string{"aa", "bb"}
		for _, name := range repositories {
			createRepository(t, c, name)
		}
		var wg sync.WaitGroup
		for g := range 6 {
			random := rand.New(rand.NewPCG(7, uint64(g)))
			wg.Go(func() {
				for range 40 {
					act(t, c, random, repositories[random.IntN(2)], images, index)
				}
			})
		}
		wg.Wait()
		for _, name := range repositoryNames(t, c) {
			whole(t, c, name)
		}
	})
}

// act makes one call, or those of a push.
func act(t *testing.T, c *ecr.Client, random *rand.Rand, repository string, images []servertest.Image, index []byte) {
	img := images[random.IntN(len(images))]
	tag := fmt.Sprint("v", random.IntN(3))
	check := func(_ any, err error) {
		t.Helper()
		if !slices.Contains(allowed, servertest.ErrorCode(err)) {
			t.Error(err)
		}
	}
	switch random.IntN(10) {
	case 0, 1, 2:
		for _, content := range append([][]byte{img.Config}, img.Layers...) {
			id, err := c.InitiateLayerUpload(t.Context(), &ecr.InitiateLayerUploadInput{RepositoryName: &repository})
			if check(id, err); err != nil {
				return
			}
			check(c.UploadLayerPart(t.Context(), part(repository, *id.UploadId, 0, content)))
			check(c.CompleteLayerUpload(t.Context(), completion(repository, *id.UploadId, digest.FromBytes(content))))
		}
		check(c.PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: &repository, ImageManifest: new(string(img.Manifest)), ImageTag: &tag}))
	case 3:
		check(c.PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: &repository, ImageManifest: new(string(index)), ImageTag: new("multi")}))
	case 4:
		check(c.PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: &repository, ImageManifest: new(string(img.Manifest)), ImageTag: &tag}))
	case 5, 6:
		check(c.BatchDeleteImage(t.Context(), &ecr.BatchDeleteImageInput{
			RepositoryName: &repository, ImageIds: []types.ImageIdentifier{byTag(tag), byDigest(img.Digest), byTag("multi")},
		}))
	case 7:
		check(c.DescribeImages(t.Context(), &ecr.DescribeImagesInput{RepositoryName: &repository}))
	case 8:
		check(c.DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: &repository, Force: random.IntN(2) == 0}))
		check(c.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: &repository}))
	case 9:
		check(c.BatchGetImage(t.Context(), &ecr.BatchGetImageInput{RepositoryName: &repository, ImageIds: []types.ImageIdentifier{byTag(tag)}}))
	}
}

// whole fails the test unless all that the repository's images refer to is
// there.
func whole(t *testing.T, c *ecr.Client, repository string) {
	t.Helper()
	for _, detail := range describeImages(t, c, repository) {
		got := must(c.BatchGetImage(t.Context(), &ecr.BatchGetImageInput{
			RepositoryName: &repository, ImageIds: []types.ImageIdentifier{byDigest(*detail.ImageDigest)},
		}))(t)
		doc := answer{body: *got.Images[0].ImageManifest}.document(t)
		for _, child := range list(doc["manifests"]) {
			describeImages(t, c, repository, byDigest(child.(map[string]any)["digest"].(string)))
		}
		layers := list(doc["layers"])
		if config, ok := doc["config"]; ok {
			layers = append(layers, config)
		}
		for _, layer := range layers {
			d := digest.Digest(layer.(map[string]any)["digest"].(string))
			wantEqual(t, "availability of "+d.String(), availability(t, c, repository, d), []string{"AVAILABLE"})
		}
	}
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func TestOfTwoThatSendTheSamePartOneSucceeds(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		for range 5 {
			id := startUpload(t, c, "app")
			codes := make([]string, 4)
			var wg sync.WaitGroup
			for i := range codes {
				wg.Go(func() {
					_, err := c.UploadLayerPart(t.Context(), part("app", id, 0, servertest.Bytes(uint64(i), 100_000)))
					codes[i] = servertest.ErrorCode(err)
				})
			}
			wg.Wait()
			winner := slices.Index(codes, "")
			slices.Sort(codes)
			wantEqual(t, "errors", codes, []string{"", "InvalidLayerPartException", "InvalidLayerPartException", "InvalidLayerPartException"})
			d := digest.FromBytes(servertest.Bytes(uint64(winner), 100_000))
			if _, err := c.CompleteLayerUpload(t.Context(), completion("app", id, d)); err != nil && servertest.ErrorCode(err) != "LayerAlreadyExistsException" {
				t.Errorf("CompleteLayerUpload with the bytes of the one that succeeded: %v", err)
			}
		}
	})
}

package ecr_test

import (
	"context"
	"fmt"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
)

// usage returns what was counted: name, principal, pulls, bytes out and bytes
// stored of each repository.
func usage(t *testing.T, s *servertest.Server) []string {
	t.Helper()
	if err := s.Server().Registry().FlushUsage(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	return rows(t, s, `SELECT name, principal, sum(pulls), sum(bytes_out), sum(bytes_stored) FROM usage
		GROUP BY repository, name, principal ORDER BY name, principal`)
}

func TestPullsAndBytesAreCountedByRepositoryAndPrincipal(t *testing.T) {
	t.Parallel()
	const root = "arn:aws:iam::123456789012:root"
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "aa")
		createRepository(t, c, "bb")
		img := servertest.NewImage(1, 1000, 70_000)
		stored := 71_000 + len(img.Config)
		pushImage(t, c, "aa", img, "v1")
		wantEqual(t, "after a push", usage(t, s), []string{fmt.Sprintf("aa %s 0 0 %d", root, stored)})
		pushImage(t, c, "bb", img, "v1") // the bytes are there already
		wantEqual(t, "after a second push", usage(t, s), []string{fmt.Sprintf("aa %s 0 0 %d", root, stored)})

		must(c.BatchGetImage(t.Context(), &ecr.BatchGetImageInput{
			RepositoryName: new("aa"), ImageIds: []types.ImageIdentifier{byTag("v1"), byTag("v9"), byDigest(img.Digest)},
		}))(t)
		client := s.Login(t)
		client.Do(t, "GET", "/v2/bb/manifests/v1", nil).Want(t, 200)
		client.Do(t, "GET", "/v2/bb/manifests/v9", nil).Want(t, 404)
		client.Do(t, "GET", "/v2/bb/blobs/"+digest.FromBytes(img.Layers[1]).String(), nil).Want(t, 200)
		aa := fmt.Sprintf("aa %s 2 %d %d", root, 2*len(img.Manifest), stored)
		bb := fmt.Sprintf("bb %s 1 %d 0", root, len(img.Manifest)+70_000)
		wantEqual(t, "after pulls", usage(t, s), []string{aa, bb})

		fetch(t, s, downloadURL(t, c, "aa", digest.FromBytes(img.Layers[0])))
		wantEqual(t, "after a download by URL", usage(t, s), []string{"aa  0 1000 0", aa, bb})
		s.Restart(t)
		wantEqual(t, "after a restart", usage(t, s), []string{"aa  0 1000 0", aa, bb})
	})
}

func TestUsageIsStoredWhenTheServerEnds(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createRepository(t, s.ECR(), "app")
		pushLayer(t, s.ECR(), "app", servertest.Bytes(1, 10))
		s.Stop(t)
		wantEqual(t, "bytes stored", rows(t, s, "SELECT sum(bytes_stored) FROM usage"), []string{"10"})
	})
}

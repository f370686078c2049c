package ecr_test

import (
	"slices"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
)

// deleteImages deletes images and returns the ids of those deleted and the
// failures.
func deleteImages(t *testing.T, c *ecr.Client, repository string, ids ...types.ImageIdentifier) (deleted, failed []string) {
	t.Helper()
	out := must(c.BatchDeleteImage(t.Context(), &ecr.BatchDeleteImageInput{RepositoryName: &repository, ImageIds: ids}))(t)
	if out.ImageIds == nil || out.Failures == nil {
		t.Errorf("BatchDeleteImage = %v, %v, want both lists", out.ImageIds, out.Failures)
	}
	return texts(out.ImageIds), failures(out.Failures)
}

func TestBatchDeleteImage(t *testing.T) {
	t.Parallel()
	one, two := servertest.NewImage(1), servertest.NewImage(2)
	d1, d2 := one.Digest.String(), two.Digest.String()
	const notFound = " ImageNotFound: Requested image not found"
	const mismatch = " ImageTagDoesNotMatchDigest: Invalid request parameters: the tag and the digest refer to different images"
	cases := map[string]struct {
		ids                   []types.ImageIdentifier
		deleted, failed, left []string // of one with the tags a and b, and two with c
	}{
		"a digest deletes the image with all its tags": {
			[]types.ImageIdentifier{byDigest(one.Digest)}, []string{d1 + "@a", d1 + "@b"}, nil, []string{d2 + "@c"},
		},
		"a tag is taken away": {
			[]types.ImageIdentifier{byTag("a")}, []string{d1 + "@a"}, nil, []string{d1 + "@b", d2 + "@c"},
		},
		"an image goes with its last tag": {
			[]types.ImageIdentifier{byTag("c")}, []string{d2 + "@c"}, nil, []string{d1 + "@a", d1 + "@b"},
		},
		"an image goes with the last of its tags in one call": {
			[]types.ImageIdentifier{byTag("a"), byTag("b")}, []string{d1 + "@a", d1 + "@b"}, nil, []string{d2 + "@c"},
		},
		"digest and tag take the tag away": {
			[]types.ImageIdentifier{byBoth(one.Digest, "b")}, []string{d1 + "@b"}, nil, []string{d1 + "@a", d2 + "@c"},
		},
		"digest and the tag of another image": {
			[]types.ImageIdentifier{byBoth(one.Digest, "c")}, nil, []string{d1 + "@c" + mismatch}, []string{d1 + "@a", d1 + "@b", d2 + "@c"},
		},
		"neither digest nor tag": {
			[]types.ImageIdentifier{{}}, nil, []string{" MissingDigestAndTag: Invalid request parameters: both tag and digest cannot be null"},
			[]string{d1 + "@a", d1 + "@b", d2 + "@c"},
		},
		"what does not exist": {
			[]types.ImageIdentifier{byTag("x"), byDigest(unknownDigest)}, nil, []string{"@x" + notFound, unknownDigest + notFound},
			[]string{d1 + "@a", d1 + "@b", d2 + "@c"},
		},
		"what is no name": {
			[]types.ImageIdentifier{byTag("a/b"), byDigest("sha256:0")}, nil,
			[]string{
				"@a/b InvalidImageTag: Invalid request parameters: image tag should satisfy the regex '[a-zA-Z0-9-_.]+'",
				"sha256:0 InvalidImageDigest: Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'",
			},
			[]string{d1 + "@a", d1 + "@b", d2 + "@c"},
		},
		"the same twice": {
			[]types.ImageIdentifier{byDigest(two.Digest), byDigest(two.Digest)}, []string{d2 + "@c"}, []string{d2 + notFound}, []string{d1 + "@a", d1 + "@b"},
		},
		"some fail, the others go": {
			[]types.ImageIdentifier{byTag("x"), byTag("c"), byBoth(two.Digest, "a")}, []string{d2 + "@c"},
			[]string{"@x" + notFound, d2 + "@a" + mismatch}, []string{d1 + "@a", d1 + "@b"},
		},
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		for name, tt := range cases {
			t.Run(name, func(t *testing.T) {
				repository := "app/" + strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(name), " ", "-"), ",", "")
				createRepository(t, c, repository)
				pushImage(t, c, repository, one, "a", "b")
				pushImage(t, c, repository, two, "c")
				deleted, failed := deleteImages(t, c, repository, tt.ids...)
				wantEqual(t, "deleted", deleted, tt.deleted)
				wantEqual(t, "failures", failed, tt.failed)
				left := slices.Clone(tt.left)
				slices.Sort(left)
				wantEqual(t, "left", listImages(t, c, repository), left)
			})
		}
	})
}

func TestAnUntaggedImageIsDeletedByDigest(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		img := servertest.NewImage(1)
		pushImage(t, c, "app", img)
		deleted, failed := deleteImages(t, c, "app", byDigest(img.Digest))
		wantEqual(t, "deleted", deleted, []string{img.Digest.String()})
		wantEqual(t, "failures", failed, nil)
	})
}

func TestAnImmutableTagCanBeDeletedAndUsedAgain(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		must(c.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{
			RepositoryName: new("app"), ImageTagMutability: types.ImageTagMutabilityImmutable,
		}))(t)
		one, two := servertest.NewImage(1), servertest.NewImage(2)
		pushImage(t, c, "app", one, "v1")
		deleted, _ := deleteImages(t, c, "app", byTag("v1"))
		wantEqual(t, "deleted", deleted, []string{one.Digest.String() + "@v1"})
		pushImage(t, c, "app", two, "v1")
		wantEqual(t, "images", listImages(t, c, "app"), []string{two.Digest.String() + "@v1"})
	})
}

func TestAnImageThatAnIndexListsIsKept(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		amd, arm := servertest.NewImage(1), servertest.NewImage(2)
		pushImage(t, c, "app", amd, "amd64", "x86")
		pushImage(t, c, "app", arm)
		index := servertest.Index(amd, arm)
		parent := digest.FromBytes(index).String()
		putImage(t, c, "app", index, "v1")
		referenced := " ImageReferencedByManifestList: Requested image referenced by manifest list: [" + parent + "]"

		deleted, failed := deleteImages(t, c, "app", byDigest(arm.Digest), byDigest(amd.Digest), byTag("x86"))
		wantEqual(t, "deleted", deleted, []string{amd.Digest.String() + "@x86"})
		wantEqual(t, "failures", failed, []string{arm.Digest.String() + referenced, amd.Digest.String() + referenced})

		deleted, failed = deleteImages(t, c, "app", byTag("amd64"))
		wantEqual(t, "deleted by the last tag", deleted, nil)
		wantEqual(t, "failures by the last tag", failed, []string{amd.Digest.String() + "@amd64" + referenced})

		// The order of the ids does not matter.
		deleted, failed = deleteImages(t, c, "app", byDigest(arm.Digest), byTag("amd64"), byDigest(parent))
		wantEqual(t, "deleted with the index", deleted, []string{parent + "@v1", arm.Digest.String(), amd.Digest.String() + "@amd64"})
		wantEqual(t, "failures with the index", failed, nil)
		wantEqual(t, "left", listImages(t, c, "app"), nil)
	})
}

func TestIndexesOfIndexesGoInOneCall(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		img := servertest.NewImage(1)
		pushImage(t, c, "app", img)
		inner := servertest.Index(img)
		putImage(t, c, "app", inner)
		outer := servertest.Index(servertest.Image{Manifest: inner})
		putImage(t, c, "app", outer)
		other := servertest.Index(img, img)
		putImage(t, c, "app", other)

		_, failed := deleteImages(t, c, "app", byDigest(img.Digest), byDigest(digest.FromBytes(inner)), byDigest(digest.FromBytes(outer)))
		wantEqual(t, "failures", failed, []string{
			img.Digest.String() + " ImageReferencedByManifestList: Requested image referenced by manifest list: [" + digest.FromBytes(other).String() + "]",
		})
		deleted, failed := deleteImages(t, c, "app", byDigest(img.Digest), byDigest(digest.FromBytes(other)))
		wantEqual(t, "deleted", deleted, []string{digest.FromBytes(other).String(), img.Digest.String()})
		wantEqual(t, "failures", failed, nil)
	})
}

func TestBatchDeleteImageRefuses(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createRepository(t, s.ECR(), "app")
		v1 := []types.ImageIdentifier{byTag("v1")}
		for name, tt := range map[string]struct {
			in            ecr.BatchDeleteImageInput
			code, message string
		}{
			"an unknown repository": {ecr.BatchDeleteImageInput{RepositoryName: new("absent"), ImageIds: v1}, "RepositoryNotFoundException", noRepository},
			"no id": {
				ecr.BatchDeleteImageInput{ImageIds: []types.ImageIdentifier{}}, "InvalidParameterException",
				"Invalid parameter at 'imageIds' failed to satisfy constraint: 'Member must have length greater than or equal to 1'",
			},
			"101 ids": {
				ecr.BatchDeleteImageInput{ImageIds: slices.Repeat(v1, 101)}, "InvalidParameterException",
				"Invalid parameter at 'imageIds' failed to satisfy constraint: 'Member must have length less than or equal to 100'",
			},
			"another account": {
				ecr.BatchDeleteImageInput{RegistryId: new("999999999999"), ImageIds: v1}, "AccessDeniedException",
				"User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:BatchDeleteImage on resource: " +
					"arn:aws:ecr:us-east-1:999999999999:repository/app because no resource-based policy allows the ecr:BatchDeleteImage action",
			},
		} {
			t.Run(name, func(t *testing.T) {
				if tt.in.RepositoryName == nil {
					tt.in.RepositoryName = new("app")
				}
				_, err := s.ECR().BatchDeleteImage(t.Context(), &tt.in)
				wantError(t, err, tt.code, tt.message)
			})
		}
	})
}

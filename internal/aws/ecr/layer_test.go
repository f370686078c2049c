package ecr_test

import (
	"slices"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// availability says of each layer whether the repository holds it.
func availability(t *testing.T, c *ecr.Client, repository string, ds ...digest.Digest) []string {
	t.Helper()
	in := &ecr.BatchCheckLayerAvailabilityInput{RepositoryName: &repository}
	for _, d := range ds {
		in.LayerDigests = append(in.LayerDigests, d.String())
	}
	var got []string
	for _, l := range must(c.BatchCheckLayerAvailability(t.Context(), in))(t).Layers {
		got = append(got, string(l.LayerAvailability))
	}
	return got
}

func TestBatchCheckLayerAvailability(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		createRepository(t, c, "other")
		img := servertest.NewImage(1, 1234)
		pushImage(t, c, "app", img, "v1")
		loose := servertest.Bytes(7, 77) // no image refers to it
		pushLayer(t, c, "app", loose)
		pushLayer(t, c, "other", []byte("elsewhere"))
		d := func(b []byte) string { return digest.FromBytes(b).String() }

		out := must(c.BatchCheckLayerAvailability(t.Context(), &ecr.BatchCheckLayerAvailabilityInput{
			RepositoryName: new("app"), RegistryId: new("123456789012"),
			LayerDigests: []string{d(loose), unknownDigest, "", d(img.Layers[0]), "sha256:0", d([]byte("elsewhere")), d(img.Config), "latest", "a\x00"},
		}))(t)
		available := func(content []byte, mediaType *string) types.Layer {
			return types.Layer{
				LayerDigest: new(d(content)), LayerAvailability: types.LayerAvailabilityAvailable, LayerSize: new(int64(len(content))), MediaType: mediaType,
			}
		}
		unavailable := func(d string) types.Layer {
			return types.Layer{LayerDigest: &d, LayerAvailability: types.LayerAvailabilityUnavailable}
		}
		wantEqual(t, "layers", out.Layers, []types.Layer{
			available(loose, nil), unavailable(unknownDigest), available(img.Layers[0], new(ocispec.MediaTypeImageLayerGzip)),
			unavailable(d([]byte("elsewhere"))), available(img.Config, new(ocispec.MediaTypeImageConfig)),
		})
		const reason = "Invalid request parameters: layer digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"
		failure := func(digest string, code types.LayerFailureCode, reason string) types.LayerFailure {
			return types.LayerFailure{LayerDigest: &digest, FailureCode: code, FailureReason: &reason}
		}
		wantEqual(t, "failures", out.Failures, []types.LayerFailure{
			failure("", types.LayerFailureCodeMissingLayerDigest, "Invalid request parameters: layer digest cannot be null"),
			failure("sha256:0", types.LayerFailureCodeInvalidLayerDigest, reason),
			failure("latest", types.LayerFailureCodeInvalidLayerDigest, reason),
			failure("a\x00", types.LayerFailureCodeInvalidLayerDigest, reason),
		})
	})
}

func TestALayersMediaTypeGoesWithTheImageThatNamesIt(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		img := servertest.NewImage(1, 1234)
		pushImage(t, c, "app", img, "v1")
		deleteImages(t, c, "app", byTag("v1"))
		d := digest.FromBytes(img.Layers[0]).String()
		out := must(c.BatchCheckLayerAvailability(t.Context(), &ecr.BatchCheckLayerAvailabilityInput{
			RepositoryName: new("app"), LayerDigests: []string{d},
		}))(t)
		wantEqual(t, "layers", out.Layers, []types.Layer{
			{LayerDigest: &d, LayerAvailability: types.LayerAvailabilityAvailable, LayerSize: new(int64(1234))},
		})
	})
}

func TestBatchCheckLayerAvailabilityRefuses(t *testing.T) {
	t.Parallel()
	const length = "Invalid parameter at 'layerDigests' failed to satisfy constraint: 'Member must have length "
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createRepository(t, s.ECR(), "app")
		for name, tt := range map[string]struct {
			in            ecr.BatchCheckLayerAvailabilityInput
			code, message string
		}{
			"an unknown repository": {
				ecr.BatchCheckLayerAvailabilityInput{RepositoryName: new("absent"), LayerDigests: []string{unknownDigest}},
				"RepositoryNotFoundException", noRepository,
			},
			"no digest":   {ecr.BatchCheckLayerAvailabilityInput{LayerDigests: []string{}}, "InvalidParameterException", length + "greater than or equal to 1'"},
			"101 digests": {ecr.BatchCheckLayerAvailabilityInput{LayerDigests: slices.Repeat([]string{unknownDigest}, 101)}, "InvalidParameterException", length + "less than or equal to 100'"},
			"a digest of 1001 characters": {
				ecr.BatchCheckLayerAvailabilityInput{LayerDigests: []string{strings.Repeat("a", 1001)}}, "InvalidParameterException",
				"Invalid parameter at 'layerDigests.1.member' failed to satisfy constraint: 'Member must have length less than or equal to 1000'",
			},
			"another account": {
				ecr.BatchCheckLayerAvailabilityInput{RegistryId: new("999999999999"), LayerDigests: []string{unknownDigest}}, "AccessDeniedException",
				"User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:BatchCheckLayerAvailability on resource: " +
					"arn:aws:ecr:us-east-1:999999999999:repository/app because no resource-based policy allows the ecr:BatchCheckLayerAvailability action",
			},
		} {
			t.Run(name, func(t *testing.T) {
				if tt.in.RepositoryName == nil {
					tt.in.RepositoryName = new("app")
				}
				_, err := s.ECR().BatchCheckLayerAvailability(t.Context(), &tt.in)
				wantError(t, err, tt.code, tt.message)
			})
		}
	})
}

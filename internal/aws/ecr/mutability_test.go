package ecr_test

import (
	"testing"

	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

func wildcards(fs ...string) []types.ImageTagMutabilityExclusionFilter {
	var out []types.ImageTagMutabilityExclusionFilter
	for _, f := range fs {
		out = append(out, types.ImageTagMutabilityExclusionFilter{Filter: &f, FilterType: types.ImageTagMutabilityExclusionFilterTypeWildcard})
	}
	return out
}

func putMutability(t *testing.T, c *ecr.Client, mode types.ImageTagMutability, filters ...string) {
	t.Helper()
	in := &ecr.PutImageTagMutabilityInput{
		RepositoryName: new("app"), ImageTagMutability: mode, ImageTagMutabilityExclusionFilters: wildcards(filters...),
	}
	out := must(c.PutImageTagMutability(t.Context(), in))(t)
	wantEqual(t, "PutImageTagMutability", out, &ecr.PutImageTagMutabilityOutput{
		RegistryId: new("123456789012"), RepositoryName: new("app"), ImageTagMutability: mode,
		ImageTagMutabilityExclusionFilters: in.ImageTagMutabilityExclusionFilters,
	})
	read := must(c.DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{RepositoryNames: []string{"app"}}))(t).Repositories[0]
	wantEqual(t, "mode read back", read.ImageTagMutability, mode)
	wantEqual(t, "filters read back", read.ImageTagMutabilityExclusionFilters, in.ImageTagMutabilityExclusionFilters)
}

func TestTheFourModesOfMutabilityAreEnforced(t *testing.T) {
	t.Parallel()
	one, two := servertest.NewImage(1), servertest.NewImage(2)
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		pushImage(t, c, "app", one)
		pushImage(t, c, "app", two)
		for _, tt := range []struct {
			mode    types.ImageTagMutability
			filters []string
			tag     string
			frozen  bool
		}{
			{types.ImageTagMutabilityMutable, nil, "latest", false},
			{types.ImageTagMutabilityImmutable, nil, "latest", true},
			{types.ImageTagMutabilityImmutable, nil, "v1", true},
			{types.ImageTagMutabilityImmutableWithExclusion, []string{"latest", "dev-*"}, "latest", false},
			{types.ImageTagMutabilityImmutableWithExclusion, []string{"latest", "dev-*"}, "dev-1", false},
			{types.ImageTagMutabilityImmutableWithExclusion, []string{"latest", "dev-*"}, "Dev-1", true},
			{types.ImageTagMutabilityImmutableWithExclusion, []string{"latest", "dev-*"}, "latest1", true},
			{types.ImageTagMutabilityImmutableWithExclusion, []string{"*"}, "v1", false},
			{types.ImageTagMutabilityMutableWithExclusion, []string{"v*.*", "prod"}, "v1.0", true},
			{types.ImageTagMutabilityMutableWithExclusion, []string{"v*.*", "prod"}, "prod", true},
			{types.ImageTagMutabilityMutableWithExclusion, []string{"v*.*", "prod"}, "v1", false},
			{types.ImageTagMutabilityMutableWithExclusion, []string{"v*.*", "prod"}, "latest", false},
		} {
			t.Run(string(tt.mode)+" "+tt.tag, func(t *testing.T) {
				putMutability(t, c, tt.mode, tt.filters...)
				putImage(t, c, "app", one.Manifest, tt.tag) // a new tag is always allowed
				const exists = "ImageTagAlreadyExistsException"
				text := "The image tag '" + tt.tag + "' already exists in the 'app' repository and cannot be overwritten because the tag is immutable."

				in := &ecr.PutImageInput{RepositoryName: new("app"), ImageManifest: new(string(two.Manifest)), ImageTag: &tt.tag}
				_, err := c.PutImage(t.Context(), in)
				if tt.frozen {
					wantError(t, err, exists, text)
				} else if err != nil {
					t.Errorf("PutImage of a mutable tag: %v", err)
				}
				on := *describeImages(t, c, "app", byTag(tt.tag))[0].ImageDigest
				want, same := two, two
				if tt.frozen {
					want, same = one, one
				}
				wantEqual(t, "digest under the tag", on, want.Digest.String())

				in.ImageManifest = new(string(same.Manifest)) // what the tag is on
				_, err = c.PutImage(t.Context(), in)
				if tt.frozen {
					wantError(t, err, exists, text)
				} else {
					wantError(t, err, "ImageAlreadyExistsException", "Image with digest '"+same.Digest.String()+"' and tag '"+tt.tag+
						"' already exists in the repository with name 'app' in registry with id '123456789012'")
				}
				// A further tag keeps the images when this one is deleted.
				putMutability(t, c, types.ImageTagMutabilityMutable)
				for _, img := range []servertest.Image{one, two} {
					deleteImages(t, c, "app", byDigest(img.Digest))
					putImage(t, c, "app", img.Manifest)
				}
			})
		}
	})
}

func TestARepositoryThatBecomesImmutableKeepsItsTags(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		one, two := servertest.NewImage(1), servertest.NewImage(2)
		pushImage(t, c, "app", one, "v1")
		pushImage(t, c, "app", two, "v2")
		putMutability(t, c, types.ImageTagMutabilityImmutable)
		_, err := c.PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: new("app"), ImageManifest: new(string(two.Manifest)), ImageTag: new("v1")})
		wantError(t, err, "ImageTagAlreadyExistsException",
			"The image tag 'v1' already exists in the 'app' repository and cannot be overwritten because the tag is immutable.")
		putImage(t, c, "app", one.Manifest, "v3") // another tag on an image that is there
		putMutability(t, c, types.ImageTagMutabilityMutable)
		putImage(t, c, "app", two.Manifest, "v1")
	})
}

func TestWithRepushAcceptedTheAPIStillRefusesWhatIsThereAlready(t *testing.T) {
	t.Parallel()
	accept := func(c *config.Config) { c.ImmutableRepush = "accept" }
	servertest.Each(t, servertest.Options{Configure: accept}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		img := servertest.NewImage(1)
		pushImage(t, c, "app", img, "v1")
		putMutability(t, c, types.ImageTagMutabilityImmutable)
		_, err := c.PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: new("app"), ImageManifest: new(string(img.Manifest)), ImageTag: new("v1")})
		wantError(t, err, "ImageTagAlreadyExistsException",
			"The image tag 'v1' already exists in the 'app' repository and cannot be overwritten because the tag is immutable.")
	})
}

func TestPutImageTagMutabilityRefuses(t *testing.T) {
	t.Parallel()
	const exclusions = "Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: "
	cases := map[string]struct {
		in            ecr.PutImageTagMutabilityInput
		code, message string
	}{
		"an unknown repository": {
			ecr.PutImageTagMutabilityInput{RepositoryName: new("absent"), ImageTagMutability: types.ImageTagMutabilityMutable},
			"RepositoryNotFoundException", noRepository,
		},
		"another mode": {
			ecr.PutImageTagMutabilityInput{ImageTagMutability: "immutable"}, "InvalidParameterException",
			"Invalid parameter at 'imageTagMutability' failed to satisfy constraint: 'Member must satisfy enum value set: " +
				"[IMMUTABLE, MUTABLE, MUTABLE_WITH_EXCLUSION, IMMUTABLE_WITH_EXCLUSION]'",
		},
		"filters without exclusion": {
			ecr.PutImageTagMutabilityInput{ImageTagMutability: types.ImageTagMutabilityImmutable, ImageTagMutabilityExclusionFilters: wildcards("a")},
			"InvalidParameterException",
			exclusions + "'ImageTagMutabilityExclusionFilters can't be specified when imageTagMutability is set as IMMUTABLE'",
		},
		"exclusion without filters": {
			ecr.PutImageTagMutabilityInput{ImageTagMutability: types.ImageTagMutabilityImmutableWithExclusion}, "InvalidParameterException",
			exclusions + "'ImageTagMutabilityExclusionFilters can't be null when imageTagMutability is set as IMMUTABLE_WITH_EXCLUSION'",
		},
		"three wildcards": {
			ecr.PutImageTagMutabilityInput{
				ImageTagMutability: types.ImageTagMutabilityMutableWithExclusion, ImageTagMutabilityExclusionFilters: wildcards("a", "***"),
			}, "InvalidParameterException", exclusions + "'a filter can contain at most 2 wildcards (*)'",
		},
		"another account": {
			ecr.PutImageTagMutabilityInput{RegistryId: new("999999999999"), ImageTagMutability: types.ImageTagMutabilityMutable}, "AccessDeniedException",
			"User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:PutImageTagMutability on resource: " +
				"arn:aws:ecr:us-east-1:999999999999:repository/app because no resource-based policy allows the ecr:PutImageTagMutability action",
		},
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createRepository(t, s.ECR(), "app")
		for name, tt := range cases {
			t.Run(name, func(t *testing.T) {
				in := tt.in
				if in.RepositoryName == nil {
					in.RepositoryName = new("app")
				}
				_, err := s.ECR().PutImageTagMutability(t.Context(), &in)
				wantError(t, err, tt.code, tt.message)
			})
		}
	})
}

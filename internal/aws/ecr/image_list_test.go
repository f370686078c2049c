package ecr_test

import (
	"fmt"
	"slices"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

// listImages walks the list of a repository's images.
func listImages(t *testing.T, c *ecr.Client, repository string) []string {
	t.Helper()
	return walkImages(t, c, &ecr.ListImagesInput{RepositoryName: &repository})
}

func walkImages(t *testing.T, c *ecr.Client, in *ecr.ListImagesInput) []string {
	t.Helper()
	var ids []types.ImageIdentifier
	pages := ecr.NewListImagesPaginator(c, in)
	for pages.HasMorePages() {
		page := must(pages.NextPage(t.Context()))(t)
		if in.MaxResults != nil && len(page.ImageIds) > int(*in.MaxResults) {
			t.Errorf("a page of at most %d has %d", *in.MaxResults, len(page.ImageIds))
		}
		ids = append(ids, page.ImageIds...)
	}
	return texts(ids)
}

func TestListImagesHasAnIDForEachPairOfDigestAndTag(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		one, two, three := servertest.NewImage(1, 10), servertest.NewImage(2, 10), servertest.NewImage(3, 10)
		pushImage(t, c, "app", one, "v1", "latest", "A", "a", "_", "1.0-rc.1")
		pushImage(t, c, "app", two, "v2")
		pushImage(t, c, "app", three)
		index := servertest.Index(one, three)
		putImage(t, c, "app", index, "multi")

		tagged := []string{byTagsOf(index, "multi"), two.Digest.String() + "@v2"}
		for _, tag := range []string{"v1", "latest", "A", "a", "_", "1.0-rc.1"} {
			tagged = append(tagged, one.Digest.String()+"@"+tag)
		}
		untagged := []string{three.Digest.String()}
		all := slices.Concat(tagged, untagged)
		for _, list := range [][]string{tagged, untagged, all} {
			slices.Sort(list)
		}
		filter := func(tags types.TagStatus, status types.ImageStatusFilter) *types.ListImagesFilter {
			return &types.ListImagesFilter{TagStatus: tags, ImageStatus: status}
		}
		for name, tt := range map[string]struct {
			filter *types.ListImagesFilter
			want   []string
		}{
			"no filter":       {nil, all},
			"an empty filter": {&types.ListImagesFilter{}, all},
			"ANY":             {filter(types.TagStatusAny, ""), all},
			"TAGGED":          {filter(types.TagStatusTagged, ""), tagged},
			"UNTAGGED":        {filter(types.TagStatusUntagged, ""), untagged},
			"ACTIVE":          {filter("", types.ImageStatusFilterActive), all},
			"any status":      {filter(types.TagStatusUntagged, types.ImageStatusFilterAny), untagged},
			"ARCHIVED":        {filter("", types.ImageStatusFilterArchived), nil},
			"ACTIVATING":      {filter("", types.ImageStatusFilterActivating), nil},
		} {
			t.Run(name, func(t *testing.T) {
				for size := range int32(11) {
					in := &ecr.ListImagesInput{RepositoryName: new("app"), Filter: tt.filter}
					if size > 0 {
						in.MaxResults = &size
					}
					wantEqual(t, fmt.Sprintf("ids in pages of %d", size), walkImages(t, c, in), tt.want)
				}
			})
		}
	})
}

// byTagsOf is the id of a manifest under a tag.
func byTagsOf(manifest []byte, tag string) string {
	return servertest.Descriptor("", manifest).Digest.String() + "@" + tag
}

func TestListImagesOfAnEmptyRepositoryIsEmpty(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createRepository(t, s.ECR(), "app")
		out := must(s.ECR().ListImages(t.Context(), &ecr.ListImagesInput{RepositoryName: new("app")}))(t)
		if out.ImageIds == nil || len(out.ImageIds) != 0 || out.NextToken != nil {
			t.Errorf("ListImages = %v, %v, want an empty list and no token", out.ImageIds, out.NextToken)
		}
	})
}

func TestListImagesRefuses(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createRepository(t, s.ECR(), "app")
		for name, tt := range map[string]struct {
			in            ecr.ListImagesInput
			code, message string
		}{
			"an unknown repository": {ecr.ListImagesInput{RepositoryName: new("absent")}, "RepositoryNotFoundException", noRepository},
			"another tag status": {
				ecr.ListImagesInput{Filter: &types.ListImagesFilter{TagStatus: "BOTH"}}, "InvalidParameterException",
				"Invalid parameter at 'filter.tagStatus' failed to satisfy constraint: 'Member must satisfy enum value set: [TAGGED, UNTAGGED, ANY]'",
			},
			"a page of 1001": {
				ecr.ListImagesInput{MaxResults: new(int32(1001))}, "InvalidParameterException",
				"Invalid parameter at 'maxResults' failed to satisfy constraint: 'Member must have value less than or equal to 1000'",
			},
			"another account": {
				ecr.ListImagesInput{RegistryId: new("999999999999")}, "AccessDeniedException",
				"User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:ListImages on resource: " +
					"arn:aws:ecr:us-east-1:999999999999:repository/app because no resource-based policy allows the ecr:ListImages action",
			},
		} {
			t.Run(name, func(t *testing.T) {
				if tt.in.RepositoryName == nil {
					tt.in.RepositoryName = new("app")
				}
				_, err := s.ECR().ListImages(t.Context(), &tt.in)
				wantError(t, err, tt.code, tt.message)
			})
		}
	})
}

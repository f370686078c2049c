package ecr_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

func startPreview(t *testing.T, c *ecr.Client, repository, text string) {
	t.Helper()
	in := &ecr.StartLifecyclePolicyPreviewInput{RepositoryName: &repository}
	if text != "" {
		in.LifecyclePolicyText = &text
	}
	out := must(c.StartLifecyclePolicyPreview(t.Context(), in))(t)
	if out.Status != types.LifecyclePolicyPreviewStatusInProgress || text != "" && *out.LifecyclePolicyText != text || *out.RepositoryName != repository {
		t.Errorf("StartLifecyclePolicyPreview = %s %s %s", out.Status, *out.RepositoryName, *out.LifecyclePolicyText)
	}
}

// awaitPreview waits with the SDK's waiter and returns all pages of the preview.
func awaitPreview(t *testing.T, c *ecr.Client, in *ecr.GetLifecyclePolicyPreviewInput) []types.LifecyclePolicyPreviewResult {
	t.Helper()
	waiter := ecr.NewLifecyclePolicyPreviewCompleteWaiter(c, func(o *ecr.LifecyclePolicyPreviewCompleteWaiterOptions) {
		o.MinDelay, o.MaxDelay = 10*time.Millisecond, 50*time.Millisecond
	})
	if err := waiter.Wait(t.Context(), &ecr.GetLifecyclePolicyPreviewInput{RepositoryName: in.RepositoryName}, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	var out []types.LifecyclePolicyPreviewResult
	pages := ecr.NewGetLifecyclePolicyPreviewPaginator(c, in)
	for pages.HasMorePages() {
		page := must(pages.NextPage(t.Context()))(t)
		if in.MaxResults != nil && len(page.PreviewResults) > int(*in.MaxResults) {
			t.Errorf("a page of at most %d has %d", *in.MaxResults, len(page.PreviewResults))
		}
		out = append(out, page.PreviewResults...)
	}
	return out
}

// shown writes the results of a preview as digest, action, storage class and rule.
func shown(results []types.LifecyclePolicyPreviewResult) []string {
	out := []string{}
	for _, r := range results {
		priority := int32(0)
		if r.AppliedRulePriority != nil {
			priority = *r.AppliedRulePriority
		}
		out = append(out, fmt.Sprintf("%s %s%s %s %d", *r.ImageDigest, r.Action.Type, r.Action.TargetStorageClass, r.StorageClass, priority))
	}
	return out
}

func TestAPreviewShowsWhatAPolicyWouldDoAndDoesNothing(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		shelf(t, c, "app")
		pushed := s.Clock.Now()
		v1, v2, loose := tiny(t, c, "app", "1", "v1", "prod"), tiny(t, c, "app", "2", "v2"), tiny(t, c, "app", "3")
		s.Clock.Advance(15 * 24 * time.Hour)
		young := tiny(t, c, "app", "4", "v3")
		before := listImages(t, c, "app")

		stored := policyText(rule(5, untagged, "sinceImagePushed 14", "expire"))
		putPolicy(t, c, "app", policyText(rule(1, untagged, "sinceImagePushed 90", "expire")))
		text := policyText(rule(1, tagged("v1"), "sinceImagePushed 14", "transition"), rule(7, anyImage, "sinceImagePushed 14", "expire"))
		startPreview(t, c, "app", text)
		got := awaitPreview(t, c, &ecr.GetLifecyclePolicyPreviewInput{RepositoryName: new("app")})
		want := []string{v1 + " TRANSITIONARCHIVE STANDARD 1", v2 + " EXPIRE STANDARD 7", loose + " EXPIRE STANDARD 7"}
		slices.Sort(want)
		wantEqual(t, "results", shown(got), want)
		for _, r := range got {
			if tags := map[string][]string{v1: {"prod", "v1"}, v2: {"v2"}}[*r.ImageDigest]; !slices.Equal(r.ImageTags, tags) || !r.ImagePushedAt.Equal(pushed) {
				t.Errorf("result %s has the tags %q and was pushed at %v, want %q and %v", *r.ImageDigest, r.ImageTags, r.ImagePushedAt, tags, pushed)
			}
		}
		whole := must(c.GetLifecyclePolicyPreview(t.Context(), &ecr.GetLifecyclePolicyPreviewInput{RepositoryName: new("app")}))(t)
		wantEqual(t, "text", *whole.LifecyclePolicyText, text)
		wantEqual(t, "status", whole.Status, types.LifecyclePolicyPreviewStatusComplete)
		wantEqual(t, "summary", whole.Summary, &types.LifecyclePolicyPreviewSummary{
			ExpiringImageTotalCount: new(int32(2)), TransitioningImageTotalCounts: []types.TransitioningImageTotalCount{
				{TargetStorageClass: types.LifecyclePolicyTargetStorageClassArchive, ImageTotalCount: new(int32(1))},
			},
		})
		wantEqual(t, "images afterwards", listImages(t, c, "app"), before)
		wantEqual(t, "the policy", *getPolicy(t, c, "app").LifecyclePolicyText, policyText(rule(1, untagged, "sinceImagePushed 90", "expire")))

		// By tag status, and by ids.
		filter := func(s types.TagStatus) *types.LifecyclePolicyPreviewFilter {
			return &types.LifecyclePolicyPreviewFilter{TagStatus: s}
		}
		by := func(f *types.LifecyclePolicyPreviewFilter, ids ...types.ImageIdentifier) []string {
			return shown(must(c.GetLifecyclePolicyPreview(t.Context(), &ecr.GetLifecyclePolicyPreviewInput{
				RepositoryName: new("app"), Filter: f, ImageIds: ids,
			}))(t).PreviewResults)
		}
		wantEqual(t, "untagged", by(filter(types.TagStatusUntagged)), []string{loose + " EXPIRE STANDARD 7"})
		wantEqual(t, "any", by(filter(types.TagStatusAny)), want)
		wantEqual(t, "tagged", by(filter(types.TagStatusTagged)), slices.DeleteFunc(slices.Clone(want), func(s string) bool { return s == loose+" EXPIRE STANDARD 7" }))
		wantEqual(t, "by ids", by(nil, byTag("v2"), byDigest(loose), byDigest(young), byTag("absent"), byDigest(unknownDigest), byTag("v2"), byBoth(v1, "prod"), byBoth(v1, "v2")),
			[]string{v2 + " EXPIRE STANDARD 7", loose + " EXPIRE STANDARD 7", v1 + " TRANSITIONARCHIVE STANDARD 1"})
		wantEqual(t, "by ids and tag status", by(filter(types.TagStatusTagged), byTag("v2"), byDigest(loose)), []string{v2 + " EXPIRE STANDARD 7"})
		wantEqual(t, "by ids of nothing", by(nil, byTag("v3")), []string{})

		// Another one, of the repository's own policy.
		putPolicy(t, c, "app", stored)
		runLifecycle(t, s, "app")
		startPreview(t, c, "app", "")
		wantEqual(t, "results of what has been done", shown(awaitPreview(t, c, &ecr.GetLifecyclePolicyPreviewInput{RepositoryName: new("app")})), []string{})
		whole = must(c.GetLifecyclePolicyPreview(t.Context(), &ecr.GetLifecyclePolicyPreviewInput{RepositoryName: new("app")}))(t)
		wantEqual(t, "text", *whole.LifecyclePolicyText, stored)
		wantEqual(t, "summary", whole.Summary, &types.LifecyclePolicyPreviewSummary{ExpiringImageTotalCount: new(int32(0))})
	})
}

func TestPagesOfAPreview(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		shelf(t, c, "app")
		shelf(t, c, "other")
		want := []string{}
		for n := range 103 {
			want = append(want, tiny(t, c, "app", fmt.Sprint(n))+" EXPIRE STANDARD 1")
		}
		last := want[102]
		want = want[:102] // the newest is kept
		slices.Sort(want)
		startPreview(t, c, "app", keepOne)
		startPreview(t, c, "other", keepOne)
		in := func(max *int32, token *string) *ecr.GetLifecyclePolicyPreviewInput {
			return &ecr.GetLifecyclePolicyPreviewInput{RepositoryName: new("app"), MaxResults: max, NextToken: token}
		}
		wantEqual(t, "pages of 7", shown(awaitPreview(t, c, in(new(int32(7)), nil))), want)
		first := must(c.GetLifecyclePolicyPreview(t.Context(), in(nil, nil)))(t)
		wantEqual(t, "a page by default", shown(first.PreviewResults), want[:100])
		wantEqual(t, "the last page", shown(must(c.GetLifecyclePolicyPreview(t.Context(), in(nil, first.NextToken)))(t).PreviewResults), want[100:])
		if slices.Contains(want, last) {
			t.Error("the newest image is among the results")
		}

		const bad = "Invalid parameter at 'nextToken' failed to satisfy constraint: 'Invalid token'"
		other := in(nil, first.NextToken)
		other.RepositoryName = new("other")
		_, err := c.GetLifecyclePolicyPreview(t.Context(), other)
		wantError(t, err, "InvalidParameterException", bad)
		startPreview(t, c, "app", policyText(rule(1, anyImage, "2", "expire")))
		awaitPreview(t, c, in(nil, nil))
		_, err = c.GetLifecyclePolicyPreview(t.Context(), in(nil, first.NextToken))
		wantError(t, err, "InvalidParameterException", bad) // the page of another preview
		_, err = c.GetLifecyclePolicyPreview(t.Context(), in(nil, new("x")))
		wantError(t, err, "InvalidParameterException", bad)
		for _, both := range []*ecr.GetLifecyclePolicyPreviewInput{in(new(int32(7)), nil), in(nil, first.NextToken)} {
			both.ImageIds = []types.ImageIdentifier{byTag("x")}
			_, err = c.GetLifecyclePolicyPreview(t.Context(), both)
			wantError(t, err, "InvalidParameterException",
				"Invalid parameter at 'imageIds' failed to satisfy constraint: 'nextToken and maxResults cannot be used with imageIds'")
		}
		_, err = c.GetLifecyclePolicyPreview(t.Context(), in(new(int32(101)), nil))
		wantEqual(t, "101 results", servertest.ErrorCode(err), "ValidationException")
		_, err = c.GetLifecyclePolicyPreview(t.Context(), &ecr.GetLifecyclePolicyPreviewInput{RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{{}}})
		wantError(t, err, "InvalidParameterException", "Invalid request parameters: both tag and digest cannot be null")
		_, err = c.GetLifecyclePolicyPreview(t.Context(), &ecr.GetLifecyclePolicyPreviewInput{
			RepositoryName: new("app"), Filter: &types.LifecyclePolicyPreviewFilter{TagStatus: "NONE"},
		})
		wantEqual(t, "another tag status", servertest.ErrorCode(err), "ValidationException")
	})
}

func TestTheStatesOfAPreview(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		shelf(t, c, "app")
		tiny(t, c, "app", "1")
		gone := tiny(t, c, "app", "2")
		tiny(t, c, "app", "3")
		get := &ecr.GetLifecyclePolicyPreviewInput{RepositoryName: new("app")}
		_, err := c.GetLifecyclePolicyPreview(t.Context(), get)
		wantError(t, err, "LifecyclePolicyPreviewNotFoundException", "There is no dry run for this repository")

		release := seizeLifecycle(t, s)
		startPreview(t, c, "app", keepOne)
		out := must(c.GetLifecyclePolicyPreview(t.Context(), get))(t)
		wantEqual(t, "status", out.Status, types.LifecyclePolicyPreviewStatusInProgress)
		wantEqual(t, "text", *out.LifecyclePolicyText, keepOne)
		if len(out.PreviewResults) > 0 || out.Summary != nil {
			t.Errorf("results in progress = %v, %v, want none", out.PreviewResults, out.Summary)
		}
		_, err = c.StartLifecyclePolicyPreview(t.Context(), &ecr.StartLifecyclePolicyPreviewInput{RepositoryName: new("app"), LifecyclePolicyText: &keepOne})
		wantError(t, err, "LifecyclePolicyPreviewInProgressException",
			"The previous lifecycle policy preview request has not completed. Wait and try again.")
		s.Restart(t)
		wantEqual(t, "status after a restart", must(c.GetLifecyclePolicyPreview(t.Context(), get))(t).Status, types.LifecyclePolicyPreviewStatusInProgress)

		_, err = c.GetLifecyclePolicyPreview(t.Context(), &ecr.GetLifecyclePolicyPreviewInput{RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{{}}})
		wantEqual(t, "an id of nothing", servertest.ErrorCode(err), "InvalidParameterException")

		release()
		wantEqual(t, "results", len(awaitPreview(t, c, get)), 2)
		deleteImages(t, c, "app", byDigest(gone))
		s.Restart(t)
		s.Clock.Advance(24*time.Hour - time.Microsecond)
		wantEqual(t, "results are those of the time of the preview", len(awaitPreview(t, c, get)), 2)
		get.ImageIds = []types.ImageIdentifier{byDigest(gone)}
		wantEqual(t, "of an image that is not there any more", len(must(c.GetLifecyclePolicyPreview(t.Context(), get))(t).PreviewResults), 1)
		get.ImageIds = nil
		s.Clock.Advance(time.Microsecond)
		out = must(c.GetLifecyclePolicyPreview(t.Context(), get))(t)
		wantEqual(t, "status after a day", out.Status, types.LifecyclePolicyPreviewStatusExpired)
		if len(out.PreviewResults) > 0 || out.Summary != nil {
			t.Errorf("results that have expired = %v, %v, want none", out.PreviewResults, out.Summary)
		}
		eventually(t, "the results are removed", func() bool { return rows(t, s, "SELECT count(*) FROM lifecycle_preview_results")[0] == "0" })
		wantEqual(t, "status then", must(c.GetLifecyclePolicyPreview(t.Context(), get))(t).Status, types.LifecyclePolicyPreviewStatusExpired)
		startPreview(t, c, "app", keepOne)
		wantEqual(t, "results of another preview", len(awaitPreview(t, c, get)), 1)
	})
}

func TestAPreviewOfWhatIsNoPolicyAnyMoreFails(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "app")
		set := func(value string) {
			must(c.PutAccountSetting(t.Context(), &ecr.PutAccountSettingInput{Name: new("BERTH_LIFECYCLE_EXTENSIONS"), Value: &value}))(t)
		}
		set("ENABLED")
		release := seizeLifecycle(t, s)
		startPreview(t, c, "app", policyText(rule(1, anyImage, "sinceImagePulled 1", "expire")))
		set("DISABLED")
		release()
		eventually(t, "the preview fails", func() bool {
			out := must(c.GetLifecyclePolicyPreview(t.Context(), &ecr.GetLifecyclePolicyPreviewInput{RepositoryName: new("app")}))(t)
			return out.Status == types.LifecyclePolicyPreviewStatusFailed
		})
		startPreview(t, c, "app", keepOne)
		wantEqual(t, "results of another one", len(awaitPreview(t, c, &ecr.GetLifecyclePolicyPreviewInput{RepositoryName: new("app")})), 0)
	})
}

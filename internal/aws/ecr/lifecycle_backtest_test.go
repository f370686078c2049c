package ecr_test

import (
	"fmt"
	"testing"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/registry"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

// backtest tests a policy over the last days, and returns what it would have done
// as ACTION DIGEST [TAGS] by RULE DAYS ago, and what has become of it.
func backtest(t *testing.T, s *servertest.Server, text string, days int) []string {
	t.Helper()
	b, err := s.Server().Registry().BacktestLifecyclePolicy(t.Context(), root, registry.BacktestLifecyclePolicyInput{Ref: app, Text: text, Days: &days})
	if err != nil || !b.To.Equal(s.Clock.Now()) || b.To.Sub(b.From).Hours() != float64(24*days) || b.Truncated {
		t.Fatalf("BacktestLifecyclePolicy = from %s to %s, truncated: %t, %v", b.From, b.To, b.Truncated, err)
	}
	out := []string{}
	expiring, transitioning, pulled := 0, 0, 0
	for _, r := range b.Removals {
		text := fmt.Sprintf("%s %s %v by %d %.0f ago", r.Action, r.Image.Digest, r.Image.Tags, r.Rule, b.To.Sub(r.At).Hours()/24)
		if r.Action == "expire" {
			expiring++
		} else {
			transitioning++
		}
		if r.PulledLater {
			pulled++
			text += ", pulled later"
		}
		if !r.StillThere {
			text += ", gone"
		}
		out = append(out, text)
	}
	if b.Expiring != expiring || b.Transitioning != transitioning || b.PulledLater != pulled {
		t.Errorf("BacktestLifecyclePolicy counts %d, %d, %d, want %d, %d, %d", b.Expiring, b.Transitioning, b.PulledLater, expiring, transitioning, pulled)
	}
	return out
}

func TestAPolicyIsTestedAgainstWhatWas(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		shelf(t, c, "app")
		seizeLifecycle(t, s)
		old := tiny(t, c, "app", "old", "old", "v1")
		doomed := tiny(t, c, "app", "doomed", "doomed")
		s.Clock.Advance(10 * day)
		young := tiny(t, c, "app", "young", "v1")
		deleteImages(t, c, "app", byDigest(doomed))
		s.Clock.Advance(10 * day)
		must(c.BatchGetImage(t.Context(), &ecr.BatchGetImageInput{RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{byDigest(young)}}))(t)
		s.Clock.Advance(5 * day)
		before := listImages(t, c, "app")

		five := policyText(rule(1, anyImage, "sinceImagePushed 5", "expire"))
		wantEqual(t, "all that is older than five days", backtest(t, s, five, 365), []string{
			"expire " + old + " [old v1] by 1 19 ago", "expire " + doomed + " [doomed] by 1 19 ago, gone", "expire " + young + " [v1] by 1 9 ago, pulled later",
		})
		wantEqual(t, "since the other image was deleted", backtest(t, s, five, 15), []string{
			"expire " + old + " [old] by 1 14 ago", "expire " + young + " [v1] by 1 9 ago, pulled later",
		})
		wantEqual(t, "the last one", backtest(t, s, policyText(rule(1, anyImage, "1", "expire")), 20), []string{
			"expire " + old + " [old v1] by 1 19 ago",
		})
		wantEqual(t, "what was not pulled", backtest(t, s, policyText(rule(1, tagged("v1"), "sinceImagePulled 4", "transition")), 20), []string{
			"transition " + old + " [old v1] by 1 19 ago", "transition " + young + " [v1] by 1 10 ago, pulled later",
		})
		wantEqual(t, "images", listImages(t, c, "app"), before)

		// What a policy has deleted meanwhile would be there without it.
		putPolicy(t, c, "app", five)
		if expired, _ := runLifecycle(t, s, "app"); expired != 2 {
			t.Fatalf("%d images deleted, want 2", expired)
		}
		s.Clock.Advance(day)
		wantEqual(t, "its own work", backtest(t, s, "", 2), []string{"expire " + old + " [old] by 1 1 ago, gone", "expire " + young + " [v1] by 1 1 ago, gone"})
		wantEqual(t, "another policy", backtest(t, s, policyText(rule(1, tagged("v*"), "sinceImagePushed 5", "expire")), 2), []string{
			"expire " + young + " [v1] by 1 1 ago, gone",
		})
	})
}

func TestWhatIsNotTested(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		shelf(t, c, "app")
		absent := app
		absent.Name = "absent"
		stranger := access.Caller{Account: "210987654321", ARN: "arn:aws:iam::210987654321:root", ID: "210987654321", Type: access.Root}
		for name, tt := range map[string]struct {
			caller access.Caller
			in     registry.BacktestLifecyclePolicyInput
			want   string
		}{
			"no policy":           {root, registry.BacktestLifecyclePolicyInput{Ref: app}, "LifecyclePolicyNotFoundException"},
			"no repository":       {root, registry.BacktestLifecyclePolicyInput{Ref: absent, Text: keepOne}, "RepositoryNotFoundException"},
			"what is no policy":   {root, registry.BacktestLifecyclePolicyInput{Ref: app, Text: "{}"}, "InvalidParameterException"},
			"an extension":        {root, registry.BacktestLifecyclePolicyInput{Ref: app, Text: policyText(rule(1, anyImage, "sinceImagePulled 4", "expire"))}, "InvalidParameterException"},
			"no day":              {root, registry.BacktestLifecyclePolicyInput{Ref: app, Text: keepOne, Days: new(0)}, "InvalidParameterException"},
			"more than a year":    {root, registry.BacktestLifecyclePolicyInput{Ref: app, Text: keepOne, Days: new(366)}, "InvalidParameterException"},
			"another's":           {stranger, registry.BacktestLifecyclePolicyInput{Ref: app, Text: keepOne}, "AccessDeniedException"},
			"another's, no day":   {stranger, registry.BacktestLifecyclePolicyInput{Ref: app, Text: keepOne, Days: new(0)}, "AccessDeniedException"},
			"no policy, a year's": {root, registry.BacktestLifecyclePolicyInput{Ref: app, Days: new(365)}, "LifecyclePolicyNotFoundException"},
		} {
			if _, err := s.Server().Registry().BacktestLifecyclePolicy(t.Context(), tt.caller, tt.in); fault.CodeOf(err) != tt.want {
				t.Errorf("%s: BacktestLifecyclePolicy = %v, want %s", name, err, tt.want)
			}
		}
	})
}

package ecr_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const day = 24 * time.Hour

func TestTheLastReleasesAreKeptAndWhatIsUntaggedGoesAfterADay(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		shelf(t, c, "app")
		seizeLifecycle(t, s)
		var kept []string
		for n := range 12 {
			d := tiny(t, c, "app", fmt.Sprint("release", n), fmt.Sprint("release-", n))
			if n >= 2 {
				kept = append(kept, fmt.Sprint(d, "@release-", n))
			}
		}
		for n := range 5 {
			kept = append(kept, fmt.Sprint(tiny(t, c, "app", fmt.Sprint("other", n), fmt.Sprint("build-", n)), "@build-", n))
		}
		tiny(t, c, "app", "two days old")
		s.Clock.Advance(day)
		middle := tiny(t, c, "app", "one day old")
		s.Clock.Advance(day)
		young := tiny(t, c, "app", "new")
		putPolicy(t, c, "app", policyText(rule(1, tagged("release-*"), "10", "expire"), rule(2, untagged, "sinceImagePushed 1", "expire")))
		want := func(left ...string) {
			t.Helper()
			all := slices.Sorted(slices.Values(append(left, kept...)))
			wantEqual(t, "images", listImages(t, c, "app"), all)
		}
		if expired, _ := runLifecycle(t, s, "app"); expired != 3 {
			t.Errorf("%d images deleted, want two releases and one that is untagged", expired)
		}
		want(middle, young)
		s.Clock.Advance(time.Second)
		if expired, _ := runLifecycle(t, s, "app"); expired != 1 {
			t.Errorf("%d images deleted a second later, want 1", expired)
		}
		want(young)
		s.Clock.Advance(day)
		runLifecycle(t, s, "app")
		want()
		s.Clock.Advance(100 * day)
		if expired, archived := runLifecycle(t, s, "app"); expired+archived != 0 {
			t.Errorf("%d images deleted and %d archived of those that are kept", expired, archived)
		}
	})
}

func TestPoliciesAreCarriedOutByThemselves(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		shelf(t, c, "app")
		shelf(t, c, "free")
		tiny(t, c, "free", "1")
		tiny(t, c, "app", "1")
		second := tiny(t, c, "app", "2")
		left := func(n int) func() bool { return func() bool { return len(listImages(t, c, "app")) == n } }
		putPolicy(t, c, "app", keepOne)
		eventually(t, "the older image is deleted", left(1))
		wantEqual(t, "the image that is left", listImages(t, c, "app"), []string{second})
		eventually(t, "the policy is evaluated", func() bool { return getPolicy(t, c, "app").LastEvaluatedAt.Equal(s.Clock.Now()) })

		// Again after twelve hours, also if the server was not running then.
		tiny(t, c, "app", "3")
		advance(s, 12*time.Hour)
		eventually(t, "the older image is deleted", left(1))
		tiny(t, c, "app", "4")
		s.Stop(t)
		s.Clock.Advance(12 * time.Hour)
		s.Restart(t)
		eventually(t, "the older image is deleted after a restart", left(1))

		// A policy that is taken away does nothing more; no other repository is touched.
		must(c.DeleteLifecyclePolicy(t.Context(), &ecr.DeleteLifecyclePolicyInput{RepositoryName: new("app")}))(t)
		tiny(t, c, "app", "5")
		putPolicy(t, c, "free", keepOne)
		advance(s, 100*day)
		eventually(t, "the other policy is evaluated", func() bool { return getPolicy(t, c, "free").LastEvaluatedAt.Equal(s.Clock.Now()) })
		wantEqual(t, "images", len(listImages(t, c, "app")), 2)
		wantEqual(t, "images of the other repository", len(listImages(t, c, "free")), 1)
	})
}

func TestImagesAreArchivedAndDeletedFromTheArchive(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		shelf(t, c, "app")
		seizeLifecycle(t, s)
		old := tiny(t, c, "app", "1", "v1", "v2")
		s.Clock.Advance(20 * day)
		young := tiny(t, c, "app", "2", "v3")
		putPolicy(t, c, "app", policyText(rule(1, anyImage, "sinceImagePushed 30", "transition"), rule(2, archived, "sinceImageTransitioned 90", "expire")))
		s.Clock.Advance(10*day + time.Second)
		if expired, archived := runLifecycle(t, s, "app"); expired != 0 || archived != 1 {
			t.Errorf("%d images deleted and %d archived, want the old one archived", expired, archived)
		}
		want := []string{old + " ARCHIVED", young + " ACTIVE"}
		slices.Sort(want)
		wantEqual(t, "images", statuses(t, c, "app"), want)
		at := s.Clock.Now()
		wantEqual(t, "time of archival", rows(t, s, "SELECT archived_at FROM images WHERE digest = $1", old), []string{fmt.Sprint(at.UnixMicro())})
		s.Clock.Advance(90 * day)
		runLifecycle(t, s, "app")
		want = []string{old + " ARCHIVED", young + " ARCHIVED"}
		slices.Sort(want)
		wantEqual(t, "images after 90 days", statuses(t, c, "app"), want)
		s.Clock.Advance(time.Second)
		runLifecycle(t, s, "app")
		wantEqual(t, "images a second later", statuses(t, c, "app"), []string{young + " ARCHIVED"})
		got := events(t, s)
		wantEqual(t, "events", got[len(got)-4:], []string{
			"image.archived app " + old, "image.archived app " + young, "image.deleted app " + old + "@v1", "image.deleted app " + old + "@v2",
		})
	})
}

func TestPullsAndRestorationsKeepImagesOutOfTheArchive(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		shelf(t, c, "app")
		seizeLifecycle(t, s)
		pulled, other := tiny(t, c, "app", "1"), tiny(t, c, "app", "2")
		putPolicy(t, c, "app", policyText(rule(1, anyImage, "sinceImagePulled 30", "transition")))
		s.Clock.Advance(20 * day)
		must(c.BatchGetImage(t.Context(), &ecr.BatchGetImageInput{RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{byDigest(pulled)}}))(t)
		s.Clock.Advance(20 * day)
		states := func(what, first, second string) {
			t.Helper()
			want := []string{pulled + " " + first, other + " " + second}
			slices.Sort(want)
			runLifecycle(t, s, "app")
			wantEqual(t, what, statuses(t, c, "app"), want)
		}
		states("20 days after a pull", "ACTIVE", "ARCHIVED")
		must(c.UpdateImageStorageClass(t.Context(), &ecr.UpdateImageStorageClassInput{
			RepositoryName: new("app"), ImageId: new(byDigest(other)), TargetStorageClass: types.TargetStorageClassStandard,
		}))(t)
		eventually(t, "the image is restored", func() bool { return len(listImages(t, c, "app")) == 2 })
		s.Clock.Advance(11 * day)
		states("11 days after it was restored", "ARCHIVED", "ACTIVE")
		s.Clock.Advance(20 * day)
		states("31 days after it was restored", "ARCHIVED", "ARCHIVED")
	})
}

// related puts an index with two images, of which each has a signature and one
// signature a signature, and returns their digests, the index's first.
func related(t *testing.T, c *ecr.Client, repository string, tags ...string) []string {
	t.Helper()
	list := map[string]any{"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageIndex}
	descriptor := func(text string) map[string]any {
		return map[string]any{"mediaType": ocispec.MediaTypeImageManifest, "digest": digest.FromString(text).String(), "size": len(text)}
	}
	put := func(name string, change func(map[string]any)) (string, map[string]any) {
		text := manifest(func(m map[string]any) {
			m["annotations"] = map[string]string{"name": repository + name}
			change(m)
		})
		putImage(t, c, repository, []byte(text))
		return digest.FromString(text).String(), descriptor(text)
	}
	nothing := func(map[string]any) {}
	one, first := put("one", nothing)
	two, second := put("two", nothing)
	list["manifests"] = []any{first, second}
	index := string(servertest.JSON(list))
	putImage(t, c, repository, []byte(index), tags...)
	signature, signed := put("signature", set("subject", first))
	other, _ := put("signature of the signature", set("subject", signed))
	return []string{digest.FromString(index).String(), one, two, signature, other}
}

func TestAnIndexGoesWithWhatItListsAndWithItsReferrers(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		seizeLifecycle(t, s)
		for repository, policy := range map[string]string{
			"untagged": policyText(rule(1, untagged, "sinceImagePushed 1", "expire")),
			"counted":  policyText(rule(1, untagged, "1", "expire")),
			"deleted":  policyText(rule(1, anyImage, "sinceImagePushed 1", "expire")),
			"archived": policyText(rule(1, anyImage, "sinceImagePushed 1", "transition")),
			"later":    policyText(rule(1, tagged("v1"), "sinceImagePushed 1", "expire"), rule(2, untagged, "sinceImagePushed 30", "expire")),
		} {
			shelf(t, c, repository)
			related(t, c, repository, "v1")
			putPolicy(t, c, repository, policy)
		}
		s.Clock.Advance(2 * day)
		for repository, want := range map[string][2]int{
			"untagged": {0, 0}, // an index that stays lists them, referrers have subjects that stay
			"counted":  {0, 0},
			"deleted":  {5, 0},
			"archived": {0, 5},
			"later":    {1, 0},
		} {
			expired, archived := runLifecycle(t, s, repository)
			wantEqual(t, repository, [2]int{expired, archived}, want)
		}
		s.Clock.Advance(30 * day)
		expired, _ := runLifecycle(t, s, "later")
		wantEqual(t, "what the index listed, and its referrers", expired, 4)
		wantEqual(t, "images left", len(listImages(t, c, "later"))+len(listImages(t, c, "deleted")), 0)
	})
}

func TestReferrersFollowASubjectThatSomebodyDeletes(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		shelf(t, c, "app")
		seizeLifecycle(t, s)
		all := related(t, c, "app", "v1")
		early := manifest(set("subject", map[string]any{"mediaType": ocispec.MediaTypeImageManifest, "digest": unknownDigest, "size": 1}))
		putImage(t, c, "app", []byte(early)) // its subject was never there
		putPolicy(t, c, "app", policyText(rule(1, tagged("none"), "1", "expire")))
		expired, _ := runLifecycle(t, s, "app")
		wantEqual(t, "while all are there", expired, 0)
		s.Clock.Advance(time.Minute)
		deleteImages(t, c, "app", byDigest(all[0]), byDigest(all[1]))
		expired, _ = runLifecycle(t, s, "app")
		wantEqual(t, "when the subject is deleted", expired, 2)
		left := []string{all[2], digest.FromString(early).String()}
		slices.Sort(left)
		wantEqual(t, "images", listImages(t, c, "app"), left)

		// One that comes after that, before its subject comes again, is left alone.
		s.Clock.Advance(time.Minute)
		late := manifest(set("subject", map[string]any{"mediaType": ocispec.MediaTypeImageManifest, "digest": all[1], "size": 1}))
		putImage(t, c, "app", []byte(late))
		s.Clock.Advance(time.Minute)
		expired, _ = runLifecycle(t, s, "app")
		wantEqual(t, "a referrer that comes first", expired, 0)
	})
}

func TestWhatAPolicyDoesIsRecorded(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		shelf(t, c, "app")
		pushed := s.Clock.Now()
		old := tiny(t, c, "app", "1", "a", "b")
		tiny(t, c, "app", "2", "c")
		s.Decisions()
		seizeLifecycle(t, s)
		putPolicy(t, c, "app", policyText(strings.Replace(rule(3, anyImage, "1", "expire"), `"rule`, `"description":"keep one","rule`, 1)))
		s.Clock.Advance(time.Hour)
		runLifecycle(t, s, "app")
		runLifecycle(t, s, "app") // does nothing more
		for _, d := range s.Decisions() {
			if d.Action != "ecr:PutLifecyclePolicy" {
				t.Errorf("%s was asked for: the policy acts for nobody", d.Action)
			}
		}
		version := rows(t, s, "SELECT version FROM lifecycle_policies")[0]
		var found []auditRecord
		for _, r := range auditRecords(t, s) {
			if r.EventName == "PolicyExecutionEvent" {
				found = append(found, r)
			}
			if r.EventName == "RunLifecyclePolicies" && !r.change {
				t.Error("the record of a run may be lost")
			}
		}
		if len(found) != 1 || !found[0].change {
			t.Fatalf("records = %v, want one that was written with the change", found)
		}
		var got map[string]any
		if err := json.Unmarshal([]byte(found[0].text), &got); err != nil {
			t.Fatal(err)
		}
		delete(got, "eventID")
		wantEqual(t, "record", got, map[string]any{
			"eventVersion": "1.08", "eventTime": pushed.Add(time.Hour).Format(time.RFC3339), "eventSource": "ecr.amazonaws.com",
			"eventName": "PolicyExecutionEvent", "eventType": "AwsServiceEvent", "awsRegion": "us-east-1", "recipientAccountId": "123456789012",
			"userIdentity":    map[string]any{"accountId": "123456789012", "invokedBy": "AWS Internal"},
			"sourceIPAddress": "AWS Internal", "userAgent": "AWS Internal", "readOnly": true, "requestID": "", "requestParameters": nil,
			"resources": []any{map[string]any{"ARN": appARN, "accountId": "123456789012", "type": "AWS::ECR::Repository"}},
			"serviceEventDetails": map[string]any{
				"repositoryName": "app",
				"lifecycleEventPolicy": map[string]any{
					"lifecycleEventRules": []any{map[string]any{
						"rulePriority": 3.0, "description": "keep one", "action": "expire", "lifecycleEventSelection": map[string]any{
							"tagStatus": "Any", "tagPrefixList": []any{}, "countType": "Image count more than", "countNumber": 1.0, "storageClass": "standard",
						},
					}},
					"lastEvaluatedAt": 0.0, "policyVersion": 1.0, "policyId": version,
				},
				"lifecycleEventImageActions": []any{map[string]any{
					"lifecycleEventImage": map[string]any{
						"digest": old, "tagStatus": "Tagged", "tagList": []any{"a", "b"}, "pushedAt": float64(pushed.UnixMilli()),
					},
					"rulePriority": 3.0, "action": "expire", "reason": "it is over the limit of the rule",
				}},
				"lifecycleEventFailureDetails": []any{},
			},
		})
	})
}

func TestALongRunIsSeveralTransactions(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		shelf(t, c, "app")
		seizeLifecycle(t, s)
		for n := range 252 {
			tiny(t, c, "app", fmt.Sprint(n))
		}
		putPolicy(t, c, "app", keepOne)
		expired, _ := runLifecycle(t, s, "app")
		wantEqual(t, "images deleted", expired, 251)
		wantEqual(t, "records", rows(t, s, "SELECT count(*) FROM audit_records WHERE event = 'PolicyExecutionEvent'"), []string{"3"})
		wantEqual(t, "events", rows(t, s, "SELECT count(*) FROM outbox WHERE kind = 'image.deleted'"), []string{"251"})
	})
}

func TestTheLifecycleOfADeletedRepositoryEnds(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		shelf(t, c, "app")
		tiny(t, c, "app", "1")
		putPolicy(t, c, "app", policyText(rule(1, untagged, "sinceImagePushed 1", "expire")))
		startPreview(t, c, "app", policyText(rule(1, untagged, "sinceImagePushed 1", "expire")))
		awaitPreview(t, c, &ecr.GetLifecyclePolicyPreviewInput{RepositoryName: new("app")})
		must(c.DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: new("app"), Force: true}))(t)
		shelf(t, c, "app")
		tiny(t, c, "app", "1")
		_, err := c.GetLifecyclePolicy(t.Context(), &ecr.GetLifecyclePolicyInput{RepositoryName: new("app")})
		wantEqual(t, "policy of the new repository", servertest.ErrorCode(err), "LifecyclePolicyNotFoundException")
		_, err = c.GetLifecyclePolicyPreview(t.Context(), &ecr.GetLifecyclePolicyPreviewInput{RepositoryName: new("app")})
		wantEqual(t, "preview of the new repository", servertest.ErrorCode(err), "LifecyclePolicyPreviewNotFoundException")
		advance(s, 2*day)
		eventually(t, "no preview is left of the old one", func() bool {
			return rows(t, s, "SELECT (SELECT count(*) FROM lifecycle_previews) + (SELECT count(*) FROM lifecycle_preview_results)")[0] == "0"
		})
		eventually(t, "its policy, which stays as its images do, is not due", func() bool {
			return rows(t, s, "SELECT count(*) FROM lifecycle_policies WHERE due_at > $1", s.Clock.Now().UnixMicro())[0] == "1"
		})
		wantEqual(t, "images of the new one", len(listImages(t, c, "app")), 1)
	})
}

// Pushes, moves of tags and deletions go on while policies are carried out: what
// is left is whole, and what is to be kept is kept.
func TestPoliciesAreCarriedOutWhileImagesChange(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		shelf(t, c, "app")
		putPolicy(t, c, "app", policyText(rule(1, tagged("keep*"), "1000", "expire"), rule(2, anyImage, "3", "expire")))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for ctx.Err() == nil {
				if _, err := s.Server().Registry().RunLifecyclePolicies(ctx, root, appPolicies); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		}()
		var keep []string
		for n := range 60 {
			d := tiny(t, c, "app", fmt.Sprint(n), "latest", fmt.Sprint("build-", n))
			if n%6 == 0 {
				_, err := c.PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: new("app"), ImageTag: new(fmt.Sprint("keep-", n)),
					ImageManifest: new(manifest(set("annotations", map[string]string{"name": fmt.Sprint(n)})))})
				if err != nil {
					t.Error(err)
				}
				keep = append(keep, d)
			}
			if n%7 == 0 {
				_, _ = c.BatchDeleteImage(t.Context(), &ecr.BatchDeleteImageInput{
					RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{byTag(fmt.Sprint("build-", n-1))},
				})
			}
		}
		cancel()
		<-ended
		runLifecycle(t, s, "app")
		whole(t, c, "app")
		all := strings.Join(listImages(t, c, "app"), " ")
		for _, d := range keep {
			if !strings.Contains(all, d) {
				t.Errorf("%s, which is to be kept, is gone", d)
			}
		}
		if n := len(statuses(t, c, "app")); n < len(keep) || n > len(keep)+3 {
			t.Errorf("%d images are left, want %d and at most three others", n, len(keep))
		}
	})
}

package ecr_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/registry"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
)

var app = appPolicies.Ref

// tagHistory returns the history of a tag as DIGEST by PRINCIPAL, the newest first.
func tagHistory(t *testing.T, s *servertest.Server, tag string) []string {
	t.Helper()
	changes, next, err := s.Server().Registry().TagHistory(t.Context(), root, registry.TagHistoryInput{Ref: app, Tag: tag})
	if err != nil || next != "" {
		t.Fatalf("TagHistory = %v, more: %t", err, next != "")
	}
	out := []string{}
	for _, c := range changes {
		by := "by " + c.Principal
		if c.Policy {
			by += "policy"
		}
		out = append(out, fmt.Sprint(c.Digest, " ", by))
	}
	return out
}

// rollback moves a tag back and returns where it is then and was before.
func rollback(t *testing.T, s *servertest.Server, tag, to string) (registry.Rollback, error) {
	t.Helper()
	return s.Server().Registry().RollbackTag(t.Context(), root, registry.RollbackTagInput{Ref: app, Tag: tag, Digest: digest.Digest(to)})
}

// wantRollback moves a tag back, and to the image wanted.
func wantRollback(t *testing.T, s *servertest.Server, tag, to, want, previous string) {
	t.Helper()
	got, err := rollback(t, s, tag, to)
	if w := (registry.Rollback{Tag: tag, Digest: digest.Digest(want), Previous: digest.Digest(previous)}); err != nil || got != w {
		t.Errorf("RollbackTag(%s, %q) = %v, %v, want %v", tag, to, got, err, w)
	}
}

// wantNoRollback tries to move a tag back.
func wantNoRollback(t *testing.T, s *servertest.Server, tag, to, code, message string) {
	t.Helper()
	_, err := rollback(t, s, tag, to)
	f, _ := fault.As(err)
	if f == nil || f.Code != code || f.Message != message {
		t.Errorf("RollbackTag(%s, %q) = %v, want %s: %s", tag, to, err, code, message)
	}
}

func cannot(tag, reason string) string {
	return "The image tag '" + tag + "' in the repository with name 'app' in the registry with id '123456789012' cannot be rolled back: " + reason
}

func TestWhateverMovesATagIsInItsHistory(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		shelf(t, c, "app")
		seizeLifecycle(t, s)
		me := " by " + root.ARN
		one := tiny(t, c, "app", "one", "v1")
		two := tiny(t, c, "app", "two", "v1", "v2")
		tiny(t, c, "app", "loose")
		want := []string{two + me, one + me}
		wantEqual(t, "after two pushes", tagHistory(t, s, "v1"), want)

		text := manifest(set("annotations", map[string]string{"name": "three"}))
		s.Login(t).PushManifest(t, "app", "v1", "application/vnd.oci.image.manifest.v1+json", []byte(text)).Want(t, 201)
		three := digest.FromString(text).String()
		want = append([]string{three + me}, want...)
		wantEqual(t, "after a push by docker", tagHistory(t, s, "v1"), want)

		wantRollback(t, s, "v1", "", two, three)
		want = append([]string{two + me}, want...)
		wantEqual(t, "after a rollback", tagHistory(t, s, "v1"), want)

		deleteImages(t, c, "app", byTag("v1"))
		want = append([]string{me}, want...)
		wantEqual(t, "after its deletion", tagHistory(t, s, "v1"), want)

		wantRollback(t, s, "v1", "", two, "")
		s.Login(t).Do(t, "DELETE", "/v2/app/manifests/v1", nil).Want(t, 202)
		want = append([]string{me, two + me}, want...)
		wantEqual(t, "after its deletion by docker", tagHistory(t, s, "v1"), want)

		wantRollback(t, s, "v1", "", two, "")
		deleteImages(t, c, "app", byDigest(two))
		want = append([]string{me, two + me}, want...)
		wantEqual(t, "after the deletion of the image", tagHistory(t, s, "v1"), want)
		wantEqual(t, "the other tag of that image", tagHistory(t, s, "v2"), []string{me, two + me})

		wantRollback(t, s, "v1", one, one, "")
		s.Clock.Advance(30 * day)
		putPolicy(t, c, "app", policyText(rule(1, tagged("v1"), "sinceImagePushed 1", "expire")))
		runLifecycle(t, s, "app")
		want = append([]string{" by policy", one + me}, want...)
		wantEqual(t, "after a lifecycle policy", tagHistory(t, s, "v1"), want)

		wantEqual(t, "a tag that never was", tagHistory(t, s, "v3"), []string{})
		must(c.DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: new("app"), Force: true}))(t)
		shelf(t, c, "app")
		wantEqual(t, "in a new repository", tagHistory(t, s, "v1"), []string{})
	})
}

func TestPagesOfTheHistoryOfATag(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		shelf(t, c, "app")
		var want []string
		for n := range 7 {
			s.Clock.Advance(time.Minute)
			want = append([]string{fmt.Sprint(tiny(t, c, "app", fmt.Sprint(n), "v1"), " ", s.Clock.Now())}, want...)
		}
		tiny(t, c, "app", "other", "v2")
		verb := func(tag string, page registry.Page) ([]registry.TagChange, registry.NextToken, error) {
			return s.Server().Registry().TagHistory(t.Context(), root, registry.TagHistoryInput{Ref: app, Tag: tag, Page: page})
		}
		var got []string
		var first registry.NextToken
		for page := (registry.Page{Max: 3}); ; {
			changes, next, err := verb("v1", page)
			if err != nil || len(changes) > 3 {
				t.Fatal(len(changes), err)
			}
			for _, c := range changes {
				got = append(got, fmt.Sprint(c.Digest, " ", c.Time))
			}
			if first == "" {
				first = next
				tiny(t, c, "app", "meanwhile", "v1") // newer: not in later pages
			}
			if page.Token = next; next == "" {
				break
			}
		}
		wantEqual(t, "pages", got, want)
		if _, _, err := verb("v2", registry.Page{Token: first}); fault.CodeOf(err) != "InvalidParameterException" {
			t.Errorf("the token of another tag: %v, want InvalidParameterException", err)
		}
		if _, _, err := verb("no tag", registry.Page{}); fault.CodeOf(err) != "InvalidParameterException" {
			t.Errorf("what is no tag: %v, want InvalidParameterException", err)
		}
	})
}

func TestATagIsRolledBack(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		shelf(t, c, "app")
		one, two, three := tiny(t, c, "app", "one", "v1"), tiny(t, c, "app", "two", "v1"), tiny(t, c, "app", "three", "v1")
		before := events(t, s)
		wantRollback(t, s, "v1", "", two, three)
		wantEqual(t, "images", listImages(t, c, "app"), slices.Sorted(slices.Values([]string{one, two + "@v1", three})))
		wantEqual(t, "events", events(t, s)[len(before):], []string{"image.pushed app " + two + "@v1"})
		wantRollback(t, s, "v1", "", three, two) // and back
		wantRollback(t, s, "v1", one, one, three)
		wantEqual(t, "images", listImages(t, c, "app"), slices.Sorted(slices.Values([]string{one + "@v1", two, three})))
		last := ""
		for _, r := range auditRecords(t, s) {
			if r.EventName == "RollbackTag" && r.change {
				last = r.text
			}
		}
		if !strings.Contains(last, `"imageTag":"v1"`) || !strings.Contains(last, `"imageDigest":"`+one+`"`) {
			t.Errorf("the audit record is %s, want one with the tag and the digest", last)
		}
	})
}

func TestATagIsNotRolledBack(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		shelf(t, c, "app")
		one, two := tiny(t, c, "app", "one", "v1", "one"), tiny(t, c, "app", "two", "v1", "kept")
		other := tiny(t, c, "app", "other", "other")
		before := listImages(t, c, "app")
		wantNoRollback(t, s, "other", "", "ImageNotFoundException", cannot("other", "it was on no other image, as far as its history goes back"))
		wantNoRollback(t, s, "never", "", "ImageNotFoundException", cannot("never", "it was on no other image, as far as its history goes back"))
		wantNoRollback(t, s, "v1", other, "ImageNotFoundException",
			cannot("v1", "it was never on the image with digest '"+other+"', as far as its history goes back"))
		wantNoRollback(t, s, "v1", two, "ImageAlreadyExistsException",
			"Image with digest '"+two+"' and tag 'v1' already exists in the repository with name 'app' in registry with id '123456789012'")
		for _, in := range []registry.RollbackTagInput{{Ref: app, Tag: "a b"}, {Ref: app, Tag: "v1", Digest: "sha256:x"}} {
			if _, err := s.Server().Registry().RollbackTag(t.Context(), root, in); fault.CodeOf(err) != "InvalidParameterException" {
				t.Errorf("RollbackTag(%v) = %v, want InvalidParameterException", in, err)
			}
		}
		absent := app
		absent.Name = "absent"
		if _, err := s.Server().Registry().RollbackTag(t.Context(), root, registry.RollbackTagInput{Ref: absent, Tag: "v1"}); fault.CodeOf(err) != "RepositoryNotFoundException" {
			t.Errorf("RollbackTag in no repository = %v, want RepositoryNotFoundException", err)
		}
		stranger := access.Caller{Account: "210987654321", ARN: "arn:aws:iam::210987654321:root", ID: "210987654321", Type: access.Root}
		_, err := s.Server().Registry().RollbackTag(t.Context(), stranger, registry.RollbackTagInput{Ref: app, Tag: "v1"})
		_, _, err2 := s.Server().Registry().TagHistory(t.Context(), stranger, registry.TagHistoryInput{Ref: app, Tag: "v1"})
		if fault.CodeOf(err) != "AccessDeniedException" || fault.CodeOf(err2) != "AccessDeniedException" {
			t.Errorf("a stranger's RollbackTag = %v, TagHistory = %v, want AccessDeniedException", err, err2)
		}

		must(c.UpdateImageStorageClass(t.Context(), &ecr.UpdateImageStorageClassInput{
			RepositoryName: new("app"), ImageId: new(byDigest(one)), TargetStorageClass: types.TargetStorageClassArchive,
		}))(t)
		wantNoRollback(t, s, "v1", "", "ImageNotFoundException", cannot("v1", "the image with digest '"+one+"' is archived (its status is ARCHIVED)"))
		deleteImages(t, c, "app", byDigest(one))
		wantNoRollback(t, s, "v1", "", "ImageNotFoundException", cannot("v1", "the image with digest '"+one+"' was deleted"))
		wantEqual(t, "images", listImages(t, c, "app"), slices.DeleteFunc(before, func(i string) bool { return i == one+"@one" }))
	})
}

func TestARollbackGoesByTheRulesOfAPush(t *testing.T) {
	t.Parallel()
	servertest.Each(t, withQuotas("tags-per-image=2"), func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		shelf(t, c, "app")
		one, two := tiny(t, c, "app", "one", "v1", "dev-1"), tiny(t, c, "app", "two", "v1", "dev-1")
		tiny(t, c, "app", "one", "full", "fuller")
		wantNoRollback(t, s, "v1", one, "LimitExceededException",
			"The maximum number of tags per image has been reached: the quota 'Tags per image' (L-BE000004) is 2")
		deleteImages(t, c, "app", byTag("fuller"))
		must(c.PutImageTagMutability(t.Context(), &ecr.PutImageTagMutabilityInput{
			RepositoryName: new("app"), ImageTagMutability: types.ImageTagMutabilityImmutableWithExclusion,
			ImageTagMutabilityExclusionFilters: []types.ImageTagMutabilityExclusionFilter{{Filter: new("dev-*"), FilterType: types.ImageTagMutabilityExclusionFilterTypeWildcard}},
		}))(t)
		wantNoRollback(t, s, "v1", one, "ImageTagAlreadyExistsException",
			"The image tag 'v1' already exists in the 'app' repository and cannot be overwritten because the tag is immutable.")
		wantRollback(t, s, "dev-1", "", one, two)
		wantEqual(t, "the history of what did not move", tagHistory(t, s, "v1"), []string{two + " by " + root.ARN, one + " by " + root.ARN})
	})
}

// Each rollback sees the one before it.
func TestRollbacksTakeTurns(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		shelf(t, c, "app")
		one, two := tiny(t, c, "app", "one", "v1"), tiny(t, c, "app", "two", "v1")
		var wg sync.WaitGroup
		errs := make([]error, 20)
		for n := range errs {
			wg.Go(func() { _, errs[n] = rollback(t, s, "v1", "") })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		want := []string{}
		for range len(errs)/2 + 1 {
			want = append(want, two+" by "+root.ARN, one+" by "+root.ARN)
		}
		wantEqual(t, "history", tagHistory(t, s, "v1"), want)
	})
}

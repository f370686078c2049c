package ecr_test

import (
	"testing"

	"berth/internal/access"
	"berth/internal/registry"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
)

// What comes back has its events and its audit records.
func TestRestoringAndProtectingHaveEventsAndRecords(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, r := s.ECR(), s.Server().Registry()
		root := access.Caller{Account: servertest.Account, ARN: "arn:aws:iam::123456789012:root", ID: servertest.Account, Type: access.Root}
		app := registry.Ref{ID: registry.ID{Account: servertest.Account, Region: servertest.Region}, Name: "app"}
		img := servertest.NewImage(1)
		d := img.Digest.String()
		createRepository(t, c, "app")
		pushImage(t, c, "app", img, "v1", "v2")
		deleteImages(t, c, "app", byDigest(img.Digest))
		want := events(t, s)
		expect := func(what string, more ...string) {
			t.Helper()
			want = append(want, more...)
			wantEqual(t, "events after "+what, events(t, s), want)
		}
		must(r.RestoreImage(t.Context(), root, registry.RestoreImageInput{Ref: app, Digest: img.Digest}))(t)
		expect("RestoreImage", "image.undeleted app "+d+"@v1", "image.undeleted app "+d+"@v2")
		if _, err := r.RestoreImage(t.Context(), root, registry.RestoreImageInput{Ref: app, Digest: img.Digest}); err == nil {
			t.Error("an image that is there was restored")
		}
		deleteImages(t, c, "app", byDigest(img.Digest))
		want = events(t, s)
		must(r.RestoreImage(t.Context(), root, registry.RestoreImageInput{Ref: app, Digest: img.Digest, Tags: []string{}}))(t)
		expect("RestoreImage without tags", "image.undeleted app "+d)
		must(0, r.PutRepositoryProtection(t.Context(), root, registry.PutRepositoryProtectionInput{Ref: app, Enabled: true}))(t)
		expect("PutRepositoryProtection", "repository.changed app deletion protection")
		if _, err := c.DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: new("app"), Force: true}); err == nil {
			t.Error("a protected repository was deleted")
		}
		must(0, r.PutRepositoryProtection(t.Context(), root, registry.PutRepositoryProtectionInput{Ref: app}))(t)
		must(c.DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: new("app"), Force: true}))(t)
		want = events(t, s)
		must(r.RestoreRepository(t.Context(), root, registry.RestoreRepositoryInput{Ref: app}))(t)
		expect("RestoreRepository", "repository.undeleted app")

		changes, failures := map[string]int{}, map[string]string{}
		for _, rec := range auditRecords(t, s) {
			if rec.change {
				changes[rec.EventName]++
			} else if rec.ErrorCode != "" {
				failures[rec.EventName] = rec.ErrorCode
			}
		}
		for name, n := range map[string]int{"RestoreImage": 2, "RestoreRepository": 1, "PutRepositoryProtection": 2} {
			wantEqual(t, "records of "+name, changes[name], n)
		}
		wantEqual(t, "refusals", failures, map[string]string{
			"RestoreImage": "ImageAlreadyExistsException", "DeleteRepository": "InvalidParameterException",
		})
	})
}

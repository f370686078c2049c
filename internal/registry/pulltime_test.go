package registry_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"berth/internal/registry"

	"github.com/opencontainers/go-digest"
)

func TestPullsOfExcludedPrincipalsLeaveNoTrace(t *testing.T) {
	t.Parallel()
	r := open(t, func(s registry.Store) registry.Store { return s })
	ctx := t.Context()
	app := registry.Ref{ID: home, Name: "app"}
	if _, err := r.CreateRepository(ctx, caller, registry.CreateRepositoryInput{Ref: app}); err != nil {
		t.Fatal(err)
	}
	config := []byte("{}")
	upload, err := r.InitiateLayerUpload(ctx, caller, app)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.AppendUpload(ctx, caller, registry.AppendUploadInput{Ref: app, UploadID: upload, Length: -1}, bytes.NewReader(config)); err != nil {
		t.Fatal(err)
	}
	if err := r.CompleteUpload(ctx, caller, registry.CompleteUploadInput{Ref: app, UploadID: upload, Digest: digest.FromBytes(config)}); err != nil {
		t.Fatal(err)
	}
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",`+
		`"config":{"mediaType":"a/b","digest":"%s","size":2},"layers":[]}`, digest.FromBytes(config))
	img, err := r.PutImage(ctx, caller, registry.PutImageInput{Ref: app, Tags: []string{"v1"}, Manifest: manifest})
	if err != nil {
		t.Fatal(err)
	}
	scanner := registry.Exclusion{ID: home, PrincipalARN: "arn:aws:iam::123456789012:role/tools/scanner"}
	if _, err := r.RegisterPullTimeUpdateExclusion(ctx, caller, scanner); err != nil {
		t.Fatal(err)
	}
	session := caller
	session.ARN = "arn:aws:sts::123456789012:assumed-role/scanner/nightly"
	pulledAt := func() time.Time {
		t.Helper()
		if _, _, err := r.BatchGetImage(ctx, session, registry.BatchGetImageInput{Ref: app, IDs: []registry.ImageID{{Tag: "v1"}}}); err != nil {
			t.Fatal(err)
		}
		if err := r.FlushUsage(ctx); err != nil {
			t.Fatal(err)
		}
		images, _, err := r.DescribeImages(ctx, caller, registry.DescribeImagesInput{Ref: app, IDs: []registry.ImageID{{Digest: img.Digest}}})
		if err != nil {
			t.Fatal(err)
		}
		return images[0].PulledAt
	}
	if at := pulledAt(); !at.IsZero() {
		t.Errorf("a pull by an excluded role was recorded at %v", at)
	}
	if err := r.DeregisterPullTimeUpdateExclusion(ctx, caller, scanner); err != nil {
		t.Fatal(err)
	}
	if pulledAt().IsZero() {
		t.Error("a pull after the end of the exclusion was not recorded")
	}
}

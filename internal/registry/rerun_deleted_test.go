package registry_test

import (
	"fmt"
	"testing"

	"berth/internal/registry"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// comeBack calls the verbs about what was deleted and returns what they answered.
func comeBack(t *testing.T, r *registry.Registry) []string {
	t.Helper()
	ctx := t.Context()
	var out []string
	say := func(verb string, answers ...any) { out = append(out, verb+" "+fmt.Sprintf("%+v", answers)) }
	app := registry.Ref{ID: home, Name: "app"}
	_, err := r.CreateRepository(ctx, caller, registry.CreateRepositoryInput{Ref: app, Tags: map[string]string{"k": "v"}})
	say("CreateRepository", err)
	put := func(manifest []byte, tags ...string) digest.Digest {
		t.Helper()
		_, err := r.PutImage(ctx, caller, registry.PutImageInput{Ref: app, Manifest: manifest, Tags: tags})
		say("PutImage", err)
		return digest.FromBytes(manifest)
	}
	id, err := r.InitiateLayerUpload(ctx, caller, app)
	say("InitiateLayerUpload", err)
	say("CompleteUpload", r.CompleteUpload(ctx, caller, registry.CompleteUploadInput{Ref: app, UploadID: id, Digest: digest.FromString("")}))
	const image = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",` +
		`"config":{"mediaType":"a/b","digest":"%s","size":0},"layers":[],"annotations":{"n":"%d"}}`
	one, two := put(fmt.Appendf(nil, image, digest.FromString(""), 1), "v1", "v2"), put(fmt.Appendf(nil, image, digest.FromString(""), 2))
	index := put(fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[`+
		`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"%s","size":1},`+
		`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"%s","size":1}]}`, one, two), "multi")
	for range 2 {
		deleted, failures, err := r.BatchDeleteImage(ctx, caller, registry.BatchDeleteImageInput{Ref: app, IDs: []registry.ImageID{{Digest: index}, {Digest: one}, {Digest: two}}})
		say("BatchDeleteImage", deleted, failures, err)
		images, next, err := r.ListDeletedImages(ctx, caller, registry.ListDeletedImagesInput{Ref: app})
		for _, i := range images {
			say("deleted", i.Digest, i.Tags, i.DeletedAt, i.DeletedBy, i.RestorableUntil)
		}
		say("ListDeletedImages", len(images), next, err)
		for range 2 {
			restored, err := r.RestoreImage(ctx, caller, registry.RestoreImageInput{Ref: app, Digest: index})
			say("RestoreImage", restored, err)
		}
	}
	for _, enabled := range []bool{true, false} {
		say("PutRepositoryProtection", r.PutRepositoryProtection(ctx, caller, registry.PutRepositoryProtectionInput{Ref: app, Enabled: enabled}))
		protected, err := r.GetRepositoryProtection(ctx, caller, app)
		say("GetRepositoryProtection", protected, err)
		_, err = r.DeleteRepository(ctx, caller, registry.DeleteRepositoryInput{Ref: app, Force: true})
		say("DeleteRepository", err)
	}
	repos, next, err := r.ListDeletedRepositories(ctx, caller, registry.ListDeletedRepositoriesInput{ID: home})
	say("ListDeletedRepositories", len(repos), next, err)
	images, next, err := r.ListDeletedImages(ctx, caller, registry.ListDeletedImagesInput{Ref: app})
	say("ListDeletedImages", len(images), next, err)
	for range 2 {
		repo, err := r.RestoreRepository(ctx, caller, registry.RestoreRepositoryInput{Ref: app})
		say("RestoreRepository", repo != nil && repo.DeletedAt.IsZero(), err)
	}
	list, _, err := r.ListImages(ctx, caller, registry.ListImagesInput{Ref: app})
	say("ListImages", list, err)
	return out
}

func TestWhatComesBackDoesSoOnceHoweverOftenTransactionsRun(t *testing.T) {
	t.Parallel()
	once := comeBack(t, open(t, func(s registry.Store) registry.Store { return s }))
	again := comeBack(t, open(t, func(s registry.Store) registry.Store { return rerun{s} }))
	if diff := cmp.Diff(once, again); diff != "" {
		t.Errorf("answers of transactions that run once and twice (-once +twice):\n%s", diff)
	}
}

package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/blob"
	"berth/internal/blob/dirbucket"
	"berth/internal/metadata"
	"berth/internal/policy"
	"berth/internal/registry"
	"berth/internal/seal"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// rerun is a store that runs every transaction twice, as a store may: the first
// time for nothing.
type rerun struct{ registry.Store }

var errAgain = errors.New("run it again")

// View implements [registry.Store].
func (s rerun) View(ctx context.Context, fn func(registry.ReadTx) error) error {
	_ = s.Store.View(ctx, fn)
	return s.Store.View(ctx, fn)
}

// Update implements [registry.Store].
func (s rerun) Update(ctx context.Context, fn func(registry.Tx) error) error {
	return twice(ctx, s.Store.Update, fn)
}

// Relaxed implements [registry.Store].
func (s rerun) Relaxed(ctx context.Context, fn func(registry.Tx) error) error {
	return twice(ctx, s.Store.Relaxed, fn)
}

// Keep implements [registry.Store].
func (s rerun) Keep(ctx context.Context, fn func(registry.Tx) error) error {
	return twice(ctx, s.Store.Keep, fn)
}

// KeepRelaxed implements [registry.Store].
func (s rerun) KeepRelaxed(ctx context.Context, fn func(registry.Tx) error) error {
	return twice(ctx, s.Store.KeepRelaxed, fn)
}

func twice(ctx context.Context, run func(context.Context, func(registry.Tx) error) error, fn func(registry.Tx) error) error {
	err := run(ctx, func(tx registry.Tx) error { return errors.Join(fn(tx), errAgain) })
	if !errors.Is(err, errAgain) {
		return err
	}
	return run(ctx, fn)
}

// world is everybody's administrator, a maker of passwords and a discarder of
// records.
type world struct{}

// Policies implements [access.PolicySource].
func (world) Policies(context.Context, access.Caller) (access.Policies, error) {
	return access.Policies{Administrator: true, Identity: everything}, nil
}

// everything is a policy that allows everything.
var everything = func() []policy.Attached {
	p, err := policy.Parse(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`, policy.Options{Kind: policy.Identity})
	if err != nil {
		panic(err)
	}
	return []policy.Attached{{Policy: p}}
}()

// Record implements [access.Auditor].
func (world) Record(access.Record) {}

// MintPublic implements [registry.Tokens].
func (w world) MintPublic(c access.Caller, now time.Time) (string, time.Time, string) {
	return w.Mint(c, now)
}

// MintFor implements [registry.Tokens].
func (world) MintFor(_ access.Caller, now time.Time, life time.Duration) (string, time.Time, string) {
	return "password", now.Add(life), "id"
}

// Mint implements [registry.Tokens].
func (world) Mint(_ access.Caller, now time.Time) (string, time.Time, string) {
	return "password", now.Add(time.Hour), "id"
}

var (
	home   = registry.ID{Account: "123456789012", Region: "us-east-1"}
	caller = access.Caller{Account: home.Account, ARN: "arn:aws:iam::123456789012:root", ID: home.Account, Type: access.Root}
)

// open returns a registry on a new database and bucket.
func open(t *testing.T, wrap func(registry.Store) registry.Store) *registry.Registry {
	t.Helper()
	return openAt(t, wrap, func() time.Time { return start })
}

// start is the time in these tests.
var start = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

// openAt is open with a clock.
func openAt(t *testing.T, wrap func(registry.Store) registry.Store, now func() time.Time) *registry.Registry {
	t.Helper()
	db, err := metadata.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "berth.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	bucket, err := dirbucket.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bucket.Close() })
	master := seal.NewMaster()
	return registry.New(registry.Options{
		Store: wrap(metadata.For[registry.ReadTx, registry.Tx](db)), Blobs: blob.NewStore(bucket), Authorizer: &access.Authorizer{Source: world{}},
		Auditor: world{}, Tokens: world{}, Pages: master.Key("pages"), Links: master.Key("links"),
		Now: now, DeletedRetention: time.Hour, Administrator: home.Account,
	})
}

// tour calls the verbs and returns what they answered, without the ids that are
// made anew each time.
func tour(t *testing.T, r *registry.Registry) []string {
	t.Helper()
	ctx := t.Context()
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	app, other := registry.Ref{ID: home, Name: "app"}, registry.Ref{ID: home, Name: "other"}
	for _, ref := range []registry.Ref{app, other, app} {
		_, err := r.CreateRepository(ctx, caller, registry.CreateRepositoryInput{Ref: ref})
		say("CreateRepository %v", err)
	}
	layers := [][]byte{[]byte("{}"), bytes.Repeat([]byte("layer"), 50_000)}
	for _, content := range layers {
		id, err := r.InitiateLayerUpload(ctx, caller, app)
		say("InitiateLayerUpload %v", err)
		n, err := r.AppendUpload(ctx, caller, registry.AppendUploadInput{Ref: app, UploadID: id, First: 0, Length: -1}, bytes.NewReader(content))
		say("AppendUpload %d %v", n, err)
		n, err = r.UploadSize(ctx, caller, app, id)
		say("UploadSize %d %v", n, err)
		say("CompleteUpload %v", r.CompleteUpload(ctx, caller, registry.CompleteUploadInput{Ref: app, UploadID: id, Digest: digest.FromBytes(content)}))
	}
	big := digest.FromBytes(layers[1])
	upload, err := r.MountLayer(ctx, caller, registry.MountLayerInput{Ref: other, Digest: big})
	say("MountLayer %t %v", upload == "", err)
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",`+
		`"config":{"mediaType":"a/b","digest":"%s","size":2},"layers":[{"mediaType":"a/b","digest":"%s","size":1}]}`, digest.FromBytes(layers[0]), big)
	d := digest.FromBytes(manifest)
	for range 2 {
		_, err = r.PutImage(ctx, caller, registry.PutImageInput{Ref: app, Manifest: manifest, Tags: []string{"v2", "v1"}})
		say("PutImage %v", err)
	}
	repos, next, err := r.DescribeRepositories(ctx, caller, registry.DescribeRepositoriesInput{ID: home, Names: []registry.RepositoryName{"app", "other"}})
	say("DescribeRepositories %d %q %v", len(repos), next, err)
	repos, _, err = r.DescribeRepositories(ctx, caller, registry.DescribeRepositoriesInput{ID: home, Page: registry.Page{Max: 1}})
	say("DescribeRepositories %d %v", len(repos), err)
	names, err := r.RepositoryNames(ctx, caller, home, "", 10)
	say("RepositoryNames %v %v", names, err)
	ids := []registry.ImageID{{Tag: "v1"}, {Tag: "v9"}, {Digest: d}}
	images, failures, err := r.BatchGetImage(ctx, caller, registry.BatchGetImageInput{Ref: app, IDs: ids})
	say("BatchGetImage %d %v %v", len(images), failures, err)
	described, _, err := r.DescribeImages(ctx, caller, registry.DescribeImagesInput{Ref: app, IDs: []registry.ImageID{{Tag: "v1"}, {Digest: d}}})
	say("DescribeImages %d %v", len(described), err)
	described, _, err = r.DescribeImages(ctx, caller, registry.DescribeImagesInput{Ref: app})
	say("DescribeImages %d %v %v", len(described), described[0].Tags, err)
	list, _, err := r.ListImages(ctx, caller, registry.ListImagesInput{Ref: app})
	say("ListImages %v %v", list, err)
	tags, err := r.TagNames(ctx, caller, app, "", 10)
	say("TagNames %v %v", tags, err)
	found, missing, err := r.BatchCheckLayerAvailability(ctx, caller, registry.BatchCheckLayerAvailabilityInput{Ref: app, Digests: []string{big.String(), "x"}})
	say("BatchCheckLayerAvailability %v %v %v", found, missing, err)
	_, err = r.GetDownloadUrlForLayer(ctx, caller, app, big)
	say("GetDownloadUrlForLayer %v", err)
	say("TagResource %v", r.TagResource(ctx, caller, registry.TagResourceInput{Ref: app, Tags: map[string]string{"k": "v"}}))
	say("UntagResource %v", r.UntagResource(ctx, caller, registry.UntagResourceInput{Ref: app, Keys: []string{"k"}}))
	setting := registry.Setting{ID: home, Name: registry.BlobMounting, Value: "DISABLED"}
	say("PutAccountSetting %v", r.PutAccountSetting(ctx, caller, setting))
	upload, err = r.MountLayer(ctx, caller, registry.MountLayerInput{Ref: other, Digest: digest.FromBytes(layers[0])})
	say("MountLayer %t %v", upload == "", err)
	text := `{"rules":[{"rulePriority":1,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}}]}`
	say("PutLifecyclePolicy %v", r.PutLifecyclePolicy(ctx, caller, registry.PutLifecyclePolicyInput{Ref: app, Text: text}))
	second := bytes.Replace(manifest, []byte(`"schemaVersion"`), []byte(`"annotations":{},"schemaVersion"`), 1)
	_, err = r.PutImage(ctx, caller, registry.PutImageInput{Ref: app, Manifest: second, Tags: []string{"v3"}})
	say("PutImage %v", err)
	runs, err := r.RunLifecyclePolicies(ctx, caller, registry.RunLifecyclePoliciesInput{Ref: registry.Ref{ID: home}})
	say("RunLifecyclePolicies %v %v", runs, err)
	for range 2 {
		preview, err := r.StartLifecyclePolicyPreview(ctx, caller, registry.StartLifecyclePolicyPreviewInput{Ref: app})
		say("StartLifecyclePolicyPreview %t %v", preview != nil, err)
	}
	_, results, next2, err := r.GetLifecyclePolicyPreview(ctx, caller, registry.GetLifecyclePolicyPreviewInput{Ref: app})
	say("GetLifecyclePolicyPreview %v %q %v", results, next2, err)
	changes, _, err := r.TagHistory(ctx, caller, registry.TagHistoryInput{Ref: app, Tag: "v3"})
	say("TagHistory %v %v", changes, err)
	_, err = r.PutImage(ctx, caller, registry.PutImageInput{Ref: app, Manifest: manifest, Tags: []string{"v3"}})
	say("PutImage %v", err)
	for range 2 {
		back, err := r.RollbackTag(ctx, caller, registry.RollbackTagInput{Ref: app, Tag: "v3"})
		say("RollbackTag %v %v", back, err)
	}
	changes, _, err = r.TagHistory(ctx, caller, registry.TagHistoryInput{Ref: app, Tag: "v3"})
	say("TagHistory %v %v", changes, err)
	back, err := r.BacktestLifecyclePolicy(ctx, caller, registry.BacktestLifecyclePolicyInput{Ref: app})
	say("BacktestLifecyclePolicy %d %d %v", back.Expiring, len(back.Removals), err)
	for range 2 {
		p, err := r.DeleteLifecyclePolicy(ctx, caller, app)
		say("DeleteLifecyclePolicy %t %v", p != nil, err)
	}
	_, err = r.GetLifecyclePolicy(ctx, caller, app)
	say("GetLifecyclePolicy %v", err)
	deleted, failures, err := r.BatchDeleteImage(ctx, caller, registry.BatchDeleteImageInput{Ref: app, IDs: ids})
	say("BatchDeleteImage %v %v %v", deleted, failures, err)
	say("DeleteLayer %v", r.DeleteLayer(ctx, caller, other, big))
	id, err := r.InitiateLayerUpload(ctx, caller, other)
	say("InitiateLayerUpload %v", err)
	say("CancelUpload %v", r.CancelUpload(ctx, caller, other, id))
	for range 2 {
		_, err = r.DeleteRepository(ctx, caller, registry.DeleteRepositoryInput{Ref: app})
		say("DeleteRepository %v", err)
	}
	return out
}

func TestTransactionsMayRunMoreThanOnce(t *testing.T) {
	t.Parallel()
	once := tour(t, open(t, func(s registry.Store) registry.Store { return s }))
	again := tour(t, open(t, func(s registry.Store) registry.Store { return rerun{s} }))
	if diff := cmp.Diff(once, again); diff != "" {
		t.Errorf("answers of transactions that run once and twice (-once +twice):\n%s", diff)
	}
}

package registry_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/blob"
	"berth/internal/blob/dirbucket"
	"berth/internal/metadata"
	"berth/internal/registry"
	"berth/internal/seal"

	"github.com/opencontainers/go-digest"
)

// meddled is a store that lets a test do something after a view, or makes an
// update fail.
type meddled struct {
	registry.Store
	mu     sync.Mutex
	after  func()            // guarded by mu; called once, after the next view
	before func(fail *error) // guarded by mu; called before each update
}

func (s *meddled) then(after func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after = after
}

// View implements [registry.Store].
func (s *meddled) View(ctx context.Context, fn func(registry.ReadTx) error) error {
	err := s.Store.View(ctx, fn)
	s.mu.Lock()
	after := s.after
	s.after = nil
	s.mu.Unlock()
	if after != nil {
		after()
	}
	return err
}

// Update implements [registry.Store].
func (s *meddled) Update(ctx context.Context, fn func(registry.Tx) error) error {
	s.mu.Lock()
	before := s.before
	s.mu.Unlock()
	var err error
	if before != nil {
		before(&err)
	}
	if err != nil {
		return err
	}
	return s.Store.Update(ctx, fn)
}

// turns says of each decision whether it is a permission, and yes when there are
// no more.
type turns struct {
	world
	mu  sync.Mutex
	say []bool // guarded by mu
}

// Policies implements [access.PolicySource].
func (s *turns) Policies(context.Context, access.Caller) (access.Policies, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.say) == 0 {
		return access.Policies{Administrator: true}, nil
	}
	yes := s.say[0]
	s.say = s.say[1:]
	return access.Policies{Administrator: yes}, nil
}

// yard is a registry whose clock, store and permissions the test has in hand.
type yard struct {
	*registry.Registry
	store *meddled
	who   *turns
	names map[digest.Digest]string

	mu  sync.Mutex
	now time.Time // guarded by mu
}

var app = registry.Ref{ID: home, Name: "app"}

func newYard(t *testing.T) *yard {
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
	y := &yard{
		store: &meddled{Store: metadata.For[registry.ReadTx, registry.Tx](db)}, who: &turns{}, names: map[digest.Digest]string{},
		now: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC),
	}
	y.Registry = registry.New(registry.Options{
		Store: y.store, Blobs: blob.NewStore(bucket), Authorizer: &access.Authorizer{Source: y.who}, Auditor: world{}, Tokens: world{},
		Pages: master.Key("pages"), Links: master.Key("links"), Now: y.time,
	})
	y.repository(t, app)
	return y
}

func (y *yard) time() time.Time {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.now
}

func (y *yard) advance(d time.Duration) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.now = y.now.Add(d)
}

func (y *yard) repository(t *testing.T, ref registry.Ref) {
	t.Helper()
	_, err := y.CreateRepository(t.Context(), caller, registry.CreateRepositoryInput{Ref: ref})
	id, err2 := y.InitiateLayerUpload(t.Context(), caller, ref)
	_, err3 := y.AppendUpload(t.Context(), caller, registry.AppendUploadInput{Ref: ref, UploadID: id, Length: -1}, strings.NewReader("{}"))
	err4 := y.CompleteUpload(t.Context(), caller, registry.CompleteUploadInput{Ref: ref, UploadID: id, Digest: digest.FromString("{}")})
	if err := errors.Join(err, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
}

// manifestOf returns the manifest of the image of a name.
func manifestOf(name, more string) []byte {
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","annotations":{"name":"%s"},`+
		`"config":{"mediaType":"a/b","digest":"%s","size":2},"layers":[]%s}`, name, digest.FromString("{}"), more)
}

// put puts the image of a name under tags, a second after the one before.
func (y *yard) put(t *testing.T, name, more string, tags ...string) digest.Digest {
	t.Helper()
	return y.putManifest(t, name, manifestOf(name, more), tags...)
}

func (y *yard) putManifest(t *testing.T, name string, manifest []byte, tags ...string) digest.Digest {
	t.Helper()
	y.advance(time.Second)
	img, err := y.PutImage(t.Context(), caller, registry.PutImageInput{Ref: app, Manifest: manifest, Tags: tags, Again: true})
	if err != nil {
		t.Fatal(err)
	}
	y.names[img.Digest] = name
	return img.Digest
}

// descriptor is what a manifest says of another one.
func (y *yard) descriptor(manifest []byte) string {
	return fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"%s","size":%d}`, digest.FromBytes(manifest), len(manifest))
}

func (y *yard) remove(t *testing.T, ids ...registry.ImageID) {
	t.Helper()
	if _, failures, err := y.BatchDeleteImage(t.Context(), caller, registry.BatchDeleteImageInput{Ref: app, IDs: ids}); err != nil || len(failures) > 0 {
		t.Fatal(failures, err)
	}
}

func (y *yard) policy(t *testing.T, rules string) {
	t.Helper()
	if err := y.PutLifecyclePolicy(t.Context(), caller, registry.PutLifecyclePolicyInput{Ref: app, Text: `{"rules":[` + rules + `]}`}); err != nil {
		t.Fatal(err)
	}
}

// left returns the names of the images that are left, with a star if they are
// archived.
func (y *yard) left(t *testing.T) string {
	t.Helper()
	images, _, err := y.DescribeImages(t.Context(), caller, registry.DescribeImagesInput{Ref: app, Page: registry.Page{Max: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, i := range images {
		name := y.names[i.Digest]
		if i.Status == registry.Archived {
			name += "*"
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func (y *yard) run(t *testing.T, ref registry.Ref) []registry.LifecycleRun {
	t.Helper()
	runs, err := y.RunLifecyclePolicies(t.Context(), caller, registry.RunLifecyclePoliciesInput{Ref: ref})
	if err != nil {
		t.Fatal(err)
	}
	return runs
}

func selects(priority int, selection, action string) string {
	if action == "transition" {
		action += `","targetStorageClass":"archive`
	}
	return fmt.Sprintf(`{"rulePriority":%d,"selection":{%s},"action":{"type":"%s"}}`, priority, selection, action)
}

const (
	lastTwoReleases = `"tagStatus":"tagged","tagPatternList":["release-*"],"countType":"imageCountMoreThan","countNumber":2`
	lastUntagged    = `"tagStatus":"untagged","countType":"imageCountMoreThan","countNumber":1`
	aDayOld         = `"tagStatus":"any","countType":"sinceImagePushed","countUnit":"days","countNumber":1`
	notPulled       = `"tagStatus":"any","countType":"sinceImagePulled","countUnit":"days","countNumber":1`
	kept            = `"tagStatus":"tagged","tagPatternList":["keep"],"countType":"imageCountMoreThan","countNumber":9`
)

// What happens between the plan and what is done by it counts.
func TestAPlanThatIsNotUpToDateIsNotCarriedOut(t *testing.T) {
	t.Parallel()
	releases := func(t *testing.T, y *yard) {
		for n := range 4 {
			y.put(t, fmt.Sprint("r", n), "", fmt.Sprint("release-", n))
		}
	}
	for name, tt := range map[string]struct {
		rules  string
		before func(*testing.T, *yard)
		then   func(*testing.T, *yard)
		want   string
	}{
		"nothing": {selects(1, lastTwoReleases, "expire"), releases, func(*testing.T, *yard) {}, "r2 r3"},
		"a newer one is deleted": {
			selects(1, lastTwoReleases, "expire"), releases,
			func(t *testing.T, y *yard) { y.remove(t, registry.ImageID{Tag: "release-3"}) }, "r1 r2",
		},
		"a newer one loses its tag": {
			selects(1, lastTwoReleases, "expire"),
			func(t *testing.T, y *yard) { releases(t, y); y.put(t, "r3", "", "latest") },
			func(t *testing.T, y *yard) { y.remove(t, registry.ImageID{Tag: "release-3"}) }, "r1 r2 r3",
		},
		"the tag of a newer one is moved": {
			selects(1, lastTwoReleases, "expire"), releases,
			func(t *testing.T, y *yard) { y.put(t, "r1", "", "release-3") }, "r1 r2 r3",
		},
		"a newer one is archived": {
			selects(1, lastTwoReleases, "expire"), releases,
			func(t *testing.T, y *yard) {
				_, err := y.UpdateImageStorageClass(t.Context(), caller, registry.UpdateImageStorageClassInput{
					Ref: app, Image: registry.ImageID{Tag: "release-3"}, Target: registry.Archive})
				if err != nil {
					t.Fatal(err)
				}
			}, "r1 r2 r3*",
		},
		"a newer one gets a tag": {
			selects(1, lastUntagged, "expire"),
			func(t *testing.T, y *yard) { y.put(t, "a", ""); y.put(t, "b", ""); y.put(t, "c", "") },
			func(t *testing.T, y *yard) { y.put(t, "c", "", "v1") }, "b c",
		},
		"it gets a tag that keeps it": {
			selects(1, kept, "expire") + "," + selects(2, aDayOld, "expire"),
			func(t *testing.T, y *yard) { y.put(t, "a", "", "v1"); y.advance(48 * time.Hour); y.put(t, "b", "") },
			func(t *testing.T, y *yard) { y.put(t, "a", "", "keep") }, "a b",
		},
		"it is pulled": {
			selects(1, notPulled, "transition"),
			func(t *testing.T, y *yard) { y.put(t, "a", ""); y.put(t, "b", ""); y.advance(48 * time.Hour) },
			func(t *testing.T, y *yard) {
				_, _, err := y.BatchGetImage(t.Context(), caller, registry.BatchGetImageInput{Ref: app, IDs: []registry.ImageID{{Digest: digest.FromBytes(manifestOf("a", ""))}}})
				if err != nil {
					t.Fatal(err)
				}
			}, "a b*",
		},
		"an index comes that lists it": {
			selects(1, aDayOld, "expire"),
			func(t *testing.T, y *yard) { y.put(t, "a", ""); y.put(t, "b", ""); y.advance(48 * time.Hour) },
			func(t *testing.T, y *yard) {
				y.putManifest(t, "index", []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[`+y.descriptor(manifestOf("a", ""))+`]}`))
			}, "a index",
		},
		"its subject comes back": {
			selects(1, kept, "expire"),
			func(t *testing.T, y *yard) {
				y.put(t, "a", "")
				y.put(t, "signature", `,"subject":`+y.descriptor(manifestOf("a", "")))
				y.remove(t, registry.ImageID{Digest: digest.FromBytes(manifestOf("a", ""))})
			},
			func(t *testing.T, y *yard) { y.put(t, "a", "") }, "a signature",
		},
		"the policy is deleted": {
			selects(1, lastTwoReleases, "expire"), releases,
			func(t *testing.T, y *yard) {
				if _, err := y.DeleteLifecyclePolicy(t.Context(), caller, app); err != nil {
					t.Fatal(err)
				}
			}, "r0 r1 r2 r3",
		},
		"new images come": {
			selects(1, lastTwoReleases, "expire"), releases,
			func(t *testing.T, y *yard) { y.put(t, "r4", "", "release-4") }, "r3 r4",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t)
			tt.before(t, y)
			y.policy(t, tt.rules)
			y.store.then(func() { tt.then(t, y) })
			y.run(t, app)
			if got := y.left(t); got != tt.want {
				t.Errorf("images = %s, want %s", got, tt.want)
			}
		})
	}
}

// A busy repository does not keep a run from ending, and is seen to soon.
func TestARunThatDoesNotGetOnIsTriedAgain(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.put(t, "a", "")
	y.put(t, "b", "")
	y.policy(t, selects(1, lastUntagged, "expire"))
	plans := 0
	var meddle func()
	meddle = func() {
		plans++
		y.put(t, "other", "", "v1")
		y.remove(t, registry.ImageID{Tag: "v1"})
		y.store.then(meddle)
	}
	y.store.then(meddle)
	runs := y.run(t, app)
	y.store.then(nil)
	if len(runs) != 1 || runs[0].Err == nil || !runs[0].EvaluatedAt.IsZero() || plans != 3 {
		t.Errorf("runs = %+v after %d plans, want one that failed after 3", runs, plans)
	}
	p, err := y.GetLifecyclePolicy(t.Context(), caller, app)
	if err != nil || !p.EvaluatedAt.IsZero() || p.DueAt.Sub(y.time()) > time.Minute {
		t.Errorf("policy = %+v, %v, want it due within a minute", p, err)
	}
	if runs := y.run(t, app); runs[0].Err != nil || runs[0].Expired != 1 || runs[0].Kept != 1 {
		t.Errorf("runs = %+v, want one image deleted", runs)
	}
}

func TestABatchIsCutByImagesAndByTags(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	for n := range 6 {
		var tags []string
		for k := range 200 {
			tags = append(tags, fmt.Sprintf("t-%d-%d", n, k))
		}
		y.put(t, fmt.Sprint(n), "", tags...)
	}
	y.policy(t, selects(1, `"tagStatus":"any","countType":"imageCountMoreThan","countNumber":1`, "expire"))
	batches := -1 // but for the one that asks whether the call is allowed
	y.store.before = func(*error) { batches++ }
	if runs := y.run(t, app); runs[0].Expired != 5 || batches != 3 {
		t.Errorf("runs = %+v in %d transactions, want 5 images in 3", runs, batches)
	}
}

// Each repository is asked about; those that are refused are left out, and one
// that fails does not keep the others from their turn.
func TestPoliciesOfAllRepositoriesAreCarriedOutWhereThatIsAllowed(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	for _, name := range []registry.RepositoryName{"bad", "zoo"} {
		y.repository(t, registry.Ref{ID: home, Name: name})
	}
	put := func(name registry.RepositoryName, rule string) {
		in := registry.PutLifecyclePolicyInput{Ref: registry.Ref{ID: home, Name: name}, Text: `{"rules":[` + rule + `]}`}
		if err := y.PutLifecyclePolicy(t.Context(), caller, in); err != nil {
			t.Fatal(err)
		}
	}
	setting := registry.Setting{ID: home, Name: registry.LifecycleExtensions, Value: "ENABLED"}
	if err := y.PutAccountSetting(t.Context(), caller, setting); err != nil {
		t.Fatal(err)
	}
	put("app", selects(1, lastUntagged, "expire"))
	put("bad", selects(1, notPulled, "expire"))
	put("zoo", selects(1, lastUntagged, "expire"))
	setting.Value = "DISABLED"
	if err := y.PutAccountSetting(t.Context(), caller, setting); err != nil {
		t.Fatal(err)
	}
	ran := func() (out []string, err error) {
		runs, err := y.RunLifecyclePolicies(t.Context(), caller, registry.RunLifecyclePoliciesInput{Ref: registry.Ref{ID: home}})
		for _, r := range runs {
			out = append(out, fmt.Sprint(r.Name, " ", r.Err != nil))
		}
		return out, err
	}
	for _, tt := range []struct {
		say  []bool
		want string
	}{
		{nil, "[app false bad true zoo false]"},
		{[]bool{false, true, true}, "[bad true zoo false]"},
		{[]bool{true, false, false}, "[app false]"},
	} {
		y.who.say = tt.say
		if got, err := ran(); err != nil || fmt.Sprint(got) != tt.want {
			t.Errorf("answers %v: %v, %v, want %s", tt.say, got, err, tt.want)
		}
	}
	y.who.say = []bool{false, false, false}
	if got, err := ran(); err == nil || !strings.HasPrefix(err.Error(), "AccessDeniedException") {
		t.Errorf("all refused: %v, %v, want AccessDeniedException", got, err)
	}
	if len(y.who.say) > 0 {
		t.Errorf("%d repositories were not asked about", len(y.who.say))
	}
}

package metadata

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/internal/blob"
	"berth/internal/lifecycle"
	"berth/internal/registry"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

func policyOf(repo *registry.Repository, version string, due time.Time) *registry.LifecyclePolicy {
	return &registry.LifecyclePolicy{Repository: repo.UID, Version: version, Text: "{}", DueAt: due}
}

// view runs fn in a view, which must succeed.
func view(t *testing.T, s store, fn func(registry.ReadTx) error) {
	t.Helper()
	if err := s.View(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// What has failed is put off only if it is still the same: a policy that was put,
// carried out or deleted meanwhile is left as it is.
func TestWhatHasChangedIsNotPutOff(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		app := repository("app")
		failed, later := policyOf(app, "1", now), now.Add(time.Minute)
		for name, tt := range map[string]struct{ now, want *registry.LifecyclePolicy }{
			"the same":    {failed, policyOf(app, "1", later)},
			"put anew":    {policyOf(app, "2", now), policyOf(app, "2", now)},
			"carried out": {policyOf(app, "1", now.Add(time.Hour)), policyOf(app, "1", now.Add(time.Hour))},
			"deleted":     {},
		} {
			update(t, s, func(tx registry.Tx) error {
				if _, err := tx.InsertRepository(app); err != nil {
					return err
				}
				if tt.now == nil {
					if err := tx.DeleteLifecyclePolicy(app.UID); err != nil {
						return err
					}
				} else if err := tx.PutLifecyclePolicy(tt.now); err != nil {
					return err
				}
				return tx.PostponeLifecyclePolicy(failed, later)
			})
			view(t, s, func(tx registry.ReadTx) error {
				got, err := tx.LifecyclePolicy(app.UID)
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
				return err
			})
		}
		old := &registry.LifecyclePreview{Repository: app.UID, ID: "1", Status: registry.PreviewInProgress, DueAt: now}
		young := *old
		young.ID = "2"
		for _, tt := range []struct {
			now  *registry.LifecyclePreview
			want time.Time
		}{{old, later}, {&young, now}} {
			update(t, s, func(tx registry.Tx) error {
				if err := tx.PutLifecyclePreview(tt.now); err != nil {
					return err
				}
				return tx.PostponeLifecyclePreview(old, later)
			})
			view(t, s, func(tx registry.ReadTx) error {
				got, err := tx.LifecyclePreview(app.UID)
				if got == nil || !got.DueAt.Equal(tt.want) {
					t.Errorf("preview %s = %+v, want it due at %v", tt.now.ID, got, tt.want)
				}
				return err
			})
		}
	})
}

func TestPoliciesThatWereNeverCarriedOutAreDueFirst(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		put := func(name string, due, evaluated time.Time) {
			repo := repository(name)
			p := policyOf(repo, "1", due)
			p.EvaluatedAt = evaluated
			update(t, s, func(tx registry.Tx) error {
				if _, err := tx.InsertRepository(repo); err != nil {
					return err
				}
				return tx.PutLifecyclePolicy(p)
			})
		}
		latest := now.Add(13 * time.Hour)
		put("old", now.Add(-time.Hour), now.Add(-13*time.Hour))
		put("new", now, time.Time{})
		put("newer", now.Add(time.Second), time.Time{})
		put("older", now.Add(-2*time.Hour), now.Add(-14*time.Hour))
		put("future", latest.Add(time.Second), now.Add(24*time.Hour))
		put("later", latest, now.Add(time.Hour))
		var got []string
		for range 5 {
			var p *registry.LifecyclePolicy
			view(t, s, func(tx registry.ReadTx) (err error) {
				p, err = tx.DueLifecyclePolicy(now, latest)
				return err
			})
			if p == nil {
				break
			}
			got = append(got, strings.TrimPrefix(p.Repository, "uid of "))
			update(t, s, func(tx registry.Tx) error { return tx.PostponeLifecyclePolicy(p, now.Add(time.Hour)) })
		}
		if want := []string{"new", "older", "old", "future"}; !slices.Equal(got, want) {
			t.Errorf("due = %v, want %v", got, want)
		}
	})
}

func TestALeaseIsTakenOverWhenItHasEnded(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		for n, tt := range []struct {
			owner string
			after time.Duration // since the lease began
			want  bool
		}{
			{"a", 0, true}, {"b", 0, false}, {"a", 30 * time.Second, true}, // until 90 s
			{"b", 90*time.Second - time.Microsecond, false}, {"b", 90 * time.Second, true},
			{"a", 91 * time.Second, false},
		} {
			update(t, s, func(tx registry.Tx) error {
				at := now.Add(tt.after)
				got, err := tx.Lease("work", tt.owner, at, at.Add(time.Minute))
				if got != tt.want {
					t.Errorf("%d: Lease by %s after %v = %t, want %t", n, tt.owner, tt.after, got, tt.want)
				}
				return err
			})
		}
	})
}

// insertImages inserts images, the first an index that lists the second and
// something that is not there.
func insertImages(tx registry.Tx, repo *registry.Repository, n int) error {
	name := func(k int) digest.Digest { return digest.Digest(fmt.Sprintf("sha256:%064x", k)) }
	for k := range n {
		img := &registry.Image{
			UID: fmt.Sprintf("%08x", k), Repository: repo.UID, Digest: name(k), MediaType: "a/b", Size: 9, Status: registry.Active,
			PushedAt: now.Add(-time.Duration(n-k) * time.Minute),
		}
		var refs registry.References
		if k == 0 {
			refs.Children = []digest.Digest{name(1), digest.FromString("absent")}
		}
		if err := tx.InsertImage(repo, img, refs, blob.Object{Digest: img.Digest, Content: []byte("{}")}); err != nil {
			return err
		}
		for t := range k % 3 {
			if err := tx.PutTag(repo.UID, fmt.Sprintf("build-%d-%d", k, t), img, registry.Stamp{Time: now}); err != nil {
				return err
			}
		}
	}
	return nil
}

func TestLifecycleImages(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		app := repository("app")
		update(t, s, func(tx registry.Tx) error {
			if err := insert(tx, app); err != nil {
				return err
			}
			return insertImages(tx, app, 3)
		})
		view(t, s, func(tx registry.ReadTx) error {
			images, err := tx.LifecycleImages(app.UID)
			var got []string
			for _, i := range images {
				got = append(got, fmt.Sprintf("%s %v %d", i.Digest[70:], i.Tags, len(i.Children)))
			}
			if want := []string{"0 [] 1", "1 [build-1-0] 0", "2 [build-2-0 build-2-1] 0"}; !slices.Equal(got, want) {
				t.Errorf("LifecycleImages = %q, want %q", got, want)
			}
			return err
		})
	})
}

// 100,000 images are read and decided about in less than a second or so, and
// 200 MiB.
func BenchmarkLifecycle(b *testing.B) {
	db, err := OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "berth.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	s := For[registry.ReadTx, registry.Tx](db)
	app := repository("app")
	err = s.Update(b.Context(), func(tx registry.Tx) error {
		if err := insert(tx, app); err != nil {
			return err
		}
		return insertImages(tx, app, 100_000)
	})
	if err != nil {
		b.Fatal(err)
	}
	p, err := lifecycle.Parse(`{"rules":[
		{"rulePriority":1,"selection":{"tagStatus":"tagged","tagPatternList":["build-*"],"countType":"imageCountMoreThan","countNumber":10},"action":{"type":"expire"}},
		{"rulePriority":2,"selection":{"tagStatus":"any","countType":"sinceImagePushed","countUnit":"days","countNumber":1},"action":{"type":"expire"}}]}`, lifecycle.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		err := s.View(b.Context(), func(tx registry.ReadTx) error {
			images, err := tx.LifecycleImages(app.UID)
			if got := lifecycle.Evaluate(p, images, now); len(got) != 100_000 {
				b.Fatalf("%d decisions", len(got))
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

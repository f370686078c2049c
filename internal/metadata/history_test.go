package metadata

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"berth/internal/lifecycle"
	"berth/internal/registry"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// at returns the stamp of what somebody does so many hours after now.
func at(hours int) registry.Stamp {
	return registry.Stamp{Time: now.Add(time.Duration(hours) * time.Hour), Principal: "somebody"}
}

// history returns all changes of a tag.
func history(t *testing.T, s store, repository, tag string) []registry.TagChange {
	t.Helper()
	var out []registry.TagChange
	err := s.View(t.Context(), func(tx registry.ReadTx) error {
		var err error
		out, err = tx.TagHistory(repository, tag, math.MaxInt64, 10_000)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEveryChangeOfATagIsInItsHistory(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		aa := repository("aa")
		x, xo := image(aa, "x")
		y, yo := image(aa, "y")
		policy := registry.Stamp{Time: at(5).Time, Policy: true}
		for _, step := range []func(registry.Tx) error{
			func(tx registry.Tx) error { return insert(tx, aa) },
			func(tx registry.Tx) error { return tx.InsertImage(aa, x, registry.References{}, xo) },
			func(tx registry.Tx) error { return tx.InsertImage(aa, y, registry.References{}, yo) },
			func(tx registry.Tx) error { return tx.PutTag(aa.UID, "v1", x, at(1)) },
			func(tx registry.Tx) error { return tx.PutTag(aa.UID, "v1", y, at(2)) },
			func(tx registry.Tx) error { return tx.PutTag(aa.UID, "v2", y, at(2)) },
			func(tx registry.Tx) error { return tx.DeleteTag(aa.UID, "v1", at(3)) },
			func(tx registry.Tx) error { return tx.PutTag(aa.UID, "v1", y, at(4)) },
			func(tx registry.Tx) error { return tx.DeleteImage(y, policy) },
		} {
			update(t, s, step)
		}
		change := func(n int64, by registry.Stamp, d digest.Digest) registry.TagChange {
			return registry.TagChange{Number: n, Time: by.Time, Digest: d, Principal: by.Principal, Policy: by.Policy}
		}
		want := []registry.TagChange{change(5, policy, ""), change(4, at(4), y.Digest), change(3, at(3), ""), change(2, at(2), y.Digest), change(1, at(1), x.Digest)}
		if diff := cmp.Diff(want, history(t, s, aa.UID, "v1")); diff != "" {
			t.Errorf("history of v1 (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]registry.TagChange{change(2, policy, ""), change(1, at(2), y.Digest)}, history(t, s, aa.UID, "v2")); diff != "" {
			t.Errorf("history of v2 (-want +got):\n%s", diff)
		}
		err := s.View(t.Context(), func(tx registry.ReadTx) error {
			page, err := tx.TagHistory(aa.UID, "v1", 4, 2)
			if diff := cmp.Diff(want[2:4], page); diff != "" || err != nil {
				t.Errorf("two changes before the fourth: %v (-want +got):\n%s", err, diff)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestTheLastChangesOfATagAreKept(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		aa := repository("aa")
		x, o := image(aa, "x")
		const changes = registry.TagHistoryLength + 3
		update(t, s, func(tx registry.Tx) error {
			if err := insert(tx, aa); err != nil {
				return err
			}
			if err := tx.InsertImage(aa, x, registry.References{}, o); err != nil {
				return err
			}
			for n := range changes {
				if err := tx.PutTag(aa.UID, "v1", x, at(n)); err != nil {
					return err
				}
			}
			return tx.PutTag(aa.UID, "v2", x, at(0))
		})
		got := history(t, s, aa.UID, "v1")
		if len(got) != registry.TagHistoryLength || got[0].Number != changes || got[len(got)-1].Number != 4 {
			t.Errorf("%d changes from %d to %d are kept, want the last %d", len(got), got[0].Number, got[len(got)-1].Number, registry.TagHistoryLength)
		}
		if got := history(t, s, aa.UID, "v2"); len(got) != 1 {
			t.Errorf("another tag has %d changes, want 1", len(got))
		}
	})
}

func TestLifecycleHistory(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		aa, bb := repository("aa"), repository("bb")
		var images []*registry.Image
		policy := registry.Stamp{Time: at(30).Time, Policy: true}
		update(t, s, func(tx registry.Tx) error {
			if err := insert(tx, aa, bb); err != nil {
				return err
			}
			for n, repo := range []*registry.Repository{aa, aa, aa, aa, aa, bb} {
				img, o := image(repo, fmt.Sprint("image ", n))
				refs := registry.References{}
				if n == 3 {
					refs.Children = []digest.Digest{images[0].Digest, images[2].Digest, digest.FromString("absent")}
				}
				if n == 4 {
					img.Subject = images[1].Digest
				}
				images = append(images, img)
				if err := tx.InsertImage(repo, img, refs, o); err != nil {
					return err
				}
			}
			return nil
		})
		for _, step := range []func(registry.Tx) error{
			func(tx registry.Tx) error { return tx.PutTag(aa.UID, "moved", images[0], at(1)) },
			func(tx registry.Tx) error { return tx.PutTag(aa.UID, "moved", images[2], at(2)) },
			func(tx registry.Tx) error { return tx.PutTag(aa.UID, "moved", images[3], at(30)) },
			func(tx registry.Tx) error { return tx.PutTag(aa.UID, "away", images[0], at(1)) },
			func(tx registry.Tx) error { return tx.DeleteTag(aa.UID, "away", at(3)) },
			func(tx registry.Tx) error { return tx.PutTag(aa.UID, "before", images[1], at(3)) },
			func(tx registry.Tx) error { return tx.PutTag(bb.UID, "other", images[5], at(30)) },
			func(tx registry.Tx) error { return tx.RecordPull(images[0].UID, at(7).Time) },
			func(tx registry.Tx) error { return tx.DeleteImage(images[1], at(10)) },
			func(tx registry.Tx) error { return tx.DeleteImage(images[2], at(30)) },
			func(tx registry.Tx) error { return tx.DeleteImage(images[3], policy) },
		} {
			update(t, s, step)
		}
		past := func(n int, deleted registry.Stamp) lifecycle.Past {
			return lifecycle.Past{
				Image:     lifecycle.Image{ID: images[n].UID, Digest: string(images[n].Digest), PushedAt: now, Subject: string(images[n].Subject)},
				DeletedAt: deleted.Time, Expired: deleted.Policy,
			}
		}
		want := &lifecycle.History{
			Images: []lifecycle.Past{past(0, registry.Stamp{}), past(2, at(30)), past(3, policy), past(4, registry.Stamp{})},
			Tags: []lifecycle.TagChange{
				{At: at(2).Time, Tag: "moved", Digest: string(images[2].Digest)},
				{At: at(30).Time, Tag: "moved", Digest: string(images[3].Digest)},
				{At: policy.Time, Tag: "moved", Policy: true},
			},
		}
		want.Images[0].PulledAt = at(7).Time
		want.Images[2].Children = []string{string(images[0].Digest), string(images[2].Digest)}
		want.Images[3].OrphanedAt = at(10).Time
		err := s.View(t.Context(), func(tx registry.ReadTx) error {
			got, err := tx.LifecycleHistory(aa.UID, at(20).Time, 7)
			if err != nil || got == nil {
				t.Fatal(got, err)
			}
			slices.SortFunc(got.Images, func(a, b lifecycle.Past) int { return slices.Compare([]byte(a.ID), []byte(b.ID)) })
			for _, i := range got.Images {
				slices.Sort(i.Children)
			}
			slices.Sort(want.Images[2].Children)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("LifecycleHistory (-want +got):\n%s", diff)
			}
			if got, err := tx.LifecycleHistory(aa.UID, at(20).Time, 6); got != nil || err != nil {
				t.Errorf("LifecycleHistory of at most 6 = %v, %v, want none", got, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// Of the time before tags had a history, what is known is where they were last.
func TestTheMigrationBeginsTheHistoryOfTags(t *testing.T) {
	t.Parallel()
	facts := append(slices.Clone(oldFacts), `INSERT INTO tags (repository, name, image, tagged_at) VALUES ('r1', 'v1', 'i1', 7000000), ('r1', 'v2', 'i2', 8000000)`)
	upgraded(t, 8, facts, func(t *testing.T, db *DB) {
		s := For[registry.ReadTx, registry.Tx](db)
		want := []registry.TagChange{{Number: 1, Time: time.Unix(7, 0).UTC(), Digest: "d of i1"}}
		if diff := cmp.Diff(want, history(t, s, "r1", "v1")); diff != "" {
			t.Errorf("history of v1 (-want +got):\n%s", diff)
		}
		update(t, s, func(tx registry.Tx) error { return tx.DeleteTag("r1", "v1", at(1)) })
		if got := history(t, s, "r1", "v1"); len(got) != 2 || got[0].Number != 2 || got[0].Digest != "" {
			t.Errorf("history after one more change = %v", got)
		}
	})
}

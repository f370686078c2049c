package metadata

import (
	"testing"
	"time"

	"berth/internal/registry"

	"github.com/google/go-cmp/cmp"
)

func TestDeletedThingsAreFoundTheLastFirst(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		repo := repository("aa")
		update(t, s, func(tx registry.Tx) error { return insert(tx, repo) })
		img, o := image(repo, "x")
		for i, uid := range []string{"first", "second"} {
			img.UID = uid
			update(t, s, func(tx registry.Tx) error {
				if err := tx.InsertImage(repo, img, registry.References{}, o); err != nil {
					return err
				}
				for _, tag := range []string{"b", "a"} {
					if err := tx.PutTag(repo.UID, tag+uid, img, registry.Stamp{Time: now}); err != nil {
						return err
					}
				}
				return tx.DeleteImage(img, registry.Stamp{Time: now.Add(time.Duration(i) * time.Hour), Principal: "somebody"})
			})
		}
		check := func(want ...string) {
			t.Helper()
			got := []string{}
			err := s.View(t.Context(), func(tx registry.ReadTx) error {
				list, err := tx.DeletedImages(repo.UID, now.Add(-time.Hour), registry.Deletion{}, 10)
				for _, d := range list {
					got = append(got, d.UID+" "+d.Tags[0]+" "+d.Tags[1]+" "+d.DeletedBy)
				}
				return err
			})
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("DeletedImages (-want +got): %v\n%s", err, diff)
			}
		}
		check("second asecond bsecond somebody")
		update(t, s, func(tx registry.Tx) error {
			d, err := tx.DeletedImage(repo.UID, img.Digest)
			if err == nil {
				err = tx.UndeleteImage(&d.Image)
			}
			return err
		})
		check([]string{}...)
	})
}

func TestTheImagesOfADeletedRepositoryAreNotActivated(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		repo := repository("aa")
		img, o := image(repo, "x")
		img.Status = registry.Activating
		update(t, s, func(tx registry.Tx) error {
			if err := insert(tx, repo); err != nil {
				return err
			}
			return tx.InsertImage(repo, img, registry.References{}, o)
		})
		activating := func() int {
			t.Helper()
			n := 0
			if err := s.View(t.Context(), func(tx registry.ReadTx) error {
				list, err := tx.ActivatingImages(10)
				n = len(list)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return n
		}
		before := activating()
		deleted := *repo
		deleted.DeletedAt, deleted.DeletedBy = now, "somebody"
		update(t, s, func(tx registry.Tx) error { return tx.UpdateRepository(&deleted) })
		gone := activating()
		update(t, s, func(tx registry.Tx) error {
			again, err := tx.DeletedRepository(repo.Ref, "", registry.LockDelete)
			if err != nil {
				return err
			}
			if again.UID != repo.UID || again.DeletedBy != "somebody" || !again.DeletedAt.Equal(now) {
				t.Errorf("DeletedRepository = %+v", again)
			}
			for i, want := range []bool{true, false} {
				if free, err := tx.UndeleteRepository(again); err != nil || free != want {
					t.Errorf("UndeleteRepository %d = %t, %v, want %t", i, free, err, want)
				}
			}
			return nil
		})
		if diff := cmp.Diff([]int{1, 0, 1}, []int{before, gone, activating()}); diff != "" {
			t.Errorf("activating images before, deleted and restored (-want +got):\n%s", diff)
		}
	})
}

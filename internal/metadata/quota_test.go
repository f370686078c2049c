package metadata

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"berth/internal/blob"
	"berth/internal/fsck"
	"berth/internal/metadata/pgtest"
	"berth/internal/registry"

	"github.com/google/go-cmp/cmp"
)

// recount fails the test unless every count is what counting finds.
func recount(t *testing.T, db *DB) {
	t.Helper()
	if wrong := wrongCounts(t, db); len(wrong) > 0 {
		t.Errorf("wrong counts: %v", wrong)
	}
}

func wrongCounts(t *testing.T, db *DB) []fsck.Count {
	t.Helper()
	var wrong []fsck.Count
	err := db.engine.view(t.Context(), func(tx *Tx) error {
		var err error
		wrong, err = tx.WrongCounts()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return wrong
}

// fsck finds counts that are wrong, and puts them right.
func TestWrongCountsAreFoundAndPutRight(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func(*testing.T) *DB) {
		db := open(t)
		s := For[registry.ReadTx, registry.Tx](db)
		repo, other := repository("a/b"), repository("c")
		update(t, s, func(tx registry.Tx) error { return tx.CountStorage(storageQuotas[2]) })
		update(t, s, func(tx registry.Tx) error { return insert(tx, repo) })
		update(t, s, func(tx registry.Tx) error { return insert(tx, other) })
		img, o := image(repo, "image")
		update(t, s, func(tx registry.Tx) error { return tx.InsertImage(repo, img, registry.References{}, o) })
		update(t, s, func(tx registry.Tx) error { return linkOrUnlink(tx, repo, object("layer"), true) })
		recount(t, db)
		err := db.engine.update(t.Context(), false, func(tx *Tx) error {
			for _, statement := range []string{
				`UPDATE repositories SET images = 7`, `UPDATE registry_usage SET repositories = 0`,
				`INSERT INTO registry_usage (account, region, repositories) VALUES ('210987654321', 'us-east-1', 3)`,
				`UPDATE storage_quotas SET bytes = bytes - 100`,
			} {
				if err := tx.change(statement); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []fsck.Count{
			{Of: "images of 123456789012/us-east-1/a/b", Kept: 7, Counted: 1}, {Of: "images of 123456789012/us-east-1/c", Kept: 7},
			{Of: "repositories of 123456789012/us-east-1", Counted: 2}, {Of: "repositories of 210987654321/us-east-1", Kept: 3},
			{Of: "bytes of 123456789012/a/b", Kept: object("layer").Size - 100, Counted: object("layer").Size},
		}
		if diff := cmp.Diff(want, wrongCounts(t, db)); diff != "" {
			t.Errorf("wrong counts (-want +got):\n%s", diff)
		}
		if err := For[fsck.Tx, fsck.Repairer](db).Update(t.Context(), fsck.Repairer.Recount); err != nil {
			t.Fatal(err)
		}
		recount(t, db)
	})
}

// A quota that nothing is counted for is no quota of which nothing is used.
func TestAStorageQuotaThatIsNotCountedIsAnError(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		err := s.View(t.Context(), func(tx registry.ReadTx) error {
			used, err := tx.StorageUsed(storageQuotas[0])
			if err == nil {
				t.Errorf("StorageUsed = %d, want an error", used)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

var storageQuotas = []registry.StorageQuota{
	{Account: home.Account}, {Account: home.Account, Prefix: "a"}, {Account: home.Account, Prefix: "a/b"}, {Account: "210987654321"},
}

func TestCountsAreThoseOfWhatTheyCount(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func(*testing.T) *DB) {
		db := open(t)
		s := For[registry.ReadTx, registry.Tx](db)
		for _, q := range storageQuotas[:2] {
			update(t, s, func(tx registry.Tx) error { return tx.CountStorage(q) })
		}
		var wg sync.WaitGroup
		for g := range 6 {
			random := rand.New(rand.NewPCG(3, uint64(g)))
			wg.Go(func() {
				for i := range 60 {
					if i == 30 {
						// A quota that comes later finds what is there.
						if err := s.Update(t.Context(), func(tx registry.Tx) error { return tx.CountStorage(storageQuotas[2+g%2]) }); err != nil {
							t.Error(err)
						}
					}
					if err := s.Update(t.Context(), func(tx registry.Tx) error { return countedChange(tx, random) }); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		recount(t, db)
	})
}

// countedChange makes a change that concerns some count.
func countedChange(tx registry.Tx, random *rand.Rand) error {
	ref := registry.Ref{ID: home, Name: []registry.RepositoryName{"a", "a/b", "a/b/c", "a/bc", "ab"}[random.IntN(5)]}
	locks := []registry.Lock{registry.LockChange, registry.LockAdd, registry.LockDelete}
	what := random.IntN(9)
	repo, err := tx.Repository(ref, locks[[]int{0, 0, 0, 0, 1, 1, 1, 0, 2}[what]])
	if err != nil {
		return err
	}
	text := fmt.Sprint("content ", random.IntN(6))
	if repo == nil && random.IntN(2) == 0 {
		gone, err := tx.DeletedRepository(ref, "", registry.LockDelete)
		if err == nil && gone != nil {
			_, err = tx.UndeleteRepository(gone)
		}
		return err
	}
	if repo == nil {
		repo = repository(string(ref.Name))
		repo.UID = fmt.Sprint(ref.Name, random.Uint64())
		_, err := tx.InsertRepository(repo)
		return err
	}
	switch what {
	case 0, 1, 2, 3:
		return countedImage(tx, repo, text, random)
	case 4, 5, 6:
		_, _, err := tx.LinkLayer(repo, object(text), now, now)
		return err
	case 7:
		l, err := tx.Layer(repo.UID, object(text).Digest)
		if err != nil || l == nil {
			return err
		}
		return tx.UnlinkLayer(registry.Ref{}, l, now)
	default:
		if random.IntN(3) > 0 {
			return nil
		}
		repo.DeletedAt = now
		return tx.UpdateRepository(repo)
	}
}

// countedImage inserts an image, deletes it, brings it back, or changes its status.
func countedImage(tx registry.Tx, repo *registry.Repository, text string, random *rand.Rand) error {
	fresh, o := image(repo, text)
	img, err := tx.Image(repo.UID, o.Digest)
	if err != nil {
		return err
	}
	if img == nil && random.IntN(2) == 0 {
		gone, err := tx.DeletedImage(repo.UID, o.Digest)
		if err == nil && gone != nil {
			err = tx.UndeleteImage(&gone.Image)
		}
		return err
	}
	if img == nil {
		fresh.UID = fmt.Sprint(text, random.Uint64())
		if random.IntN(4) == 0 {
			fresh.Status = registry.Archived
		}
		return tx.InsertImage(repo, fresh, registry.References{}, o)
	}
	switch random.IntN(3) {
	case 0:
		return tx.DeleteImage(img, registry.Stamp{Time: now})
	case 1:
		img.Status = registry.Archived
	default:
		img.Status = registry.Active
	}
	return tx.UpdateImage(img)
}

// Who opens a database of the first version finds its counts.
func TestTheMigrationCounts(t *testing.T) {
	t.Parallel()
	upgraded(t, 8, oldFacts, func(t *testing.T, db *DB) {
		recount(t, db)
		s := For[registry.ReadTx, registry.Tx](db)
		err := s.View(t.Context(), func(tx registry.ReadTx) error {
			repo, err := tx.RepositoryByUID("r1")
			n, countErr := tx.RepositoryCount(home)
			if repo == nil || repo.Images != 2 || n != 2 || err != nil || countErr != nil {
				t.Errorf("repository = %v, %v, repositories = %d, %v, want 2 images and 2 repositories", repo, err, n, countErr)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// oldFacts are three repositories, one of them deleted, with images and layers.
var oldFacts = []string{
	oldRepository("r1", "team/a", 0), oldRepository("r2", "b", 0), oldRepository("r3", "gone", 9),
	`INSERT INTO objects (uid, key_domain, digest, size, created_at, key) VALUES ('o1', 'k', 'd1', 100, 1, 'k1'), ('o2', 'k', 'd2', 20, 1, 'k2')`,
	`INSERT INTO layers (repository, digest, object, lease_until) VALUES ('r1', 'd1', 'o1', 0), ('r1', 'd2', 'o2', 0), ('r2', 'd1', 'o1', 0), ('r3', 'd1', 'o1', 0)`,
	oldImage("i1", "r1", "ACTIVE", 0), oldImage("i2", "r1", "ARCHIVED", 0), oldImage("i3", "r1", "ACTIVE", 9), oldImage("i4", "r1", "ACTIVATING", 0),
	oldImage("i5", "r3", "ACTIVE", 0),
}

func oldRepository(uid, name string, deleted int) string {
	return fmt.Sprintf(`INSERT INTO repositories (uid, account, region, name, created_at, deleted_at, mutability, filters, scan_on_push,
			encryption_type, kms_key, key_domain, tags)
		VALUES ('%s', '123456789012', 'us-east-1', '%s', 1, %d, 'MUTABLE', '', 0, 'AES256', '', 'k', '{}')`, uid, name, deleted)
}

func oldImage(uid, repository, status string, deleted int) string {
	return fmt.Sprintf(`INSERT INTO images (uid, repository, digest, object, media_type, artifact_type, subject, annotations, manifest_size,
			size, status, pushed_at, deleted_at)
		VALUES ('%s', '%s', 'd of %s', 'o1', 'a/b', '', '', '', 1, 1, '%s', 1, %d)`, uid, repository, uid, status, deleted)
}

// A view that has remembered a repository sees how many images it has now.
func TestTheCountOfImagesIsNotRemembered(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		repo := repository("app")
		update(t, s, func(tx registry.Tx) error { return insert(tx, repo) })
		for i := range 3 {
			img, o := image(repo, fmt.Sprint(i))
			update(t, s, func(tx registry.Tx) error { return tx.InsertImage(repo, img, registry.References{}, o) })
			err := s.View(t.Context(), func(tx registry.ReadTx) error {
				got, err := tx.Repository(repo.Ref, registry.LockNone)
				if err == nil && got.Images != int64(i)+1 {
					t.Errorf("images = %d, want %d", got.Images, i+1)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestGrantedQuotasAreTheGreatest(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		other := registry.ID{Account: home.Account, Region: "eu-west-1"}
		for _, v := range []int64{5, 9, 7} {
			update(t, s, func(tx registry.Tx) error { return tx.GrantQuota(home, "L-1", v) })
		}
		update(t, s, func(tx registry.Tx) error { return tx.GrantQuota(other, "L-1", 3) })
		err := s.View(t.Context(), func(tx registry.ReadTx) error {
			for code, want := range map[string]int64{"L-1": 9, "L-2": 0} {
				if got, err := tx.GrantedQuota(home, code); got != want || err != nil {
					t.Errorf("GrantedQuota(%s) = %d, %v, want %d", code, got, err, want)
				}
			}
			all, err := tx.GrantedQuotas("L-1")
			if diff := cmp.Diff(map[registry.ID]int64{home: 9, other: 3}, all); diff != "" || err != nil {
				t.Errorf("GrantedQuotas: %v (-want +got):\n%s", err, diff)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestQuotaRequestsAreFiltered(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		add := func(id, code, status string, desired int64) registry.QuotaRequest {
			return registry.QuotaRequest{ID: home, RequestID: id, Code: code, Desired: desired, Status: status, Requester: "me", CreatedAt: now, UpdatedAt: now}
		}
		all := []registry.QuotaRequest{
			add("1", "L-1", registry.QuotaPending, 5), add("2", "L-1", registry.QuotaPending, 9), add("3", "L-2", registry.QuotaPending, 5),
		}
		update(t, s, func(tx registry.Tx) error {
			for _, r := range all {
				if err := tx.InsertQuotaRequest(&r); err != nil {
					return err
				}
			}
			return nil
		})
		later := now.Add(time.Hour)
		update(t, s, func(tx registry.Tx) error { return tx.ApproveQuotaRequests(home, "L-1", 7, later) })
		all[0].Status, all[0].UpdatedAt = registry.QuotaApproved, later
		for _, tt := range []struct {
			filter registry.QuotaRequestFilter
			after  string
			limit  int
			want   []registry.QuotaRequest
		}{
			{registry.QuotaRequestFilter{}, "", 9, all},
			{registry.QuotaRequestFilter{}, "1", 1, all[1:2]},
			{registry.QuotaRequestFilter{Code: "L-1"}, "", 9, all[:2]},
			{registry.QuotaRequestFilter{Status: registry.QuotaPending}, "", 9, all[1:]},
			{registry.QuotaRequestFilter{RequestID: "3"}, "", 9, all[2:]},
			{registry.QuotaRequestFilter{Requester: "me"}, "", 9, all},
			{registry.QuotaRequestFilter{Requester: "you"}, "", 9, nil},
			{registry.QuotaRequestFilter{Code: "L-3"}, "", 9, nil},
		} {
			err := s.View(t.Context(), func(tx registry.ReadTx) error {
				got, err := tx.QuotaRequests(home, tt.filter, tt.after, tt.limit)
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("QuotaRequests(%v, %q, %d) (-want +got):\n%s", tt.filter, tt.after, tt.limit, diff)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A layer that two link at once counts once, and one that is linked while it is
// unlinked is there in the end or is not counted.
func TestLayersThatManyLinkCountOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func(*testing.T) *DB) {
		db := open(t)
		s := For[registry.ReadTx, registry.Tx](db)
		repo := repository("a/b")
		update(t, s, func(tx registry.Tx) error { return insert(tx, repo) })
		update(t, s, func(tx registry.Tx) error { return tx.CountStorage(storageQuotas[0]) })
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				for range 20 {
					err := s.Update(t.Context(), func(tx registry.Tx) error { return linkOrUnlink(tx, repo, object("layer"), g%2 == 0) })
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		recount(t, db)
	})
}

func linkOrUnlink(tx registry.Tx, repo *registry.Repository, o blob.Object, link bool) error {
	lock := registry.LockChange
	if link {
		lock = registry.LockAdd
	}
	if _, err := tx.Repository(repo.Ref, lock); err != nil {
		return err
	}
	if link {
		_, _, err := tx.LinkLayer(repo, o, now, now)
		return err
	}
	l, err := tx.Layer(repo.UID, o.Digest)
	if err != nil || l == nil {
		return err
	}
	return tx.UnlinkLayer(registry.Ref{}, l, now)
}

// Without a storage quota the layers of a repository are recorded side by side:
// none waits for another's commit. In SQLite there is one writer.
func TestLayersDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	db, err := OpenPostgres(t.Context(), pgtest.Migrated(t, OpenPostgres))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s := For[registry.ReadTx, registry.Tx](db)
	repo := repository("a/b")
	update(t, s, func(tx registry.Tx) error { return insert(tx, repo) })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err = s.Update(ctx, func(tx registry.Tx) error {
		if err := linkOrUnlink(tx, repo, object("first"), true); err != nil {
			return err
		}
		return s.Update(ctx, func(tx registry.Tx) error { return linkOrUnlink(tx, repo, object("second"), true) })
	})
	if err != nil {
		t.Errorf("a layer beside another: %v", err)
	}
}

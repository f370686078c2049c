package metadata

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"berth/internal/registry"

	"github.com/google/go-cmp/cmp"
)

var errUnlucky = errors.New("unlucky")

// Updates that come at once share commits. Those that fail, in any way, must
// leave nothing and disturb nobody.
func TestOneUpdateThatFailsDoesNotDisturbOthers(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		update(t, s, func(tx registry.Tx) error { return insert(tx, repository("taken")) })
		var mu sync.Mutex
		want := []string{"taken"} // guarded by mu
		var wg sync.WaitGroup
		for g := range 16 {
			random := rand.New(rand.NewPCG(1, uint64(g)))
			wg.Go(func() {
				for i := range 40 {
					repo := repository(fmt.Sprintf("app-%02d-%02d", g, i))
					luck := random.IntN(6)
					run := s.Update
					if random.IntN(2) == 0 {
						run = s.Relaxed
					}
					err := run(t.Context(), func(tx registry.Tx) error { return unlucky(tx, repo, luck) })
					if (err == nil) != (luck > 3) {
						t.Errorf("Update of %s with luck %d = %v", repo.Name, luck, err)
					}
					if err == nil {
						mu.Lock()
						want = append(want, string(repo.Name))
						mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
		slices.Sort(want)
		if diff := cmp.Diff(want, names(t, s)); diff != "" {
			t.Errorf("repositories (-want +got):\n%s", diff)
		}
	})
}

// unlucky inserts a repository and then fails in a way that luck decides, or not
// at all.
func unlucky(tx registry.Tx, repo *registry.Repository, luck int) error {
	if err := insert(tx, repo); err != nil {
		return err
	}
	switch luck {
	case 0:
		return errUnlucky
	case 1:
		panic("unlucky")
	case 2: // breaks the primary key
		again := *repo
		again.Name += "-again"
		return insert(tx, &again)
	case 3: // a rule of the domain
		return insert(tx, repository("taken"))
	}
	return nil
}

// Each update gives two repositories, a setting and a tag the same number. A
// view must find the same number everywhere, whatever it reads first.
func TestAViewSeesOneState(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		aa, bb := repository("aa"), repository("bb")
		set := func(n int) func(registry.Tx) error {
			return func(tx registry.Tx) error {
				text := fmt.Sprint(n)
				for _, r := range []*registry.Repository{repository("aa"), repository("bb")} {
					r.Tags = map[string]string{"n": text}
					if err := tx.UpdateRepository(r); err != nil {
						return err
					}
				}
				if err := tx.PutSetting(home, "n", text); err != nil {
					return err
				}
				img, o := image(aa, text)
				if err := tx.InsertImage(aa, img, registry.References{}, o); err != nil {
					return err
				}
				return tx.PutTag(aa.UID, "n", img, registry.Stamp{Time: now})
			}
		}
		update(t, s, func(tx registry.Tx) error {
			if err := insert(tx, aa, bb); err != nil {
				return err
			}
			return set(0)(tx)
		})
		const last = 200
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			defer cancel()
			for n := range last {
				if err := s.Update(t.Context(), set(n+1)); err != nil {
					t.Error(err)
				}
			}
		})
		for reader := range 6 {
			wg.Go(func() {
				for n := -1; ctx.Err() == nil; {
					got := oneState(t, s, reader)
					if got < n {
						t.Errorf("a view saw %d after an earlier one had seen %d", got, n)
					}
					n = got
				}
			})
		}
		wg.Wait()
		if got := oneState(t, s, 0); got != last {
			t.Errorf("the last view saw %d, want %d", got, last)
		}
	})
}

// oneState reads the number in all its places, beginning with one of them, and
// returns it.
func oneState(t *testing.T, s store, first int) int {
	read := []func(tx registry.ReadTx) (string, error){
		func(tx registry.ReadTx) (string, error) {
			r, err := tx.Repository(repository("aa").Ref, registry.LockNone)
			if err != nil {
				return "", err
			}
			return r.Tags["n"], nil
		},
		func(tx registry.ReadTx) (string, error) { return tx.Setting(home, "n") },
		func(tx registry.ReadTx) (string, error) {
			r, err := tx.Repository(repository("bb").Ref, registry.LockNone)
			if err != nil {
				return "", err
			}
			return r.Tags["n"], nil
		},
		func(tx registry.ReadTx) (string, error) {
			img, err := tx.ImageByTag(repository("aa").UID, "n")
			if err != nil {
				return "", err
			}
			o, err := tx.Manifest(img)
			return string(o.Content), err
		},
	}
	var seen []string
	err := s.View(t.Context(), func(tx registry.ReadTx) error {
		seen = nil
		for i := range 2 * len(read) {
			text, err := read[(first+i)%len(read)](tx)
			if err != nil {
				return err
			}
			seen = append(seen, text)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
		return 0
	}
	if len(slices.Compact(slices.Clone(seen))) != 1 {
		t.Errorf("one view saw %v", seen)
	}
	var n int
	if _, err := fmt.Sscan(seen[0], &n); err != nil {
		t.Error(err)
	}
	return n
}

// What a caller does with what it was given must not change what others see.
func TestWhatAViewReturnsIsTheCallersOwn(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		aa := repository("aa")
		img, o := image(aa, "x")
		update(t, s, func(tx registry.Tx) error {
			if err := insert(tx, aa); err != nil {
				return err
			}
			return errors.Join(tx.InsertImage(aa, img, registry.References{}, o), tx.PutTag(aa.UID, "v1", img, registry.Stamp{Time: now}))
		})
		for range 3 {
			err := s.View(t.Context(), func(tx registry.ReadTx) error {
				r, err := tx.Repository(aa.Ref, registry.LockNone)
				if err != nil {
					return err
				}
				got, err := tx.ImageByTag(aa.UID, "v1")
				if err != nil {
					return err
				}
				if r.Mutability.Mode != registry.Mutable || !r.DeletedAt.IsZero() || got.Tags != nil || got.Digest != img.Digest {
					t.Errorf("repository = %+v, image = %+v, want what was stored", r, got)
				}
				r.Mutability.Mode, r.DeletedAt = registry.Immutable, now
				got.Tags, got.Digest = []string{"v1"}, "changed"
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestPushesAndDeletionsOfOneRepositoryTakeTurns(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		update(t, s, func(tx registry.Tx) error { return insert(tx, repository("aa")) })
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				for i := range 20 {
					err := s.Update(t.Context(), func(tx registry.Tx) error {
						r, err := tx.Repository(repository("aa").Ref, registry.LockChange)
						if err != nil {
							return err
						}
						n := 0
						if _, err := fmt.Sscan(r.Tags["n"]+" 0", &n); err != nil {
							return err
						}
						r.Tags = map[string]string{"n": fmt.Sprint(n + 1)}
						return tx.UpdateRepository(r)
					})
					if err != nil {
						t.Errorf("update %d of %d: %v", i, g, err)
					}
				}
			})
		}
		wg.Wait()
		err := s.View(t.Context(), func(tx registry.ReadTx) error {
			r, err := tx.Repository(repository("aa").Ref, registry.LockNone)
			if err == nil && r.Tags["n"] != "160" {
				t.Errorf("counted %s updates, want 160", r.Tags["n"])
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

package metadata

import (
	"errors"
	"slices"
	"testing"
	"time"

	"berth/internal/blob"
	"berth/internal/registry"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

func TestARepositoryIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		want := repository("team/app")
		want.Mutability = registry.Mutability{Mode: registry.ImmutableWithExclusion, Filters: []string{"dev-*", "*x*"}}
		want.ScanOnPush = true
		want.Encryption = registry.Encryption{Type: "KMS", Key: "arn:aws:kms:us-east-1:123456789012:key/1"}
		want.Tags = map[string]string{"k": "v \u2028 \U0001F600 \"'\\", "K": ""}
		update(t, s, func(tx registry.Tx) error { return insert(tx, want) })
		err := s.View(t.Context(), func(tx registry.ReadTx) error {
			got, err := tx.Repository(want.Ref, registry.LockNone)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("Repository: %v (-want +got):\n%s", err, diff)
			}
			got, err = tx.RepositoryByUID(want.UID)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("RepositoryByUID: %v (-want +got):\n%s", err, diff)
			}
			all, err := tx.Repositories(home, "", 10)
			if diff := cmp.Diff([]registry.Repository{*want}, all); diff != "" || err != nil {
				t.Errorf("Repositories: %v (-want +got):\n%s", err, diff)
			}
			for _, ref := range []registry.Ref{
				{ID: home, Name: "team/ap"}, {ID: registry.ID{Account: home.Account, Region: "eu-west-1"}, Name: "team/app"},
				{ID: registry.ID{Account: "210987654321", Region: home.Region}, Name: "team/app"},
			} {
				if got, err := tx.Repository(ref, registry.LockNone); got != nil || err != nil {
					t.Errorf("Repository(%v) = %v, %v, want none", ref, got, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestADeletedRepositoryFreesItsName(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		first, second := repository("app"), repository("app")
		second.UID = "another"
		update(t, s, func(tx registry.Tx) error {
			if err := insert(tx, first); err != nil {
				return err
			}
			if added, err := tx.InsertRepository(second); added || err != nil {
				t.Errorf("InsertRepository of a name that is taken = %t, %v, want false", added, err)
			}
			return nil
		})
		update(t, s, func(tx registry.Tx) error {
			first.DeletedAt = now
			return tx.UpdateRepository(first)
		})
		wantNames(t, s)
		update(t, s, func(tx registry.Tx) error {
			if got, err := tx.RepositoryByUID(first.UID); got != nil || err != nil {
				t.Errorf("RepositoryByUID of a deleted repository = %v, %v, want none", got, err)
			}
			return insert(tx, second)
		})
		wantNames(t, s, "app")
	})
}

func TestNamesAreInTheOrderOfTheirBytes(t *testing.T) {
	t.Parallel()
	ordered := []string{"-", ".", "..a", "0", "10", "9", "A", "Z", "_", "__", "a", "a-b", "a.b", "a0", "aB", "a_b", "aa", "b", "ab/c"}
	slices.Sort(ordered)
	eachStore(t, func(t *testing.T, s store) {
		aa := repository("tags")
		img, o := image(aa, "x")
		update(t, s, func(tx registry.Tx) error {
			if err := insert(tx, aa); err != nil {
				return err
			}
			if err := tx.InsertImage(aa, img, registry.References{}, o); err != nil {
				return err
			}
			for _, i := range []int{11, 3, 7, 0, 18, 5, 1, 2, 17, 4, 6, 10, 9, 8, 16, 12, 15, 13, 14} {
				r := repository(ordered[i])
				r.Account = "210987654321" // a registry of their own
				if err := insert(tx, r); err != nil {
					return err
				}
				if err := tx.PutTag(aa.UID, ordered[i], img, registry.Stamp{Time: now}); err != nil {
					return err
				}
			}
			return nil
		})
		other := registry.ID{Account: "210987654321", Region: home.Region}
		err := s.View(t.Context(), func(tx registry.ReadTx) error {
			for i := -1; i < len(ordered); i++ {
				after, want := "", ordered
				if i >= 0 {
					after, want = ordered[i], ordered[i+1:]
				}
				tags, err := tx.TagNames(aa.UID, after, 100)
				if err != nil || !slices.Equal(tags, want) {
					t.Errorf("TagNames after %q = %v, %v, want %v", after, tags, err, want)
				}
				repos, err := tx.RepositoryNames(other, after, 100)
				if err != nil || !slices.Equal(repos, want) {
					t.Errorf("RepositoryNames after %q = %v, %v, want %v", after, repos, err, want)
				}
				full, err := tx.Repositories(other, registry.RepositoryName(after), 100)
				if err != nil || len(full) != len(want) || len(full) > 0 && string(full[0].Name) != want[0] {
					t.Errorf("Repositories after %q = %d, %v, want %d", after, len(full), err, len(want))
				}
				ids, err := tx.ImageIDs(aa.UID, registry.Filter{}, registry.ImageID{Digest: img.Digest, Tag: after}, 100)
				if err != nil || len(ids) != len(want) || len(ids) > 0 && ids[0].Tag != want[0] {
					t.Errorf("ImageIDs after %q = %v, %v, want %v", after, ids, err, want)
				}
			}
			if tags, err := tx.Tags(img.UID); err != nil || !slices.Equal(tags, ordered) {
				t.Errorf("Tags = %v, %v, want %v", tags, err, ordered)
			}
			images, err := tx.Images(aa.UID, registry.Filter{}, "", 10)
			if err != nil || len(images) != 1 || !slices.Equal(images[0].Tags, ordered) {
				t.Errorf("Images = %v, %v, want one with the tags %v", images, err, ordered)
			}
			if page, err := tx.TagNames(aa.UID, "A", 3); err != nil || !slices.Equal(page, ordered[slices.Index(ordered, "Z"):][:3]) {
				t.Errorf("three TagNames after A = %v, %v", page, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestTagsOfTheIndexesThatListAnImage(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		aa := repository("aa")
		child, o := image(aa, "child")
		update(t, s, func(tx registry.Tx) error {
			stamp := registry.Stamp{Time: now}
			if err := errors.Join(insert(tx, aa), tx.InsertImage(aa, child, registry.References{}, o), tx.PutTag(aa.UID, "w", child, stamp)); err != nil {
				return err
			}
			for name, tags := range map[string][]string{"one": {"v2", "v1"}, "two": {"v0"}, "gone": {"v3"}, "other": nil} {
				index, o := image(aa, name)
				if err := tx.InsertImage(aa, index, registry.References{Children: []digest.Digest{child.Digest}}, o); err != nil {
					return err
				}
				for _, tag := range tags {
					if err := tx.PutTag(aa.UID, tag, index, stamp); err != nil {
						return err
					}
				}
				if name == "gone" {
					if err := tx.DeleteImage(index, stamp); err != nil {
						return err
					}
				}
			}
			return nil
		})
		err := s.View(t.Context(), func(tx registry.ReadTx) error {
			got, _, err := tx.LeadingTags(child, 4)
			if want := []string{"v0", "v1", "v2", "w"}; !slices.Equal(got, want) {
				t.Errorf("LeadingTags = %v, want %v", got, want)
			}
			one, err2 := tx.ImageByTag(aa.UID, "v1")
			if err = errors.Join(err, err2); err != nil {
				return err
			}
			if got, _, err = tx.LeadingTags(one, 100); !slices.Equal(got, []string{"v1", "v2"}) {
				t.Errorf("LeadingTags of an index = %v, want v1 and v2", got)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// Tags lead to an image by all ways that there are, round about too, and a bound is
// not passed silently.
func TestTagsThatLeadToAnImageFromFar(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		aa := repository("aa")
		const far = 9
		var images []*registry.Image
		update(t, s, func(tx registry.Tx) error {
			if err := insert(tx, aa); err != nil {
				return err
			}
			images = nil
			for i := range far + 1 {
				img, o := image(aa, string(rune('a'+i)))
				next, _ := image(aa, string(rune('a'+i+1)))
				refs := registry.References{}
				if i%2 == 0 {
					img.Subject = next.Digest
				}
				if i > 0 && i%2 == 0 {
					refs.Children = []digest.Digest{images[0].Digest, images[i-1].Digest, img.Digest}
				}
				images = append(images, img)
				if err := errors.Join(tx.InsertImage(aa, img, refs, o), tx.PutTag(aa.UID, string(rune('a'+i)), img, registry.Stamp{Time: now})); err != nil {
					return err
				}
			}
			return nil
		})
		err := s.View(t.Context(), func(tx registry.ReadTx) error {
			for most, whole := range map[int]bool{far: false, far + 1: true, 1: false} {
				got, all, err := tx.LeadingTags(images[0], most)
				if err != nil || all != whole || whole && len(got) != far+1 {
					t.Errorf("LeadingTags, at most %d = %v, %t, %v, want all %d: %t", most, got, all, err, far+1, whole)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestADeletedImageFreesItsDigestAndItsTags(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		aa := repository("aa")
		first, o := image(aa, "x")
		second, _ := image(aa, "x")
		second.UID = "another"
		index, io := image(aa, "index")
		index.Subject = first.Digest
		layer := registry.Descriptor{Digest: digest.FromString("layer"), MediaType: "a/layer"}
		update(t, s, func(tx registry.Tx) error {
			if err := insert(tx, aa); err != nil {
				return err
			}
			if _, _, err := tx.LinkLayer(aa, object("layer"), now, now); err != nil {
				return err
			}
			if err := tx.InsertImage(aa, first, registry.References{Layers: []registry.Descriptor{layer}}, o); err != nil {
				return err
			}
			if err := tx.InsertImage(aa, index, registry.References{Children: []digest.Digest{first.Digest, first.Digest}}, io); err != nil {
				return err
			}
			return tx.PutTag(aa.UID, "v1", first, registry.Stamp{Time: now})
		})
		state := func(tx registry.ReadTx) []any {
			got, err1 := tx.Image(aa.UID, first.Digest)
			tagged, err2 := tx.ImageByTag(aa.UID, "v1")
			used, err3 := tx.LayerInUse(aa.UID, layer.Digest)
			l, err4 := tx.Layer(aa.UID, layer.Digest)
			parents, err5 := tx.Parents(aa.UID, first.Digest, 10)
			referrers, err6 := tx.Referrers(aa.UID, first.Digest, registry.ReferrerFilter{}, "", 10)
			for _, err := range []error{err1, err2, err3, err4, err5, err6} {
				if err != nil {
					t.Fatal(err)
				}
			}
			return []any{got != nil, tagged != nil, used, l.MediaType, len(parents), len(referrers)}
		}
		check := func(what string, want ...any) {
			t.Helper()
			err := s.View(t.Context(), func(tx registry.ReadTx) error {
				if diff := cmp.Diff(want, state(tx)); diff != "" {
					t.Errorf("%s: image, tag, layer in use, its type, parents, referrers (-want +got):\n%s", what, diff)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		check("before", true, true, true, "a/layer", 1, 1)
		update(t, s, func(tx registry.Tx) error { return tx.DeleteImage(index, registry.Stamp{Time: now}) })
		check("without the index", true, true, true, "a/layer", 0, 0)
		update(t, s, func(tx registry.Tx) error { return tx.DeleteImage(first, registry.Stamp{Time: now}) })
		check("without the image", false, false, false, "", 0, 0)
		update(t, s, func(tx registry.Tx) error {
			if any, err := tx.HasImages(aa.UID); any || err != nil {
				t.Errorf("HasImages = %t, %v, want false", any, err)
			}
			return tx.InsertImage(aa, second, registry.References{}, o)
		})
		check("with the image again", true, false, false, "", 0, 0)
	})
}

func TestTheBytesOfADigestAreKeptOnceInAKeyDomain(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		aa, bb, sealed := repository("aa"), repository("bb"), repository("sealed")
		sealed.Encryption = registry.Encryption{Type: "KMS", Key: "k"}
		abroad := repository("abroad")
		abroad.Region = "eu-west-1"
		in := func(key string) blob.Object { return blob.Object{Digest: digest.FromString("x"), Size: 1, Key: key} }
		update(t, s, func(tx registry.Tx) error {
			if err := insert(tx, aa, bb, sealed, abroad); err != nil {
				return err
			}
			for _, tt := range []struct {
				repo *registry.Repository
				key  string
				want bool
			}{{aa, "1", true}, {aa, "2", false}, {bb, "3", false}, {sealed, "4", true}, {abroad, "5", true}} {
				if _, added, err := tx.LinkLayer(tt.repo, in(tt.key), now, now); added != tt.want || err != nil {
					t.Errorf("LinkLayer to %s = %t, %v, want %t", tt.repo.Name, added, err, tt.want)
				}
			}
			foreign := blob.Object{Digest: digest.FromString("y"), Key: "6", Format: blob.FormatSealed, Domain: aa.Domain()}
			if _, _, err := tx.LinkLayer(sealed, foreign, now, now); err == nil {
				t.Error("LinkLayer takes what is sealed for another key domain")
			}
			return nil
		})
		err := s.View(t.Context(), func(tx registry.ReadTx) error {
			for repo, key := range map[*registry.Repository]string{aa: "1", bb: "1", sealed: "4", abroad: "5"} {
				l, err := tx.Layer(repo.UID, digest.FromString("x"))
				if err != nil || l == nil || l.Object.Key != key {
					t.Errorf("Layer of %s = %+v, %v, want the object %s", repo.Name, l, err, key)
				}
			}
			holders, err := tx.LayerHolders(home, aa.KeyDomain(), digest.FromString("x"), 10)
			if len(holders) != 2 || err != nil {
				t.Errorf("LayerHolders = %v, %v, want aa and bb", holders, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		update(t, s, func(tx registry.Tx) error {
			return tx.UnlinkLayer(aa.Ref, &registry.Layer{Repository: aa.UID, Digest: digest.FromString("x")}, now)
		})
		err = s.View(t.Context(), func(tx registry.ReadTx) error {
			if l, err := tx.Layer(aa.UID, digest.FromString("x")); l != nil || err != nil {
				t.Errorf("Layer after UnlinkLayer = %v, %v, want none", l, err)
			}
			if l, err := tx.Layer(bb.UID, digest.FromString("x")); l == nil || err != nil {
				t.Errorf("Layer of the other repository = %v, %v, want it", l, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestALeaseIsRaised(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		aa := repository("aa")
		lease := func() time.Time {
			t.Helper()
			var until time.Time
			err := s.View(t.Context(), func(tx registry.ReadTx) error {
				l, err := tx.Layer(aa.UID, digest.FromString("x"))
				until = l.LeaseUntil
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return until
		}
		var l *registry.Layer
		update(t, s, func(tx registry.Tx) error {
			if err := insert(tx, aa); err != nil {
				return err
			}
			var err error
			l, _, err = tx.LinkLayer(aa, object("x"), now, now.Add(time.Hour))
			return err
		})
		if got := lease(); !got.Equal(now.Add(time.Hour)) {
			t.Errorf("lease = %v, want an hour", got)
		}
		update(t, s, func(tx registry.Tx) error {
			there, err := tx.LeaseLayer(l, now.Add(2*time.Hour))
			gone, err2 := tx.LeaseLayer(&registry.Layer{Repository: aa.UID, Digest: digest.FromString("gone")}, now)
			if !there || gone {
				t.Errorf("LeaseLayer = %t, of a layer that is not there %t", there, gone)
			}
			return errors.Join(err, err2)
		})
		if got := lease(); !got.Equal(now.Add(2 * time.Hour)) {
			t.Errorf("lease = %v, want two hours", got)
		}
		update(t, s, func(tx registry.Tx) error {
			there, err := tx.LinkObject(aa, l, now, now.Add(3*time.Hour))
			gone, err2 := tx.LinkObject(aa, &registry.Layer{Digest: l.Digest, ObjectUID: "gone"}, now, now)
			if !there || gone {
				t.Errorf("LinkObject = %t, of an object that is not there %t", there, gone)
			}
			return errors.Join(err, err2)
		})
		if got := lease(); !got.Equal(now.Add(3 * time.Hour)) {
			t.Errorf("lease = %v, want three hours", got)
		}
	})
}

func TestAnUploadGoesOnOnlyFromWhereItIs(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		aa := repository("aa")
		u := &registry.Upload{ID: "id", Repository: aa.UID, Principal: "p", CreatedAt: now}
		update(t, s, func(tx registry.Tx) error {
			if err := insert(tx, aa); err != nil {
				return err
			}
			return tx.InsertUpload(u)
		})
		u.Parts, u.LastPart, u.ShortPart = 2, 7, true
		u.Blob = blob.Upload{Size: 10, Key: "key", Hash: []byte{0, 1}, State: []byte{2}, Content: nil}
		update(t, s, func(tx registry.Tx) error {
			for i, want := range []bool{true, false} { // the second comes from another state
				if ok, err := tx.UpdateUpload(u, 0); ok != want || err != nil {
					t.Errorf("UpdateUpload %d = %t, %v, want %t", i, ok, err, want)
				}
			}
			return nil
		})
		err := s.View(t.Context(), func(tx registry.ReadTx) error {
			got, err := tx.Upload(aa.UID, "id")
			if diff := cmp.Diff(u, got); diff != "" || err != nil {
				t.Errorf("Upload: %v (-want +got):\n%s", err, diff)
			}
			for key, want := range map[string]bool{"key": true, "other": false} {
				if has, err := tx.HasUploadKey(key); has != want || err != nil {
					t.Errorf("HasUploadKey(%s) = %t, %v, want %t", key, has, err, want)
				}
			}
			if got, err := tx.Upload("another", "id"); got != nil || err != nil {
				t.Errorf("Upload of another repository = %v, %v, want none", got, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		update(t, s, func(tx registry.Tx) error {
			if ok, err := tx.DeleteUploadAt("id", 9); ok || err != nil {
				t.Errorf("DeleteUploadAt another size = %t, %v, want false", ok, err)
			}
			for i, want := range []bool{true, false} {
				if ok, err := tx.DeleteUpload("id"); ok != want || err != nil {
					t.Errorf("DeleteUpload %d = %t, %v, want %t", i, ok, err, want)
				}
			}
			if got, err := tx.Upload(aa.UID, "id"); got != nil || err != nil {
				t.Errorf("Upload after DeleteUpload = %v, %v, want none", got, err)
			}
			return nil
		})
	})
}

func TestUsageIsAddedUp(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		u := registry.Usage{Ref: repository("aa").Ref, RepositoryUID: "uid", Principal: "p", Day: now.Truncate(24 * time.Hour), Pulls: 1, BytesOut: 2, BytesStored: 3}
		tomorrow := u
		tomorrow.Day = u.Day.Add(24 * time.Hour)
		update(t, s, func(tx registry.Tx) error {
			for _, u := range []registry.Usage{u, u, tomorrow} {
				if err := tx.AddUsage(u); err != nil {
					return err
				}
			}
			return nil
		})
		err := s.View(t.Context(), func(tx registry.ReadTx) error {
			var rows, pulls, out, stored int64
			_, err := tx.(*Tx).row("SELECT count(*), max(pulls), max(bytes_out), max(bytes_stored) FROM usage", nil, &rows, &pulls, &out, &stored)
			if rows != 2 || pulls != 2 || out != 4 || stored != 6 {
				t.Errorf("usage = %d rows, at most %d pulls, %d and %d bytes, want 2, 2, 4 and 6", rows, pulls, out, stored)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

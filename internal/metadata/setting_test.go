package metadata

import (
	"testing"

	"berth/internal/registry"

	"github.com/google/go-cmp/cmp"
)

func TestAConfigurationIsReplacedWhole(t *testing.T) {
	t.Parallel()
	type document struct{ A, B []string }
	eachStore(t, func(t *testing.T, s store) {
		other := registry.ID{Account: home.Account, Region: "eu-west-1"}
		want := func(id registry.ID, name string, doc *document) {
			t.Helper()
			err := s.View(t.Context(), func(tx registry.ReadTx) error {
				var got document
				found, err := tx.Configuration(id, name, &got)
				if err != nil || found != (doc != nil) || doc != nil && !cmp.Equal(got, *doc) {
					t.Errorf("Configuration(%v, %s) = %+v, %t, %v, want %+v", id, name, got, found, err, doc)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		want(home, "x", nil)
		update(t, s, func(tx registry.Tx) error {
			return tx.PutConfiguration(home, "x", document{A: []string{"é\u2028"}, B: []string{}})
		})
		want(home, "x", &document{A: []string{"é\u2028"}, B: []string{}})
		want(home, "y", nil)
		want(other, "x", nil)
		update(t, s, func(tx registry.Tx) error { return tx.PutConfiguration(home, "x", document{B: []string{"b"}}) })
		want(home, "x", &document{B: []string{"b"}})
		update(t, s, func(tx registry.Tx) error { return tx.DeleteConfiguration(other, "x") })
		update(t, s, func(tx registry.Tx) error { return tx.DeleteConfiguration(home, "y") })
		want(home, "x", &document{B: []string{"b"}})
		update(t, s, func(tx registry.Tx) error { return tx.DeleteConfiguration(home, "x") })
		want(home, "x", nil)
	})
}

func TestPullTimeExclusionsConcernRolesAndTheirSessions(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		const (
			user    = "arn:aws:iam::123456789012:user/u"
			role    = "arn:aws:iam::123456789012:role/path/r"
			session = "arn:aws:sts::123456789012:assumed-role/r/s"
		)
		// want asks twice: what views remember must not outlive a change.
		want := func(id registry.ID, excluded map[string]bool) {
			t.Helper()
			for range 2 {
				for arn, want := range excluded {
					err := s.View(t.Context(), func(tx registry.ReadTx) error {
						got, err := tx.PullTimeExcluded(id, arn)
						if got != want {
							t.Errorf("PullTimeExcluded(%v, %s) = %t, want %t", id, arn, got, want)
						}
						return err
					})
					if err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		insert := func(arn string, added bool) {
			t.Helper()
			update(t, s, func(tx registry.Tx) error {
				got, err := tx.InsertExclusion(home, arn, now)
				if got != added {
					t.Errorf("InsertExclusion(%s) = %t, want %t", arn, got, added)
				}
				return err
			})
		}
		remove := func(arn string, removed bool) {
			t.Helper()
			update(t, s, func(tx registry.Tx) error {
				got, err := tx.DeleteExclusion(home, arn)
				if got != removed {
					t.Errorf("DeleteExclusion(%s) = %t, want %t", arn, got, removed)
				}
				return err
			})
		}
		want(home, map[string]bool{user: false, role: false, session: false})
		insert(role, true)
		insert(role, false)
		insert(user, true)
		want(home, map[string]bool{user: true, role: true, session: true, session + "t": true, "arn:aws:iam::123456789012:role/r": true,
			"arn:aws:sts::123456789012:assumed-role/R/s": false, "arn:aws:sts::210987654321:assumed-role/r/s": false, "arn:aws:iam::123456789012:user/r": false})
		want(registry.ID{Account: home.Account, Region: "eu-west-1"}, map[string]bool{user: false, role: false, session: false})
		insert("arn:aws:iam::123456789012:role/r", true)
		remove(role, true)
		remove(role, false)
		want(home, map[string]bool{user: true, session: true})
		remove("arn:aws:iam::123456789012:role/r", true)
		want(home, map[string]bool{user: true, role: false, session: false})
	})
}

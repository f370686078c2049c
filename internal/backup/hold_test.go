package backup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// busy is a database that does not answer for a while.
type busy struct {
	from, until time.Time
	lost        bool
	release     error
}

var errBusy = errors.New("busy")

func (b *busy) Hold(_ context.Context, _ string, first bool, now, _ time.Time) error {
	switch {
	case !first && b.lost:
		return ErrLost
	case !now.Before(b.from) && now.Before(b.until):
		return errBusy
	}
	return nil
}
func (b *busy) Release(context.Context, string) error { return b.release }
func (b *busy) Snapshot(_ context.Context, path string) error {
	return os.WriteFile(path, []byte("facts"), 0o600)
}

// Hours of work are not lost because the database is away for a moment.
func TestALeaseIsRenewedAsLongAsItLasts(t *testing.T) {
	for name, test := range map[string]struct {
		away time.Duration
		lost bool
		want error
	}{
		"for a moment":                   {5 * time.Second, false, nil},
		"nearly as long as the lease is": {leaseLife - time.Second, false, nil},
		"longer":                         {leaseLife + time.Hour, false, errBusy},
		"the lease is lost":              {0, true, ErrLost},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := &busy{}
			h, err := hold(t.Context(), Options{Source: b, Now: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			b.from, b.until, b.lost = time.Now(), time.Now().Add(test.away), test.lost
			if err := h.renew(); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Errorf("%s: renew = %v, want %v", name, err, test.want)
			}
			if err := h.release(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// The snapshot is made, and the lease ends by itself.
func TestALeaseThatCannotBeReleasedIsAWarning(t *testing.T) {
	t.Parallel()
	target := NewTarget(t.TempDir(), empty(t))
	o := Options{
		Source: &busy{release: errBusy}, Bucket: empty(t), Keep: 1, Now: time.Now,
		Facts: func(context.Context, string) (Facts, error) { return list{}, nil },
	}
	var ids []string
	for range 2 {
		res, err := Make(t.Context(), target, o)
		if err != nil || len(res.Warnings) != 1 {
			t.Fatalf("Make = %+v, %v", res, err)
		}
		if len(ids) > 0 && !slices.Equal(res.PrunedIDs, ids) {
			t.Errorf("%v are removed, want %v", res.PrunedIDs, ids)
		}
		ids = []string{res.ID}
		if _, err := os.Stat(filepath.Join(target.dir, snapshotsDir, res.ID, manifestFile)); err != nil {
			t.Error(err)
		}
	}
}

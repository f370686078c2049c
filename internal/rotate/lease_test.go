package rotate

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"berth/internal/fault"
	"berth/internal/seal"
)

// oneRow is a database that knows one master key and one server, and can be away.
type oneRow struct {
	Tx
	away   bool
	master string
	sealer *Sealer
}

var errAway = errors.New("away")

func (s *oneRow) View(_ context.Context, fn func(Tx) error) error { return s.Update(nil, fn) }

func (s *oneRow) Update(_ context.Context, fn func(Tx) error) error {
	if s.away {
		return errAway
	}
	return fn(s)
}

func (s *oneRow) LockMasterKeys() error { return nil }

func (s *oneRow) MasterKeys() ([]string, error) {
	if s.master == "" {
		return nil, nil
	}
	return []string{s.master}, nil
}

func (s *oneRow) AddMasterKey(id string, _ time.Time) error {
	s.master = id
	return nil
}

func (s *oneRow) PutSealer(sealer Sealer, _ time.Time) (bool, error) {
	if s.master == sealer.Master {
		s.sealer = &sealer
	}
	return s.master == sealer.Master, nil
}

func (s *oneRow) DeleteSealer(string) error {
	s.sealer = nil
	return nil
}

// A server may change things as long as nobody else may take its master key for unused,
// and long before anybody does it must not.
func TestALeaseEndsBeforeOthersBelieveThatItHas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db, m := &oneRow{}, seal.NewMaster()
		l, err := Begin(t.Context(), db, m, "here", time.Now)
		if err != nil {
			t.Fatal(err)
		}
		may := func(when string, want bool) {
			t.Helper()
			err := l.Err()
			if f, ok := fault.As(err); (err == nil) != want || !want && (!ok || f.Kind != fault.Unavailable) {
				t.Errorf("%s: %v, want that it may change things: %t", when, err, want)
			}
		}
		renew := func(want error) {
			t.Helper()
			if err := l.Renew(t.Context()); !errors.Is(err, want) {
				t.Errorf("Renew = %v, want %v", err, want)
			}
		}
		may("at once", true)
		for range 100 {
			time.Sleep(RenewInterval)
			renew(nil)
		}
		may("renewed a hundred times", true)
		if left := time.Until(db.sealer.Until); left != leaseLife || left < 2*holdLife {
			t.Errorf("others wait %v for a server that may go on for %v", left, holdLife)
		}
		db.away = true
		time.Sleep(holdLife)
		renew(errAway)
		may("as long as it may be silent", true)
		time.Sleep(1)
		may("a moment later", false)
		db.away = false
		renew(nil)
		may("as soon as the database is back", true)

		db.master = "another"
		if err := l.Renew(t.Context()); err == nil {
			t.Error("a server renewed its lease on a master key that was retired")
		}
		time.Sleep(holdLife + 1)
		may("with a master key that was retired", false)

		db.master = m.ID()
		renew(nil)
		if err := l.End(t.Context()); err != nil || db.sealer != nil {
			t.Errorf("End = %v and leaves %+v", err, db.sealer)
		}
		may("at its end", false)
	})
}

func TestAServerBeginsWithTheMasterKeysThatAreNeeded(t *testing.T) {
	t.Parallel()
	first, second := seal.NewMaster(), seal.NewMaster()
	db := &oneRow{}
	for n, begin := range []struct {
		m       *seal.Master
		missing string
	}{
		{first, ""}, {second, first.ID()}, {first, ""}, {second.WithOld(first), ""}, {first, second.ID()}, {first.WithOld(second), ""},
	} {
		_, err := Begin(t.Context(), db, begin.m, "here", time.Now)
		var missing *MissingError
		if (begin.missing == "") != (err == nil) || err != nil && (!errors.As(err, &missing) || missing.Missing != begin.missing || missing.Given != begin.m.ID()) {
			t.Errorf("%d: Begin = %v, want that %q is missing", n, err, begin.missing)
		}
	}
}

package rotate

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"berth/internal/seal"
)

// oneRow is a database that knows one master key and one server, and may not answer.
type oneRow struct {
	Tx
	fail   error // what it answers
	hang   bool  // it does not
	master string
	sealer *Sealer
}

var errAway = errors.New("away")

func (s *oneRow) View(ctx context.Context, fn func(Tx) error) error { return s.Update(ctx, fn) }

func (s *oneRow) Update(ctx context.Context, fn func(Tx) error) error {
	if s.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if s.fail != nil {
		return s.fail
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

func (s *oneRow) AddSealer(sealer Sealer) (bool, error) {
	if s.master == sealer.Master {
		s.sealer = &sealer
	}
	return s.master == sealer.Master, nil
}

func (s *oneRow) RenewSealer(id string, until time.Time) (bool, error) {
	if s.sealer == nil || s.sealer.ID != id {
		return false, nil
	}
	s.sealer.Until = until
	return true, nil
}

func (s *oneRow) DeleteSealer(string) error {
	s.sealer = nil
	return nil
}

func (s *oneRow) DeleteExpiredSealers(now time.Time, _ string) error {
	if s.sealer != nil && !s.sealer.Until.After(now) {
		s.sealer = nil
	}
	return nil
}

// A server stays recorded as long as it renews its lease, and is recorded again as long
// as its master key is in use.
func TestALeaseIsRenewedAsLongAsItsMasterKeyIsKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db, m := &oneRow{}, seal.NewMaster()
		l, err := Begin(t.Context(), db, m, "here", time.Now)
		if err != nil {
			t.Fatal(err)
		}
		recorded := func(when string, want bool) {
			t.Helper()
			got := db.sealer != nil
			if got != want || got && (db.sealer.ID != l.ID() || db.sealer.Name != "here" || db.sealer.Master != m.ID() || time.Until(db.sealer.Until) != leaseLife) {
				t.Errorf("%s: %+v, want that it is recorded: %t", when, db.sealer, want)
			}
		}
		renew := func(want error) {
			t.Helper()
			if err := l.Renew(t.Context()); !errors.Is(err, want) {
				t.Errorf("Renew = %v, want %v", err, want)
			}
		}
		recorded("at once", true)
		time.Sleep(leaseLife)
		renew(nil)
		recorded("renewed", true)
		db.sealer = nil
		db.fail = errAway
		renew(errAway)
		db.fail = nil
		renew(nil)
		recorded("removed by another", true)

		db.master, db.sealer = "another", nil
		if err := l.Renew(t.Context()); err == nil || !strings.Contains(err.Error(), m.ID()+" was retired") {
			t.Errorf("Renew with a master key that was retired = %v", err)
		}
		recorded("with a master key that was retired", false)

		db.master = m.ID()
		renew(nil)
		if err := l.End(t.Context()); err != nil {
			t.Error(err)
		}
		recorded("at its end", false)

		db.hang = true
		start := time.Now()
		renew(context.DeadlineExceeded)
		if took := time.Since(start); took != RenewInterval {
			t.Errorf("a database that hangs holds a renewal up for %v, want %v", took, RenewInterval)
		}
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

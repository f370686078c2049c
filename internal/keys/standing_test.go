package keys_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/keys"
	"berth/internal/metadata"
	"berth/internal/seal"
)

// roots lets roots do everything in their accounts, writes nothing down and knows no
// principal that is missing.
type roots struct{}

func (roots) Policies(context.Context, access.Caller) (access.Policies, error) {
	return access.Policies{Administrator: true}, nil
}

func (roots) Record(access.Record) {}

func (roots) MissingPrincipals(access.PrincipalReader, []string) ([]string, error) { return nil, nil }

// counted counts the readings of standings.
type counted struct {
	keys.Store
	n atomic.Int64
}

func (c *counted) Aside(ctx context.Context, fn func(keys.ReadTx) error) error {
	c.n.Add(1)
	return c.Store.Aside(ctx, fn)
}

// pair is two processes on one database.
type pair struct {
	a, b  *keys.Keyring
	reads *counted // of b
	now   atomic.Pointer[time.Time]
	clock atomic.Pointer[time.Time] // of the database
}

func newPair(t *testing.T) *pair {
	t.Helper()
	db, err := metadata.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "berth.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	store, master := metadata.For[keys.ReadTx, keys.Tx](db), seal.NewMaster()
	p := &pair{reads: &counted{Store: store}}
	p.set(time.Now())
	o := keys.Options{
		Store: store, Authorizer: &access.Authorizer{Source: roots{}}, Auditor: roots{}, Principals: roots{}, Master: keys.Local(master.Key("kms key")),
		Pages: master.Key("p"), Tokens: master.Key("t"), Now: func() time.Time { return *p.now.Load() },
		Clock: func(context.Context) (time.Time, error) { return *p.clock.Load(), nil },
	}
	p.a = keys.New(o)
	o.Store = p.reads
	p.b = keys.New(o)
	return p
}

func (p *pair) set(now time.Time) {
	p.now.Store(&now)
	p.clock.Store(&now)
}

// key makes a key that ECR may use for the repository.
func (p *pair) key(t *testing.T) string {
	t.Helper()
	made, err := p.a.CreateKey(t.Context(), root, keys.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.a.AllowRepository(t.Context(), root, made.ARN(), repository, "uid"); err != nil {
		t.Fatal(err)
	}
	return made.ARN()
}

func TestAnotherProcessRotates(t *testing.T) {
	t.Parallel()
	p, ctx, data := newPair(t), t.Context(), bytes.Repeat([]byte{7}, 32)
	key := p.key(t)
	before, err := p.b.Wrap(ctx, key, data, "about") // b knows the key now
	want(t, "Wrap", err, "")
	_, err = p.a.RotateKeyOnDemand(ctx, root, key)
	want(t, "RotateKeyOnDemand", err, "")
	after, err := p.a.Wrap(ctx, key, data, "about")
	want(t, "Wrap after the rotation", err, "")
	got, err := p.b.Unwrap(ctx, key, after, "about")
	want(t, "Unwrap by who does not know of the rotation", err, "")
	if !bytes.Equal(got, data) {
		t.Errorf("Unwrap = %x", got)
	}
	if current, err := p.b.Current(ctx, key, after); err != nil || !current {
		t.Errorf("Current = %t, %v", current, err)
	}
	if current, err := p.b.Current(ctx, key, before); err != nil || current {
		t.Errorf("Current of what was wrapped before = %t, %v", current, err)
	}
	forged := bytes.Clone(after)
	forged[20] += 5 // the number of the backing key
	_, err = p.b.Unwrap(ctx, key, forged, "about")
	want(t, "Unwrap of what no backing key has made", err, "InvalidCiphertextException")
}

func TestWhatAnotherProcessChangesCountsWithinASecond(t *testing.T) {
	t.Parallel()
	p, ctx := newPair(t), t.Context()
	key := p.key(t)
	uses := func(what, code string) {
		t.Helper()
		want(t, what, p.b.MayUse(ctx, key, repository), code)
	}
	later := func(d time.Duration) { p.set(p.now.Load().Add(d)) }
	uses("at first", "")
	want(t, "DisableKey", p.a.DisableKey(ctx, root, key), "")
	uses("at once", "")
	later(time.Second)
	uses("after a second", "DisabledException")
	want(t, "EnableKey", p.a.EnableKey(ctx, root, key), "")
	later(100 * time.Millisecond)
	uses("enabled", "")
	want(t, "MayUse for another", p.b.MayUse(ctx, key, repository+"2"), "AccessDeniedException")
	_, _, err := p.a.AllowRepository(ctx, root, key, repository+"2", "uid2")
	want(t, "AllowRepository", err, "")
	later(100 * time.Millisecond)
	want(t, "MayUse for another that was allowed", p.b.MayUse(ctx, key, repository+"2"), "")
}

// However many ask about a key that cannot be used, it is read once for all of them,
// and calls that are refused make nobody read anything again.
func TestAStandingIsReadOnce(t *testing.T) {
	t.Parallel()
	p, ctx := newPair(t), t.Context()
	key := p.key(t)
	want(t, "DisableKey", p.a.DisableKey(ctx, root, key), "")
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { want(t, "MayUse", p.b.MayUse(ctx, key, repository), "DisabledException") })
	}
	all.Wait()
	if n := p.reads.n.Load(); n != 1 {
		t.Errorf("%d readings for 50 calls", n)
	}
	stranger := access.Call{Caller: access.Caller{Account: "111122223333", ARN: "arn:aws:iam::111122223333:root", ID: "111122223333", Type: access.Root}, Region: root.Region}
	want(t, "a stranger's EnableKey", p.b.EnableKey(ctx, stranger, key), "AccessDeniedException")
	want(t, "an EnableKey of nothing", p.b.EnableKey(ctx, root, "00000000-0000-0000-0000-000000000000"), "NotFoundException")
	want(t, "MayUse", p.b.MayUse(ctx, key, repository), "DisabledException")
	if n := p.reads.n.Load(); n != 1 {
		t.Errorf("%d readings after calls that failed", n)
	}
	want(t, "EnableKey", p.b.EnableKey(ctx, root, key), "")
	want(t, "MayUse once it is enabled", p.b.MayUse(ctx, key, repository), "")

	// Who gives up waits no longer, and spoils nothing for the others.
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if err := p.b.MayUse(gone, key, repository+"2"); err == nil {
		t.Error("MayUse of who is not allowed works")
	}
	want(t, "MayUse", p.b.MayUse(ctx, key, repository+"2"), "AccessDeniedException")
}

// A process whose clock is ahead destroys nothing.
func TestKeysAreDestroyedByTheClockOfTheDatabase(t *testing.T) {
	t.Parallel()
	p, ctx := newPair(t), t.Context()
	key := p.key(t)
	_, err := p.a.ScheduleKeyDeletion(ctx, root, key, 7)
	want(t, "ScheduleKeyDeletion", err, "")
	real := *p.now.Load()
	p.set(real.Add(8 * 24 * time.Hour))
	p.clock.Store(&real)
	want(t, "RunDue", p.a.RunDue(ctx), "")
	_, err = p.a.CancelKeyDeletion(ctx, root, key)
	want(t, "CancelKeyDeletion", err, "")
}

// What a key's policy says of repositories it says of each by itself.
func TestKeyPoliciesTellRepositoriesApart(t *testing.T) {
	t.Parallel()
	p, ctx := newPair(t), t.Context()
	key := p.key(t)
	for i, prod := range []string{"arn:aws:ecr:us-east-1:" + account + ":repository/prod/x", "arn:aws:ecr:us-east-1:111122223333:repository/prod/x"} {
		if _, _, err := p.a.AllowRepository(ctx, root, key, prod, fmt.Sprint("prod", i)); err != nil {
			t.Fatal(err)
		}
		put := func(statement string) {
			t.Helper()
			whole := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"kms:*","Resource":"*"},` + statement + `]}`
			want(t, "PutKeyPolicy", p.a.PutKeyPolicy(ctx, root, key, "default", whole, false), "")
		}
		use := func(what, code, prodCode string) {
			t.Helper()
			want(t, what, p.a.MayUse(ctx, key, repository), code)
			want(t, what+", prod", p.a.MayUse(ctx, key, prod), prodCode)
			wrapped, err := p.a.Wrap(ctx, key, []byte("data"), "about")
			want(t, what+", Wrap", err, "")
			_, err = p.a.Unwrap(ctx, key, wrapped, "about")
			want(t, what+", Unwrap", err, "")
		}
		const denied = "AccessDeniedException"
		deny := func(condition string) string {
			return `{"Effect":"Deny","Principal":"*","Action":["kms:Decrypt","kms:GenerateDataKey"],"Resource":"*","Condition":` + condition + `}`
		}
		put(deny(`{"StringNotLike":{"kms:EncryptionContext:aws:ecr:arn":"arn:aws:ecr:*:repository/prod/*"}}`))
		use("for prod alone", denied, "")
		put(deny(`{"StringEquals":{"kms:EncryptionContext:aws:ecr:arn":"` + prod + `"}}`))
		use("not for prod", "", denied)
		put(deny(`{"StringNotEquals":{"kms:CallerAccount":"` + account + `"}}`))
		use("for this account", "", map[int]string{1: denied}[i])
		put(deny(`{"Null":{"kms:EncryptionContextKeys":"true"}}`))
		use("with a context", "", "")
		put(`{"Effect":"Deny","Principal":"*","Action":"kms:Decrypt","Resource":"*","Condition":{"StringNotEquals":{"kms:EncryptionAlgorithm":"SYMMETRIC_DEFAULT"}}}`)
		use("with the algorithm", "", "")
	}
}

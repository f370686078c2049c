package identity_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/authn"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/metadata"
	"berth/internal/metadata/pgtest"
	"berth/internal/seal"
)

// recorder keeps what it is given.
type recorder struct{ records []access.Record }

// Record implements [access.Auditor].
func (r *recorder) Record(rec access.Record) { r.records = append(r.records, rec) }

const home = "123456789012"

var start = time.Unix(1_700_000_000, 0)

// replica is a directory on a database that others may share.
type replica struct {
	*identity.Directory
	recorder *recorder
	now      *time.Time
	store    *flaky
}

// flaky is a store that can fail to be read, and counts the transactions that
// change something.
type flaky struct {
	identity.Store
	down    error
	updates int
}

// Update implements [identity.Store].
func (f *flaky) Update(ctx context.Context, fn func(identity.Tx) error) error {
	f.updates++
	return f.Store.Update(ctx, fn)
}

// View implements [identity.Store].
func (f *flaky) View(ctx context.Context, fn func(identity.ReadTx) error) error {
	if f.down != nil {
		return f.down
	}
	return f.Store.View(ctx, fn)
}

// replicas returns a function that opens another directory on the same database.
func replicas(t *testing.T, postgres bool) func() replica {
	t.Helper()
	ctx, master := context.Background(), seal.NewMaster()
	open := func() (*metadata.DB, error) { return metadata.OpenSQLite(ctx, filepath.Join(t.TempDir(), "berth.db")) }
	if postgres {
		url := pgtest.Migrated(t, metadata.OpenPostgres)
		open = func() (*metadata.DB, error) { return metadata.OpenPostgres(ctx, url) }
	}
	db, err := open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return func() replica {
		now := start
		r := replica{recorder: new(recorder), now: &now, store: &flaky{Store: metadata.For[identity.ReadTx, identity.Tx](db)}}
		auth := &access.Authorizer{}
		r.Directory, err = identity.NewDirectory(ctx, identity.Options{
			Account: home, Root: identity.AccessKey{ID: "AKIAROOT", Secret: "secret"}, Auditor: r.recorder, Authorizer: auth,
			Store: r.store, Secrets: master.Key("access key"), Pages: master.Key("page token"),
			Now: func() time.Time { return now },
		})
		if err != nil {
			t.Fatal(err)
		}
		auth.Source, auth.Organizations = r.Directory, r.Directory
		return r
	}
}

// each runs a test on both databases.
func each(t *testing.T, test func(*testing.T, func() replica)) {
	for name, postgres := range map[string]bool{"sqlite": false, "postgres": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, replicas(t, postgres))
		})
	}
}

// root is a call of the root of an account.
func root(account string) access.Call {
	return access.Call{
		Caller: access.Caller{Account: account, ARN: "arn:aws:iam::" + account + ":root", ID: account, Type: access.Root}, Region: "us-east-1",
	}
}

// user makes a user with a key.
func user(t *testing.T, d replica, name string) identity.AccessKey {
	t.Helper()
	if _, err := d.Create(t.Context(), root(home), identity.User, identity.NewEntity{Name: name, Path: "/team/"}); err != nil {
		t.Fatal(err)
	}
	k, err := d.CreateAccessKey(t.Context(), root(home), name)
	if err != nil {
		t.Fatal(err)
	}
	return k.AccessKey
}

// wantNobody fails unless a key is nobody's.
func wantNobody(t *testing.T, d replica, key, when string) {
	t.Helper()
	c, secret, err := d.Principal(t.Context(), key)
	if fault.CodeOf(err) != "UnrecognizedClientException" || fault.KindOf(err) != fault.Unauthenticated || secret != "" || c != (access.Caller{}) {
		t.Errorf("Principal(%q) %s = %+v, %q, %v, want none", key, when, c, secret, err)
	}
}

func TestThePrincipalOfAnAccessKey(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func() replica) {
		d := open()
		got, secret, err := d.Principal(t.Context(), "AKIAROOT")
		want := access.Caller{Account: home, ARN: "arn:aws:iam::123456789012:root", ID: home, AccessKeyID: "AKIAROOT", Type: access.Root}
		if got != want || secret != "secret" || err != nil {
			t.Errorf("Principal = %+v, %q, %v, want the root", got, secret, err)
		}
		k := user(t, d, "alice")
		for range 2 { // the second is from memory
			got, secret, err = d.Principal(t.Context(), k.ID)
			if err != nil || secret != k.Secret || got.ARN != "arn:aws:iam::123456789012:user/team/alice" || got.Type != access.User ||
				got.AccessKeyID != k.ID || got.Account != home || len(got.ID) != 21 || got.ID[:4] != "AIDA" {
				t.Errorf("Principal = %+v, %q, %v, want alice", got, secret, err)
			}
		}
		if len(k.ID) != 20 || k.ID[:4] != "AKIA" || len(k.Secret) != 40 {
			t.Errorf("a key of %q and %d characters, want AWS's shape", k.ID, len(k.Secret))
		}
		for _, key := range []string{"", "akiaroot", "AKIAROOT ", "AKIAROO", "AKIAROOTX", "AKIAROOT\x00", k.ID + "A", k.ID[:19], k.ID[:19] + "\x00", "AKIAAAAAAAAAAAAAAAAA"} {
			wantNobody(t, d, key, "with a key that is none")
		}
	})
}

func TestAKeyStopsAtOnceAndElsewhereWithinASecond(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func() replica) {
		here, there := open(), open()
		k := user(t, here, "alice")
		both := func() {
			t.Helper()
			for _, d := range []replica{here, there} {
				if _, secret, err := d.Principal(t.Context(), k.ID); err != nil || secret != k.Secret {
					t.Fatalf("Principal = %q, %v, want alice", secret, err)
				}
			}
		}
		for what, stop := range map[string]func() error{
			"made inactive": func() error { return here.UpdateAccessKey(t.Context(), root(home), "alice", k.ID, false) },
			"deleted":       func() error { return here.DeleteAccessKey(t.Context(), root(home), "alice", k.ID) },
		} {
			both()
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			wantNobody(t, here, k.ID, what)
			*there.now = there.now.Add(time.Second)
			wantNobody(t, there, k.ID, what+" elsewhere, a second later")
			if what == "made inactive" {
				if err := here.UpdateAccessKey(t.Context(), root(home), "alice", k.ID, true); err != nil {
					t.Fatal(err)
				}
				continue
			}
			next, err := here.CreateAccessKey(t.Context(), root(home), "alice")
			if err != nil {
				t.Fatal(err)
			}
			k = next.AccessKey
		}
	})
}

func TestARenamedUserHasItsNewARNAtOnce(t *testing.T) {
	t.Parallel()
	d := replicas(t, false)()
	k := user(t, d, "alice")
	before, _, err := d.Principal(t.Context(), k.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Rename(t.Context(), root(home), identity.User, "ALICE", "bob", "/"); err != nil {
		t.Fatal(err)
	}
	after, _, err := d.Principal(t.Context(), k.ID)
	if err != nil || after.ARN != "arn:aws:iam::123456789012:user/bob" || after.ID != before.ID {
		t.Errorf("Principal = %+v, %v, want bob with the id %s", after, err, before.ID)
	}
}

func TestOnlyTheRootOfAnAccountIsItsAdministrator(t *testing.T) {
	t.Parallel()
	d := replicas(t, false)()
	if _, _, err := d.CreateAccount(t.Context(), root(home), "111111111111"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		caller access.Caller
		want   bool
	}{
		{access.Caller{Account: home, Type: access.Root}, true},
		{access.Caller{Account: "111111111111", Type: access.Root}, true},
		{access.Caller{Account: "210987654321", Type: access.Root}, false},
		{access.Caller{Account: home}, false},
		{access.Caller{Account: home, Type: access.User}, false},
		{access.Caller{}, false},
	} {
		if got, err := d.Policies(t.Context(), tt.caller); got.Administrator != tt.want || err != nil {
			t.Errorf("Policies(%+v) = %+v, %v, want administrator %t", tt.caller, got, err, tt.want)
		}
	}
}

func TestAccountsAreMadeByTheAdministratorOnly(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func() replica) {
		d := open()
		id, key, err := d.CreateAccount(t.Context(), root(home), "")
		if err != nil || len(id) != 12 {
			t.Fatalf("CreateAccount = %q, %v, want a random account", id, err)
		}
		c, secret, err := d.Principal(t.Context(), key.ID)
		if err != nil || secret != key.Secret || c.ARN != "arn:aws:iam::"+id+":root" || c.Type != access.Root || c.ID != id {
			t.Errorf("Principal = %+v, %v, want the root of %s", c, err, id)
		}
		nobody := access.Call{Caller: access.Caller{Account: home, ARN: "arn:aws:iam::123456789012:user/u", ID: "AIDA", Type: access.User}}
		for _, tt := range []struct {
			who  access.Call
			id   string
			want string
		}{
			{root(home), id, "EntityAlreadyExists"},
			{root(home), home, "EntityAlreadyExists"},
			{root(home), "12345678901", "InvalidInput"},
			{root(home), "12345678901a", "InvalidInput"},
			{root(id), "111111111111", "AccessDeniedException"},
			{nobody, "111111111111", "AccessDeniedException"},
			{access.Call{}, "111111111111", "AccessDeniedException"},
		} {
			if _, _, err := d.CreateAccount(t.Context(), tt.who, tt.id); fault.CodeOf(err) != tt.want {
				t.Errorf("CreateAccount(%q) by %s = %v, want %s", tt.id, tt.who.ARN, err, tt.want)
			}
		}
		// Names are those of one account.
		user(t, d, "alice")
		if _, err := d.Get(t.Context(), root(id), identity.User, "alice"); fault.CodeOf(err) != "NoSuchEntity" {
			t.Errorf("GetUser in the other account = %v, want NoSuchEntity", err)
		}
		if _, err := d.Create(t.Context(), root(id), identity.User, identity.NewEntity{Name: "alice"}); err != nil {
			t.Errorf("CreateUser in the other account = %v", err)
		}
	})
}

func TestGetCallerIdentityLeavesARecord(t *testing.T) {
	t.Parallel()
	d := replicas(t, false)()
	who := access.Caller{Account: home, ARN: "arn", ID: "id", Type: access.Root}
	if got := d.GetCallerIdentity(t.Context(), access.Call{Caller: who, Region: "eu-west-1"}); got != who {
		t.Errorf("GetCallerIdentity = %+v, want the caller", got)
	}
	want := access.Record{
		Time: start, Caller: who, Service: "sts", Event: "GetCallerIdentity", Account: home, Region: "eu-west-1", ReadOnly: true,
	}
	if r := d.recorder.records; len(r) != 1 || r[0] != want {
		t.Errorf("records = %+v, want %+v", r, want)
	}
}

func TestAPasswordOfAUserDiesWithItsKey(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func() replica) {
		d := open()
		auth := authn.New(authn.Options{
			Principals: d, Passwords: seal.NewMaster().Key("registry password"), Now: func() time.Time { return *d.now },
			Source:    func(*http.Request) (netip.Addr, bool) { return netip.Addr{}, false },
			RequestID: func(*http.Request) string { return "" },
		})
		for what, end := range map[string]func(identity.AccessKey) error{
			"made inactive": func(k identity.AccessKey) error {
				return d.UpdateAccessKey(t.Context(), root(home), "alice", k.ID, false)
			},
			"deleted": func(k identity.AccessKey) error { return d.DeleteAccessKey(t.Context(), root(home), "alice", k.ID) },
		} {
			if _, err := d.Get(t.Context(), root(home), identity.User, "alice"); err != nil {
				user(t, d, "alice")
			}
			k, err := d.CreateAccessKey(t.Context(), root(home), "alice")
			if err != nil {
				t.Fatal(err)
			}
			who, _, err := d.Principal(t.Context(), k.AccessKey.ID)
			if err != nil {
				t.Fatal(err)
			}
			password, _, _ := auth.Mint(who, *d.now)
			login := httptest.NewRequest("GET", "/v2/", nil)
			login.SetBasicAuth("AWS", password)
			if c, _, err := auth.Registry(login); err != nil || c.ARN != "arn:aws:iam::123456789012:user/team/alice" {
				t.Errorf("Registry = %+v, %v, want alice", c, err)
			}
			if err := end(k.AccessKey); err != nil {
				t.Fatal(err)
			}
			if _, _, err := auth.Registry(login); fault.KindOf(err) != fault.Unauthenticated {
				t.Errorf("Registry with a key that was %s = %v, want Unauthenticated", what, err)
			}
			_ = d.DeleteAccessKey(t.Context(), root(home), "alice", k.AccessKey.ID)
		}
	})
}

func TestSecretsAreNotStoredInTheOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := metadata.OpenSQLite(t.Context(), filepath.Join(dir, "berth.db"))
	if err != nil {
		t.Fatal(err)
	}
	master, auth := seal.NewMaster(), &access.Authorizer{}
	d, err := identity.NewDirectory(t.Context(), identity.Options{
		Account: home, Root: identity.AccessKey{ID: "AKIAROOT", Secret: "secret"}, Auditor: new(recorder), Authorizer: auth,
		Store: metadata.For[identity.ReadTx, identity.Tx](db), Secrets: master.Key("access key"), Pages: master.Key("page token"),
	})
	if err != nil {
		t.Fatal(err)
	}
	auth.Source = d
	k := user(t, replica{Directory: d}, "alice")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	seen := false
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(dir, name.Name()))
		if err != nil {
			t.Fatal(err)
		}
		seen = seen || bytes.Contains(b, []byte(k.ID))
		if bytes.Contains(b, []byte(k.Secret)) {
			t.Errorf("%s holds the secret", name.Name())
		}
	}
	if !seen {
		t.Error("no file holds the key's id")
	}
}

func TestRefusedCallsLeaveARecord(t *testing.T) {
	t.Parallel()
	d := replicas(t, false)()
	who := access.Caller{Account: home, ARN: "arn:aws:iam::123456789012:user/u", ID: "AIDA", Type: access.User}
	_, err := d.Create(t.Context(), access.Call{Caller: who, Region: "eu-west-1"}, identity.User, identity.NewEntity{Name: "x"})
	if fault.CodeOf(err) != "AccessDeniedException" || len(d.recorder.records) != 1 {
		t.Fatalf("Create = %v with %d records, want a refusal with one", err, len(d.recorder.records))
	}
	r := d.recorder.records[0]
	if r.Service != "iam" || r.Event != "CreateUser" || r.Account != home || r.Region != "us-east-1" || r.Error != "AccessDeniedException" ||
		r.Resource != "arn:aws:iam::123456789012:user/x" || r.Caller != who || r.ReadOnly {
		t.Errorf("record = %+v", r)
	}
}

func TestTheChangesOfAnotherReplicaCountWithinASecond(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func() replica) {
		a, b := open(), open()
		k := user(t, a, "alice")
		carries := func(d replica) int {
			t.Helper()
			c, _, err := d.Principal(t.Context(), k.ID)
			if err != nil {
				t.Fatal(err)
			}
			p, err := d.Policies(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			return len(p.Identity)
		}
		if carries(a) != 0 || carries(b) != 0 {
			t.Fatal("a user without policies has some")
		}
		const arn = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly"
		if err := a.Attach(t.Context(), root(home), identity.User, "alice", arn); err != nil {
			t.Fatal(err)
		}
		if n := carries(a); n != 1 {
			t.Errorf("%d policies where one has been attached, want 1", n)
		}
		*b.now = b.now.Add(time.Second)
		if n := carries(b); n != 1 {
			t.Errorf("%d policies elsewhere a second later, want 1", n)
		}
	})
}

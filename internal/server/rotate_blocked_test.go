package server_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"berth/internal/config"
	"berth/internal/rotate"
	"berth/internal/seal"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	_ "modernc.org/sqlite" // the driver
)

// replaceMaster gives the server the other master key, and its own to read with.
func replaceMaster(t *testing.T, s *servertest.Server) {
	t.Helper()
	old := s.Config.MasterKey
	s.Config.MasterKey = secondKey
	if old == secondKey {
		s.Config.MasterKey = firstKey
	}
	s.Config.OldMasterKeys = []string{old}
	s.Restart(t)
}

// onlyBlocked returns the one thing of a kind that retiring is blocked by.
func onlyBlocked(t *testing.T, p server.RotateResponse, k rotate.Kind) rotate.Blocker {
	t.Helper()
	var found []rotate.Blocker
	for _, b := range p.Blocked {
		if b.Kind == k {
			found = append(found, b)
		}
	}
	if p.Retired || len(found) != 1 {
		t.Fatalf("retired: %t, blocked by %+v, want one of %s", p.Retired, p.Blocked, k)
	}
	return found[0]
}

// What a KMS key has wrapped needs no master key, whether that key can be used or not:
// its backing keys are sealed anew instead.
func TestAKMSKeyKeepsNoMasterKey(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		key := s.CreateKey(t)
		createSealed(t, s, "kms", types.EncryptionTypeKmsDsse, &key)
		img := servertest.NewImage(1, 100_000, 10)
		s.Login(t).Push(t, "kms", "v1", img)
		if _, err := s.KMS().DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &key}); err != nil {
			t.Fatal(err)
		}
		replaceMaster(t, s)
		if done, p := rotateAll(t, s); !p.Retired || done["objects"] != 0 || done["kms-keys"] != 1 {
			t.Errorf("while the key cannot be used: %v, %+v", done, p)
		}
		s.Config.OldMasterKeys = nil
		s.Restart(t)
		if _, err := s.KMS().EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: &key}); err != nil {
			t.Fatal(err)
		}
		pulls(t, s, "kms", img, "v1")
	})
}

// execBeside changes the database beside the server.
func execBeside(t *testing.T, c *config.Config, query string, args ...any) {
	t.Helper()
	driver, name := "pgx", c.Database
	if name == "" {
		driver, name = "sqlite", c.Data+"/berth.db"
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	res, err := db.ExecContext(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := res.RowsAffected(); n == 0 || err != nil {
		t.Fatalf("%s: %d rows, %v", query, n, err)
	}
}

// What does not open keeps the keys: nobody can tell whether one of them would open it.
func TestWhatIsDamagedKeepsTheMasterKeysAndIsNamed(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		s.Login(t).Push(t, "app", "v1", servertest.NewImage(1, 100_000))
		alice := s.CreateUserOf(t, s.AWS(), "alice", "")
		key, err := alice.Credentials.Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		replaceMaster(t, s)
		execBeside(t, s.Config, `UPDATE objects SET wrapped_key = $1 WHERE key <> ''`, []byte{1, 200})
		sealed := seal.NewMaster().Key("access key").Seal([]byte("secret"), key.AccessKeyID)
		execBeside(t, s.Config, `UPDATE access_keys SET secret = $1`, sealed)
		done, p := rotateAll(t, s)
		if done["objects"] != 2 || done["access-keys"] != 0 {
			t.Errorf("sealed anew: %v, want the two objects that are whole", done)
		}
		if b := onlyBlocked(t, p, rotate.Objects); b.Reason != rotate.Damaged || b.Master != "" || b.Count != 1 || !strings.HasPrefix(b.Example, "sha256:") {
			t.Errorf("objects are blocked by %+v", b)
		}
		if b := onlyBlocked(t, p, rotate.AccessKeys); b.Reason != rotate.Damaged || b.Count != 1 || b.Example != key.AccessKeyID {
			t.Errorf("access keys are blocked by %+v", b)
		}
	})
}

// meddling is a database in which something happens once, before one looks at it or
// after one has changed it.
type meddling struct {
	rotate.Store
	view, update func()
}

func once(fn *func()) {
	if do := *fn; do != nil {
		*fn = nil
		do()
	}
}

func (m *meddling) View(ctx context.Context, fn func(rotate.Tx) error) error {
	once(&m.view)
	return m.Store.View(ctx, fn)
}

func (m *meddling) Update(ctx context.Context, fn func(rotate.Tx) error) error {
	defer once(&m.update)
	return m.Store.Update(ctx, fn)
}

// lastStep takes the last step of rotating, while something happens.
func lastStep(t *testing.T, s *servertest.Server, view, update func()) (p server.RotateResponse) {
	t.Helper()
	s.Server().WrapRotation(func(inner rotate.Store) rotate.Store { return &meddling{inner, view, update} })
	status, text := s.PostAs(t, s.AWS(), server.RotatePath, `{"after":"kms-keys/"}`)
	if err := json.Unmarshal([]byte(text), &p); err != nil || status != 200 {
		t.Fatalf("rotate = %d %s", status, text)
	}
	return p
}

// What is sealed under an earlier key after its turn, and a server that comes and goes
// with that key while nobody looks, are noticed.
func TestWhatComesLateKeepsTheMasterKey(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Postgres: true})
	s.CreateUserOf(t, s.AWS(), "alice", "")
	v := openVault(t, s)
	replaceMaster(t, s)
	if done, last := rotateAll(t, s); !last.Retired || done["access-keys"] != 1 {
		t.Fatalf("%v, %+v", done, last)
	}
	p := lastStep(t, s, func() { execBeside(t, s.Config, `UPDATE access_keys SET secret = $1`, v.rows[0].sealed) }, nil)
	if b := onlyBlocked(t, p, rotate.AccessKeys); b.Reason != rotate.Late || b.Master != firstID || b.Count != 1 || b.Example != v.rows[0].id {
		t.Errorf("access keys are blocked by %+v", b)
	}
	if done, last := rotateAll(t, s); !last.Retired || done["access-keys"] != 1 {
		t.Errorf("rotated again: %v, %+v", done, last)
	}

	p = lastStep(t, s, nil, func() {
		m, err := seal.ParseMaster([]byte(firstKey))
		if err != nil {
			t.Fatal(err)
		}
		now, err := seal.ParseMaster([]byte(secondKey))
		if err != nil {
			t.Fatal(err)
		}
		l, err := rotate.Begin(t.Context(), masterKeysOf(t, s.Config.Database), m.WithOld(now), "brief", s.Clock.Now)
		if err != nil || l.End(t.Context()) != nil {
			t.Fatal(err)
		}
	})
	if b := onlyBlocked(t, p, rotate.Servers); b.Reason != rotate.Late || b.Master != firstID {
		t.Errorf("servers are blocked by %+v", b)
	}
	if _, last := rotateAll(t, s); !last.Retired {
		t.Errorf("rotated again: %+v", last)
	}
}

// looking counts what is read of each kind of all that is not plainly under the master
// key in use.
type looking struct {
	rotate.Store
	read map[rotate.Kind]int
}

type lookingTx struct {
	rotate.Tx
	read map[rotate.Kind]int
}

func (l looking) View(ctx context.Context, fn func(rotate.Tx) error) error {
	return l.Store.View(ctx, func(tx rotate.Tx) error { return fn(lookingTx{tx, l.read}) })
}

func (l lookingTx) SealedItems(k rotate.Kind, after string, limit int, but []byte) ([]rotate.Item, error) {
	items, err := l.Tx.SealedItems(k, after, limit, but)
	if len(but) > 0 {
		l.read[k] += len(items)
	}
	return items, err
}

// The last step takes long only for what others have wrapped, or what has two layers.
func TestTheLastStepReadsLittle(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		makeThings(t, s)
		replaceMaster(t, s)
		read := map[rotate.Kind]int{}
		s.Server().WrapRotation(func(inner rotate.Store) rotate.Store { return looking{inner, read} })
		if done, last := rotateAll(t, s); !last.Retired || done["objects"] != sealedCounts["objects"] {
			t.Errorf("%v, %+v", done, last)
		}
		if want := map[rotate.Kind]int{rotate.Objects: sealedCounts["objects"], rotate.Uploads: 0, rotate.Annotations: 1, rotate.AccessKeys: 0, rotate.Sessions: 0, rotate.KMSKeys: 0}; !maps.Equal(read, want) {
			t.Errorf("the last step read %v, want what a KMS key has wrapped: %v", read, want)
		}
	})
}

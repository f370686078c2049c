package server_test

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"berth/internal/blob"
	"berth/internal/config"
	"berth/internal/keyservice"
	"berth/internal/rotate"
	"berth/internal/seal"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/sts"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// sealedColumns are where what is sealed is kept.
var sealedColumns = map[rotate.Kind]struct{ table, id, column string }{
	rotate.Objects:     {"objects", "uid", "wrapped_key"},
	rotate.Uploads:     {"uploads", "id", "wrapped_key"},
	rotate.Annotations: {"images", "uid", "sealed_annotations"},
	rotate.AccessKeys:  {"access_keys", "id", "secret"},
	rotate.Sessions:    {"sessions", "id", "secret"},
	rotate.KMSKeys:     {"kms_materials", "key_id || ' ' || id", "sealed"},
}

// sealedRow is a thing that is sealed, in the database.
type sealedRow struct {
	kind   rotate.Kind
	id     string
	sealed []byte
}

// byKMS begins a data key that a KMS key has wrapped.
const byKMS = 2

// vault is a server's database, beside it.
type vault struct {
	*sql.DB
	s    *servertest.Server
	rows []sealedRow
}

func openVault(t *testing.T, s *servertest.Server) *vault {
	t.Helper()
	driver, name := "pgx", s.Config.Database
	if name == "" {
		driver, name = "sqlite", s.Config.Data+"/berth.db?_pragma=synchronous(off)&_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	v := &vault{DB: db, s: s}
	for kind, c := range sealedColumns {
		rows, err := db.QueryContext(t.Context(), `SELECT `+c.id+`, `+c.column+` FROM `+c.table+` WHERE `+c.column+` IS NOT NULL ORDER BY 1`)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			r := sealedRow{kind: kind}
			if err := rows.Scan(&r.id, &r.sealed); err != nil {
				t.Fatal(err)
			}
			if kind == rotate.Objects || kind == rotate.Annotations {
				if w, err := blob.WrappedKeys(r.sealed); err == nil && w[0][0] == byKMS {
					continue // it needs no master key
				}
			}
			v.rows = append(v.rows, r)
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

// accepts puts something in the place of what is sealed, has it sealed anew, and reports
// whether that was done. Afterwards what was there is there again.
func (v *vault) accepts(t *testing.T, r sealedRow, instead []byte) bool {
	t.Helper()
	c := sealedColumns[r.kind]
	put := func(b []byte) {
		if _, err := v.ExecContext(t.Context(), `UPDATE `+c.table+` SET `+c.column+` = $1 WHERE `+c.id+` = $2`, b, r.id); err != nil {
			t.Fatal(err)
		}
	}
	put(instead)
	in, _ := json.Marshal(server.RotateRequest{After: string(r.kind) + "/"}) // a text
	if status, text := v.s.PostAs(t, v.s.AWS(), server.RotatePath, string(in)); status != 200 {
		t.Fatalf("rotate = %d %s", status, text)
	}
	var is []byte
	if err := v.QueryRowContext(t.Context(), `SELECT `+c.column+` FROM `+c.table+` WHERE `+c.id+` = $1`, r.id).Scan(&is); err != nil {
		t.Fatal(err)
	}
	put(r.sealed)
	return !bytes.Equal(is, instead)
}

// someOf returns at most two things of each kind.
func (v *vault) someOf() (out []sealedRow) {
	n := map[rotate.Kind]int{}
	for _, r := range v.rows {
		if n[r.kind]++; n[r.kind] <= 2 {
			out = append(out, r)
		}
	}
	return out
}

// makeTwice makes at least two things of each kind.
func makeTwice(t *testing.T, s *servertest.Server) {
	t.Helper()
	th := makeThings(t, s)
	s.CreateKey(t)
	s.Login(t).PushManifest(t, "aes", "another", ocispec.MediaTypeImageManifest, servertest.Referrer(th.image, "application/vnd.example", "another note")).Want(t, 201)
	bob := s.CreateUserOf(t, s.AWS(), "bob", anything)
	if _, err := sts.NewFromConfig(bob).GetSessionToken(t.Context(), &sts.GetSessionTokenInput{}); err != nil {
		t.Fatal(err)
	}
	th.begin(t, s)
}

// What is sealed is sealed as one thing: to seal it anew as another is refused, and so
// is what has one bit changed. Else rotating would make good what was bad.
func TestNothingIsSealedAnewThatIsNotInItsPlaceOrNotWhole(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		makeTwice(t, s)
		replaceMaster(t, s)
		v := openVault(t, s)
		swaps, flips := 0, 0
		for _, r := range v.someOf() {
			for _, other := range v.rows {
				if other.kind == r.kind && (other.id == r.id || r.kind == rotate.Uploads) {
					continue // the key of an upload is its key domain's until it ends: what it has does not open with another
				}
				if swaps++; v.accepts(t, r, other.sealed) {
					t.Errorf("what was sealed as %s %s was sealed anew as %s %s", other.kind, other.id, r.kind, r.id)
				}
			}
			for at := range keyBytes(r) {
				flipped := bytes.Clone(r.sealed)
				flipped[at] ^= 1 << (at % 8)
				if flips++; v.accepts(t, r, flipped) {
					t.Errorf("%s %s was sealed anew with byte %d changed", r.kind, r.id, at)
				}
			}
			if !v.accepts(t, r, r.sealed) {
				t.Errorf("%s %s was not sealed anew though it is in its place and whole", r.kind, r.id)
			}
		}
		if len(v.someOf()) != 2*len(sealedColumns) || swaps < 100 || flips < 500 {
			t.Errorf("%d things, %d swaps and %d flips are too few", len(v.someOf()), swaps, flips)
		}
		t.Logf("%d swaps, %d flips, accepted = 0", swaps, flips)
		if _, last := rotateAll(t, s); !last.Retired {
			t.Errorf("with everything in its place again: %+v", last)
		}
	})
}

// keyBytes is how many bytes at the beginning are data keys, or all of a secret. What is
// sealed under the data keys is not looked at here.
func keyBytes(r sealedRow) int {
	if r.kind == rotate.AccessKeys || r.kind == rotate.Sessions || r.kind == rotate.KMSKeys {
		return len(r.sealed)
	}
	at := 1
	for range r.sealed[0] {
		n, k := binary.Uvarint(r.sealed[at:])
		at += k + int(n)
	}
	return at
}

// keyService is one that needs nothing but its URL.
const (
	keyService = "base64key://AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	serviceKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
)

// wrap returns the wrapped form of a master key.
func wrap(t *testing.T, service, key string) string {
	t.Helper()
	m, err := seal.ParseMaster([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	k, err := keyservice.Open(t.Context(), service)
	if err != nil {
		t.Fatal(err)
	}
	text, err := k.Wrap(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// brokenMasters are master keys that no server starts with whose data is sealed under
// the second key. With a service they are wrapped, as far as they are keys.
func brokenMasters(t *testing.T, service string) [][2]string {
	broken := [][2]string{{firstKey, ""}, {firstKey[1:], ""}, {firstKey + "z", secondKey}, {secondKey, firstKey[1:]}, {"", secondKey}, {firstKey, secondKey + secondKey}}
	if service == "" {
		return broken
	}
	second := wrap(t, service, secondKey)
	other := wrap(t, "base64key://"+strings.Repeat("B", 43), secondKey)
	named := strings.Replace(wrap(t, service, firstKey), firstID, secondID, 1)
	return append(broken, [][2]string{{secondKey, ""}, {second[:len(second)-8], ""}, {second, firstKey[1:]}, {second, other}, {other, ""}, {named, ""}, {wrap(t, service, firstKey), ""}}...)
}

// No master key is in the log, in the records, in an answer, in what a server says that
// does not start, or in what is stored.
func TestNoMasterKeyIsWrittenDown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		postgres bool
		service  string
	}{{false, ""}, {true, ""}, {false, keyService}} {
		t.Run(fmt.Sprintf("postgres=%t,wrapped=%t", c.postgres, c.service != ""), func(t *testing.T) {
			t.Parallel()
			log := &transcript{}
			handler := slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})
			s := servertest.Start(t, servertest.Options{Postgres: c.postgres, Log: handler, Configure: func(o *config.Config) {
				if c.service != "" {
					o.MasterKey, o.MasterKeyService = wrap(t, c.service, firstKey), c.service
				}
			}})
			createSealedThing(t, s)
			if c.service == "" {
				replaceMaster(t, s)
			} else {
				s.Config.MasterKey, s.Config.OldMasterKeys = wrap(t, c.service, secondKey), []string{s.Config.MasterKey}
				s.Restart(t)
			}
			_, last := rotateAll(t, s)
			texts := map[string]string{"the answer": fmt.Sprintf("%+v", last), "the records": strings.Join(s.AuditRecords(t), "\n")}
			s.Stop(t)
			for _, keys := range brokenMasters(t, c.service) {
				broken := *s.Config
				broken.MasterKey, broken.OldMasterKeys = keys[0], slices.DeleteFunc([]string{keys[1]}, func(k string) bool { return k == "" })
				opened, err := server.Open(t.Context(), &broken, server.Options{Log: slog.New(handler)})
				if err == nil {
					t.Errorf("a server starts with the master key %q and the earlier one %q: %v", keys[0], keys[1], opened.Close(t.Context()))
					continue
				}
				texts[fmt.Sprintf("the error %d", len(texts))] = err.Error()
			}
			texts["what is stored"] = string(stored(t, s))
			texts["the log"] = log.String()
			found := 0
			for where, text := range texts {
				for _, key := range []string{firstKey, secondKey, serviceKey} {
					raw, err := hex.DecodeString(key)
					if err != nil {
						t.Fatal(err)
					}
					for _, form := range []string{key, key[1:], string(raw), base64.StdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw), fmt.Sprint(raw)} {
						if strings.Contains(strings.ToLower(text), strings.ToLower(form)) {
							found++
							t.Errorf("%s has a master key in it", where)
						}
					}
				}
			}
			t.Logf("%d texts and stores, canaries found = %d", len(texts), found)
			s.Restart(t)
		})
	}
}

func createSealedThing(t *testing.T, s *servertest.Server) {
	t.Helper()
	s.CreateRepository(t, "app")
	c := s.Login(t)
	c.Push(t, "app", "v1", servertest.NewImage(1, 100_000))
	c.PushBlob(t, "app", []byte("{}"))
	c.PushManifest(t, "app", "note", ocispec.MediaTypeImageManifest, servertest.Referrer(servertest.NewImage(1, 100_000), "application/vnd.example", "a note")).Want(t, 201)
	s.CreateUserOf(t, s.AWS(), "alice", anything)
}

package server_test

import (
	"errors"
	"testing"
	"time"

	"berth/internal/identity"
	"berth/internal/metadata"
	"berth/internal/rotate"
	"berth/internal/seal"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A server that others have removed changes nothing: what it seals could not be read
// once its master key is retired. It goes on answering what it can, and goes on with
// everything when it is recorded again.
func TestAServerThatWasRemovedChangesNothing(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Postgres: true, Errors: true})
	s.CreateRepository(t, "app")
	img := servertest.NewImage(1, 100_000)
	c := s.Login(t)
	c.Push(t, "app", "v1", img)
	execBeside(t, s.Config, `UPDATE master_keys SET id = 'other'`)
	execBeside(t, s.Config, `DELETE FROM sealers`)
	if err := s.Server().RenewLease(t.Context()); err == nil {
		t.Error("a server is recorded with a master key that is not in use")
	}
	pulls(t, s, "app", img, "v1")
	c.Do(t, "GET", "/readyz", nil).Want(t, 200)
	if r := c.PushManifest(t, "app", "v2", ocispec.MediaTypeImageManifest, img.Manifest); r.Status != 503 || r.Code() != "UNAVAILABLE" {
		t.Errorf("a push is answered %d %s, want 503 UNAVAILABLE", r.Status, r.Body)
	}
	_, err := s.ECR().CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: new("other")}, func(o *ecr.Options) { o.RetryMaxAttempts = 1 })
	if code := servertest.ErrorCode(err); code != "ServiceUnavailable" {
		t.Errorf("CreateRepository = %v, want ServiceUnavailable", err)
	}
	c.Do(t, "GET", "/v2/app/manifests/v2", nil).Want(t, 404)
	execBeside(t, s.Config, `UPDATE master_keys SET id = $1`, firstID)
	if err := s.Server().RenewLease(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.PushManifest(t, "app", "v2", ocispec.MediaTypeImageManifest, img.Manifest).Want(t, 201)
}

// longSilence is more than a server may be silent without being removed.
const longSilence = time.Hour

// slowServer is a server that seals under the earlier master key, and nothing else, and
// whose time is over.
func slowServer(t *testing.T, s *servertest.Server) (*metadata.DB, *rotate.Lease) {
	t.Helper()
	db, err := metadata.OpenPostgres(t.Context(), s.Config.Database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	var masters []*seal.Master
	for _, text := range []string{firstKey, secondKey} {
		m, err := seal.ParseMaster([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		masters = append(masters, m)
	}
	late := func() time.Time { return s.Clock.Now().Add(-longSilence) }
	l, err := rotate.Begin(t.Context(), metadata.For[rotate.Tx, rotate.Tx](db), masters[0].WithOld(masters[1]), "slow", late)
	if err != nil {
		t.Fatal(err)
	}
	return db.SealingAs(l.ID()), l
}

// However slow a transaction is: it does not commit what is sealed under a master key
// that was retired meanwhile.
func TestATransactionThatIsOpenWhileItsMasterKeyIsRetiredFails(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Postgres: true})
	replaceMaster(t, s)
	db, l := slowServer(t, s)
	err := metadata.For[identity.ReadTx, identity.Tx](db).Update(t.Context(), func(tx identity.Tx) error {
		if _, err := tx.InsertAccount(identity.Account{ID: "210987654321"}); err != nil {
			return err
		}
		if _, last := rotateAll(t, s); !last.Retired {
			t.Errorf("while a server that was silent for long has a transaction: %+v", last)
		}
		return nil
	})
	if !errors.Is(err, rotate.ErrRemoved) {
		t.Errorf("the transaction ends with %v, want %v", err, rotate.ErrRemoved)
	}
	var n int
	if err := openVault(t, s).QueryRowContext(t.Context(), `SELECT count(*) FROM accounts WHERE id = '210987654321'`).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d rows of the transaction are there, %v", n, err)
	}
	if err := l.Renew(t.Context()); err == nil {
		t.Error("a server is recorded with a master key that was retired")
	}
}

// A transaction that is about to commit keeps its master key, and does not hold up
// those who would retire it.
func TestATransactionThatIsAboutToCommitKeepsItsMasterKey(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Postgres: true})
	replaceMaster(t, s)
	_, l := slowServer(t, s)
	tx, err := openVault(t, s).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() // does nothing after a commit
	var name string
	if err := tx.QueryRowContext(t.Context(), `SELECT name FROM sealers WHERE id = $1 FOR KEY SHARE`, l.ID()).Scan(&name); err != nil {
		t.Fatal(err)
	}
	if err := l.Renew(t.Context()); err != nil {
		t.Errorf("Renew beside a commit = %v", err)
	}
	_, last := rotateAll(t, s)
	if b := onlyBlocked(t, last, rotate.Servers); b.Reason != rotate.Seals || b.Master != firstID || b.Example != name || b.Until.After(s.Clock.Now()) {
		t.Errorf("servers are blocked by %+v", b)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, last := rotateAll(t, s); !last.Retired {
		t.Errorf("after the commit: %+v", last)
	}
}

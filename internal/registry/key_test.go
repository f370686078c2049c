package registry_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/blob"
	"berth/internal/blob/dirbucket"
	"berth/internal/fault"
	"berth/internal/keys"
	"berth/internal/metadata"
	"berth/internal/registry"
	"berth/internal/seal"
)

// meddledKeys has something done once when ECR has been allowed to use a key.
type meddledKeys struct {
	*keys.Keyring
	then func()
}

// AllowRepository implements [registry.KeyService].
func (k *meddledKeys) AllowRepository(ctx context.Context, c access.Call, ref, repository, uid string) (string, []string, error) {
	arn, grants, err := k.Keyring.AllowRepository(ctx, c, ref, repository, uid)
	if then := k.then; then != nil {
		k.then = nil
		then()
	}
	return arn, grants, err
}

// openKeys returns a registry with KMS keys.
func openKeys(t *testing.T) (*registry.Registry, *meddledKeys) {
	t.Helper()
	db, err := metadata.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "berth.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	bucket, err := dirbucket.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bucket.Close() })
	master, auth, now := seal.NewMaster(), &access.Authorizer{Source: world{}}, func() time.Time { return start }
	ring := &meddledKeys{Keyring: keys.New(keys.Options{
		Store: metadata.For[keys.ReadTx, keys.Tx](db), Authorizer: auth, Auditor: world{}, Master: keys.Local(master.Key("kms key")),
		Pages: master.Key("pages"), Tokens: master.Key("tokens"), Now: now,
	})}
	return registry.New(registry.Options{
		Store: metadata.For[registry.ReadTx, registry.Tx](db), Blobs: blob.NewSealing(bucket, ring, true), Authorizer: auth, Auditor: world{},
		Tokens: world{}, Pages: master.Key("pages"), Links: master.Key("links"), Keys: ring, Now: now, DeletedRetention: time.Hour,
	}), ring
}

// Whoever deletes a repository takes all grants for it away, those too of who is about
// to restore it.
func TestARestoredRepositoryHasItsGrants(t *testing.T) {
	t.Parallel()
	r, ring := openKeys(t)
	ctx := t.Context()
	restore := func() error {
		_, err := r.RestoreRepository(ctx, caller, registry.RestoreRepositoryInput{Ref: app})
		return err
	}
	remove := func() error {
		_, err := r.DeleteRepository(ctx, caller, registry.DeleteRepositoryInput{Ref: app})
		return err
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := r.CreateRepository(ctx, caller, registry.CreateRepositoryInput{Ref: app, Encryption: registry.Encryption{Type: "KMS"}})
	must(err)
	must(remove())
	ring.then = func() { must(restore()); must(remove()) }
	if err := restore(); fault.CodeOf(err) != "RepositoryNotFoundException" {
		t.Errorf("restoring what is restored and deleted meanwhile = %v", err)
	}
	must(restore())
	_, err = r.InitiateLayerUpload(ctx, caller, app)
	must(err)
}

// A template that is changed in the middle of a push is followed as it is then.
func TestAPushFollowsATemplateThatIsChangedMeanwhile(t *testing.T) {
	t.Parallel()
	r, ring := openKeys(t)
	ctx := t.Context()
	template := registry.Template{Prefix: "ROOT", AppliedFor: []string{registry.CreateOnPush}, Encryption: registry.Encryption{Type: "KMS"}}
	if _, err := r.CreateRepositoryCreationTemplate(ctx, caller, home, template); err != nil {
		t.Fatal(err)
	}
	ring.then = func() {
		in := registry.UpdateTemplateInput{Prefix: "ROOT", Encryption: &registry.Encryption{Type: "KMS_DSSE"}}
		if _, err := r.UpdateRepositoryCreationTemplate(ctx, caller, home, in); err != nil {
			t.Error(err)
		}
	}
	if _, err := r.InitiateLayerUpload(ctx, caller, app); err != nil {
		t.Fatal(err)
	}
	repo, err := r.DeleteRepository(ctx, caller, registry.DeleteRepositoryInput{Ref: app})
	if err != nil || repo.Encryption.Type != "KMS_DSSE" {
		t.Errorf("the repository is %+v, %v, want it as the template is now", repo, err)
	}
}

package server_test

import (
	"bytes"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/config"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// createSealed makes a repository with an encryption.
func createSealed(t *testing.T, s *servertest.Server, name string, kind types.EncryptionType, key *string) {
	t.Helper()
	_, err := s.ECR().CreateRepository(t.Context(), &ecr.CreateRepositoryInput{
		RepositoryName: &name, EncryptionConfiguration: &types.EncryptionConfiguration{EncryptionType: kind, KmsKey: key},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// stored returns everything that a server has on disk and in S3, and the rows of its
// database.
func stored(t *testing.T, s *servertest.Server) []byte {
	t.Helper()
	var all bytes.Buffer
	err := filepath.WalkDir(s.Config.Data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		all.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.Config.Storage != "" {
		for _, name := range s.Files(t) {
			all.Write(s.ReadFile(t, name))
		}
	}
	if s.Config.Database == "" {
		return all.Bytes()
	}
	db, err := sql.Open("pgx", s.Config.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, table := range column(t, db, `SELECT tablename FROM pg_tables WHERE schemaname = current_schema()`) {
		for _, row := range column(t, db, `SELECT x::text FROM "`+table+`" x`) {
			all.WriteString(row)
		}
	}
	return all.Bytes()
}

// column returns the first column of a query.
func column(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

// What is pushed is nowhere to be found in what is stored.
func TestNothingIsStoredInPlain(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		key := s.CreateKey(t)
		createSealed(t, s, "aes", types.EncryptionTypeAes256, nil)
		createSealed(t, s, "kms", types.EncryptionTypeKms, &key)
		createSealed(t, s, "dsse", types.EncryptionTypeKmsDsse, &key)
		c := s.Login(t)
		var secrets []string
		marker := func(what string) string {
			m := "MARKER-" + what + "-" + hex.EncodeToString(servertest.Bytes(uint64(len(secrets)+1), 8))
			secrets = append(secrets, m)
			return m
		}
		for _, repository := range []string{"aes", "kms", "dsse"} {
			img := servertest.NewImage(1)
			img.Config = fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{"Env":["A=%s"]}}`, marker("config"))
			img.Layers = [][]byte{
				bytes.Repeat([]byte(marker("layer")+"\n"), 10_000), []byte(marker("small layer")),
			}
			m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Annotations: map[string]string{"a": marker("manifest")}}
			m.SchemaVersion = 2
			m.Config = servertest.Descriptor(ocispec.MediaTypeImageConfig, img.Config)
			for _, l := range img.Layers {
				m.Layers = append(m.Layers, servertest.Descriptor(ocispec.MediaTypeImageLayer, l))
			}
			img.Manifest = servertest.JSON(m)
			c.Push(t, repository, "v1", img)
			c.PushBlob(t, repository, []byte("{}"))
			note := marker("annotation")
			c.PushManifest(t, repository, "sbom", ocispec.MediaTypeImageManifest, servertest.Referrer(img, "application/vnd.example", note)).Want(t, 201)
			found := c.Do(t, "GET", "/v2/"+repository+"/referrers/"+digest.FromBytes(img.Manifest).String(), nil).Want(t, 200)
			if !bytes.Contains(found.Body, []byte(note)) {
				t.Errorf("the referrer has lost its annotation: %s", found.Body)
			}
			for _, n := range []int{50, 70_000} {
				start := c.Do(t, "POST", "/v2/"+repository+"/blobs/uploads/", nil).Want(t, 202)
				part := []byte(strings.Repeat(marker("unfinished upload"), n))[:n]
				c.Do(t, "PATCH", start.Header.Get("Location"), part).Want(t, 202)
			}
			for _, want := range append(img.Layers, img.Config) {
				if got := c.Do(t, "GET", "/v2/"+repository+"/blobs/"+digest.FromBytes(want).String(), nil); !bytes.Equal(got.Body, want) {
					t.Errorf("a blob of %d bytes reads back changed", len(want))
				}
			}
			if got := c.Do(t, "GET", "/v2/"+repository+"/manifests/v1", nil); !bytes.Equal(got.Body, img.Manifest) {
				t.Errorf("the manifest reads back changed: %s", got.Body)
			}
		}
		search := func(when string) {
			all := stored(t, s)
			for _, m := range secrets {
				if bytes.Contains(all, []byte(m)) || bytes.Contains(all, []byte(hex.EncodeToString([]byte(m)))) {
					t.Errorf("%s, %s is stored in plain", when, m)
				}
			}
		}
		search("while the server runs")
		s.Stop(t)
		search("afterwards")
	})
}

// A key that cannot be used makes pulls and pushes of its repositories fail and
// changes nothing else; when it can be used again, they go on.
func TestAKeyThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	key := s.CreateKey(t)
	createSealed(t, s, "kms", types.EncryptionTypeKms, &key)
	s.CreateRepository(t, "other")
	c := s.Login(t)
	img := servertest.NewImage(1, 100_000, 100)
	name, layer := "kms", digest.FromBytes(img.Layers[0]).String()
	for _, repository := range []string{"kms", "other"} {
		c.Push(t, repository, "v1", img)
	}
	start := c.Do(t, "POST", "/v2/kms/blobs/uploads/", nil).Want(t, 202)
	more := servertest.Bytes(9, 200_000)
	r := c.Do(t, "PATCH", start.Header.Get("Location"), more[:100_000]).Want(t, 202)
	location := r.Header.Get("Location")
	begun, err := s.ECR().InitiateLayerUpload(t.Context(), &ecr.InitiateLayerUploadInput{RepositoryName: &name})
	if err != nil {
		t.Fatal(err)
	}

	const disabled = "DisabledException"
	if _, err := s.KMS().DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &key}); err != nil {
		t.Fatal(err)
	}
	fails := func(what string, err error) {
		t.Helper()
		if k := (*types.KmsException)(nil); !errors.As(err, &k) || k.KmsError == nil || *k.KmsError != disabled {
			t.Errorf("%s = %v, want KmsException with kmsError %s", what, err, disabled)
		}
	}
	_, err = s.ECR().InitiateLayerUpload(t.Context(), &ecr.InitiateLayerUploadInput{RepositoryName: &name})
	fails("InitiateLayerUpload", err)
	_, err = s.ECR().UploadLayerPart(t.Context(), &ecr.UploadLayerPartInput{
		RepositoryName: &name, UploadId: begun.UploadId, PartFirstByte: new(int64(0)), PartLastByte: new(int64(99)), LayerPartBlob: more[:100],
	})
	fails("UploadLayerPart", err)
	_, err = s.ECR().PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: &name, ImageManifest: new(string(img.Manifest)), ImageTag: new("v2")})
	fails("PutImage", err)
	_, err = s.ECR().GetDownloadUrlForLayer(t.Context(), &ecr.GetDownloadUrlForLayerInput{RepositoryName: &name, LayerDigest: &layer})
	fails("GetDownloadUrlForLayer", err)
	got, err := s.ECR().BatchGetImage(t.Context(), &ecr.BatchGetImageInput{RepositoryName: &name, ImageIds: []types.ImageIdentifier{{ImageTag: new("v1")}}})
	if err != nil || len(got.Images) != 0 || len(got.Failures) != 1 || got.Failures[0].FailureCode != types.ImageFailureCodeKmsError {
		t.Errorf("BatchGetImage = %+v, %v, want a failure KmsError", got, err)
	}
	for _, q := range []struct{ method, path string }{
		{"GET", "/v2/kms/manifests/v1"}, {"HEAD", "/v2/kms/manifests/v1"}, {"GET", "/v2/kms/blobs/" + layer},
		{"POST", "/v2/kms/blobs/uploads/"}, {"PATCH", location}, {"PUT", location + "?digest=" + digest.FromBytes(more).String()},
	} {
		r := c.Do(t, q.method, q.path, more[100_000:])
		if r.Status != 403 || q.method != "HEAD" && r.Code() != "DENIED" {
			t.Errorf("%s %s = %d %s, want 403 DENIED", q.method, q.path, r.Status, r.Body)
		}
	}
	c.Do(t, "GET", "/v2/other/blobs/"+layer, nil).Want(t, 200)
	c.Do(t, "GET", "/v2/other/manifests/v1", nil).Want(t, 200)
	c.Do(t, "GET", "/v2/kms/tags/list", nil).Want(t, 200)

	if _, err := s.KMS().EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: &key}); err != nil {
		t.Fatal(err)
	}
	c.Do(t, "GET", "/v2/kms/manifests/v1", nil).Want(t, 200)
	c.Do(t, "GET", "/v2/kms/blobs/"+layer, nil).Want(t, 200)
	c.Do(t, "PATCH", location, more[100_000:]).Want(t, 202)
	c.Do(t, "PUT", location+"?digest="+digest.FromBytes(more).String(), nil).Want(t, 201)
	if got := c.Do(t, "GET", "/v2/kms/blobs/"+digest.FromBytes(more).String(), nil); !bytes.Equal(got.Body, more) {
		t.Error("the layer differs that was pushed before and after")
	}
	if _, err := s.ECR().UploadLayerPart(t.Context(), &ecr.UploadLayerPartInput{
		RepositoryName: &name, UploadId: begun.UploadId, PartFirstByte: new(int64(0)), PartLastByte: new(int64(99)), LayerPartBlob: more[:100],
	}); err != nil {
		t.Errorf("UploadLayerPart later = %v", err)
	}
}

// What was stored in plain stays readable by a server that seals, and the other way.
func TestPlainAndSealedStoresAreOne(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{Configure: func(c *config.Config) { c.Seal = "off" }}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		c := s.Login(t)
		images := []servertest.Image{servertest.NewImage(1, 100_000, 10), servertest.NewImage(2, 100_000, 10)}
		begun := c.Do(t, "POST", "/v2/app/blobs/uploads/", nil).Want(t, 202).Header.Get("Location")
		half := servertest.Bytes(7, 200_000)
		begun = c.Do(t, "PATCH", begun, half[:100_000]).Want(t, 202).Header.Get("Location")
		for i, mode := range []string{"on", "off"} {
			c.Push(t, "app", mode, images[i])
			if plain := bytes.Contains(stored(t, s), images[i].Layers[0]); plain != (i == 0) {
				t.Errorf("image %d is stored in plain: %t", i, plain)
			}
			s.Config.Seal = mode
			s.Restart(t)
			c = s.Login(t)
			for _, img := range images[:i+1] {
				if got := c.Do(t, "GET", "/v2/app/blobs/"+digest.FromBytes(img.Layers[0]).String(), nil); !bytes.Equal(got.Body, img.Layers[0]) {
					t.Errorf("with seal %s a layer reads back changed", mode)
				}
			}
			if i == 0 {
				begun = c.Do(t, "PATCH", begun, half[100_000:]).Want(t, 202).Header.Get("Location")
			}
		}
		c.Do(t, "PUT", begun+"?digest="+digest.FromBytes(half).String(), nil).Want(t, 201)
		s.CheckData(t)
	})
}

// A server starts with the master key that its data is sealed under, and with no
// other one.
func TestAMasterKeyThatIsNotTheStoresIsRefused(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.Stop(t)
		open := func() error {
			opened, err := server.Open(t.Context(), s.Config, server.Options{})
			if err == nil {
				err = opened.Close(t.Context())
			}
			return err
		}
		right := s.Config.MasterKey
		s.Config.MasterKey = strings.Repeat("2b", 32)
		if err := open(); err == nil || !strings.Contains(err.Error(), "sealed under the master key f88f7070, and the one given is fa06288a") {
			t.Errorf("Open with another master key = %v, want an error that names both", err)
		}
		s.Config.MasterKey = ""
		if err := open(); err == nil || !strings.Contains(err.Error(), "master.key is not there, and what is stored is sealed under the master key f88f7070") {
			t.Errorf("Open without the master key = %v, want an error that names it", err)
		}
		if _, err := os.Stat(filepath.Join(s.Config.Data, "master.key")); err == nil {
			t.Error("a new master key was made")
		}
		s.Config.MasterKey = "zz"
		if err := open(); err == nil {
			t.Error("Open with a malformed master key succeeded")
		}
		s.Config.MasterKey = right
		if err := open(); err != nil {
			t.Errorf("Open with the right key = %v", err)
		}
	})
}

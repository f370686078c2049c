package server_test

import (
	"archive/tar"
	"compress/gzip"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/internal/blob/dirbucket"
	"berth/internal/config"
	"berth/internal/fsck"
	"berth/internal/metadata"
	"berth/internal/metadata/pgtest"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Each file in testdata/upgrade is a data directory that a released version has left,
// berth.db and blobs, with what can be pulled from it in expected.json. The master key is
// that of package servertest. To add one for the version that is about to be released:
//
//	UPGRADE_FIXTURE=v1.2.0 go test ./internal/server -run TestMakeAFixtureForUpgrades
const fixtures = "testdata/upgrade"

// expected are digests by repository:tag, and those of layers by repository.
type expected struct {
	Tags   map[string]digest.Digest
	Layers map[string][]digest.Digest
}

func TestDataOfEveryReleasedVersionOpens(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(fixtures + "/*.tar.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("fixtures: %v, %v", files, err)
	}
	for _, file := range files {
		for _, postgres := range []bool{false, true} {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".tar.gz")+map[bool]string{false: " sqlite", true: " postgres"}[postgres], func(t *testing.T) {
				t.Parallel()
				s := servertest.Start(t, servertest.Options{Postgres: postgres, Configure: func(c *config.Config) {
					inDirectory.Configure(c)
					unpack(t, file, c.Data)
					if path := filepath.Join(c.Data, "berth.db"); postgres { // the same rows, with the schema of then
						c.Database = pgtest.URL(t)
						if err := errors.Join(metadata.ImportPostgres(t.Context(), path, c.Database), os.Remove(path)); err != nil {
							t.Fatal(err)
						}
					}
				}})
				upgradedIsWhole(t, s)
			})
		}
	}
}

// upgradedIsWhole pulls all that a fixture has, pushes, and checks the data.
func upgradedIsWhole(t *testing.T, s *servertest.Server) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Config.Data, "expected.json"))
	var want expected
	if err := errors.Join(err, json.Unmarshal(text, &want)); err != nil {
		t.Fatal(err)
	}
	c, pulled := s.Login(t), 0
	get := func(path string, d digest.Digest) {
		t.Helper()
		pulled++
		if r := c.Do(t, "GET", path, nil); r.Status != 200 || digest.FromBytes(r.Body) != d {
			t.Errorf("GET %s = %d with %d bytes, want %s", path, r.Status, len(r.Body), d)
		}
	}
	for ref, d := range want.Tags {
		repository, tag, _ := strings.Cut(ref, ":")
		get(manifestPath(repository, tag), d)
	}
	for repository, layers := range want.Layers {
		for _, d := range layers {
			get("/v2/"+repository+"/blobs/"+d.String(), d)
		}
		c.Push(t, repository, "pushed-later", servertest.NewImage(77, 70_000))
	}
	s.Stop(t)
	report, err := server.Fsck(t.Context(), s.Config, server.FsckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Problems {
		if p.Kind != fsck.Abandoned { // of which there is one
			t.Errorf("fsck: %+v", p)
		}
	}
	t.Logf("%d manifests and layers pulled, %d objects checked", pulled, report.Objects)
}

// unpack puts a fixture into a directory.
func unpack(t *testing.T, file, dir string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := dirbucket.Open(filepath.Join(dir, "blobs")) // which makes all its directories
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err := errors.Join(err, os.WriteFile(filepath.Join(dir, filepath.FromSlash(h.Name)), text, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// pack writes the files of a directory that a fixture has.
func pack(t *testing.T, dir, file string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	z, _ := gzip.NewWriterLevel(f, gzip.BestCompression) // a level that there is
	w := tar.NewWriter(z)
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || name == "lock" || name == "server.json" {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(text))}); err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	})
	if err := errors.Join(err, w.Close(), z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestMakeAFixtureForUpgrades(t *testing.T) {
	version := os.Getenv("UPGRADE_FIXTURE")
	if version == "" {
		t.Skip("UPGRADE_FIXTURE names no version to make a fixture of")
	}
	s := servertest.Start(t, servertest.Options{Configure: func(c *config.Config) {
		inDirectory.Configure(c)
		c.StorageQuotas = []string{servertest.Account + "=1000000000000"}
	}})
	want := fillAll(t, s)
	s.Stop(t)
	dir := t.TempDir()
	vacuum(t, filepath.Join(s.Config.Data, "berth.db"), filepath.Join(dir, "berth.db"))
	text, err := json.MarshalIndent(want, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "expected.json"), text, 0o600), os.CopyFS(filepath.Join(dir, "blobs"), os.DirFS(filepath.Join(s.Config.Data, "blobs"))),
		os.MkdirAll(fixtures, 0o755)); err != nil {
		t.Fatal(err)
	}
	pack(t, dir, filepath.Join(fixtures, version+".tar.gz"))
}

// vacuum copies a database, and puts a row into every table that has none.
func vacuum(t *testing.T, from, to string) {
	t.Helper()
	source, err := metadata.SQLiteSource(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(source.Snapshot(t.Context(), to), source.Close()); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", to)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, name := range column(t, db, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`) {
		if column(t, db, `SELECT COUNT(*) FROM "`+name+`"`)[0] != "0" {
			continue
		}
		t.Logf("a row is made up for %s", name)
		values := column(t, db, `SELECT CASE WHEN f."table" IS NOT NULL THEN '(SELECT "' || f."to" || '" FROM "' || f."table" || '" LIMIT 1)'
			WHEN c.type = 'TEXT' THEN '''`+strings.Repeat("0", 32)+`''' WHEN c.type = 'BLOB' THEN 'x''00''' ELSE '1' END
			FROM pragma_table_info('`+name+`') c LEFT JOIN pragma_foreign_key_list('`+name+`') f ON f."from" = c.name ORDER BY c.cid`)
		if _, err := db.ExecContext(t.Context(), `INSERT INTO "`+name+`" VALUES (`+strings.Join(values, ", ")+`)`); err != nil {
			t.Fatal(err)
		}
	}
}

// fillAll makes something of everything.
func fillAll(t *testing.T, s *servertest.Server) expected {
	t.Helper()
	want := expected{map[string]digest.Digest{}, map[string][]digest.Digest{}}
	do := func(client any, operation, input string) {
		t.Helper()
		input = strings.NewReplacer("ACCOUNT", servertest.Account, "RULES", quoted(`{"rules":[{"rulePriority":1,"selection":{"tagStatus":"tagged",`+
			`"tagPrefixList":["never"],"countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}}]}`)).Replace(input)
		if _, err := invoke(t.Context(), client, operation, input); err != nil {
			t.Fatalf("%s: %v", operation, err)
		}
	}
	push := func(repository string, seed uint64, sizes ...int) servertest.Image {
		t.Helper()
		img := servertest.NewImage(seed, sizes...)
		s.Login(t).Push(t, repository, "v1", img)
		want.Tags[repository+":v1"] = img.Digest
		for _, l := range append(img.Layers, img.Config) {
			want.Layers[repository] = append(want.Layers[repository], digest.FromBytes(l))
		}
		return img
	}
	c, r := s.Login(t), s.ECR()
	do(r, "CreateRepository", `{"repositoryName":"app","tags":[{"Key":"a","Value":"b"}]}`)
	do(r, "CreateRepository", `{"repositoryName":"kms","encryptionConfiguration":{"encryptionType":"KMS"}}`)
	do(r, "CreateRepository", `{"repositoryName":"dsse","encryptionConfiguration":{"encryptionType":"KMS_DSSE"}}`)
	do(r, "CreateRepository", `{"repositoryName":"gone"}`)
	do(r, "CreateRepository", `{"repositoryName":"plain"}`)
	img := push("app", 1, 66_000, 10, 0)
	push("kms", 2, 66_000, 10)
	push("dsse", 3, 10_000)
	push("gone", 4, 10)
	delete(want.Tags, "gone:v1")
	delete(want.Layers, "gone")
	index := servertest.Index(img)
	c.PushManifest(t, "app", "index", ocispec.MediaTypeImageIndex, index).Want(t, 201)
	want.Tags["app:index"] = digest.FromBytes(index)
	c.PushBlob(t, "app", []byte("{}"))
	referrer := servertest.Referrer(img, "application/x", "1")
	c.PushManifest(t, "app", "referrer", ocispec.MediaTypeImageManifest, referrer).Want(t, 201)
	want.Tags["app:referrer"] = digest.FromBytes(referrer)
	for _, tag := range []string{"archived", "deleted"} {
		c.Push(t, "app", tag, servertest.NewImage(uint64(len(tag)), 20))
	}
	do(r, "UpdateImageStorageClass", `{"repositoryName":"app","imageId":{"imageTag":"archived"},"targetStorageClass":"ARCHIVE"}`)
	do(r, "BatchDeleteImage", `{"repositoryName":"app","imageIds":[{"imageTag":"deleted"}]}`)
	do(r, "DeleteRepository", `{"repositoryName":"gone","force":true}`)
	do(r, "InitiateLayerUpload", `{"repositoryName":"app"}`)
	do(r, "PutLifecyclePolicy", `{"repositoryName":"app","lifecyclePolicyText":"RULES"}`)
	do(r, "StartLifecyclePolicyPreview", `{"repositoryName":"app"}`)
	do(r, "CreateRepositoryCreationTemplate", `{"prefix":"team","appliedFor":["CREATE_ON_PUSH"]}`)
	do(r, "RegisterPullTimeUpdateExclusion", `{"principalArn":"arn:aws:iam::ACCOUNT:role/scanner"}`)
	do(r, "CreatePullThroughCacheRule", `{"ecrRepositoryPrefix":"quay","upstreamRegistryUrl":"quay.io"}`)
	do(r, "PutReplicationConfiguration", `{"replicationConfiguration":{"rules":[]}}`)
	do(r, "PutAccountSetting", `{"name":"BLOB_MOUNTING","value":"DISABLED"}`)
	do(r, "SetRepositoryPolicy", `{"repositoryName":"app",`+repositoryPolicy+`}`)
	do(r, "PutRegistryPolicy", `{`+registryPolicy+`}`)
	do(s.ECRPublic(), "CreateRepository", `{"repositoryName":"open","catalogData":{"description":"d"}}`)
	do(s.ServiceQuotas(), "RequestServiceQuotaIncrease", `{"ServiceCode":"ecr","QuotaCode":"L-CFEB8E8D","DesiredValue":200000}`)
	fillIdentity(t, s, do)
	s.Config.Seal = "off"
	s.Restart(t)
	push("plain", 5, 10)
	zeros := make([]byte, 100_000) // which take no room in a fixture
	s.Login(t).PushBlob(t, "plain", zeros)
	want.Layers["plain"] = append(want.Layers["plain"], digest.FromBytes(zeros))
	s.Config.Seal = "on"
	s.Restart(t)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if status, text := call(t, s, "GetLifecyclePolicyPreview", `{"repositoryName":"app"}`); status == 200 && strings.Contains(text, "COMPLETE") {
			return want
		} else if time.Now().After(deadline) {
			t.Fatal(fmt.Errorf("the preview is %d %s", status, text))
		}
	}
}

// fillIdentity makes users, roles, keys and an organization.
func fillIdentity(t *testing.T, s *servertest.Server, do func(client any, operation, input string)) {
	t.Helper()
	trust := quoted(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + servertest.Account + `"},"Action":"sts:AssumeRole"}]}`)
	allow := quoted(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	i := s.IAM()
	do(i, "CreateUser", `{"UserName":"u"}`)
	do(i, "CreateAccessKey", `{"UserName":"u"}`)
	do(i, "CreateGroup", `{"GroupName":"g"}`)
	do(i, "AddUserToGroup", `{"UserName":"u","GroupName":"g"}`)
	do(i, "PutUserPolicy", `{"UserName":"u","PolicyName":"p","PolicyDocument":"`+allow+`"}`)
	do(i, "CreatePolicy", `{"PolicyName":"p","PolicyDocument":"`+allow+`"}`)
	do(i, "AttachGroupPolicy", `{"GroupName":"g","PolicyArn":"arn:aws:iam::ACCOUNT:policy/p"}`)
	do(i, "CreateRole", `{"RoleName":"r","AssumeRolePolicyDocument":"`+trust+`"}`)
	do(i, "CreateOpenIDConnectProvider", `{"Url":"https://example.com","ClientIDList":["c"]}`)
	user := s.CreateUser(t, "sessions")
	_, _ = s.PostAs(t, user, server.ExplainPath, `{}`) // is refused, and has a decision
	do(s.STS(), "GetSessionToken", `{}`)
	key := s.CreateKey(t)
	do(s.KMS(), "CreateAlias", `{"AliasName":"alias/a","TargetKeyId":"`+key+`"}`)
	do(s.KMS(), "CreateGrant", `{"KeyId":"`+key+`","GranteePrincipal":"arn:aws:iam::ACCOUNT:user/u","Operations":["Decrypt"]}`)
	fillOrganization(t, s)
}

package server_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"berth/internal/config"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
)

// scrubbed is a server whose objects are damaged.
type scrubbed struct {
	*servertest.Server
	db *sql.DB
	c  *servertest.Client
}

func eachScrubbed(t *testing.T, test func(*testing.T, *scrubbed)) {
	t.Helper()
	for _, o := range []struct {
		postgres, s3 bool
		seal         string
	}{{false, false, "on"}, {true, false, "off"}, {false, true, "off"}, {true, true, "on"}} {
		t.Run(fmt.Sprintf("postgres %t, s3 %t, seal %s", o.postgres, o.s3, o.seal), func(t *testing.T) {
			t.Parallel()
			s := &scrubbed{Server: servertest.Start(t, servertest.Options{Postgres: o.postgres, S3: o.s3, Errors: true, Configure: func(c *config.Config) { c.Seal = o.seal }})}
			s.CreateRepository(t, "app")
			driver, name := "pgx", s.Config.Database
			if name == "" {
				driver, name = "sqlite", s.Config.Data+"/berth.db?_pragma=synchronous(off)&_pragma=busy_timeout(10000)"
			}
			var err error
			if s.db, err = sql.Open(driver, name); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.db.Close() })
			s.c = s.Login(t)
			test(t, s)
		})
	}
}

// elsewhere returns a client of the same registry in another region, which has a
// repository app, too.
func (s *scrubbed) elsewhere(t *testing.T) *servertest.Client {
	t.Helper()
	if _, err := s.ECRIn("eu-west-1").CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: new("app")}); err != nil {
		t.Fatal(err)
	}
	c := *s.c
	c.Host = servertest.Account + ".dkr.ecr.eu-west-1.localhost"
	return &c
}

// damage changes what is stored of a digest in the default region: a bit of it, its end, or
// all of it.
func (s *scrubbed) damage(t *testing.T, d digest.Digest, how int) {
	t.Helper()
	var uid, key string
	var stored []byte
	if err := s.db.QueryRowContext(t.Context(), `SELECT uid, key, content FROM objects WHERE digest = $1 AND key_domain < $2`,
		string(d), servertest.Account+"/us-east-1/B").Scan(&uid, &key, &stored); err != nil {
		t.Fatal(err)
	}
	file := ""
	for _, f := range s.Files(t) {
		if key != "" && strings.HasSuffix(f, strings.TrimPrefix(key, "s3:")) {
			file, stored = f, s.ReadFile(t, f)
		}
	}
	switch how % 4 {
	case 0:
		stored[rand.IntN(len(stored))] ^= 1 << rand.IntN(8)
	case 1:
		stored = stored[:rand.IntN(len(stored))]
	case 2:
		stored = servertest.Bytes(rand.Uint64(), len(stored))
	case 3:
		if file != "" {
			s.RemoveFile(t, file)
			return
		}
		stored[0]++
	}
	if file != "" {
		s.WriteFile(t, file, stored)
		return
	}
	if _, err := s.db.ExecContext(t.Context(), `UPDATE objects SET content = $1 WHERE uid = $2`, stored, uid); err != nil {
		t.Fatal(err)
	}
}

// scrub makes a pass and returns what is known then.
func (s *scrubbed) scrub(t *testing.T) server.ScrubResponse {
	t.Helper()
	if status, text := s.PostAs(t, s.AWS(), server.ScrubRunPath, `{}`); status != 200 {
		t.Fatalf("%s = %d %s", server.ScrubRunPath, status, text)
	}
	if err := s.Server.Server().Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, text := s.PostAs(t, s.AWS(), server.ScrubStatusPath, `{}`)
	var r server.ScrubResponse
	if err := json.Unmarshal([]byte(text), &r); err != nil || r.Running {
		t.Fatalf("%s = %s, %v, want a pass that has ended", server.ScrubStatusPath, text, err)
	}
	return r
}

// events counts the events of a kind.
func (s *scrubbed) events(t *testing.T, kind string) (n int) {
	t.Helper()
	if err := s.db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM outbox WHERE kind = $1 AND account = $2 AND region = $3`,
		kind, servertest.Account, servertest.Region).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// pull returns what is served of a layer, and whether it is said to be whole.
func (s *scrubbed) pull(t *testing.T, content []byte) ([]byte, bool) {
	t.Helper()
	return served(t, s.c, "/v2/app/blobs/"+digest.FromBytes(content).String())
}

func TestScrubFindsAllDamageAndHealsIt(t *testing.T) {
	t.Parallel()
	eachScrubbed(t, func(t *testing.T, s *scrubbed) {
		there := s.elsewhere(t)
		const n = 100
		var contents [n][]byte
		for i := range contents {
			size := 66_000 + 500*i // in the bucket
			if i%5 == 0 {
				size = 1_000 + 100*i // in the database
			}
			contents[i] = servertest.Bytes(uint64(i), size)
			s.c.PushBlob(t, "app", contents[i])
			if i%2 == 0 {
				there.PushBlob(t, "app", contents[i])
			}
		}
		if r := s.scrub(t); r.Last.Objects != n+n/2 || r.Last.Damaged != 0 || r.Damaged != 0 {
			t.Fatalf("of what is whole: %+v", r.Last)
		}
		for i, content := range contents {
			s.damage(t, digest.FromBytes(content), rand.IntN(4))
			if got, whole := s.pull(t, content); s.Config.Seal == "on" && (whole || !bytes.HasPrefix(content, got)) {
				t.Errorf("layer %d: %d damaged bytes were served, whole: %t", i, len(got), whole)
			}
		}

		r := s.scrub(t)
		if r.Damaged != n/2 || len(r.Objects) != n/2 {
			t.Errorf("of what is damaged: %+v, %d in quarantine, want %d, of which half were healed", r.Last, r.Damaged, n)
		}
		if damaged, healed := s.events(t, "object.damaged"), s.events(t, "object.healed"); damaged != n || healed != n/2 {
			t.Errorf("%d events of damage and %d of healing, want %d and half as many", damaged, healed, n)
		}
		if len(r.Objects) > 0 && fmt.Sprint(r.Objects[0].Repositories) != "[app]" {
			t.Errorf("what is damaged is said to be in %v", r.Objects[0].Repositories)
		}
		for i, content := range contents {
			d := digest.FromBytes(content).String()
			if i%2 == 0 {
				if got, whole := s.pull(t, content); !whole || !bytes.Equal(got, content) {
					t.Errorf("layer %d was not healed from the other region", i)
				}
				continue
			}
			s.c.Do(t, "HEAD", "/v2/app/blobs/"+d, nil).Want(t, 404)
			res := s.c.Do(t, "GET", "/v2/app/blobs/"+d, nil).Want(t, 404)
			if res.Code() != "BLOB_UNKNOWN" || !strings.Contains(res.Message(), "is damaged") {
				t.Errorf("layer %d: %s", i, res.Body)
			}
			s.c.PushBlob(t, "app", content)
			if got, whole := s.pull(t, content); !whole || !bytes.Equal(got, content) {
				t.Errorf("layer %d was not healed by a push", i)
			}
		}
		if r := s.scrub(t); r.Last.Damaged != 0 || r.Damaged != 0 {
			t.Errorf("of what was healed: %+v, %d in quarantine", r.Last, r.Damaged)
		}
		if damaged, healed := s.events(t, "object.damaged"), s.events(t, "object.healed"); damaged != n || healed != n {
			t.Errorf("%d events of damage and %d of healing, want %d each", damaged, healed, n)
		}
		s.CheckData(t)
	})
}

// Who pushes is told that what is damaged is not there: then clients send it again.
func TestAPushHealsAnImage(t *testing.T) {
	t.Parallel()
	eachScrubbed(t, func(t *testing.T, s *scrubbed) {
		img := servertest.NewImage(7, 100_000)
		s.c.Push(t, "app", "v1", img)
		s.CreateRepository(t, "other")
		s.c.Push(t, "other", "v1", img)
		l := digest.FromBytes(img.Layers[0])
		s.damage(t, l, 0)
		s.damage(t, img.Digest, 0)
		if r := s.scrub(t); r.Damaged != 2 || r.Last.Damaged != 2 {
			t.Fatalf("the status is %+v", r)
		}

		check, err := s.ECR().BatchCheckLayerAvailability(t.Context(), &ecr.BatchCheckLayerAvailabilityInput{RepositoryName: new("other"), LayerDigests: []string{string(l)}})
		if err != nil || check.Layers[0].LayerAvailability != types.LayerAvailabilityUnavailable {
			t.Errorf("BatchCheckLayerAvailability = %+v, %v", check, err)
		}
		_, err = s.ECR().GetDownloadUrlForLayer(t.Context(), &ecr.GetDownloadUrlForLayerInput{RepositoryName: new("app"), LayerDigest: new(string(l))})
		if servertest.ErrorCode(err) != "LayersNotFoundException" {
			t.Errorf("GetDownloadUrlForLayer = %v", err)
		}
		get, err := s.ECR().BatchGetImage(t.Context(), &ecr.BatchGetImageInput{RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{{ImageTag: new("v1")}}})
		if err != nil || len(get.Failures) != 1 || get.Failures[0].FailureCode != types.ImageFailureCodeImageInaccessible {
			t.Errorf("BatchGetImage = %+v, %v", get, err)
		}
		s.c.Do(t, "HEAD", manifestPath("app", "v1"), nil).Want(t, 404)
		mount := s.c.Do(t, "POST", "/v2/other/blobs/uploads/?from=app&mount="+string(l), nil).Want(t, 202) // no mount, but an upload
		s.c.Do(t, "DELETE", mount.Header.Get("Location"), nil).Want(t, 204)

		s.c.Push(t, "other", "v1", img) // by one of the two repositories
		for _, name := range []string{"app", "other"} {
			if got := s.c.Do(t, "GET", manifestPath(name, "v1"), nil).Want(t, 200).Body; !bytes.Equal(got, img.Manifest) {
				t.Errorf("the manifest in %s differs", name)
			}
			if got := s.c.Do(t, "GET", "/v2/"+name+"/blobs/"+string(l), nil).Want(t, 200).Body; !bytes.Equal(got, img.Layers[0]) {
				t.Errorf("the layer in %s differs", name)
			}
		}
		if r := s.scrub(t); r.Damaged != 0 || r.Last.Damaged != 0 {
			t.Errorf("the status is %+v", r)
		}
		s.CheckData(t)
	})
}

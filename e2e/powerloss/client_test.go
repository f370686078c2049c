//go:build linux

package powerloss

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"berth/internal/config"
	"berth/internal/fsck"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	clients = 3
	rounds  = 14
	tags    = 3
)

func repositoryOf(client int) string { return fmt.Sprintf("app%d", client) }

// work pushes images with small and large layers, gives them other tags, mounts layers
// of other repositories, and deletes.
func (r *recording) work(t *testing.T, s *servertest.Server, client int) {
	c, repository := s.Login(t), repositoryOf(client)
	random := rand.New(rand.NewPCG(uint64(client), 7))
	var last []byte
	for round := range rounds {
		tag := fmt.Sprintf("t%d", random.IntN(tags))
		switch {
		case last != nil && random.IntN(5) == 0:
			end := r.begin(repository, tag, digest.FromBytes(last).String())
			c.PushManifest(t, repository, tag, ocispec.MediaTypeImageManifest, last).Want(t, 201)
			end()
		case last != nil && random.IntN(5) == 0:
			end := r.begin(repository, tag, "")
			if _, err := s.ECR().BatchDeleteImage(t.Context(), &ecr.BatchDeleteImageInput{RepositoryName: &repository, ImageIds: []types.ImageIdentifier{{ImageTag: &tag}}}); err != nil {
				t.Error(err)
			}
			end()
			last = nil // it may be gone with its last tag
		default:
			last = r.push(t, c, repository, tag, client*1000+round, random)
		}
	}
}

// push pushes an image: one layer in pieces, one in one request, one that others have.
func (r *recording) push(t *testing.T, c *servertest.Client, repository, tag string, n int, random *rand.Rand) []byte {
	config, _ := json.Marshal(map[string]any{"n": n})
	layers := [][]byte{content(n, 100+random.IntN(200_000)), content(n+500_000, 70_000+random.IntN(300_000)), content(1, 80_000)}
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: servertest.Descriptor(ocispec.MediaTypeImageConfig, config)}
	m.SchemaVersion = 2
	for _, l := range layers {
		m.Layers = append(m.Layers, servertest.Descriptor(ocispec.MediaTypeImageLayer, l))
	}
	manifest, _ := json.Marshal(m)
	end := r.begin(repository, tag, digest.FromBytes(manifest).String())
	c.PushBlob(t, repository, config)
	c.PushBlob(t, repository, layers[0])
	uploads := "/v2/" + repository + "/blobs/uploads/"
	location := c.Do(t, "POST", uploads, nil).Want(t, 202).Header.Get("Location")
	half := len(layers[1]) / 2
	c.Do(t, "PATCH", location, layers[1][:half]).Want(t, 202)
	c.Do(t, "PATCH", location, layers[1][half:]).Want(t, 202)
	c.Do(t, "PUT", location+"?digest="+digest.FromBytes(layers[1]).String(), nil).Want(t, 201)
	shared := digest.FromBytes(layers[2]).String()
	if c.Do(t, "POST", uploads+"?mount="+shared+"&from="+repositoryOf(random.IntN(clients)), nil).Status != 201 {
		c.PushBlob(t, repository, layers[2])
	}
	c.PushManifest(t, repository, tag, ocispec.MediaTypeImageManifest, manifest).Want(t, 201)
	end()
	return manifest
}

func content(n, size int) []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	_, _ = r.Read(b) // never fails
	return b
}

// pullAll looks for what fsck finds wrong, and pulls what every tag leads to, which must
// be what was acknowledged last or what was asked for since.
func (s *sweeper) pullAll(ctx context.Context, c *config.Config, last map[string]fact) (err error) {
	report, err := server.Fsck(ctx, c, server.FsckOptions{})
	if err != nil {
		return err
	}
	for _, p := range report.Problems {
		if p.Kind != fsck.Orphan && p.Kind != fsck.Abandoned {
			return fmt.Errorf("fsck: %s %s: %s", p.Kind, p.Digest, p.Detail)
		}
	}
	srv, err := server.Open(ctx, c, server.Options{Now: func() time.Time { return s.now }})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Close(ctx)) }()
	for name, plan := range s.plans {
		at := -1
		if f, ok := last[name]; ok {
			at = f.index
		}
		if err := s.pull(srv, plan, at); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// pull pulls what a tag leads to, of whose plans those up to one were acknowledged.
func (s *sweeper) pull(srv *server.Server, plan []fact, at int) error {
	manifest, err := s.get(srv, plan[0].repository, "manifests", plan[0].tag)
	if err != nil {
		return err
	}
	found := ""
	if manifest != nil {
		found = digest.FromBytes(manifest).String()
	}
	was := ""
	if at >= 0 {
		was = plan[at].digest
	}
	if found != was && (at+1 >= len(plan) || found != plan[at+1].digest) {
		return fmt.Errorf("leads to %q, acknowledged was %q", found, was)
	}
	if manifest == nil {
		return nil
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil {
		return err
	}
	for _, d := range append(m.Layers, m.Config) {
		b, err := s.get(srv, plan[0].repository, "blobs", d.Digest.String())
		if err != nil {
			return err
		}
		if digest.FromBytes(b) != d.Digest {
			return fmt.Errorf("layer %s of the image is missing or another", d.Digest)
		}
	}
	return nil
}

// get returns nil for what is not there.
func (s *sweeper) get(srv *server.Server, repository, what, reference string) ([]byte, error) {
	r := httptest.NewRequest("GET", "/v2/"+repository+"/"+what+"/"+reference, nil)
	r.Host = s.host
	r.SetBasicAuth("AWS", s.auth)
	w := httptest.NewRecorder()
	srv.Handler().ServeHTTP(w, r)
	switch w.Code {
	case http.StatusOK:
		return bytes.Clone(w.Body.Bytes()), nil
	case http.StatusNotFound:
		return nil, nil
	}
	return nil, fmt.Errorf("GET of %s %s: %d %s", what, reference, w.Code, w.Body)
}

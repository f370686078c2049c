package server_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
)

// Pushes leave the reserve free. What makes room, and what only reads, goes on; so does an
// upload, once there is room.
func TestAFullDiskRefusesPushesAlone(t *testing.T) {
	t.Parallel()
	for _, postgres := range []bool{false, true} {
		t.Run(fmt.Sprintf("postgres %t", postgres), func(t *testing.T) {
			t.Parallel()
			var free, looks atomic.Int64
			free.Store(5 << 30)
			s := servertest.Start(t, servertest.Options{Postgres: postgres, DiskFree: func(string) (int64, int64, error) {
				if looks.Add(-1) == 0 {
					free.Store(1<<30 - 1)
				}
				return free.Load(), 100 << 30, nil
			}})
			if s.Config.Shared() {
				t.Skip("nothing is on a disk of the server's")
			}
			refusesPushes(t, s, func(soon int64) { looks.Store(soon + 1) }, func() { free.Store(5 << 30) })
		})
	}
}

func refusesPushes(t *testing.T, s *servertest.Server, fullAfter func(looks int64), room func()) {
	c, client := s.Login(t), s.ECR()
	s.CreateRepository(t, "app")
	img := servertest.NewImage(1, 100_000)
	c.Push(t, "app", "v1", img)
	location := c.Do(t, "POST", uploadsOfApp, nil).Want(t, 202).Header.Get("Location")
	fullAfter(0)

	refused := c.Do(t, "POST", uploadsOfApp, nil).Want(t, http.StatusInsufficientStorage)
	if refused.Code() != "UNAVAILABLE" || !strings.Contains(refused.Message(), "no room") || refused.Header.Get("Retry-After") != "60" {
		t.Errorf("POST of an upload = %s %v", refused.Body, refused.Header)
	}
	c.Do(t, "PATCH", location, layer(1000)).Want(t, http.StatusInsufficientStorage)
	c.PushManifest(t, "app", "v2", "application/vnd.oci.image.manifest.v1+json", img.Manifest).Want(t, http.StatusInsufficientStorage)
	_, err := client.InitiateLayerUpload(t.Context(), &ecr.InitiateLayerUploadInput{RepositoryName: new("app")})
	if servertest.ErrorCode(err) != "LimitExceededException" {
		t.Errorf("InitiateLayerUpload = %v", err)
	}
	_, err = client.PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: new("app"), ImageManifest: new(string(img.Manifest)), ImageTag: new("v3")})
	if servertest.ErrorCode(err) != "LimitExceededException" {
		t.Errorf("PutImage = %v", err)
	}

	c.Do(t, "GET", manifestPath("app", "v1"), nil).Want(t, 200)
	c.Do(t, "GET", "/v2/app/blobs/"+digest.FromBytes(img.Layers[0]).String(), nil).Want(t, 200)
	s.Restart(t)
	out, err := client.BatchDeleteImage(t.Context(), &ecr.BatchDeleteImageInput{RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{{ImageTag: new("v1")}}})
	if err != nil || len(out.Failures) != 0 {
		t.Errorf("BatchDeleteImage = %+v, %v", out, err)
	}

	room() // and gone again while a layer comes in
	content := layer(3 << 20)
	fullAfter(5)
	c.Do(t, "PATCH", location, content).Want(t, http.StatusInsufficientStorage)
	room()
	c.Do(t, "GET", location, nil).Want(t, 204)
	at := c.Do(t, "GET", location, nil).Header.Get("Range")
	var came int
	if _, err := fmt.Sscanf(at, "0-%d", &came); err != nil || came == 0 || came+1 >= len(content) {
		t.Fatalf("the upload has the bytes %q, want some of %d", at, len(content))
	}
	c.Do(t, "PATCH", location, content[came+1:]).Want(t, 202)
	d := digest.FromBytes(content).String()
	c.Do(t, "PUT", location+"?digest="+d, nil).Want(t, 201)
	if got := c.Do(t, "GET", "/v2/app/blobs/"+d, nil).Want(t, 200).Body; !bytes.Equal(got, content) {
		t.Error("the layer differs")
	}
}

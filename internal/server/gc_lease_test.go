package server_test

import (
	"testing"
	"time"

	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Every answer that says that a layer is there holds for a push that relies on it.
func TestWhoIsToldThatALayerIsThereCanRelyOnIt(t *testing.T) {
	t.Parallel()
	none := func(c *config.Config) { c.GCGrace, c.DeletedRetention = "0", "0" }
	servertest.Each(t, servertest.Options{Configure: none}, func(t *testing.T, s *servertest.Server) {
		img := inLayers(1, 1)
		content := img.Layers[0]
		d := digest.FromBytes(content).String()
		client := s.ECR()
		answers := map[string]func(repository string){
			"nothing": func(string) {},
			"head":    func(r string) { s.Login(t).Do(t, "HEAD", "/v2/"+r+"/blobs/"+d, nil).Want(t, 200) },
			"check": func(r string) {
				out, err := client.BatchCheckLayerAvailability(t.Context(), &ecr.BatchCheckLayerAvailabilityInput{RepositoryName: &r, LayerDigests: []string{d}})
				if err != nil || len(out.Layers) != 1 {
					t.Fatal(out, err)
				}
			},
			"mount": func(r string) {
				s.Login(t).Do(t, "POST", "/v2/"+r+"/blobs/uploads/?mount="+d+"&from=kept", nil).Want(t, 201)
			},
			"again": func(r string) { s.Login(t).PushBlob(t, r, content) },
			"exists": func(r string) {
				up, err := client.InitiateLayerUpload(t.Context(), &ecr.InitiateLayerUploadInput{RepositoryName: &r})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := client.UploadLayerPart(t.Context(), &ecr.UploadLayerPartInput{RepositoryName: &r, UploadId: up.UploadId,
					PartFirstByte: new(int64(0)), PartLastByte: new(int64(len(content) - 1)), LayerPartBlob: content}); err != nil {
					t.Fatal(err)
				}
				_, err = client.CompleteLayerUpload(t.Context(), &ecr.CompleteLayerUploadInput{RepositoryName: &r, UploadId: up.UploadId, LayerDigests: []string{d}})
				if servertest.ErrorCode(err) != "LayerAlreadyExistsException" {
					t.Fatal(err)
				}
			},
		}
		s.CreateRepository(t, "kept")
		s.Login(t).Push(t, "kept", "v1", img)
		for name := range answers {
			s.CreateRepository(t, name)
			c := s.Login(t)
			c.PushBlob(t, name, img.Config)
			c.PushBlob(t, name, content)
		}
		s.Clock.Advance(3 * time.Hour)
		for name, ask := range answers {
			ask(name)
			if name != "nothing" { // the configuration is not what this is about
				s.Login(t).PushBlob(t, name, img.Config)
			}
		}
		s.Clock.Advance(4*time.Hour - time.Minute)
		collect(t, s)
		for name := range answers {
			want := 201
			if name == "nothing" {
				want = 404
			}
			r := s.Login(t).PushManifest(t, name, "v1", ocispec.MediaTypeImageManifest, img.Manifest)
			if r.Status != want {
				t.Errorf("%s: a push is answered %d %s, want %d", name, r.Status, r.Body, want)
			}
		}
	})
}

// An upload that was finished and never recorded: its row expires, and its bytes go.
func TestBytesOfUploadsThatExpireAreRemoved(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	if s.Config.Storage != "" {
		t.Skip("what is finished in S3 has another key than its upload: nobody knows of it, and it goes with such bytes")
	}
	s.CreateRepository(t, "app")
	c := s.Login(t)
	for range 2 {
		location := c.Do(t, "POST", uploadsOfApp, nil).Want(t, 202).Header.Get("Location")
		c.Do(t, "PATCH", location, layer(100_000)).Want(t, 202)
	}
	b := s.Server().Bucket()
	finished := false
	for e, err := range b.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if finished {
			continue
		}
		w, err := b.Upload(t.Context(), e.Key, e.Size, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		finished = true
	}
	s.Clock.Advance(49 * time.Hour)
	if err := s.Server().Registry().ReapUploads(t.Context()); err != nil {
		t.Fatal(err)
	}
	collect(t, s)
	if n := s.Stored(t); n != 0 {
		t.Errorf("the bucket holds %d things, want none", n)
	}
	s.CheckData(t)
}

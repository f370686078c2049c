package server_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// rotateAll takes every step, and returns what was sealed anew of each kind, and the
// last answer.
func rotateAll(t *testing.T, s *servertest.Server) (map[string]int, server.RotateResponse) {
	t.Helper()
	resealed := map[string]int{}
	var p server.RotateResponse
	for {
		in, _ := json.Marshal(server.RotateRequest{After: p.After}) // a text
		status, text := s.PostAs(t, s.AWS(), server.RotatePath, string(in))
		p = server.RotateResponse{}
		if err := json.Unmarshal([]byte(text), &p); err != nil || status != 200 {
			t.Fatalf("rotate = %d %s", status, text)
		}
		resealed[string(p.Kind)] += p.Resealed
		if p.After == "" {
			return resealed, p
		}
	}
}

// A master key is replaced while everything goes on, and is then not needed any more.
func TestTheMasterKeyCanBeReplaced(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "aes")
		createSealed(t, s, "kms", types.EncryptionTypeKmsDsse, nil)
		user := s.CreateUserOf(t, s.AWS(), "alice", anything)
		c := s.Login(t)
		img := servertest.NewImage(1, 200_000, 10)
		for _, repository := range []string{"aes", "kms"} {
			c.Push(t, repository, "v1", img)
			c.PushBlob(t, repository, []byte("{}"))
			c.PushManifest(t, repository, "note", ocispec.MediaTypeImageManifest, servertest.Referrer(img, "application/vnd.example", "a note")).Want(t, 201)
		}
		more := servertest.Bytes(5, 150_000)
		begun := c.Do(t, "POST", "/v2/aes/blobs/uploads/", nil).Want(t, 202).Header.Get("Location")
		begun = c.Do(t, "PATCH", begun, more[:100_000]).Want(t, 202).Header.Get("Location")
		if done, last := rotateAll(t, s); done["objects"] != 0 || !last.Retired {
			t.Errorf("with nothing to do: %v, %+v", done, last)
		}

		old := s.Config.MasterKey
		s.Config.MasterKey, s.Config.OldMasterKeys = strings.Repeat("2b", 32), []string{old}
		s.Restart(t)
		check := func(when string) {
			t.Helper()
			for _, repository := range []string{"aes", "kms"} {
				if got := c.Do(t, "GET", "/v2/"+repository+"/blobs/"+digest.FromBytes(img.Layers[0]).String(), nil); !bytes.Equal(got.Body, img.Layers[0]) {
					t.Errorf("%s a layer of %s reads back changed: %d", when, repository, got.Status)
				}
				c.Do(t, "GET", "/v2/"+repository+"/manifests/v1", nil).Want(t, 200)
				r := c.Do(t, "GET", "/v2/"+repository+"/referrers/"+img.Digest.String(), nil).Want(t, 200)
				if !bytes.Contains(r.Body, []byte("a note")) {
					t.Errorf("%s a referrer of %s has no annotation: %s", when, repository, r.Body)
				}
			}
			if err := listRepositories(t, user); err != nil {
				t.Errorf("%s a user's key does not work: %v", when, err)
			}
		}
		check("before it is rotated")
		c.Push(t, "aes", "v2", servertest.NewImage(2, 70_000))
		done, last := rotateAll(t, s)
		want := map[string]int{"objects": 2*6 - 0, "uploads": 1, "annotations": 2, "access-keys": 1, "sessions": 0}
		for kind, n := range want {
			if done[kind] != n {
				t.Errorf("%d %s were sealed anew, want %d", done[kind], kind, n)
			}
		}
		if !last.Retired || last.Master != "fa06288a" {
			t.Errorf("the last step = %+v, want the earlier key retired", last)
		}
		check("after it was rotated")

		s.Config.OldMasterKeys = nil
		s.Restart(t)
		c = s.Login(t)
		check("without the earlier key")
		begun = c.Do(t, "PATCH", begun, more[100_000:]).Want(t, 202).Header.Get("Location")
		c.Do(t, "PUT", begun+"?digest="+digest.FromBytes(more).String(), nil).Want(t, 201)
		s.CheckData(t)
	})
}

func TestRotationStepsRefuseWhatIsNoPlace(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	for _, after := range []string{"x", "x/y", "objects", "objects/\x00", "objects/\u00e9", "/", "OBJECTS/"} {
		in, _ := json.Marshal(server.RotateRequest{After: after}) // a text
		if status, text := s.PostAs(t, s.AWS(), server.RotatePath, string(in)); status != 400 || !strings.Contains(text, "InvalidParameterException") {
			t.Errorf("rotate after %q = %d %s, want InvalidParameterException", after, status, text)
		}
	}
}

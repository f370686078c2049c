package server_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
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

// sealedThings are one of every kind that is sealed.
type sealedThings struct {
	image       servertest.Image
	user, token aws.Config // a user's access key, and temporary credentials
	upload      []byte     // a layer that is half there
	begun       string     // where it goes on
}

// sealedCounts are the kinds of what makeThings makes that needs the master key, and how
// many things of each. What is sealed under a KMS key needs that alone.
var sealedCounts = map[string]int{"objects": 6, "uploads": 1, "annotations": 1, "access-keys": 1, "sessions": 1, "kms-keys": 1}

func makeThings(t *testing.T, s *servertest.Server) *sealedThings {
	t.Helper()
	s.CreateRepository(t, "aes")
	createSealed(t, s, "kms", types.EncryptionTypeKmsDsse, nil)
	th := &sealedThings{image: servertest.NewImage(1, 200_000, 10), user: s.CreateUserOf(t, s.AWS(), "alice", anything), upload: servertest.Bytes(5, 150_000)}
	session, err := sts.NewFromConfig(th.user).GetSessionToken(t.Context(), &sts.GetSessionTokenInput{})
	if err != nil {
		t.Fatal(err)
	}
	th.token = s.AsSession(session.Credentials)
	c := s.Login(t)
	for _, repository := range []string{"aes", "kms"} {
		c.Push(t, repository, "v1", th.image)
		c.PushBlob(t, repository, []byte("{}"))
		c.PushManifest(t, repository, "note", ocispec.MediaTypeImageManifest, servertest.Referrer(th.image, "application/vnd.example", "a note")).Want(t, 201)
	}
	th.begin(t, s)
	return th
}

// begin begins the upload.
func (th *sealedThings) begin(t *testing.T, s *servertest.Server) {
	t.Helper()
	c := s.Login(t)
	th.begun = c.Do(t, "POST", "/v2/aes/blobs/uploads/", nil).Want(t, 202).Header.Get("Location")
	th.begun = c.Do(t, "PATCH", th.begun, th.upload[:100_000]).Want(t, 202).Header.Get("Location")
}

// finish ends the upload.
func (th *sealedThings) finish(t *testing.T, s *servertest.Server) {
	t.Helper()
	c, d := s.Login(t), digest.FromBytes(th.upload).String()
	th.begun = c.Do(t, "PATCH", th.begun, th.upload[100_000:]).Want(t, 202).Header.Get("Location")
	c.Do(t, "PUT", th.begun+"?digest="+d, nil).Want(t, 201)
	if got := c.Do(t, "GET", "/v2/aes/blobs/"+d, nil); !bytes.Equal(got.Body, th.upload) {
		t.Errorf("a layer that was pushed under two master keys reads back changed: %d", got.Status)
	}
}

// check fails the test unless everything can be read.
func (th *sealedThings) check(t *testing.T, s *servertest.Server, when string) {
	t.Helper()
	c := s.Login(t)
	for _, repository := range []string{"aes", "kms"} {
		for _, l := range th.image.Layers {
			if got := c.Do(t, "GET", "/v2/"+repository+"/blobs/"+digest.FromBytes(l).String(), nil); !bytes.Equal(got.Body, l) {
				t.Errorf("%s a layer of %s reads back changed: %d", when, repository, got.Status)
			}
		}
		if got := c.Do(t, "GET", "/v2/"+repository+"/manifests/v1", nil); !bytes.Equal(got.Body, th.image.Manifest) {
			t.Errorf("%s a manifest of %s reads back changed: %d", when, repository, got.Status)
		}
		r := c.Do(t, "GET", "/v2/"+repository+"/referrers/"+th.image.Digest.String(), nil).Want(t, 200)
		if !bytes.Contains(r.Body, []byte("a note")) {
			t.Errorf("%s a referrer of %s has no annotation: %s", when, repository, r.Body)
		}
	}
	for who, as := range map[string]aws.Config{"a user": th.user, "a session": th.token} {
		if err := listRepositories(t, as); err != nil {
			t.Errorf("%s the key of %s does not work: %v", when, who, err)
		}
	}
}

// A master key is replaced while everything goes on, and is then not needed any more.
func TestTheMasterKeyCanBeReplaced(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		th := makeThings(t, s)
		if done, last := rotateAll(t, s); done["objects"] != 0 || !last.Retired {
			t.Errorf("with nothing to do: %v, %+v", done, last)
		}
		password := s.Login(t)
		replaceMaster(t, s)
		th.check(t, s, "before it is rotated")
		s.Login(t).Push(t, "aes", "v2", servertest.NewImage(2, 70_000))
		done, last := rotateAll(t, s)
		for kind, n := range sealedCounts {
			if done[kind] != n {
				t.Errorf("%d %s were sealed anew, want %d", done[kind], kind, n)
			}
		}
		if !last.Retired || last.Master != secondID || len(last.Blocked) != 0 {
			t.Errorf("the last step = %+v, want the earlier key retired", last)
		}
		th.check(t, s, "after it was rotated")
		password.Do(t, "GET", "/v2/aes/manifests/v1", nil).Want(t, 200)

		s.Config.OldMasterKeys = nil
		s.Restart(t)
		th.check(t, s, "without the earlier key")
		password.Do(t, "GET", "/v2/aes/manifests/v1", nil).Want(t, 401)
		th.finish(t, s)
		if done, last := rotateAll(t, s); !last.Retired || done["objects"]+done["uploads"] != 0 {
			t.Errorf("rotated again: %v, %+v", done, last)
		}
		s.CheckData(t)

		s.Stop(t)
		s.Config.MasterKey = firstKey
		_, err := server.Open(t.Context(), s.Config, server.Options{})
		want := "sealed under the master key " + secondID + ", and the one given is " + firstID + ": give that one back, in master-key (BERTH_MASTER_KEY)"
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open with the earlier key alone = %v, want an error with %q", err, want)
		}
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

package server_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
)

// What was stored in plain and is damaged gives way to what is sealed, for all repositories
// that hold it; and the other way round.
func TestWhatIsSealedInAnotherWayHeals(t *testing.T) {
	t.Parallel()
	eachScrubbed(t, func(t *testing.T, s *scrubbed) {
		img := servertest.NewImage(3, 100_000)
		s.CreateRepository(t, "other")
		for _, name := range []string{"app", "other"} {
			s.c.Push(t, name, "v1", img)
		}
		d := digest.FromBytes(img.Layers[0])
		s.damage(t, d, 0)
		s.damage(t, img.Digest, 0)
		s.Config.Seal = map[string]string{"on": "off", "off": "on"}[s.Config.Seal]
		s.Restart(t)
		if r := s.scrub(t); r.Damaged != 2 {
			t.Fatalf("%d objects are in quarantine, want 2", r.Damaged)
		}
		s.c.PushBlob(t, "other", img.Layers[0])
		s.c.PushManifest(t, "other", "v1", "application/vnd.oci.image.manifest.v1+json", img.Manifest).Want(t, 201)
		for _, name := range []string{"app", "other"} {
			if got := s.c.Do(t, "GET", "/v2/"+name+"/blobs/"+string(d), nil).Want(t, 200).Body; !bytes.Equal(got, img.Layers[0]) {
				t.Errorf("the layer in %s differs", name)
			}
			if got := s.c.Do(t, "GET", manifestPath(name, "v1"), nil).Want(t, 200).Body; !bytes.Equal(got, img.Manifest) {
				t.Errorf("the manifest in %s differs", name)
			}
		}
		if r := s.scrub(t); r.Damaged != 0 || r.Last.Damaged != 0 {
			t.Errorf("the status is %+v", r)
		}
		s.CheckData(t)
	})
}

// What an account has sealed under a KMS key heals the account's own repositories, and
// nobody else's.
func TestTheKeysOfAnAccountHealItsOwnBytesAlone(t *testing.T) {
	t.Parallel()
	eachScrubbed(t, func(t *testing.T, s *scrubbed) {
		content := layer(100_000)
		d := digest.FromBytes(content)
		for _, own := range []bool{false, true} {
			account, as := servertest.Account, s.AWS()
			if !own {
				account = "210987654321"
				as = s.CreateAccount(t, account)
			}
			_, err := ecr.NewFromConfig(as).CreateRepository(t.Context(), &ecr.CreateRepositoryInput{
				RepositoryName: new("sealed"), EncryptionConfiguration: &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeKms},
			})
			if err != nil {
				t.Fatal(err)
			}
			c := s.LoginAs(t, as)
			c.Host = account + ".dkr.ecr." + servertest.Region + ".localhost"
			c.PushBlob(t, "sealed", content)
			if !own {
				s.c.PushBlob(t, "app", content)
				s.damage(t, d, 0)
			}
			r := s.scrub(t)
			want := map[bool]string{false: "healed 0, in quarantine 1", true: "healed 1, in quarantine 0"}[own]
			if got := fmt.Sprintf("healed %d, in quarantine %d", r.Last.Healed, r.Damaged); got != want {
				t.Errorf("own %t: %s, want %s", own, got, want)
			}
		}
		if got, whole := s.pull(t, content); !whole || !bytes.Equal(got, content) {
			t.Error("the layer differs")
		}
		if _, text := s.PostAs(t, s.AWS(), server.ScrubStatusPath, `{}`); strings.Contains(text, string(d)) {
			t.Errorf("the status is %s", text)
		}
	})
}

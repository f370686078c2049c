package oci_test

import (
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
)

// mount asks for a blob of another repository. from may be "".
func mount(t testing.TB, c *servertest.Client, repository string, d digest.Digest, from string) *servertest.Response {
	t.Helper()
	query := "?mount=" + d.String()
	if from != "" {
		query += "&from=" + from
	}
	return c.Do(t, "POST", uploadsPath(repository, query), nil)
}

// checkNotMounted reports a mount that was not answered with an upload, through
// which the blob can be pushed.
func checkNotMounted(t testing.TB, what string, c *servertest.Client, r *servertest.Response, repository string, content []byte) {
	t.Helper()
	d := digest.FromBytes(content)
	check(t, what, r, 202)
	checkHeaders(t, what, r, "Docker-Content-Digest", "", "Range", "0-0")
	checkNoBlob(t, c, repository, d)
	u := &upload{c, r.Header.Get("Location")}
	checkCreated(t, what+", then PUT", u.put(t, d, content), repository, d)
	check(t, "DELETE", c.Do(t, "DELETE", blobPath(repository, d), nil), 202)
}

func TestMount(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "source", "target", "third")
		for _, algorithm := range algorithms {
			for _, size := range []int{0, 100, 100_000} {
				content := servertest.Bytes(uint64(size), size)
				d := algorithm.FromBytes(content)
				c.Do(t, "POST", uploadsPath("source", "?digest="+d.String()), content)
				for _, from := range []string{"source", ""} {
					checkCreated(t, "mount from "+from, mount(t, c, "target", d, from), "target", d)
					checkBlob(t, c, "target", d, content)
					check(t, "DELETE", c.Do(t, "DELETE", blobPath("target", d), nil), 202)
					checkBlob(t, c, "source", d, content)
				}
				// What was mounted does not go with its source.
				checkCreated(t, "mount", mount(t, c, "target", d, "source"), "target", d)
				checkCreated(t, "mount of what is there", mount(t, c, "target", d, "source"), "target", d)
				checkCreated(t, "mount from itself", mount(t, c, "target", d, "target"), "target", d)
				check(t, "DELETE from the source", c.Do(t, "DELETE", blobPath("source", d), nil), 202)
				checkBlob(t, c, "target", d, content)
				checkCreated(t, "mount of what was mounted", mount(t, c, "third", d, "target"), "third", d)
				checkBlob(t, c, "third", d, content)
			}
		}
	})
}

func TestMountOfWhatCannotBeMountedStartsAnUpload(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "source", "target", "empty")
		content := []byte("content")
		d := digest.FromBytes(content)
		for _, from := range []string{"", "source", "absent", "target"} {
			checkNotMounted(t, "mount of an absent blob from "+from, c, mount(t, c, "target", d, from), "target", content)
		}
		c.PushBlob(t, "source", content)
		for _, from := range []string{"empty", "absent"} {
			checkNotMounted(t, "mount from "+from, c, mount(t, c, "target", d, from), "target", content)
		}
		// An image's manifest is no blob to mount.
		img := servertest.NewImage(1, 100)
		c.Push(t, "source", "v1", img)
		checkNotMounted(t, "mount of a manifest", c, mount(t, c, "target", img.Digest, "source"), "target", img.Manifest)

		checkError(t, "mount from no name", mount(t, c, "target", d, "..%2fsource"), 400, "NAME_INVALID")
		checkError(t, "mount of no digest", mount(t, c, "target", "sha256:..", "source"), 400, "DIGEST_INVALID")
		checkError(t, "mount into an absent repository", mount(t, c, "absent", d, "source"), 404, "NAME_UNKNOWN")

		// A deleted repository is no source any more.
		name := "source"
		if _, err := s.ECR().DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: &name, Force: true}); err != nil {
			t.Fatal(err)
		}
		for _, from := range []string{"", "source"} {
			checkNotMounted(t, "mount from a deleted repository", c, mount(t, c, "target", d, from), "target", content)
		}
	})
}

// Bytes that are sealed under one key are never served from under another.
func TestMountStaysInsideAKeyDomain(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "aes")
		for name, key := range map[string]string{"kms": "", "other-kms": s.CreateKey(t), "kms-twin": ""} {
			e := &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeKms}
			if key != "" {
				e.KmsKey = &key
			}
			if _, err := s.ECR().CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: &name, EncryptionConfiguration: e}); err != nil {
				t.Fatal(err)
			}
		}
		content := []byte("content")
		d := digest.FromBytes(content)
		c.PushBlob(t, "kms", content)
		for _, target := range []string{"aes", "other-kms"} {
			for _, from := range []string{"kms", ""} {
				checkNotMounted(t, "mount into "+target+" from "+from, c, mount(t, c, target, d, from), target, content)
			}
		}
		for _, from := range []string{"kms", ""} {
			checkCreated(t, "mount into the same domain", mount(t, c, "kms-twin", d, from), "kms-twin", d)
			check(t, "DELETE", c.Do(t, "DELETE", blobPath("kms-twin", d), nil), 202)
		}
	})
}

func TestMountStaysInsideARegistry(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		name := "app"
		if _, err := s.ECRIn("eu-west-1").CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: &name}); err != nil {
			t.Fatal(err)
		}
		content := []byte("content")
		d := digest.FromBytes(content)
		c.PushBlob(t, "app", content)
		there := *c
		there.Host = "123456789012.dkr.ecr.eu-west-1.localhost"
		for _, from := range []string{"app", ""} {
			checkNotMounted(t, "mount from another region", &there, mount(t, &there, "app", d, from), "app", content)
		}
	})
}

func TestMountWhileMountingIsDisabled(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "source", "target")
		content := []byte("content")
		d := digest.FromBytes(content)
		c.PushBlob(t, "source", content)
		set := func(value string) {
			t.Helper()
			name := "BLOB_MOUNTING"
			if _, err := s.ECR().PutAccountSetting(t.Context(), &ecr.PutAccountSettingInput{Name: &name, Value: &value}); err != nil {
				t.Fatal(err)
			}
		}
		set("DISABLED")
		for _, from := range []string{"source", ""} {
			checkNotMounted(t, "mount while disabled", c, mount(t, c, "target", d, from), "target", content)
		}
		set("ENABLED")
		checkCreated(t, "mount while enabled", mount(t, c, "target", d, "source"), "target", d)
		// To disable it later takes nothing away.
		set("DISABLED")
		checkBlob(t, c, "target", d, content)
	})
}

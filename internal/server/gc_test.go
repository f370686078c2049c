package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"berth/internal/config"
	"berth/internal/gc"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const day = 24 * time.Hour

// collect has a server remove what nothing reaches, and look through everything. There
// must be nothing that was not noted.
func collect(t testing.TB, s *servertest.Server) gc.Run {
	t.Helper()
	run, err := s.Server().Garbage().Collect(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	if run.Found != 0 {
		t.Errorf("%d layers and objects were garbage that nobody had noted", run.Found)
	}
	return run
}

// inLayers returns an image whose layers are kept in the bucket.
func inLayers(seed uint64, n int) servertest.Image {
	sizes := make([]int, n)
	for i := range sizes {
		sizes[i] = 70_000 + i
	}
	return servertest.NewImage(seed, sizes...)
}

// pulled fails the test unless an image can be pulled, by its digest and all of it.
func pulled(t testing.TB, s *servertest.Server, repository string, img servertest.Image) {
	t.Helper()
	c := s.Login(t)
	c.Do(t, "GET", manifestPath(repository, img.Digest.String()), nil).Want(t, 200)
	for _, b := range append(img.Layers[:len(img.Layers):len(img.Layers)], img.Config) {
		d := digest.FromBytes(b)
		if got := c.Do(t, "GET", "/v2/"+repository+"/blobs/"+d.String(), nil).Want(t, 200).Body; digest.FromBytes(got) != d {
			t.Errorf("layer %s of %s differs from what was pushed", d, repository)
		}
	}
}

// has reports whether a repository says that it has a blob.
func has(t testing.TB, s *servertest.Server, repository string, content []byte) bool {
	t.Helper()
	return s.Login(t).Do(t, "HEAD", "/v2/"+repository+"/blobs/"+digest.FromBytes(content).String(), nil).Status == 200
}

func deleteImage(t testing.TB, s *servertest.Server, repository string, d digest.Digest) {
	t.Helper()
	s.Login(t).Do(t, "DELETE", manifestPath(repository, d.String()), nil).Want(t, 202)
}

// Everything that keeps something, each on its own, and what is garbage beside it.
func TestGarbageIsWhatNothingReaches(t *testing.T) {
	t.Parallel()
	counting := func(c *config.Config) {
		c.StorageQuotas = []string{servertest.Account + "=1000000000", servertest.Account + "/app=1000000000"}
	}
	servertest.Each(t, servertest.Options{Configure: counting}, func(t *testing.T, s *servertest.Server) {
		for _, name := range []string{"app", "other", "young", "old"} {
			s.CreateRepository(t, name)
		}
		c := s.Login(t)
		tagged, untagged, child, subject, restorable, over, again := inLayers(1, 2), inLayers(2, 1), inLayers(3, 1), inLayers(4, 1), inLayers(5, 1), inLayers(6, 1), inLayers(7, 1)
		shares := tagged
		shares.Manifest = []byte(strings.Replace(string(tagged.Manifest), `{`, `{"annotations":{"another":"one"},`, 1))
		shares.Digest = digest.FromBytes(shares.Manifest)
		c.Push(t, "app", "v1", tagged)
		c.Push(t, "app", shares.Digest.String(), shares)
		for _, img := range []servertest.Image{untagged, child, subject, restorable, over, again} {
			c.Push(t, "app", img.Digest.String(), img)
		}
		index := servertest.Index(child)
		c.PushManifest(t, "app", "multi", ocispec.MediaTypeImageIndex, index).Want(t, 201)
		c.PushBlob(t, "app", []byte("{}"))
		referrer := servertest.Referrer(subject, "application/x", "1")
		c.PushManifest(t, "app", digest.FromBytes(referrer).String(), ocispec.MediaTypeImageManifest, referrer).Want(t, 201)
		loose, rare := servertest.Bytes(90, 80_000), servertest.Bytes(91, 80_000)
		c.PushBlob(t, "app", loose)
		c.PushBlob(t, "app", rare)
		c.Do(t, "POST", "/v2/other/blobs/uploads/?mount="+digest.FromBytes(over.Layers[0]).String()+"&from=app", nil).Want(t, 201)
		c.PushBlob(t, "other", over.Config)
		c.PushManifest(t, "other", over.Digest.String(), ocispec.MediaTypeImageManifest, over.Manifest).Want(t, 201)
		inYoung, inOld := inLayers(8, 1), inLayers(9, 1)
		c.Push(t, "young", "v1", inYoung)
		c.Push(t, "old", "v1", inOld)
		c.Push(t, "old", "v2", tagged) // whose bytes app has as well

		for _, img := range []servertest.Image{over, again, shares} {
			deleteImage(t, s, "app", img.Digest)
		}
		deleteRepository(t, s, "old")
		all := s.Stored(t)
		if run := collect(t, s); run.Images+run.Layers+run.Objects != 0 {
			t.Errorf("at once %+v was removed", run.Removed)
		}

		s.Clock.Advance(5 * time.Hour) // no push relies on anything any more
		if run := collect(t, s); run.Layers != 0 {
			t.Errorf("when leases have just ended %+v was removed", run.Removed)
		}
		if !has(t, s, "app", rare) { // from here on somebody relies on it
			t.Error("a layer is gone that is not old enough")
		}
		s.Clock.Advance(23 * time.Hour)
		if run := collect(t, s); run.Layers != 1 || run.Objects != 1 {
			t.Errorf("a day later %+v was removed, want the one layer that nobody has asked for", run.Removed)
		}
		if has(t, s, "app", loose) || !has(t, s, "app", rare) {
			t.Error("not the layer is gone that nobody has asked for")
		}
		s.Clock.Advance(5 * day)
		c = s.Login(t)
		deleteImage(t, s, "app", restorable.Digest)
		deleteRepository(t, s, "young")
		c.Push(t, "app", "again", again)
		for _, img := range []servertest.Image{tagged, untagged, child, subject, again} {
			pulled(t, s, "app", img)
		}
		if run := collect(t, s); run.Layers != 1 || run.Images != 0 { // rare
			t.Errorf("before anything is over %+v was removed", run.Removed)
		}

		s.Clock.Advance(day) // more than a week after the first were deleted
		run := collect(t, s)
		// over, the first again, shares; the images and layers of old, of which v2 has three.
		if run.Images != 3+2 || run.Repositories != 1 || run.Layers != 2+3 {
			t.Errorf("after a week %d repositories and %+v were removed", run.Repositories, run.Removed)
		}
		if _, err := s.ECR().DescribeImages(t.Context(), &ecr.DescribeImagesInput{RepositoryName: new("old")}); servertest.ErrorCode(err) != "RepositoryNotFoundException" {
			t.Errorf("old: %v", err)
		}
		refused(t, s, server.RestoreRepositoryPath, `{"repositoryName":"old"}`, "RepositoryNotFoundException", "no such repository was deleted")
		refused(t, s, server.RestoreImagePath, `{"repositoryName":"app","imageDigest":"`+over.Digest.String()+`"}`, "ImageNotFoundException", "no image of that digest was deleted")
		s.Clock.Advance(day + 2*time.Hour) // the layers that these images have let go of
		if run := collect(t, s); run.Layers != 2 || run.Images != 0 {
			t.Errorf("a day after that %+v was removed, want the two layers of one image", run.Removed)
		}
		for _, img := range []servertest.Image{tagged, untagged, child, subject, again} {
			pulled(t, s, "app", img)
		}
		pulled(t, s, "other", over)
		mustAsk[any](t, s, server.RestoreImagePath, `{"repositoryName":"app","imageDigest":"`+restorable.Digest.String()+`"}`)
		mustAsk[any](t, s, server.RestoreRepositoryPath, `{"repositoryName":"young"}`)
		pulled(t, s, "app", restorable)
		pulled(t, s, "young", inYoung)

		s.Clock.Advance(2 * time.Hour)
		collect(t, s)
		// loose, rare, and the layer of old's own image: over's is in other, too.
		if n := s.Stored(t); n != all-3 {
			t.Errorf("the bucket holds %d things, want %d", n, all-3)
		}
		s.CheckData(t)
	})
}

// A push of what is being removed is never hit, not even by a removal that comes late.
func TestWhatIsPushedAgainStays(t *testing.T) {
	t.Parallel()
	for _, s3 := range []bool{false, true} {
		t.Run(fmt.Sprintf("s3 %t", s3), func(t *testing.T) {
			t.Parallel()
			servertest.Each(t, servertest.Options{S3: s3}, func(t *testing.T, s *servertest.Server) {
				s.CreateRepository(t, "app")
				img := inLayers(1, 2)
				for range 3 {
					s.Login(t).Push(t, "app", "v1", img)
					pulled(t, s, "app", img)
					deleteImage(t, s, "app", img.Digest)
					s.Clock.Advance(7*day + time.Hour)
					collect(t, s)
					s.Clock.Advance(day + time.Hour)
					if run := collect(t, s); run.Objects < 3 {
						t.Errorf("%+v was removed, want all of the image", run.Removed)
					}
				}
				s.Login(t).Push(t, "app", "v1", img)
				for range 3 {
					s.Clock.Advance(2 * time.Hour)
					collect(t, s)
					pulled(t, s, "app", img)
				}
				if n := s.Stored(t); n != 2 {
					t.Errorf("the bucket holds %d things, want two layers", n)
				}
				s.CheckData(t)
			})
		})
	}
}

// Bytes that a process has left behind which ended between an upload and its record.
func TestBytesThatNobodyKnowsOfAreRemoved(t *testing.T) {
	t.Parallel()
	for _, s3 := range []bool{false, true} {
		t.Run(fmt.Sprintf("s3 %t", s3), func(t *testing.T) {
			t.Parallel()
			s := servertest.Start(t, servertest.Options{S3: s3})
			s.CreateRepository(t, "app")
			img := inLayers(1, 1)
			s.Login(t).Push(t, "app", "v1", img)
			orphan := blobOf(t, s, 100_000)
			if run := collect(t, s); run.Orphans != 0 {
				t.Error("bytes that have just come count as nobody's")
			}
			s.Clock.Advance(49 * time.Hour)
			if run := collect(t, s); run.Orphans != 1 {
				t.Errorf("%d orphans were found, want one", run.Orphans)
			}
			s.Clock.Advance(6 * day)
			if run := collect(t, s); run.Orphans != 0 {
				t.Errorf("%d orphans were found again", run.Orphans)
			}
			if _, err := s.Server().Bucket().Stat(t.Context(), orphan); err != nil {
				t.Errorf("there is no time to see why nobody knows of them: %v", err)
			}
			s.Clock.Advance(25 * time.Hour)
			collect(t, s)
			if _, err := s.Server().Bucket().Stat(t.Context(), orphan); err == nil {
				t.Error("bytes that nobody knows of are still there")
			}
			pulled(t, s, "app", img)
			s.CheckData(t)
		})
	}
}

// blobOf stores bytes in the bucket that no row knows, and returns their key.
func blobOf(t testing.TB, s *servertest.Server, n int) string {
	t.Helper()
	b := s.Server().Bucket()
	w, err := b.Upload(t.Context(), b.(interface{ NewKey() string }).NewKey(), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Write(servertest.Bytes(1, n)); err != nil {
		t.Fatal(err)
	}
	key, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

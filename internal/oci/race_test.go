package oci_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
)

// readAnswer reads an answer from a connection.
func readAnswer(t testing.TB, conn net.Conn) (status int, body string) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// together runs do at the same time, as nearly as can be, and returns the
// answers.
func together(n int, do func(i int) *servertest.Response) []*servertest.Response {
	answers := make([]*servertest.Response, n)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			answers[i] = do(i)
		})
	}
	close(start)
	all.Wait()
	return answers
}

// count returns how many answers have a status.
func count(answers []*servertest.Response, status int) int {
	n := 0
	for _, r := range answers {
		if r.Status == status {
			n++
		}
	}
	return n
}

// statuses returns the statuses of answers in order, for messages.
func statuses(answers []*servertest.Response) []int {
	var all []int
	for _, r := range answers {
		all = append(all, r.Status)
	}
	slices.Sort(all)
	return all
}

const writers = 32

func TestManyWritersOfOneImmutableTag(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createWith(t, s, "app", types.ImageTagMutabilityImmutable)
		c := begin(t, s)
		images := make([]servertest.Image, writers)
		for i := range images {
			images[i] = servertest.NewImage(uint64(i), 10)
			c.PushBlobs(t, "app", images[i])
		}
		for _, tag := range []string{"v1", "latest"} {
			answers := together(writers, func(i int) *servertest.Response {
				return c.PushManifest(t, "app", tag, typeManifest, images[i].Manifest)
			})
			if count(answers, 201) != 1 || count(answers, 400) != writers-1 {
				t.Errorf("PUT %s: %v, want 201 once and 400 else", tag, statuses(answers))
			}
			for i, r := range answers {
				if r.Status == 201 {
					checkManifest(t, c, "app", tag, typeManifest, images[i].Manifest)
					continue
				}
				checkFrozen(t, "PUT", r, "app", tag)
				if tag == "v1" {
					check(t, "GET of a loser", c.Do(t, "GET", manifestPath("app", images[i].Digest.String()), nil), 404)
				}
			}
		}
	})
}

func TestManyWritersOfOneMutableTag(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		images := make([]servertest.Image, writers)
		for i := range images {
			images[i] = servertest.NewImage(uint64(i), 10)
			c.PushBlobs(t, "app", images[i])
		}
		answers := together(writers, func(i int) *servertest.Response {
			return c.PushManifest(t, "app", "latest", typeManifest, images[i].Manifest)
		})
		if count(answers, 201) != writers {
			t.Errorf("PUT: %v, want 201 each", statuses(answers))
		}
		got := c.Do(t, "GET", manifestPath("app", "latest"), nil).Want(t, 200)
		if !slices.ContainsFunc(images, func(img servertest.Image) bool { return bytes.Equal(img.Manifest, got.Body) }) {
			t.Errorf("the tag is on none of the images: %s", got.Body)
		}
		for _, img := range images {
			checkManifest(t, c, "app", img.Digest.String(), typeManifest, img.Manifest)
		}
	})
}

func TestManyPushesOfTheSame(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app", "other")
		repository := func(i int) string { return []string{"app", "other"}[i%2] }
		for _, size := range []int{100, 300_000} {
			content := servertest.Bytes(uint64(size), size)
			d := digest.FromBytes(content)
			answers := together(writers, func(i int) *servertest.Response {
				return c.Do(t, "POST", uploadsPath(repository(i), "?digest="+d.String()), content)
			})
			if count(answers, 201) != writers {
				t.Errorf("POST: %v, want 201 each", statuses(answers))
			}
			checkBlob(t, c, "app", d, content)
			checkBlob(t, c, "other", d, content)
		}
		if got := s.Stored(t); got != 1 {
			t.Errorf("%d files are stored, want the larger blob's", got)
		}
		img := servertest.NewImage(1, 10)
		c.PushBlobs(t, "app", img)
		c.PushBlobs(t, "other", img)
		for _, reference := range []string{"v1", img.Digest.String()} {
			answers := together(writers, func(i int) *servertest.Response {
				return c.PushManifest(t, repository(i), reference, typeManifest, img.Manifest)
			})
			if count(answers, 201) != writers {
				t.Errorf("PUT %s: %v, want 201 each", reference, statuses(answers))
			}
			checkManifest(t, c, "app", reference, typeManifest, img.Manifest)
			checkManifest(t, c, "other", reference, typeManifest, img.Manifest)
		}
	})
}

func TestManyWritersOfOneUpload(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		for _, size := range []int{100, 100_000} {
			content := servertest.Bytes(uint64(size), 2*size)
			d := digest.FromBytes(content)
			u := startUpload(t, c, "app", "")
			for part := range 2 {
				answers := together(writers, func(int) *servertest.Response {
					return c.Do(t, "PATCH", u.location, content[part*size:(part+1)*size], contentRange(part*size, (part+1)*size-1)...)
				})
				if count(answers, 202) != 1 || count(answers, 416) != writers-1 {
					t.Errorf("PATCH: %v, want 202 once and 416 else", statuses(answers))
				}
				checkHeaders(t, "status", u.status(t), "Range", fmt.Sprintf("0-%d", (part+1)*size-1))
			}
			answers := together(writers, func(int) *servertest.Response { return u.put(t, d, nil) })
			if count(answers, 201) != 1 || count(answers, 404) != writers-1 {
				t.Errorf("PUT: %v, want 201 once and 404 else", statuses(answers))
			}
			checkBlob(t, c, "app", d, content)
		}
		if got := s.Stored(t); got != 1 {
			t.Errorf("%d files are stored, want the larger blob's", got)
		}
	})
}

// Chunks, ends and cancellations of one upload at once: whatever wins, no digest
// has other bytes than its own, and nothing stays that nobody asked for.
func TestEverythingAtOnceOnOneUpload(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		half, whole := servertest.Bytes(1, 100_000), servertest.Bytes(1, 200_000)
		for range 5 {
			u := startUpload(t, c, "app", "")
			check(t, "PATCH", u.patch(t, whole[:len(half)]), 202)
			answers := together(writers, func(i int) *servertest.Response {
				switch i % 4 {
				case 0:
					return c.Do(t, "PATCH", u.location, whole[len(half):], contentRange(len(half), len(whole)-1)...)
				case 1:
					return u.put(t, digest.FromBytes(half), nil)
				case 2:
					return u.put(t, digest.FromBytes(whole), whole[len(half):], contentRange(len(half), len(whole)-1)...)
				}
				return c.Do(t, "DELETE", u.location, nil)
			})
			for _, r := range answers {
				if !slices.Contains([]int{201, 202, 204, 400, 404, 416}, r.Status) {
					t.Errorf("an answer = %d %s", r.Status, r.Body)
				}
			}
			if ended := count(answers, 201) + count(answers, 204) + count(answers, 400); ended > 1 {
				t.Errorf("the upload ended %d times: %v", ended, statuses(answers))
			}
			for _, content := range [][]byte{half, whole} {
				if r := c.Do(t, "GET", blobPath("app", digest.FromBytes(content)), nil); r.Status == 200 && !bytes.Equal(r.Body, content) {
					t.Error("a blob has other bytes than its digest's")
				}
			}
			c.Do(t, "DELETE", u.location, nil) // if nothing has ended it
		}
		if got := s.Stored(t); got > 2 {
			t.Errorf("%d files are stored, want those of two blobs at most", got)
		}
	})
}

// Pushes and deletes of the same things at once end in a state in which what is
// there is whole.
func TestPushesAndDeletesAtOnce(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		img, index := servertest.NewImage(1, 10, 100_000), servertest.Index(servertest.NewImage(1, 10, 100_000))
		c.Push(t, "app", "v1", img)
		layer := digest.FromBytes(img.Layers[1])
		answers := together(2*writers, func(i int) *servertest.Response {
			switch i % 8 {
			case 0:
				return c.Do(t, "DELETE", manifestPath("app", "v1"), nil)
			case 1:
				return c.Do(t, "DELETE", manifestPath("app", img.Digest.String()), nil)
			case 2:
				return c.Do(t, "DELETE", blobPath("app", layer), nil)
			case 3:
				return c.PushManifest(t, "app", "index", typeIndex, index)
			case 4:
				return c.Do(t, "DELETE", manifestPath("app", "index"), nil)
			case 5:
				return c.Do(t, "POST", uploadsPath("app", "?digest="+layer.String()), img.Layers[1])
			case 6:
				return c.Do(t, "GET", blobPath("app", layer), nil)
			}
			return c.PushManifest(t, "app", "v1", typeManifest, img.Manifest)
		})
		for _, r := range answers {
			if !slices.Contains([]int{200, 201, 202, 404, 405}, r.Status) {
				t.Errorf("an answer = %d %s", r.Status, r.Body)
			}
		}
		whole := func(reference string) {
			t.Helper()
			if c.Do(t, "HEAD", manifestPath("app", reference), nil).Status == 200 {
				checkManifest(t, c, "app", img.Digest.String(), typeManifest, img.Manifest)
				for _, content := range append(img.Layers, img.Config) {
					checkBlob(t, c, "app", digest.FromBytes(content), content)
				}
			}
		}
		whole("v1")
		whole("index")
		c.Push(t, "app", "v1", img)
		whole("v1")
	})
}

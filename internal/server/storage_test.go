package server_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"berth/internal/blob"
	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/opencontainers/go-digest"
)

const uploadsOfApp = "/v2/app/blobs/uploads/"

// layer returns n bytes that are like no others.
func layer(n int) []byte {
	b := make([]byte, n)
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Int())
	}
	_, _ = rand.NewChaCha8(seed).Read(b) // never fails
	return b
}

// sealings runs a test on stores that seal and on those that do not.
func sealings(t *testing.T, test func(t *testing.T, seal string)) {
	t.Parallel()
	for _, seal := range []string{"on", "off"} {
		t.Run("seal "+seal, func(t *testing.T) {
			t.Parallel()
			test(t, seal)
		})
	}
}

// replicas returns clients of two processes that share PostgreSQL and S3.
func replicas(t *testing.T, seal string) (a, b *servertest.Client) {
	t.Helper()
	o := servertest.Options{Postgres: true, S3: true, Configure: func(c *config.Config) { c.Seal = seal }}
	first := servertest.Start(t, o)
	o = servertest.Options{Configure: func(c *config.Config) {
		data := c.Data
		*c = *first.Config
		c.Data = data
	}}
	second := servertest.Start(t, o)
	first.CreateRepository(t, "app")
	a = first.Login(t)
	b = second.Login(t)
	return a, b
}

func TestEveryChunkMayReachAnotherProcess(t *testing.T) {
	sealings(t, func(t *testing.T, seal string) {
		a, b := replicas(t, seal)
		content := layer(17<<20 + 3)
		d := digest.FromBytes(content)
		location := a.Do(t, "POST", uploadsOfApp, nil).Want(t, 202).Header.Get("Location")
		clients := []*servertest.Client{b, a}
		for i, at := 0, 0; at < len(content); i++ {
			end := min(at+1<<20+i*2_000_000, len(content))
			clients[i%2].Do(t, "PATCH", location, content[at:end], "Content-Range", fmt.Sprintf("%d-%d", at, end-1)).Want(t, 202)
			at = end
			if r := clients[(i+1)%2].Do(t, "GET", location, nil).Want(t, 204).Header.Get("Range"); r != fmt.Sprintf("0-%d", at-1) {
				t.Fatalf("the other process says %s, want 0-%d", r, at-1)
			}
		}
		b.Do(t, "PUT", location+"?digest="+d.String(), nil).Want(t, 201)
		if got := a.Do(t, "GET", "/v2/app/blobs/"+d.String(), nil).Want(t, 200).Body; !bytes.Equal(got, content) {
			t.Error("the layer differs from what was pushed")
		}
		if n := a.Server.Stored(t); n != 1 {
			t.Errorf("the bucket holds %d things, want the layer alone", n)
		}
	})
}

func TestAnUploadCompletedTwiceAtOnceIsStoredOnce(t *testing.T) {
	sealings(t, func(t *testing.T, seal string) {
		a, b := replicas(t, seal)
		for i := range 10 {
			content := layer(100_000 + i%2*6<<20)
			d := digest.FromBytes(content)
			location := a.Do(t, "POST", uploadsOfApp, nil).Want(t, 202).Header.Get("Location")
			a.Do(t, "PATCH", location, content).Want(t, 202)
			got := atOnce(2, func(i int) string {
				return fmt.Sprint([]*servertest.Client{a, b}[i].Do(t, "PUT", location+"?digest="+d.String(), nil).Status)
			})
			if got["201"]+got["404"] != 2 {
				t.Errorf("two at once were answered %v, want 201 and 404", got)
			}
			r := a.Do(t, "GET", "/v2/app/blobs/"+d.String(), nil)
			if stored := r.Status == 200 && bytes.Equal(r.Body, content); stored != (got["201"] > 0) {
				t.Errorf("after %v the layer is stored: %t", got, stored)
			}
		}
	})
}

func TestTwoProcessesThatAppendAtOnceDoNotMix(t *testing.T) {
	sealings(t, func(t *testing.T, seal string) {
		a, b := replicas(t, seal)
		for i := range 6 {
			size := 70_000 + i%2*6<<20
			first, one, other := layer(size), layer(size), layer(size)
			location := a.Do(t, "POST", uploadsOfApp, nil).Want(t, 202).Header.Get("Location")
			a.Do(t, "PATCH", location, first).Want(t, 202)
			where := fmt.Sprintf("%d-%d", size, 2*size-1)
			answers := [2]int{}
			atOnce(2, func(i int) string {
				body := [][]byte{one, other}[i]
				answers[i] = []*servertest.Client{a, b}[i].Do(t, "PATCH", location, body, "Content-Range", where).Status
				return ""
			})
			if answers[0] == 202 && answers[1] == 202 {
				t.Error("both were taken")
			}
			for i, second := range [][]byte{one, other} {
				d := digest.FromBytes(append(bytes.Clone(first), second...))
				r := b.Do(t, "PUT", location+"?digest="+d.String(), nil)
				if r.Status == 201 && answers[i] != 202 {
					t.Errorf("a layer was made of bytes that were refused with %d", answers[i])
				}
				if r.Status != 201 {
					continue
				}
				if got := a.Do(t, "GET", "/v2/app/blobs/"+d.String(), nil).Want(t, 200).Body; digest.FromBytes(got) != d {
					t.Error("the layer is not what was pushed")
				}
			}
		}
	})
}

func TestLayersAreFetchedFromS3(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{S3: true, Configure: func(c *config.Config) { c.S3Redirects, c.Seal = "on", "off" }})
	s.CreateRepository(t, "app")
	c := s.Login(t)
	img := servertest.NewImage(1, 200_000, 100)
	c.Push(t, "app", "v1", img)
	large, small := digest.FromBytes(img.Layers[0]).String(), digest.FromBytes(img.Layers[1]).String()
	out, err := s.ECR().GetDownloadUrlForLayer(t.Context(), &ecr.GetDownloadUrlForLayerInput{RepositoryName: new("app"), LayerDigest: &large})
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"/v2/app/blobs/" + large, *out.DownloadUrl} {
		r := c.Do(t, "GET", url, nil).Want(t, 307)
		target := r.Header.Get("Location")
		if !strings.HasPrefix(target, s.Config.S3Endpoint+"/") || r.Header.Get("Cache-Control") != "no-store" || len(r.Body) > 0 {
			t.Fatalf("GET = %v, want a redirect to the store", r.Header)
		}
		resp, err := http.Get(target)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(body, img.Layers[0]) || resp.Header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("GET of %s = %s, %d bytes, %v, want the layer", target, resp.Status, len(body), err)
		}
	}
	c.Do(t, "HEAD", "/v2/app/blobs/"+large, nil).Want(t, 200)
	c.Do(t, "HEAD", *out.DownloadUrl, nil).Want(t, 200)
	c.Do(t, "GET", "/v2/app/blobs/"+small, nil).Want(t, 200) // it is in the database
	(&servertest.Client{Server: s, HTTP: c.HTTP}).Do(t, "GET", "/v2/app/blobs/"+large, nil).Want(t, 401)
}

func TestUploadsThatNobodyKnowsAreReaped(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{S3: true})
	s.CreateRepository(t, "app")
	c := s.Login(t)
	content := layer(7 << 20)
	location := c.Do(t, "POST", uploadsOfApp, nil).Want(t, 202).Header.Get("Location")
	c.Do(t, "PATCH", location, content[:6<<20]).Want(t, 202)
	c.PushBlob(t, "app", layer(100_000))
	store := blob.NewStore(s.Server().Bucket())
	for range 3 {
		var u blob.Upload
		if err := store.Append(t.Context(), &u, bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string, want int) {
		t.Helper()
		if err := s.Server().Registry().ReapUploads(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := s.Stored(t); n != want {
			t.Errorf("%s the bucket holds %d things, want %d", when, n, want)
		}
	}
	check("at first", 5)
	s.Clock.Advance(23 * time.Hour)
	check("after a day", 5)
	location = s.Login(t).Do(t, "POST", uploadsOfApp, nil).Want(t, 202).Header.Get("Location")
	s.Login(t).Do(t, "PATCH", location, content[:5<<20]).Want(t, 202) // to the store as old as the others
	s.Clock.Advance(26 * time.Hour)
	check("after two days", 2) // the layer and the last upload
}

func TestAWrongDigestTakesNothingFromAnotherProcess(t *testing.T) {
	sealings(t, func(t *testing.T, seal string) {
		a, b := replicas(t, seal)
		for i := range 6 {
			content := layer(100_000 + i%2*6<<20)
			d := digest.FromBytes(content)
			location := a.Do(t, "POST", uploadsOfApp, nil).Want(t, 202).Header.Get("Location")
			a.Do(t, "PATCH", location, content).Want(t, 202)
			answers := [2]int{}
			atOnce(2, func(i int) string {
				claimed := []digest.Digest{d, digest.SHA512.FromString("x")}[i]
				answers[i] = []*servertest.Client{a, b}[i].Do(t, "PUT", location+"?digest="+claimed.String(), nil).Status
				return ""
			})
			r := a.Do(t, "GET", "/v2/app/blobs/"+d.String(), nil)
			if stored := r.Status == 200 && bytes.Equal(r.Body, content); stored != (answers[0] == 201) || answers[1] == 201 {
				t.Errorf("after %v the layer is stored: %t", answers, stored)
			}
		}
	})
}

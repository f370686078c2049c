package server_test

import (
	"bytes"
	"testing"

	"berth/internal/blob/buckettest"
	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/opencontainers/go-digest"
)

// faulty returns a server whose store is behind a proxy.
func faulty(t *testing.T, seal string) (*servertest.Server, *buckettest.Proxy) {
	t.Helper()
	var p *buckettest.Proxy
	s := servertest.Start(t, servertest.Options{S3: true, Errors: true, Configure: func(c *config.Config) {
		p = buckettest.StartProxy(t, c.S3Endpoint)
		c.S3Endpoint, c.Seal = p.URL, seal
	}})
	s.CreateRepository(t, "app")
	return s, p
}

func TestAnUploadOutlivesAnAbsenceOfTheStore(t *testing.T) {
	sealings(t, func(t *testing.T, seal string) {
		s, p := faulty(t, seal)
		c := s.Login(t)
		for _, first := range []int{50_000, 1 << 20, 6 << 20} { // in the database, a tail, a part
			content := layer(first + 6<<20)
			d := digest.FromBytes(content)
			location := c.Do(t, "POST", uploadsOfApp, nil).Want(t, 202).Header.Get("Location")
			c.Do(t, "PATCH", location, content[:first]).Want(t, 202)
			for _, operation := range []string{"UploadPart", "PutObject"} {
				p.Plan(buckettest.Always(operation, buckettest.Denied))
				c.Do(t, "PATCH", location, content[first:]).Want(t, 503)
			}
			p.Plan(nil)
			c.Do(t, "PATCH", location, content[first:]).Want(t, 202)
			for _, operation := range []string{"GetObject", "CompleteMultipartUpload"} {
				p.Plan(buckettest.Always(operation, buckettest.Denied))
				c.Do(t, "PUT", location+"?digest="+d.String(), nil).Want(t, 503)
			}
			p.Plan(nil)
			c.Do(t, "PUT", location+"?digest="+d.String(), nil).Want(t, 201)
			if got := c.Do(t, "GET", "/v2/app/blobs/"+d.String(), nil).Want(t, 200).Body; !bytes.Equal(got, content) {
				t.Error("the layer differs from what was pushed")
			}
		}
	})
}

func TestAPartThatTheStoreDidNotTakeDoesNotCount(t *testing.T) {
	sealings(t, func(t *testing.T, seal string) {
		s, p := faulty(t, seal)
		content := layer(6<<20 + 100)
		d := digest.FromBytes(content).String()
		client := s.ECR()
		started, err := client.InitiateLayerUpload(t.Context(), &ecr.InitiateLayerUploadInput{RepositoryName: new("app")})
		if err != nil {
			t.Fatal(err)
		}
		send := func(from, to int) error {
			_, err := client.UploadLayerPart(t.Context(), &ecr.UploadLayerPartInput{
				RepositoryName: new("app"), UploadId: started.UploadId, PartFirstByte: new(int64(from)), PartLastByte: new(int64(to - 1)),
				LayerPartBlob: content[from:to],
			}, func(o *ecr.Options) { o.RetryMaxAttempts = 1 })
			return err
		}
		if err := send(0, 6<<20); err != nil {
			t.Fatal(err)
		}
		p.Plan(buckettest.Always("GetObject", buckettest.Denied))
		if err := send(6<<20, len(content)); err == nil {
			t.Error("a part was taken while the store was away")
		}
		p.Plan(nil)
		if err := send(6<<20, len(content)); err != nil {
			t.Fatal(err)
		}
		_, err = client.CompleteLayerUpload(t.Context(), &ecr.CompleteLayerUploadInput{RepositoryName: new("app"), UploadId: started.UploadId, LayerDigests: []string{d}})
		if err != nil {
			t.Errorf("CompleteLayerUpload = %v", err)
		}
	})
}

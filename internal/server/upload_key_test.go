package server_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"berth/internal/blob/buckettest"
	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/opencontainers/go-digest"
)

// meanwhile runs a test on servers of both databases, which is given how to have
// something done while the next layer is finished.
func meanwhile(t *testing.T, test func(t *testing.T, s *servertest.Server, do func(func(context.Context)))) {
	t.Parallel()
	for _, postgres := range []bool{false, true} {
		t.Run(fmt.Sprintf("postgres=%t", postgres), func(t *testing.T) {
			t.Parallel()
			var p *buckettest.Proxy
			s := servertest.Start(t, servertest.Options{S3: true, Postgres: postgres, Configure: func(c *config.Config) {
				p = buckettest.StartProxy(t, c.S3Endpoint)
				c.S3Endpoint = p.URL
			}})
			ctx := t.Context()
			test(t, s, func(fn func(context.Context)) {
				var once sync.Once
				p.Plan(func(r *http.Request) buckettest.Fault {
					if buckettest.Operation(r) == "CompleteMultipartUpload" {
						once.Do(func() { fn(ctx) })
					}
					return buckettest.NoFault
				})
			})
		})
	}
}

// createWithKey creates a repository that is sealed under a KMS key.
func createWithKey(t *testing.T, s *servertest.Server, name, key string) {
	t.Helper()
	_, err := s.ECR().CreateRepository(t.Context(), &ecr.CreateRepositoryInput{
		RepositoryName: &name, EncryptionConfiguration: &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeKms, KmsKey: &key},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// begin uploads a layer but for its end, and returns where that is sent.
func begin(t *testing.T, c *servertest.Client, repository string, content []byte) string {
	t.Helper()
	location := c.Do(t, "POST", "/v2/"+repository+"/blobs/uploads/", nil).Want(t, 202).Header.Get("Location")
	return c.Do(t, "PATCH", location, content).Want(t, 202).Header.Get("Location") + "?digest=" + digest.FromBytes(content).String()
}

// What was uploaded to a repository is no layer of the next one of that name, which may
// have another key.
func TestALayerStaysOutOfARepositoryThatIsMadeMeanwhile(t *testing.T) {
	meanwhile(t, func(t *testing.T, s *servertest.Server, do func(func(context.Context))) {
		createWithKey(t, s, "app", s.CreateKey(t))
		c, content := s.Login(t), layer(6<<20)
		end := begin(t, c, "app", content)
		do(func(ctx context.Context) {
			if _, err := s.ECR().DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: new("app")}); err != nil {
				t.Error(err)
			}
			if _, err := s.ECR().CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: new("app")}); err != nil {
				t.Error(err)
			}
		})
		c.Do(t, "PUT", end, nil).Want(t, 404)
		path := "/v2/app/blobs/" + digest.FromBytes(content).String()
		c.Do(t, "HEAD", path, nil).Want(t, 404)
		c.PushBlob(t, "app", content)
		if got := c.Do(t, "GET", path, nil).Want(t, 200).Body; !bytes.Equal(got, content) {
			t.Error("the layer differs from what was pushed")
		}
	})
}

// The right to a key is asked for once in a call: what is taken is not lost by the key's
// being disabled in the middle.
func TestALayerIsNotLostByAKeyThatIsDisabledMeanwhile(t *testing.T) {
	meanwhile(t, func(t *testing.T, s *servertest.Server, do func(func(context.Context))) {
		key := s.CreateKey(t)
		createWithKey(t, s, "app", key)
		c, content := s.Login(t), layer(6<<20)
		end := begin(t, c, "app", content)
		do(func(ctx context.Context) {
			if _, err := s.KMS().DisableKey(ctx, &kms.DisableKeyInput{KeyId: &key}); err != nil {
				t.Error(err)
			}
		})
		c.Do(t, "PUT", end, nil).Want(t, 201)
		path := "/v2/app/blobs/" + digest.FromBytes(content).String()
		c.Do(t, "GET", path, nil).Want(t, 403)
		if _, err := s.KMS().EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: &key}); err != nil {
			t.Fatal(err)
		}
		if got := c.Do(t, "GET", path, nil).Want(t, 200).Body; !bytes.Equal(got, content) {
			t.Error("the layer differs from what was pushed")
		}
	})
}

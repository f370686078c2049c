package server_test

import (
	"sync"
	"testing"

	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// atOnce runs n calls at the same time, as nearly as can be, and counts what they
// return.
func atOnce(n int, do func(i int) string) map[string]int {
	var mu sync.Mutex
	got := map[string]int{}
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			outcome := do(i)
			mu.Lock()
			defer mu.Unlock()
			got[outcome]++
		})
	}
	close(start)
	all.Wait()
	return got
}

// restoring returns the exception that restoring ends with.
func restoring(t testing.TB, s *servertest.Server, path, body string) string {
	var out any
	code, _ := ask(t, s, path, body, &out)
	return code
}

func TestOfManyWhoRestoreTheSameOneDoes(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.Login(t)
		img := servertest.NewImage(1, 10)
		s.CreateRepository(t, "app")
		c.Push(t, "app", "v1", img)
		for range 5 {
			c.Do(t, "DELETE", manifestPath("app", "v1"), nil).Want(t, 202)
			got := atOnce(8, func(int) string {
				return restoring(t, s, server.RestoreImagePath, `{"repositoryName":"app","imageDigest":"`+img.Digest.String()+`"}`)
			})
			if got[""] != 1 || got["ImageAlreadyExistsException"] != 7 {
				t.Errorf("restoring an image at once = %v, want one success", got)
			}
			c.Do(t, "GET", manifestPath("app", "v1"), nil).Want(t, 200)
			deleteRepository(t, s, "app")
			got = atOnce(8, func(int) string { return restoring(t, s, server.RestoreRepositoryPath, `{"repositoryName":"app"}`) })
			if got[""] != 1 || got["RepositoryAlreadyExistsException"] != 7 {
				t.Errorf("restoring a repository at once = %v, want one success", got)
			}
			c.Do(t, "GET", manifestPath("app", "v1"), nil).Want(t, 200)
		}
	})
}

func TestAnImageIsRestoredAndPushedAtOnce(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.Login(t)
		img := servertest.NewImage(1, 10)
		s.CreateRepository(t, "app")
		c.Push(t, "app", "v1", img)
		for range 5 {
			c.Do(t, "DELETE", manifestPath("app", img.Digest.String()), nil).Want(t, 202)
			got := atOnce(8, func(i int) string {
				if i%2 == 0 {
					return restoring(t, s, server.RestoreImagePath, `{"repositoryName":"app","imageDigest":"`+img.Digest.String()+`"}`)
				}
				if r := c.PushManifest(t, "app", "v2", ocispec.MediaTypeImageManifest, img.Manifest); r.Status != 201 {
					return string(r.Body)
				}
				return "pushed"
			})
			if got["pushed"] != 4 || got[""] > 1 || got[""]+got["ImageAlreadyExistsException"] != 4 {
				t.Errorf("restoring and pushing at once = %v", got)
			}
			c.Do(t, "GET", manifestPath("app", "v2"), nil).Want(t, 200)
		}
	})
}

func TestARepositoryIsRestoredAndCreatedAtOnce(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		for range 8 {
			deleteRepository(t, s, "app")
			got := atOnce(8, func(i int) string {
				if i%2 == 0 {
					return restoring(t, s, server.RestoreRepositoryPath, `{"repositoryName":"app"}`)
				}
				_, err := s.ECR().CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: new("app")})
				return servertest.ErrorCode(err)
			})
			if got[""] != 1 || got["RepositoryAlreadyExistsException"] != 7 {
				t.Errorf("restoring and creating at once = %v, want one success", got)
			}
		}
	})
}

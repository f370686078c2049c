package server_test

import (
	"strings"
	"testing"
	"time"

	"berth/internal/config"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic/types"
	"github.com/opencontainers/go-digest"
)

// deleteRepository deletes a repository by force.
func deleteRepository(t testing.TB, s *servertest.Server, name string) {
	t.Helper()
	if status, text := call(t, s, "DeleteRepository", `{"repositoryName":"`+name+`","force":true}`); status != 200 {
		t.Fatal(text)
	}
}

// deletedRepositories returns the repositories that can be restored.
func deletedRepositories(t testing.TB, s *servertest.Server) []server.DeletedRepository {
	t.Helper()
	return mustAsk[server.DeletedRepositoriesResponse](t, s, server.DeletedRepositoriesPath, `{}`).Repositories
}

func TestARepositoryIsRestoredWithAllThatWasInIt(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{Configure: func(c *config.Config) { c.StorageQuotas = []string{servertest.Account + "=1000000"} }},
		func(t *testing.T, s *servertest.Server) {
			do := func(operation, body string) string {
				t.Helper()
				status, text := call(t, s, operation, body)
				if status != 200 {
					t.Fatalf("%s = %d %s", operation, status, text)
				}
				return text
			}
			const app = `{"repositoryName":"app"}`
			s.CreateRepository(t, "app")
			c := s.Login(t)
			one, two := servertest.NewImage(1, 10, 70_000), servertest.NewImage(2, 10)
			c.Push(t, "app", "v1", one)
			c.Push(t, "app", "v2", two)
			c.PushBlob(t, "app", []byte("a layer of no image"))
			c.Do(t, "DELETE", manifestPath("app", "v2"), nil).Want(t, 202)
			do("PutImageTagMutability", `{"repositoryName":"app","imageTagMutability":"IMMUTABLE"}`)
			do("TagResource", `{"resourceArn":"arn:aws:ecr:us-east-1:123456789012:repository/app","tags":[{"Key":"a","Value":"b"}]}`)
			do("PutLifecyclePolicy", `{"repositoryName":"app",`+lifecyclePolicy+`}`)
			mustAsk[server.LifecycleResponse](t, s, server.LifecyclePath, app)
			state := func() string {
				t.Helper()
				return do("DescribeRepositories", `{"repositoryNames":["app"]}`) + do("DescribeImages", app) + do("ListImages", app) + do("GetLifecyclePolicy", app) +
					do("ListTagsForResource", `{"resourceArn":"arn:aws:ecr:us-east-1:123456789012:repository/app"}`) + used(t, s)
			}
			before := state()
			s.Clock.Advance(time.Hour)
			c.Pass = s.Password(t)
			deleteRepository(t, s, "app")
			if got := used(t, s); got != "0" {
				t.Errorf("bytes of the deleted repository = %s, want 0", got)
			}
			deleted := deletedRepositories(t, s)
			if len(deleted) != 1 || deleted[0].Name != "app" || !deleted[0].DeletedAt.Equal(s.Clock.Now()) || deleted[0].DeletedBy != "arn:aws:iam::123456789012:root" ||
				!deleted[0].RestorableUntil.Equal(s.Clock.Now().Add(168*time.Hour)) {
				t.Errorf("deleted = %+v", deleted)
			}
			same(t, "images of the deleted repository", deletedImages(t, s, app), []string{one.Digest.String() + " v1"})
			// The policy is due, and nobody there whose images it is about.
			s.Clock.Advance(24 * time.Hour)
			mustAsk[server.LifecycleResponse](t, s, server.LifecyclePath, `{}`)
			s.Restart(t)
			restored := mustAsk[server.RestoreRepositoryResponse](t, s, server.RestoreRepositoryPath, app)
			if restored.Name != "app" || restored.UID != deleted[0].UID || restored.ARN != "arn:aws:ecr:us-east-1:123456789012:repository/app" ||
				!restored.CreatedAt.Equal(deleted[0].CreatedAt) {
				t.Errorf("RestoreRepository = %+v", restored)
			}
			if after := state(); evaluated(after) != evaluated(before) {
				t.Errorf("after = %s\nbefore = %s", after, before)
			}
			c.Pass = s.Password(t)
			c.Do(t, "GET", manifestPath("app", "v1"), nil).Want(t, 200)
			for _, content := range append(one.Layers, one.Config, []byte("a layer of no image")) {
				c.Do(t, "GET", "/v2/app/blobs/"+digest.FromBytes(content).String(), nil).Want(t, 200)
			}
			// What was deleted before it can be restored as before.
			same(t, "deleted images", deletedImages(t, s, app), []string{two.Digest.String() + " v2"})
			restoreImage(t, s, two.Digest)
			c.Push(t, "app", "v3", servertest.NewImage(3))
		})
}

// used returns how many bytes of the one storage quota are used.
func used(t testing.TB, s *servertest.Server) string {
	t.Helper()
	use, err := s.Server().Registry().StorageUse(t.Context())
	if err != nil || len(use) != 1 {
		t.Fatal(use, err)
	}
	return string(servertest.JSON(use[0].Used))
}

// evaluated takes the time at which the policy was carried out out of a text.
func evaluated(text string) string {
	before, after, _ := strings.Cut(text, `"lastEvaluatedAt":`)
	_, after, _ = strings.Cut(after, ",")
	return before + after
}

func TestOfSeveralRepositoriesOfANameOneIsRestored(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.Login(t)
		for _, tag := range []string{"first", "second"} {
			s.CreateRepository(t, "app")
			c.Push(t, "app", tag, servertest.NewImage(1))
			deleteRepository(t, s, "app")
			s.Clock.Advance(time.Second)
		}
		const app = `{"repositoryName":"app"}`
		deleted := deletedRepositories(t, s)
		first := `{"repositoryName":"app","repositoryUid":"` + deleted[1].UID + `"}`
		d := servertest.NewImage(1).Digest.String()
		same(t, "images of the second", deletedImages(t, s, app), []string{d + " second"})
		same(t, "images of the first", deletedImages(t, s, first), []string{d + " first"})
		mustAsk[server.RestoreRepositoryResponse](t, s, server.RestoreRepositoryPath, app)
		c.Do(t, "GET", manifestPath("app", "second"), nil).Want(t, 200)
		refused(t, s, server.RestoreRepositoryPath, app, "RepositoryAlreadyExistsException", "already exists")
		refused(t, s, server.RestoreRepositoryPath, first, "RepositoryAlreadyExistsException", "already exists")
		same(t, "images of the first", deletedImages(t, s, first), []string{d + " first"})
		deleteRepository(t, s, "app")
		mustAsk[server.RestoreRepositoryResponse](t, s, server.RestoreRepositoryPath, first)
		c.Do(t, "GET", manifestPath("app", "first"), nil).Want(t, 200)
		c.Do(t, "GET", manifestPath("app", "second"), nil).Want(t, 404)
		deleteRepository(t, s, "app")

		for body, want := range map[string]string{
			`{"repositoryName":"absent"}`: "RepositoryNotFoundException", `{"repositoryName":"No"}`: "InvalidParameterException",
			`{}`: "InvalidParameterException", `{"registryId":"210987654321","repositoryName":"app"}`: "AccessDeniedException",
			`{"repositoryName":"app","repositoryUid":"x\u0000"}`:                                 "InvalidParameterException",
			`{"repositoryName":"app","repositoryUid":"00000000-0000-0000-0000-000000000000"}`:    "RepositoryNotFoundException",
			`{"repositoryName":"other","repositoryUid":"` + deleted[0].UID + `"}`:                "RepositoryNotFoundException",
			`{"repositoryName":"app","public":true,"repositoryUid":"` + deleted[0].UID + `"}`:    "RepositoryNotFoundException",
			`{"repositoryName":"app","registryId":"2","repositoryUid":"` + deleted[0].UID + `"}`: "InvalidParameterException",
		} {
			refused(t, s, server.RestoreRepositoryPath, body, want, "")
			refused(t, s, server.DeletedImagesPath, body, want, "")
		}
		s.Clock.Advance(169 * time.Hour)
		refused(t, s, server.RestoreRepositoryPath, app, "RepositoryNotFoundException", "and could be restored until ")
		refused(t, s, server.DeletedImagesPath, app, "RepositoryNotFoundException", "does not exist")
		if got := deletedRepositories(t, s); len(got) != 0 {
			t.Errorf("deleted = %v, want none", got)
		}
	})
}

func TestARestoredRepositoryMustFitTheQuotas(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{Configure: func(c *config.Config) {
		c.Quotas, c.StorageQuotas = []string{"repositories=1"}, []string{servertest.Account + "=100000"}
	}}, func(t *testing.T, s *servertest.Server) {
		c := s.Login(t)
		s.CreateRepository(t, "app")
		c.PushBlob(t, "app", servertest.Bytes(1, 60_000))
		deleteRepository(t, s, "app")
		s.CreateRepository(t, "other")
		refused(t, s, server.RestoreRepositoryPath, `{"repositoryName":"app"}`, "LimitExceededException", "number of repositories")
		deleteRepository(t, s, "other")
		s.Config.Quotas = nil
		s.Restart(t)
		s.CreateRepository(t, "other")
		c.PushBlob(t, "other", servertest.Bytes(2, 60_000))
		refused(t, s, server.RestoreRepositoryPath, `{"repositoryName":"app"}`, "LimitExceededException", "storage quota")
		if got := used(t, s); got != "60000" {
			t.Errorf("used = %s", got)
		}
		deleteRepository(t, s, "other")
		mustAsk[server.RestoreRepositoryResponse](t, s, server.RestoreRepositoryPath, `{"repositoryName":"app"}`)
		if got := used(t, s); got != "60000" {
			t.Errorf("used = %s", got)
		}
	})
}

func TestAPublicRepositoryIsRestoredWithItsCatalog(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECRPublic()
		logo := []byte("\x89PNG\r\n\x1a\n and more")
		made, err := c.CreateRepository(t.Context(), &ecrpublic.CreateRepositoryInput{
			RepositoryName: new("app"), CatalogData: &types.RepositoryCatalogDataInput{Description: new("words"), LogoImageBlob: logo},
		})
		if err != nil {
			t.Fatal(err)
		}
		get := func() int {
			t.Helper()
			_, path, _ := strings.Cut(strings.TrimPrefix(*made.CatalogData.LogoUrl, "http://"), "/")
			return s.Login(t).Do(t, "GET", "/"+path, nil).Status
		}
		if got := get(); got != 200 {
			t.Fatalf("logo = %d", got)
		}
		const app = `{"repositoryName":"app","public":true}`
		mustAsk[server.ProtectionResponse](t, s, server.ProtectionPath, `{"repositoryName":"app","public":true,"enabled":true}`)
		in := ecrpublic.DeleteRepositoryInput{RepositoryName: new("app"), Force: true}
		_, err = c.DeleteRepository(t.Context(), &in)
		if servertest.ErrorCode(err) != "InvalidParameterException" || !strings.Contains(servertest.ErrorMessage(err), "berth repository unprotect app --public-registry") {
			t.Errorf("DeleteRepository of a protected public repository: %v", err)
		}
		mustAsk[server.ProtectionResponse](t, s, server.ProtectionPath, `{"repositoryName":"app","public":true,"enabled":false}`)
		if _, err := c.DeleteRepository(t.Context(), &in); err != nil {
			t.Fatal(err)
		}
		if got := get(); got != 404 {
			t.Errorf("logo of a deleted repository = %d, want 404", got)
		}
		refused(t, s, server.RestoreRepositoryPath, `{"repositoryName":"app"}`, "RepositoryNotFoundException", "no such repository was deleted")
		mustAsk[server.RestoreRepositoryResponse](t, s, server.RestoreRepositoryPath, app)
		if got := get(); got != 200 {
			t.Errorf("logo of the restored repository = %d", got)
		}
		data, err := c.GetRepositoryCatalogData(t.Context(), &ecrpublic.GetRepositoryCatalogDataInput{RepositoryName: new("app")})
		if err != nil || *data.CatalogData.Description != "words" {
			t.Errorf("catalog data = %v, %v", data, err)
		}
		s.Config.Public = "off"
		s.Restart(t)
		refused(t, s, server.ProtectionPath, app, "InvalidParameterException", "this server has no public registries")
	})
}

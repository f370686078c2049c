package ecrpublic_test

import (
	"strconv"
	"sync"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic/types"
)

// However many first repositories are made at once, the registry has one alias.
func TestFirstRepositoriesAtOnceGiveOneAlias(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		aliases := make([]string, 8)
		var all sync.WaitGroup
		for i := range aliases {
			all.Go(func() {
				out, err := s.ECRPublic().CreateRepository(t.Context(), &ecrpublic.CreateRepositoryInput{RepositoryName: new("app" + strconv.Itoa(i))})
				if err != nil {
					t.Error(err)
					return
				}
				aliases[i] = aliasOf(out.Repository)
			})
		}
		all.Wait()
		stored := texts(t, s, "SELECT alias FROM public_registries")
		if len(stored) != 1 {
			t.Fatalf("aliases = %q, want one", stored)
		}
		for _, alias := range aliases {
			if alias != stored[0] {
				t.Errorf("aliases = %q, want %s for all", aliases, stored[0])
				break
			}
		}
	})
}

// What a repository says of itself is nobody's but its own: it stays with the
// deleted one, even if it is said meanwhile, and not for the next of its name.
func TestANewRepositoryHasNoCatalogDataOfADeletedOne(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		for range 10 {
			create(t, s, "app")
			var both sync.WaitGroup
			both.Go(func() {
				_, err := putCatalog(s, t, &types.RepositoryCatalogDataInput{Description: new("said")})
				if code := servertest.ErrorCode(err); code != "" && code != "RepositoryNotFoundException" {
					t.Error(err)
				}
			})
			both.Go(func() {
				if _, err := s.ECRPublic().DeleteRepository(t.Context(), &ecrpublic.DeleteRepositoryInput{RepositoryName: new("app")}); err != nil {
					t.Error(err)
				}
			})
			both.Wait()
			const living = "SELECT c.document FROM public_catalog c JOIN repositories r ON r.uid = c.repository WHERE r.deleted_at = 0"
			wantEqual(t, "what is left", texts(t, s, living), []string{})
			create(t, s, "app")
			wantEqual(t, "what the next one says", texts(t, s, living), []string{})
			if _, err := s.ECRPublic().DeleteRepository(t.Context(), &ecrpublic.DeleteRepositoryInput{RepositoryName: new("app")}); err != nil {
				t.Error(err)
			}
		}
	})
}

package ecrpublic_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic/types"
)

func TestCreateRepositoryGivesTheRegistryAnAlias(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECRPublic()
		none := must(c.DescribeRegistries(t.Context(), &ecrpublic.DescribeRegistriesInput{}))(t)
		if none.Registries == nil || len(none.Registries) != 0 || none.NextToken != nil {
			t.Errorf("DescribeRegistries before the first repository = %v, want an empty list", none.Registries)
		}
		out := must(c.CreateRepository(t.Context(), &ecrpublic.CreateRepositoryInput{RepositoryName: new("team/app")}))(t)
		alias := aliasOf(out.Repository)
		if !regexp.MustCompile(`^[a-z][a-z0-9]{7}$`).MatchString(alias) {
			t.Errorf("alias = %q, want a letter and seven letters or digits", alias)
		}
		wantEqual(t, "CreateRepository", out, &ecrpublic.CreateRepositoryOutput{
			Repository: &types.Repository{
				RepositoryArn:  new("arn:aws:ecr-public::123456789012:repository/team/app"),
				RegistryId:     new(account),
				RepositoryName: new("team/app"),
				RepositoryUri:  new(s.PublicHost() + "/" + alias + "/team/app"),
				CreatedAt:      new(s.Clock.Now()),
			},
			CatalogData: &types.RepositoryCatalogData{},
		})
		registries := []types.Registry{{
			RegistryId: new(account), RegistryArn: new("arn:aws:ecr-public::123456789012:registry/123456789012"),
			RegistryUri: new(s.PublicHost() + "/" + alias), Verified: new(false),
			Aliases: []types.RegistryAlias{{
				Name: &alias, Status: types.RegistryAliasStatusActive, PrimaryRegistryAlias: true, DefaultRegistryAlias: true,
			}},
		}}
		wantEqual(t, "DescribeRegistries", must(c.DescribeRegistries(t.Context(), &ecrpublic.DescribeRegistriesInput{}))(t).Registries, registries)

		// The alias is there for good.
		if again := aliasOf(create(t, s, "other")); again != alias {
			t.Errorf("the second repository has the alias %s, want %s", again, alias)
		}
		for _, name := range []string{"team/app", "other"} {
			must(c.DeleteRepository(t.Context(), &ecrpublic.DeleteRepositoryInput{RepositoryName: &name}))(t)
		}
		s.Restart(t)
		wantEqual(t, "DescribeRegistries later", must(c.DescribeRegistries(t.Context(), &ecrpublic.DescribeRegistriesInput{}))(t).Registries, registries)
		if again := aliasOf(create(t, s, "team/app")); again != alias {
			t.Errorf("after a restart the alias is %s, want %s", again, alias)
		}
	})
}

func TestDescribeRegistriesHasOnePage(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		create(t, s, "app")
		pages := ecrpublic.NewDescribeRegistriesPaginator(s.ECRPublic(), &ecrpublic.DescribeRegistriesInput{MaxResults: new(int32(1))})
		found := 0
		for pages.HasMorePages() {
			found += len(must(pages.NextPage(t.Context()))(t).Registries)
		}
		if found != 1 {
			t.Errorf("%d registries, want 1", found)
		}
		_, err := s.ECRPublic().DescribeRegistries(t.Context(), &ecrpublic.DescribeRegistriesInput{NextToken: new("x")})
		wantError(t, err, "InvalidParameterException", badToken)
	})
}

func TestCreateRepositoryRefuses(t *testing.T) {
	t.Parallel()
	const grammar = `Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must satisfy regular expression '(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*''`
	var many []types.Tag
	for i := range 51 {
		many = append(many, types.Tag{Key: new(fmt.Sprint("key", i)), Value: new("")})
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		create(t, s, "app")
		for name, tt := range map[string]struct {
			in            ecrpublic.CreateRepositoryInput
			code, message string
		}{
			"a name that is taken": {
				ecrpublic.CreateRepositoryInput{RepositoryName: new("app")}, "RepositoryAlreadyExistsException",
				"The repository with name 'app' already exists in the registry with id '123456789012'",
			},
			"capitals":               {ecrpublic.CreateRepositoryInput{RepositoryName: new("App")}, "InvalidParameterException", grammar},
			"two dashes":             {ecrpublic.CreateRepositoryInput{RepositoryName: new("a--b")}, "InvalidParameterException", grammar},
			"a slash at the end":     {ecrpublic.CreateRepositoryInput{RepositoryName: new("ab/")}, "InvalidParameterException", grammar},
			"a name of 206 letters":  {ecrpublic.CreateRepositoryInput{RepositoryName: new(strings.Repeat("a", 206))}, "InvalidParameterException", "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'Member must have length less than or equal to 205'"},
			"51 tags":                {ecrpublic.CreateRepositoryInput{RepositoryName: new("new"), Tags: many}, "TooManyTagsException", "A resource can have at most 50 tags."},
			"a tag twice":            {ecrpublic.CreateRepositoryInput{RepositoryName: new("new"), Tags: []types.Tag{many[0], many[0]}}, "InvalidTagParameterException", "The tag key 'key0' is given more than once."},
			"a tag that is reserved": {ecrpublic.CreateRepositoryInput{RepositoryName: new("new"), Tags: []types.Tag{{Key: new("aws:x")}}}, "InvalidTagParameterException", "The tag key 'aws:x' is invalid: keys that begin with 'aws:' are reserved."},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := s.ECRPublic().CreateRepository(t.Context(), &tt.in)
				wantError(t, err, tt.code, tt.message)
			})
		}
		create(t, s, strings.Repeat("a", 205))
		if got := repositoryNames(t, s, 0); len(got) != 2 {
			t.Errorf("repositories = %v, want two", got)
		}
	})
}

// repositoryNames walks the list of public repositories in pages of a size.
func repositoryNames(t *testing.T, s *servertest.Server, size int32) []string {
	t.Helper()
	in := &ecrpublic.DescribeRepositoriesInput{}
	if size > 0 {
		in.MaxResults = &size
	}
	names := []string{}
	pages := ecrpublic.NewDescribeRepositoriesPaginator(s.ECRPublic(), in)
	for pages.HasMorePages() {
		page := must(pages.NextPage(t.Context()))(t)
		if size > 0 && len(page.Repositories) > int(size) {
			t.Errorf("a page of at most %d has %d", size, len(page.Repositories))
		}
		for _, r := range page.Repositories {
			names = append(names, *r.RepositoryName)
		}
	}
	return names
}

func TestDescribeRepositories(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECRPublic()
		wantEqual(t, "names without repositories", repositoryNames(t, s, 0), []string{})
		made := map[string]types.Repository{}
		names := []string{"zz", "a-b", "a/b", "a.b", "ab"}
		for _, name := range names {
			made[name] = *create(t, s, name)
		}
		slices.Sort(names)
		for size := range int32(7) {
			wantEqual(t, fmt.Sprint("pages of ", size), repositoryNames(t, s, size), names)
		}
		for _, id := range []*string{nil, new(account)} {
			out := must(c.DescribeRepositories(t.Context(), &ecrpublic.DescribeRepositoriesInput{RegistryId: id, RepositoryNames: []string{"zz", "a/b"}}))(t)
			wantEqual(t, "by name", out.Repositories, []types.Repository{made["zz"], made["a/b"]})
		}
		_, err := c.DescribeRepositories(t.Context(), &ecrpublic.DescribeRepositoriesInput{RepositoryNames: []string{"ab", "absent"}})
		wantError(t, err, "RepositoryNotFoundException", noRepository)
		_, err = c.DescribeRepositories(t.Context(), &ecrpublic.DescribeRepositoriesInput{RegistryId: new(stranger)})
		wantDenied(t, err, "DescribeRepositories", "arn:aws:ecr-public::210987654321:repository/*")
		_, err = c.DescribeRepositories(t.Context(), &ecrpublic.DescribeRepositoriesInput{NextToken: new("x")})
		wantError(t, err, "InvalidParameterException", badToken)
		_, err = c.DescribeRepositories(t.Context(), &ecrpublic.DescribeRepositoriesInput{RegistryId: new("alias")})
		wantError(t, err, "InvalidParameterException", "Invalid parameter at 'registryId' failed to satisfy constraint: 'must satisfy regular expression [0-9]{12}'")

		// A token of the private registry's list is none of this one.
		s.CreateRepository(t, "one")
		s.CreateRepository(t, "two")
		private := must(s.ECR().DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{MaxResults: new(int32(1))}))(t)
		_, err = c.DescribeRepositories(t.Context(), &ecrpublic.DescribeRepositoriesInput{NextToken: private.NextToken})
		wantError(t, err, "InvalidParameterException", badToken)
	})
}

func TestDeleteRepository(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECRPublic()
		made := create(t, s, "app")
		pushImage(t, c, "app", servertest.NewImage(1, 10), "v1")
		_, err := c.DeleteRepository(t.Context(), &ecrpublic.DeleteRepositoryInput{RepositoryName: new("app")})
		wantError(t, err, "RepositoryNotEmptyException",
			"The repository with name 'app' in registry with id '123456789012' cannot be deleted because it still contains images")
		_, err = c.DeleteRepository(t.Context(), &ecrpublic.DeleteRepositoryInput{RepositoryName: new("absent")})
		wantError(t, err, "RepositoryNotFoundException", noRepository)
		_, err = c.DeleteRepository(t.Context(), &ecrpublic.DeleteRepositoryInput{RepositoryName: new("app"), RegistryId: new(stranger), Force: true})
		wantDenied(t, err, "DeleteRepository", "arn:aws:ecr-public::210987654321:repository/app")
		out := must(c.DeleteRepository(t.Context(), &ecrpublic.DeleteRepositoryInput{RepositoryName: new("app"), Force: true}))(t)
		wantEqual(t, "DeleteRepository", out.Repository, made)
		_, err = c.DeleteRepository(t.Context(), &ecrpublic.DeleteRepositoryInput{RepositoryName: new("app")})
		wantError(t, err, "RepositoryNotFoundException", "The repository with name 'app' does not exist in the registry with id '123456789012'")
		create(t, s, "app")
		found := must(c.DescribeImages(t.Context(), &ecrpublic.DescribeImagesInput{RepositoryName: new("app")}))(t)
		if len(found.ImageDetails) != 0 {
			t.Errorf("a new repository of the same name has %d images", len(found.ImageDetails))
		}
	})
}

// The same name in the private and the public registry is two repositories that
// know nothing of each other.
func TestPublicAndPrivateRepositoriesAreApart(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "private")
		s.CreateRepository(t, "same")
		create(t, s, "public")
		create(t, s, "same")
		pushImage(t, s.ECRPublic(), "same", servertest.NewImage(1, 10), "v1")
		wantEqual(t, "public repositories", repositoryNames(t, s, 0), []string{"public", "same"})
		private := must(s.ECR().DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{}))(t).Repositories
		if len(private) != 2 || *private[0].RepositoryName != "private" || *private[1].RepositoryName != "same" {
			t.Errorf("private repositories = %v", private)
		}
		images := must(s.ECR().DescribeImages(t.Context(), &ecr.DescribeImagesInput{RepositoryName: new("same")}))(t)
		if len(images.ImageDetails) != 0 {
			t.Error("the private repository has the public one's image")
		}
		layer := []string{string(servertest.Descriptor("", servertest.NewImage(1, 10).Config).Digest)}
		held := must(s.ECR().BatchCheckLayerAvailability(t.Context(), &ecr.BatchCheckLayerAvailabilityInput{RepositoryName: new("same"), LayerDigests: layer}))(t)
		if held.Layers[0].LayerAvailability != "UNAVAILABLE" {
			t.Error("the private repository holds the public one's layer")
		}
		// What names a public repository is nothing to ECR, and the other way round.
		_, err := s.ECR().ListTagsForResource(t.Context(), &ecr.ListTagsForResourceInput{ResourceArn: new("arn:aws:ecr-public::123456789012:repository/public")})
		wantError(t, err, "InvalidParameterException", invalidARN)
		_, err = s.ECRPublic().ListTagsForResource(t.Context(), &ecrpublic.ListTagsForResourceInput{ResourceArn: new("arn:aws:ecr:us-east-1:123456789012:repository/private")})
		wantError(t, err, "InvalidParameterException", invalidARN)
		_, err = s.ECRIn("public").DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{})
		wantError(t, err, "InvalidSignatureException", "Credential should be scoped to a valid region.")
	})
}

package ecr_test

import (
	"fmt"
	"slices"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
)

// repositoryNames walks the list of repositories.
func repositoryNames(t *testing.T, c *ecr.Client) []string {
	t.Helper()
	names := []string{}
	pages := ecr.NewDescribeRepositoriesPaginator(c, &ecr.DescribeRepositoriesInput{})
	for pages.HasMorePages() {
		for _, r := range must(pages.NextPage(t.Context()))(t).Repositories {
			names = append(names, *r.RepositoryName)
		}
	}
	return names
}

func TestDescribeRepositoriesOfAnEmptyRegistryIsEmpty(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		out := must(s.ECR().DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{}))(t)
		if out.Repositories == nil || len(out.Repositories) != 0 || out.NextToken != nil {
			t.Errorf("DescribeRepositories = %v, %v, want an empty list and no token", out.Repositories, out.NextToken)
		}
	})
}

func TestDescribeRepositoriesPages(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		want := []string{}
		for _, name := range []string{"zz", "a-b", "a/b", "a.b", "a_b", "a0b", "ab", "a/b/c"} {
			createRepository(t, s.ECR(), name)
			want = append(want, name)
		}
		slices.Sort(want)
		for size := range int32(10) {
			in := &ecr.DescribeRepositoriesInput{MaxResults: new(size)}
			if size == 0 {
				in.MaxResults = nil
			}
			var got []string
			pages := ecr.NewDescribeRepositoriesPaginator(s.ECR(), in)
			for pages.HasMorePages() {
				page := must(pages.NextPage(t.Context()))(t)
				if size > 0 && len(page.Repositories) > int(size) {
					t.Errorf("a page of at most %d has %d", size, len(page.Repositories))
				}
				for _, r := range page.Repositories {
					got = append(got, *r.RepositoryName)
				}
			}
			wantEqual(t, fmt.Sprintf("names in pages of %d", size), got, want)
		}
	})
}

func TestDescribeRepositoriesHasPagesOf100(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		for i := range 101 {
			createRepository(t, s.ECR(), fmt.Sprintf("app-%03d", i))
		}
		out := must(s.ECR().DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{}))(t)
		if len(out.Repositories) != 100 || out.NextToken == nil {
			t.Errorf("the first page has %d repositories, token %v, want 100 and a token", len(out.Repositories), out.NextToken)
		}
		out = must(s.ECR().DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{NextToken: out.NextToken}))(t)
		if len(out.Repositories) != 1 || out.NextToken != nil {
			t.Errorf("the last page has %d repositories, token %v, want 1 and none", len(out.Repositories), out.NextToken)
		}
	})
}

func TestAPageGoesOnWhereTheLastEndedWhateverHasChanged(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		for _, name := range []string{"aa", "cc", "ee"} {
			createRepository(t, s.ECR(), name)
		}
		first := must(s.ECR().DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{MaxResults: new(int32(2))}))(t)
		createRepository(t, s.ECR(), "bb")
		createRepository(t, s.ECR(), "dd")
		must(s.ECR().DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: new("cc")}))(t)
		rest := must(s.ECR().DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{NextToken: first.NextToken}))(t)
		var got []string
		for _, r := range rest.Repositories {
			got = append(got, *r.RepositoryName)
		}
		wantEqual(t, "the rest", got, []string{"dd", "ee"})
	})
}

func TestDescribeRepositoriesByNamesKeepsTheirOrder(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		for _, name := range []string{"aa", "bb", "cc"} {
			createRepository(t, s.ECR(), name)
		}
		want := []string{"cc", "aa"}
		out := must(s.ECR().DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{RepositoryNames: want}))(t)
		var got []string
		for _, r := range out.Repositories {
			got = append(got, *r.RepositoryName)
		}
		wantEqual(t, "names", got, want)
	})
}

func TestDescribeRepositoriesRefuses(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createRepository(t, s.ECR(), "aa")
		for name, tt := range map[string]struct {
			in            ecr.DescribeRepositoriesInput
			code, message string
		}{
			"an unknown name": {
				ecr.DescribeRepositoriesInput{RepositoryNames: []string{"aa", "absent"}}, "RepositoryNotFoundException", noRepository,
			},
			"names with a page size": {
				ecr.DescribeRepositoriesInput{RepositoryNames: []string{"aa"}, MaxResults: new(int32(5))}, "InvalidParameterException",
				"Invalid parameter at 'repositoryNames' failed to satisfy constraint: 'nextToken and maxResults cannot be used with repositoryNames'",
			},
			"names with a token": {
				ecr.DescribeRepositoriesInput{RepositoryNames: []string{"aa"}, NextToken: new("x")}, "InvalidParameterException",
				"Invalid parameter at 'repositoryNames' failed to satisfy constraint: 'nextToken and maxResults cannot be used with repositoryNames'",
			},
			"an empty page": {
				ecr.DescribeRepositoriesInput{MaxResults: new(int32(0))}, "InvalidParameterException",
				"Invalid parameter at 'maxResults' failed to satisfy constraint: 'Member must have value greater than or equal to 1'",
			},
			"a page of 1001": {
				ecr.DescribeRepositoriesInput{MaxResults: new(int32(1001))}, "InvalidParameterException",
				"Invalid parameter at 'maxResults' failed to satisfy constraint: 'Member must have value less than or equal to 1000'",
			},
			"a name that is none": {
				ecr.DescribeRepositoriesInput{RepositoryNames: []string{"aa", "No"}}, "InvalidParameterException",
				`Invalid parameter at 'repositoryNames.2.member' failed to satisfy constraint: 'must satisfy regular expression '[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*''`,
			},
			"101 names": {
				ecr.DescribeRepositoriesInput{RepositoryNames: slices.Repeat([]string{"aa"}, 101)}, "InvalidParameterException",
				"Invalid parameter at 'repositoryNames' failed to satisfy constraint: 'Member must have length less than or equal to 100'",
			},
			"the registry of another account": {
				ecr.DescribeRepositoriesInput{RegistryId: new("999999999999")}, "AccessDeniedException",
				"User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:DescribeRepositories on resource: " +
					"arn:aws:ecr:us-east-1:999999999999:repository/* because no resource-based policy allows the ecr:DescribeRepositories action",
			},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := s.ECR().DescribeRepositories(t.Context(), &tt.in)
				wantError(t, err, tt.code, tt.message)
			})
		}
	})
}

func TestPageTokensAreGoodOnlyForWhatTheyWereMadeFor(t *testing.T) {
	t.Parallel()
	const invalidToken = "Invalid parameter at 'nextToken' failed to satisfy constraint: 'Invalid token'"
	one := new(int32(1))
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		for _, name := range []string{"aa", "bb"} {
			createRepository(t, c, name)
			pushImage(t, c, name, servertest.NewImage(1), "v1", "v2")
			pushImage(t, c, name, servertest.NewImage(2), "v3")
		}
		createRepository(t, s.ECRIn("eu-west-1"), "aa")
		repositories := must(c.DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{MaxResults: one}))(t).NextToken
		list := must(c.ListImages(t.Context(), &ecr.ListImagesInput{RepositoryName: new("aa"), MaxResults: one}))(t).NextToken
		describe := must(c.DescribeImages(t.Context(), &ecr.DescribeImagesInput{RepositoryName: new("aa"), MaxResults: one}))(t).NextToken

		listWith := func(c *ecr.Client, repository string, token *string) error {
			_, err := c.ListImages(t.Context(), &ecr.ListImagesInput{RepositoryName: &repository, NextToken: token})
			return err
		}
		describeWith := func(c *ecr.Client, repository string, token *string) error {
			_, err := c.DescribeImages(t.Context(), &ecr.DescribeImagesInput{RepositoryName: &repository, NextToken: token})
			return err
		}
		repositoriesWith := func(c *ecr.Client, token *string) error {
			_, err := c.DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{NextToken: token})
			return err
		}
		for what, err := range map[string]error{
			"the token of ListImages":           listWith(c, "aa", list),
			"the token of DescribeImages":       describeWith(c, "aa", describe),
			"the token of DescribeRepositories": repositoriesWith(c, repositories),
		} {
			if err != nil {
				t.Errorf("%s is refused: %v", what, err)
			}
		}
		for what, err := range map[string]error{
			"another operation's":       listWith(c, "aa", describe),
			"the other way round":       describeWith(c, "aa", list),
			"one of repositories":       describeWith(c, "aa", repositories),
			"one of images":             repositoriesWith(c, list),
			"another repository's":      listWith(c, "bb", list),
			"a repository's elsewhere":  describeWith(s.ECRIn("eu-west-1"), "aa", describe),
			"a registry's elsewhere":    repositoriesWith(s.ECRIn("eu-west-1"), repositories),
			"no base64":                 repositoriesWith(c, new("!")),
			"one that is too short":     repositoriesWith(c, new("AA")),
			"one with more at its end":  repositoriesWith(c, new(*repositories+"AAAA")),
			"one with less at its end":  repositoriesWith(c, new((*repositories)[:len(*repositories)-4])),
			"the name of a repository":  repositoriesWith(c, new("aa")),
			"text with a NUL character": repositoriesWith(c, new("\x00")),
		} {
			t.Run(what, func(t *testing.T) { wantError(t, err, "InvalidParameterException", invalidToken) })
		}
		for i := range *repositories {
			altered := []byte(*repositories)
			altered[i] = 'A' + (altered[i]-'A'+2)%4 // another letter, whatever it was
			if string(altered) == *repositories {
				continue
			}
			err := repositoriesWith(c, new(string(altered)))
			if servertest.ErrorCode(err) != "InvalidParameterException" {
				t.Fatalf("a token with another character at %d: %v, want InvalidParameterException", i, err)
			}
		}
	})
}

package oci_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
)

// names reads the answer to a tag list or a catalog.
func names(t testing.TB, r *servertest.Response) []string {
	t.Helper()
	var body struct{ Tags, Repositories []string }
	if err := json.Unmarshal(r.Want(t, 200).Body, &body); err != nil {
		t.Fatal(err)
	}
	return append(body.Tags, body.Repositories...)
}

var nextLink = regexp.MustCompile(`\A<([^<>]+)>; rel="next"\z`)

// next returns the path of the next page, "" if there is none.
func next(t testing.TB, r *servertest.Response) string {
	t.Helper()
	link := r.Header.Values("Link")
	if len(link) == 0 {
		return ""
	}
	m := nextLink.FindStringSubmatch(link[0])
	if m == nil || len(link) > 1 {
		t.Fatalf("Link = %q, want one link with rel=\"next\"", link)
	}
	return m[1]
}

// walk follows a list from page to page and returns all of it. No page but the
// last may have another size than n.
func walk(t testing.TB, c *servertest.Client, path string, n int) []string {
	t.Helper()
	var all []string
	for path != "" {
		r := c.Do(t, "GET", path, nil)
		page := names(t, r)
		all = append(all, page...)
		path = next(t, r)
		if path != "" && len(page) != n {
			t.Fatalf("a page of %d names that is not the last, want %d", len(page), n)
		}
	}
	return all
}

// putTags puts an image into a repository under tags.
func putTags(t testing.TB, c *servertest.Client, repository string, img servertest.Image, tags ...string) {
	t.Helper()
	c.PushBlobs(t, repository, img)
	for part := range slices.Chunk(tags, 100) {
		path := manifestPath(repository, img.Digest.String()) + "?" + url.Values{"tag": part}.Encode()
		c.Do(t, "PUT", path, img.Manifest, "Content-Type", typeManifest).Want(t, 201)
	}
}

func TestListTags(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "team/app", "other")
		const path = "/v2/team/app/tags/list"
		r := c.Do(t, "GET", path, nil)
		check(t, "GET of no tags", r, 200)
		if want := `{"name":"team/app","tags":[]}`; string(r.Body) != want {
			t.Errorf("GET of no tags = %s, want %s", r.Body, want)
		}
		one, two := servertest.NewImage(1, 10), servertest.NewImage(2, 10)
		putTags(t, c, "team/app", one, "latest", "v1", "_under", "V1", "1.0-rc.1", "1.0")
		putTags(t, c, "team/app", two, "v1.1", "a", "B")
		putTags(t, c, "other", one, "elsewhere")
		c.Push(t, "team/app", servertest.NewImage(3).Digest.String(), servertest.NewImage(3)) // untagged

		// In the order of their bytes, each once, whatever image it is on.
		sorted := []string{"1.0", "1.0-rc.1", "B", "V1", "_under", "a", "latest", "v1", "v1.1"}
		r = c.Do(t, "GET", path, nil)
		checkHeaders(t, "GET", r, "Content-Type", "application/json", "Link", "")
		if want := string(servertest.JSON(map[string]any{"name": "team/app", "tags": sorted})); string(r.Body) != want {
			t.Errorf("GET = %s, want %s", r.Body, want)
		}
		head := c.Do(t, "HEAD", path, nil)
		check(t, "HEAD", head, 200)
		checkHeaders(t, "HEAD", head, "Content-Length", strconv.Itoa(len(r.Body)))

		for _, test := range []struct {
			query string
			want  []string
			next  string
		}{
			{"n=0", nil, ""},
			{"n=0&last=a", nil, ""},
			{"n=2", sorted[:2], path + "?last=1.0-rc.1&n=2"},
			{"n=2&last=1.0-rc.1", sorted[2:4], path + "?last=V1&n=2"},
			{"n=9", sorted, ""},
			{"n=8", sorted[:8], path + "?last=v1&n=8"},
			{"n=10", sorted, ""},
			{"n=1000000000", sorted, ""},
			{"n=9223372036854775807", sorted, ""},
			{"n=", sorted, ""},
			{"last=_under", sorted[5:], ""},
			{"last=b", sorted[6:], ""},
			{"last=v1.1", nil, ""},
			{"last=%7E", nil, ""},
			{"n=1&last=v1", sorted[8:], ""},
		} {
			r := c.Do(t, "GET", path+"?"+test.query, nil)
			if got := names(t, r); !slices.Equal(got, test.want) || next(t, r) != test.next {
				t.Errorf("GET ?%s = %q, next %q, want %q, next %q", test.query, got, next(t, r), test.want, test.next)
			}
		}
		for n := 1; n <= 10; n++ {
			if got := walk(t, c, fmt.Sprintf("%s?n=%d", path, n), n); !slices.Equal(got, sorted) {
				t.Errorf("all pages of %d = %q, want %q", n, got, sorted)
			}
		}

		// What changes shows at once.
		c.Do(t, "DELETE", manifestPath("team/app", "a"), nil).Want(t, 202)
		c.PushManifest(t, "team/app", "c", typeManifest, one.Manifest).Want(t, 201)
		want := slices.Concat(sorted[:5], []string{"c"}, sorted[6:])
		if got := names(t, c.Do(t, "GET", path, nil)); !slices.Equal(got, want) {
			t.Errorf("GET after changes = %q, want %q", got, want)
		}
	})
}

func TestListManyTags(t *testing.T) {
	t.Parallel()
	o := servertest.Options{Configure: func(c *config.Config) { c.Quotas = []string{"tags-per-image=2000"} }}
	servertest.Each(t, o, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		var tags []string
		for i := range 1001 {
			tags = append(tags, fmt.Sprintf("build-%04d", i))
		}
		putTags(t, c, "app", servertest.NewImage(1, 10), tags...)
		r := c.Do(t, "GET", "/v2/app/tags/list", nil)
		if got := names(t, r); !slices.Equal(got, tags[:1000]) || next(t, r) != "/v2/app/tags/list?last=build-0999&n=1000" {
			t.Errorf("GET = %d tags, next %q, want 1000 and a link to the rest", len(got), next(t, r))
		}
		for _, n := range []int{7, 100, 999, 1000} {
			if got := walk(t, c, fmt.Sprintf("/v2/app/tags/list?n=%d", n), n); !slices.Equal(got, tags) {
				t.Errorf("all pages of %d = %d tags, want the 1001 in order", n, len(got))
			}
		}
		if got := walk(t, c, "/v2/app/tags/list", 1000); !slices.Equal(got, tags) {
			t.Errorf("all pages = %d tags, want the 1001 in order", len(got))
		}
	})
}

func TestCatalog(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s)
		if r := c.Do(t, "GET", "/v2/_catalog", nil); string(r.Body) != `{"repositories":[]}` {
			t.Errorf("GET of no repositories = %s", r.Body)
		}
		sorted := []string{"a-b", "a.b", "a/b", "a/b/c", "a_b", "aa", "b0", "team-a/app", "team/app", "zz"}
		shuffled := slices.Clone(sorted)
		slices.Reverse(shuffled)
		for _, name := range append(shuffled, "deleted") {
			s.CreateRepository(t, name)
		}
		elsewhere, deleted := "elsewhere", "deleted"
		if _, err := s.ECRIn("eu-west-1").CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: &elsewhere}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.ECR().DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: &deleted}); err != nil {
			t.Fatal(err)
		}
		r := c.Do(t, "GET", "/v2/_catalog", nil)
		checkHeaders(t, "GET", r, "Content-Type", "application/json", "Link", "")
		if want := `{"repositories":["` + strings.Join(sorted, `","`) + `"]}`; string(r.Body) != want {
			t.Errorf("GET = %s, want %s", r.Body, want)
		}
		for n := 1; n <= 11; n++ {
			if got := walk(t, c, fmt.Sprintf("/v2/_catalog?n=%d", n), n); !slices.Equal(got, sorted) {
				t.Errorf("all pages of %d = %q, want %q", n, got, sorted)
			}
		}
		for query, want := range map[string][]string{"n=0": nil, "last=a/b": sorted[3:], "n=2&last=a%2Fb": sorted[3:5], "last=zz": nil, "last=B": sorted} {
			if got := names(t, c.Do(t, "GET", "/v2/_catalog?"+query, nil)); !slices.Equal(got, want) {
				t.Errorf("GET ?%s = %q, want %q", query, got, want)
			}
		}
		there := *c
		there.Host = "123456789012.dkr.ecr.eu-west-1.localhost"
		if got := names(t, there.Do(t, "GET", "/v2/_catalog", nil)); !slices.Equal(got, []string{"elsewhere"}) {
			t.Errorf("GET in another region = %q, want its own", got)
		}
	})
}

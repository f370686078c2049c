package server_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/internal/config"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// afresh has a connection for each request: a server that starts again knows none of
// those before.
var afresh = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// ask posts a document to an operation of ours and reads the answer into out. It
// returns the exception and its message, "" if there is none.
func ask(t testing.TB, s *servertest.Server, path, body string, out any) (code, message string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if err := sign(r, "ecr", []byte(body)); err != nil {
		t.Fatal(err)
	}
	res, err := afresh.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 200 {
		var failure struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}
		if err := json.Unmarshal(text, &failure); err != nil || failure.Type == "" || res.StatusCode != 400 {
			t.Fatalf("POST %s %s = %d %s", path, body, res.StatusCode, text)
		}
		return failure.Type, failure.Message
	}
	if err := json.Unmarshal(text, out); err != nil {
		t.Fatalf("POST %s %s = %s: %v", path, body, text, err)
	}
	return "", ""
}

// mustAsk is ask for what must succeed.
func mustAsk[O any](t testing.TB, s *servertest.Server, path, body string) O {
	t.Helper()
	var out O
	if code, message := ask(t, s, path, body, &out); code != "" {
		t.Fatalf("POST %s %s = %s: %s", path, body, code, message)
	}
	return out
}

// refused fails the test unless the request is refused with the exception and a
// message that has the text.
func refused(t testing.TB, s *servertest.Server, path, body, want, text string) {
	t.Helper()
	var out any
	if code, message := ask(t, s, path, body, &out); code != want || !strings.Contains(message, text) {
		t.Errorf("POST %s %s = %q: %s\nwant %s: ...%s...", path, body, code, message, want, text)
	}
}

// deletedImages returns the deleted images of a repository in order, as digest
// and tags.
func deletedImages(t testing.TB, s *servertest.Server, body string) []string {
	t.Helper()
	out := []string{}
	for _, i := range mustAsk[server.DeletedImagesResponse](t, s, server.DeletedImagesPath, body).Images {
		out = append(out, i.Digest.String()+" "+strings.Join(i.Tags, ","))
	}
	return out
}

// restoreImage restores an image of the repository app and returns what came
// back, as digest, tags and tags that are taken.
func restoreImage(t testing.TB, s *servertest.Server, d digest.Digest) []string {
	t.Helper()
	var out []string
	for _, i := range mustAsk[server.RestoreImageResponse](t, s, server.RestoreImagePath, `{"repositoryName":"app","imageDigest":"`+d.String()+`"}`).Images {
		out = append(out, i.Digest.String()+" "+strings.Join(i.Tags, ",")+" "+strings.Join(i.Taken, ","))
	}
	return out
}

func manifestPath(repository, reference string) string {
	return "/v2/" + repository + "/manifests/" + reference
}

// same fails the test unless two lists are.
func same(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s = %q\nwant %q", what, got, want)
	}
}

func TestADeletedImageIsListedAndRestoredAsItWas(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		c := s.Login(t)
		img, other := servertest.NewImage(1, 10), servertest.NewImage(2, 10)
		c.Push(t, "app", "v1", img)
		c.PushManifest(t, "app", "latest", ocispec.MediaTypeImageManifest, img.Manifest).Want(t, 201)
		pushed := s.Clock.Now()
		_, described := call(t, s, "DescribeImages", `{"repositoryName":"app"}`)
		same(t, "what can be restored", deletedImages(t, s, `{"repositoryName":"app"}`), []string{})

		s.Clock.Advance(time.Hour)
		c.Pass = s.Password(t)
		c.Do(t, "DELETE", manifestPath("app", img.Digest.String()), nil).Want(t, 202)
		got := mustAsk[server.DeletedImagesResponse](t, s, server.DeletedImagesPath, `{"repositoryName":"app"}`)
		if len(got.Images) != 1 {
			t.Fatalf("images = %v, want one", got.Images)
		}
		i := got.Images[0]
		if i.Digest != img.Digest || !slices.Equal(i.Tags, []string{"latest", "v1"}) || !i.PushedAt.Equal(pushed) || !i.DeletedAt.Equal(s.Clock.Now()) ||
			!i.RestorableUntil.Equal(s.Clock.Now().Add(168*time.Hour)) || i.DeletedBy != "arn:aws:iam::123456789012:root" {
			t.Errorf("image = %+v", i)
		}
		s.Restart(t)
		same(t, "restored", restoreImage(t, s, img.Digest), []string{img.Digest.String() + " latest,v1 "})
		for _, reference := range []string{"v1", "latest", img.Digest.String()} {
			if r := c.Do(t, "GET", manifestPath("app", reference), nil).Want(t, 200); string(r.Body) != string(img.Manifest) {
				t.Errorf("GET %s = %s", reference, r.Body)
			}
		}
		c.Do(t, "GET", "/v2/app/blobs/"+digest.FromBytes(img.Layers[0]).String(), nil).Want(t, 200)
		same(t, "what can be restored then", deletedImages(t, s, `{"repositoryName":"app"}`), []string{})

		// A tag that is on another image stays there; chosen tags; none.
		c.Do(t, "DELETE", manifestPath("app", img.Digest.String()), nil).Want(t, 202)
		c.Push(t, "app", "latest", other)
		same(t, "restored", restoreImage(t, s, img.Digest), []string{img.Digest.String() + " v1 latest"})
		if d := c.Do(t, "HEAD", manifestPath("app", "latest"), nil).Want(t, 200).Header.Get("Docker-Content-Digest"); d != other.Digest.String() {
			t.Errorf("latest is on %s, want %s", d, other.Digest)
		}
		for tags, want := range map[string]string{`["b","a","b","latest"]`: "a,b latest", `[]`: " "} {
			c.Do(t, "DELETE", manifestPath("app", img.Digest.String()), nil).Want(t, 202)
			done := mustAsk[server.RestoreImageResponse](t, s, server.RestoreImagePath,
				`{"repositoryName":"app","imageDigest":"`+img.Digest.String()+`","imageTags":`+tags+`}`).Images[0]
			if got := strings.Join(done.Tags, ",") + " " + strings.Join(done.Taken, ","); got != want {
				t.Errorf("restored with %s = %q, want %q", tags, got, want)
			}
		}
		if _, text := call(t, s, "DescribeImages", `{"repositoryName":"app","imageIds":[{"imageDigest":"`+img.Digest.String()+`"}]}`); pushedAt(t, text) != pushedAt(t, described) {
			t.Errorf("the image = %s, want the time of its push as it was: %s", text, described)
		}
	})
}

// pushedAt returns the time in an answer of DescribeImages.
func pushedAt(t testing.TB, text string) float64 {
	t.Helper()
	var out struct {
		ImageDetails []struct{ ImagePushedAt float64 }
	}
	if err := json.Unmarshal([]byte(text), &out); err != nil || len(out.ImageDetails) != 1 {
		t.Fatalf("DescribeImages = %s", text)
	}
	return out.ImageDetails[0].ImagePushedAt
}

func TestAnIndexIsRestoredWithWhatItLists(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		c := s.Login(t)
		one, two := servertest.NewImage(1, 10), servertest.NewImage(2, 10)
		text := servertest.Index(one, two)
		index := servertest.Image{Manifest: text, Digest: digest.FromBytes(text)}
		c.Push(t, "app", "one", one)
		c.Push(t, "app", two.Digest.String(), two)
		c.PushManifest(t, "app", "multi", ocispec.MediaTypeImageIndex, text).Want(t, 201)
		signature := servertest.Referrer(index, "a/signature", "1")
		c.PushBlob(t, "app", []byte("{}"))
		c.PushManifest(t, "app", digest.FromBytes(signature).String(), ocispec.MediaTypeImageManifest, signature).Want(t, 201)
		for _, d := range []digest.Digest{index.Digest, one.Digest, digest.FromBytes(signature)} {
			c.Do(t, "DELETE", manifestPath("app", d.String()), nil).Want(t, 202)
		}
		c.Do(t, "DELETE", manifestPath("app", two.Digest.String()), nil).Want(t, 202)

		// A referrer needs no subject. The index comes with its images, which it holds again.
		same(t, "restored", restoreImage(t, s, digest.FromBytes(signature)), []string{digest.FromBytes(signature).String() + "  "})
		want := []string{one.Digest.String() + " one ", two.Digest.String() + "  "}
		slices.Sort(want)
		same(t, "restored", restoreImage(t, s, index.Digest), append([]string{index.Digest.String() + " multi "}, want...))
		c.Do(t, "GET", manifestPath("app", "multi"), nil).Want(t, 200)
		c.Do(t, "GET", manifestPath("app", "one"), nil).Want(t, 200)
		c.Do(t, "DELETE", manifestPath("app", two.Digest.String()), nil).Want(t, 405)
		if r := c.Do(t, "GET", "/v2/app/referrers/"+index.Digest.String(), nil).Want(t, 200); !strings.Contains(string(r.Body), digest.FromBytes(signature).String()) {
			t.Errorf("referrers = %s", r.Body)
		}

		// What was archived meanwhile is brought back for the index.
		c.Do(t, "DELETE", manifestPath("app", index.Digest.String()), nil).Want(t, 202)
		body := `{"repositoryName":"app","imageId":{"imageDigest":"` + one.Digest.String() + `"},"targetStorageClass":"ARCHIVE"}`
		if status, text := call(t, s, "UpdateImageStorageClass", body); status != 200 {
			t.Fatal(text)
		}
		restoreImage(t, s, index.Digest)
		body = `{"repositoryName":"app","imageIds":[{"imageDigest":"` + one.Digest.String() + `"}],"filter":{"imageStatus":"ANY"}}`
		if _, text := call(t, s, "DescribeImages", body); !strings.Contains(text, `"ACTIVATING"`) && !strings.Contains(text, `"ACTIVE"`) {
			t.Errorf("the image that the index lists = %s, want it on its way back", text)
		}
	})
}

func TestAnArchivedImageComesBackArchived(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{Configure: func(c *config.Config) { c.Quotas = []string{"images-per-repository=1"} }},
		func(t *testing.T, s *servertest.Server) {
			s.CreateRepository(t, "app")
			c := s.Login(t)
			img := servertest.NewImage(1)
			c.Push(t, "app", "v1", img)
			body := `{"repositoryName":"app","imageId":{"imageTag":"v1"},"targetStorageClass":"ARCHIVE"}`
			if status, text := call(t, s, "UpdateImageStorageClass", body); status != 200 {
				t.Fatal(text)
			}
			c.Push(t, "app", "v2", servertest.NewImage(2)) // an archived image takes no room
			c.Do(t, "DELETE", manifestPath("app", img.Digest.String()), nil).Want(t, 202)
			same(t, "restored", restoreImage(t, s, img.Digest), []string{img.Digest.String() + " v1 "})
			if _, text := call(t, s, "DescribeImages", `{"repositoryName":"app","filter":{"imageStatus":"ARCHIVED"}}`); !strings.Contains(text, img.Digest.String()) {
				t.Errorf("archived images = %s, want the one that was restored", text)
			}
		})
}

func TestWhatCannotBeRestoredIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		c := s.Login(t)
		img := servertest.NewImage(1, 10)
		d, restore := img.Digest.String(), `{"repositoryName":"app","imageDigest":"`+img.Digest.String()+`"}`
		for body, want := range map[string]string{
			restore: "ImageNotFoundException", `{"repositoryName":"absent","imageDigest":"` + d + `"}`: "RepositoryNotFoundException",
			`{"repositoryName":"app","imageDigest":"x"}`:                                            "InvalidParameterException",
			`{"repositoryName":"app"}`:                                                              "InvalidParameterException",
			`{"repositoryName":"app","imageDigest":"` + d + `","imageTags":["-"]}`:                  "InvalidParameterException",
			`{"repositoryName":"app","imageDigest":"` + d + `","imageTags":["a\u0000"]}`:            "InvalidParameterException",
			`{"repositoryName":"No","imageDigest":"` + d + `"}`:                                     "InvalidParameterException",
			`{"registryId":"1","repositoryName":"app","imageDigest":"` + d + `"}`:                   "InvalidParameterException",
			`{"registryId":"210987654321","repositoryName":"app","imageDigest":"` + d + `"}`:        "AccessDeniedException",
			`{"public":true,"repositoryName":"app","imageDigest":"` + d + `"}`:                      "RepositoryNotFoundException",
			`{"registryId":"210987654321","public":true,"repositoryName":"app","imageDigest":"` + d: "SerializationException",
			`{"registryId":"210987654321","public":true,"repositoryName":"app","imageDigest":"x"}`:  "AccessDeniedException",
			`{"repositoryName":"app","imageDigest":"` + d + `","imageTags":"v1"}`:                   "SerializationException",
			`{"repositoryName":"app","imageDigest":"sha256:` + strings.Repeat("\\u0000", 64) + `"}`: "InvalidParameterException",
			`{"repositoryName":"app","imageDigest":"sha512:` + strings.Repeat("a", 128) + `"}`:      "ImageNotFoundException",
			`{"repositoryName":"app\u0000","imageDigest":"` + d + `"}`:                              "InvalidParameterException",
			`{"repositoryName":"app","imageDigest":"` + d + `","imageTags":["` + "é" + `"]}`:        "InvalidParameterException",
			`{"repositoryName":"app","imageDigest":"` + d + `","x":true}`:                           "SerializationException",
			`{"repositoryName":"app","imageDigest":"` + d + `","imageTags":null}`:                   "SerializationException",
		} {
			refused(t, s, server.RestoreImagePath, body, want, "")
		}
		refused(t, s, server.RestoreImagePath, restore, "ImageNotFoundException", "no image of that digest was deleted")
		c.Push(t, "app", "v1", img)
		refused(t, s, server.RestoreImagePath, restore, "ImageAlreadyExistsException", "already exists")
		c.Do(t, "DELETE", manifestPath("app", d), nil).Want(t, 202)

		// Its layer is gone.
		c.Do(t, "DELETE", "/v2/app/blobs/"+digest.FromBytes(img.Layers[0]).String(), nil).Want(t, 202)
		refused(t, s, server.RestoreImagePath, restore, "LayersNotFoundException", digest.FromBytes(img.Layers[0]).String())
		c.PushBlob(t, "app", img.Layers[0])

		// It was pushed and deleted again: the last deletion counts.
		c.Push(t, "app", "v2", img)
		s.Clock.Advance(time.Second)
		c.Do(t, "DELETE", manifestPath("app", d), nil).Want(t, 202)
		same(t, "deleted", deletedImages(t, s, `{"repositoryName":"app"}`), []string{d + " v2"})

		// The time is over.
		s.Clock.Advance(168*time.Hour - time.Microsecond)
		same(t, "deleted", deletedImages(t, s, `{"repositoryName":"app"}`), []string{d + " v2"})
		s.Clock.Advance(time.Microsecond)
		same(t, "deleted", deletedImages(t, s, `{"repositoryName":"app"}`), []string{})
		refused(t, s, server.RestoreImagePath, restore, "ImageNotFoundException", "and could be restored until "+s.Clock.Now().Format(time.RFC3339))
		s.Config.DeletedRetention = "2160h"
		s.Restart(t)
		same(t, "restored", restoreImage(t, s, img.Digest), []string{d + " v2 "})
	})
}

func TestNothingIsRestoredWhereThatIsTurnedOff(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{Configure: func(c *config.Config) { c.DeletedRetention = "0" }}, func(t *testing.T, s *servertest.Server) {
		s.CreateRepository(t, "app")
		c := s.Login(t)
		img := servertest.NewImage(1)
		c.Push(t, "app", "v1", img)
		c.Do(t, "DELETE", manifestPath("app", "v1"), nil).Want(t, 202)
		const off = "--deleted-retention 0"
		same(t, "deleted", deletedImages(t, s, `{"repositoryName":"app"}`), []string{})
		refused(t, s, server.RestoreImagePath, `{"repositoryName":"app","imageDigest":"`+img.Digest.String()+`"}`, "ImageNotFoundException", off)
		call(t, s, "DeleteRepository", `{"repositoryName":"app","force":true}`)
		refused(t, s, server.RestoreRepositoryPath, `{"repositoryName":"app"}`, "RepositoryNotFoundException", off)
		refused(t, s, server.DeletedImagesPath, `{"repositoryName":"app"}`, "RepositoryNotFoundException", "")
		if got := mustAsk[server.DeletedRepositoriesResponse](t, s, server.DeletedRepositoriesPath, `{}`); len(got.Repositories) != 0 {
			t.Errorf("repositories = %v, want none", got)
		}
	})
}

func TestARestoredImageMustFitTheQuotas(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{Configure: func(c *config.Config) { c.Quotas = []string{"images-per-repository=1", "tags-per-image=2"} }},
		func(t *testing.T, s *servertest.Server) {
			s.CreateRepository(t, "app")
			c := s.Login(t)
			one, two := servertest.NewImage(1), servertest.NewImage(2)
			c.Push(t, "app", "v1", one)
			c.Do(t, "DELETE", manifestPath("app", "v1"), nil).Want(t, 202)
			c.Push(t, "app", "v2", two)
			restore := `{"repositoryName":"app","imageDigest":"` + one.Digest.String() + `"`
			refused(t, s, server.RestoreImagePath, restore+`}`, "LimitExceededException", "images per repository")
			c.Do(t, "GET", manifestPath("app", one.Digest.String()), nil).Want(t, 404)
			c.Do(t, "DELETE", manifestPath("app", "v2"), nil).Want(t, 202)
			refused(t, s, server.RestoreImagePath, restore+`,"imageTags":["a","b","c"]}`, "LimitExceededException", "tags per image")
			restoreImage(t, s, one.Digest)
		})
}

func TestListsOfDeletedThingsHavePages(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		var names, digests []string // the last first
		for n := range 5 {
			name := "app" + string(rune('0'+n/2)) // some twice
			s.CreateRepository(t, name)
			call(t, s, "DeleteRepository", `{"repositoryName":"`+name+`"}`)
			names = append([]string{name}, names...)
			s.Clock.Advance(time.Duration(n%2) * time.Second)
		}
		s.CreateRepository(t, "app")
		c := s.Login(t)
		for n := range 5 {
			img := servertest.NewImage(uint64(n))
			c.Push(t, "app", "v", img)
			c.Do(t, "DELETE", manifestPath("app", "v"), nil).Want(t, 202)
			digests = append([]string{img.Digest.String()}, digests...)
			s.Clock.Advance(time.Duration(n%2) * time.Second)
		}
		var gotNames, gotDigests []string
		var repos server.DeletedRepositoriesResponse
		for range 3 {
			repos = mustAsk[server.DeletedRepositoriesResponse](t, s, server.DeletedRepositoriesPath, `{"maxResults":2,"nextToken":"`+repos.NextToken+`"}`)
			for _, r := range repos.Repositories {
				gotNames = append(gotNames, string(r.Name))
			}
		}
		var images server.DeletedImagesResponse
		for range 3 {
			images = mustAsk[server.DeletedImagesResponse](t, s, server.DeletedImagesPath, `{"repositoryName":"app","maxResults":2,"nextToken":"`+images.NextToken+`"}`)
			for _, i := range images.Images {
				gotDigests = append(gotDigests, i.Digest.String())
			}
		}
		same(t, "repositories", gotNames, names)
		same(t, "images", gotDigests, digests)
		if repos.NextToken != "" || images.NextToken != "" {
			t.Error("the last pages have a token")
		}
		first := mustAsk[server.DeletedImagesResponse](t, s, server.DeletedImagesPath, `{"repositoryName":"app","maxResults":1}`).NextToken
		refused(t, s, server.DeletedRepositoriesPath, `{"nextToken":"`+first+`"}`, "InvalidParameterException", "Invalid token")
		refused(t, s, server.DeletedImagesPath, `{"repositoryName":"app","nextToken":"x"}`, "InvalidParameterException", "Invalid token")
		for _, n := range []string{"0", "-1", "1001"} {
			refused(t, s, server.DeletedImagesPath, `{"repositoryName":"app","maxResults":`+n+`}`, "InvalidParameterException", "maxResults")
			refused(t, s, server.DeletedRepositoriesPath, `{"maxResults":`+n+`}`, "InvalidParameterException", "maxResults")
		}

		// The images of a deleted repository, in pages too.
		c.Push(t, "app", "a", servertest.NewImage(7))
		c.Push(t, "app", "b", servertest.NewImage(8))
		call(t, s, "DeleteRepository", `{"repositoryName":"app","force":true}`)
		page := mustAsk[server.DeletedImagesResponse](t, s, server.DeletedImagesPath, `{"repositoryName":"app","maxResults":1}`)
		rest := mustAsk[server.DeletedImagesResponse](t, s, server.DeletedImagesPath, `{"repositoryName":"app","nextToken":"`+page.NextToken+`"}`)
		got := []string{page.Images[0].Tags[0], rest.Images[0].Tags[0]}
		slices.Sort(got)
		same(t, "tags of the deleted repository's images", got, []string{"a", "b"})
		refused(t, s, server.DeletedImagesPath, `{"repositoryName":"app","nextToken":"`+first+`"}`, "InvalidParameterException", "Invalid token")
	})
}

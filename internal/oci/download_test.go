package oci_test

import (
	"bytes"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/opencontainers/go-digest"
)

// link returns the path and query of a download link.
func link(t testing.TB, client *ecr.Client, repository string, d digest.Digest) *url.URL {
	t.Helper()
	layer := d.String()
	out, err := client.GetDownloadUrlForLayer(t.Context(), &ecr.GetDownloadUrlForLayerInput{RepositoryName: &repository, LayerDigest: &layer})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(*out.DownloadUrl)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// anybody returns a client that is not logged in.
func anybody(c *servertest.Client) *servertest.Client {
	a := *c
	a.User = ""
	return &a
}

func TestDownloadLink(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "team/app")
		img := servertest.NewImage(1, 100, 200_000)
		c.Push(t, "team/app", "v1", img)
		c = anybody(c)
		for _, content := range append(img.Layers, img.Config) {
			d := digest.FromBytes(content)
			u := link(t, s.ECR(), "team/app", d)
			if got := u.Scheme + "://" + u.Host; got != s.URL {
				t.Errorf("the link is to %s, want %s", got, s.URL)
			}
			for _, method := range []string{"GET", "HEAD"} {
				r := c.Do(t, method, u.RequestURI(), nil)
				check(t, method, r, 200)
				checkHeaders(t, method, r, "Content-Length", strconv.Itoa(len(content)), "Docker-Content-Digest", d.String(), "ETag", `"`+d.String()+`"`,
					"Content-Type", "application/octet-stream", "Content-Disposition", "attachment", "X-Content-Type-Options", "nosniff",
					"Referrer-Policy", "no-referrer", "Accept-Ranges", "bytes", "Location", "")
				if method == "GET" && !bytes.Equal(r.Body, content) {
					t.Error("GET: the bytes are not the layer's")
				}
			}
			r := c.Do(t, "GET", u.RequestURI(), nil, "Range", "bytes=10-19")
			check(t, "GET of a range", r, 206)
			if !bytes.Equal(r.Body, content[10:20]) {
				t.Error("GET of a range: the bytes are not those asked for")
			}
			for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} {
				r := c.Do(t, method, u.RequestURI(), nil)
				checkError(t, method, r, 405, "UNSUPPORTED")
				checkHeaders(t, method, r, "Allow", "GET, HEAD")
			}
			// Credentials neither help nor hurt.
			check(t, "GET with a password", c.Do(t, "GET", u.RequestURI(), nil, "Authorization", "Basic nonsense"), 200)
		}
	})
}

func TestDownloadLinksEnd(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		img := servertest.NewImage(1, 100)
		c.Push(t, "app", "v1", img)
		d := digest.FromBytes(img.Layers[0])
		u := link(t, s.ECR(), "app", d)
		s.Clock.Advance(time.Hour - time.Second)
		check(t, "GET in the last second", anybody(c).Do(t, "GET", u.RequestURI(), nil), 200)
		s.Clock.Advance(time.Second)
		r := anybody(c).Do(t, "GET", u.RequestURI(), nil)
		checkError(t, "GET after an hour", r, 403, "DENIED")
		if want := "The download link is not valid or has expired"; r.Message() != want {
			t.Errorf("message = %q, want %q", r.Message(), want)
		}

		u = link(t, s.ECR(), "app", d)
		restart(t, s, c)
		check(t, "GET after a restart", anybody(c).Do(t, "GET", u.RequestURI(), nil), 200)
		c.Do(t, "DELETE", manifestPath("app", "v1"), nil).Want(t, 202)
		check(t, "GET of a layer without an image", anybody(c).Do(t, "GET", u.RequestURI(), nil), 200)
		c.Do(t, "DELETE", blobPath("app", d), nil).Want(t, 202)
		checkError(t, "GET of a layer that is gone", anybody(c).Do(t, "GET", u.RequestURI(), nil), 404, "BLOB_UNKNOWN")

		// The repository that has the name now is another one.
		c.Push(t, "app", "v1", img)
		u = link(t, s.ECR(), "app", d)
		name := "app"
		if _, err := s.ECR().DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: &name, Force: true}); err != nil {
			t.Fatal(err)
		}
		check(t, "GET from a deleted repository", anybody(c).Do(t, "GET", u.RequestURI(), nil), 404)
		s.CreateRepository(t, "app")
		c.Push(t, "app", "v1", img)
		check(t, "GET from the repository before", anybody(c).Do(t, "GET", u.RequestURI(), nil), 404)
		u = link(t, s.ECR(), "app", d)
		other := servertest.Start(t, servertest.Options{Configure: func(c *config.Config) { c.MasterKey = strings.Repeat("2b", 32) }})
		checkError(t, "GET under another master key", anybody(begin(t, other, "app")).Do(t, "GET", u.RequestURI(), nil), 403, "DENIED")
	})
}

// No part of a link can be changed, or put together with a part of another.
func TestAlteredDownloadLinksAreRefused(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app", "other")
		name := "app"
		if _, err := s.ECRIn("eu-west-1").CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: &name}); err != nil {
			t.Fatal(err)
		}
		img := servertest.NewImage(1, 100, 200)
		europe := in(c, "123456789012.dkr.ecr.eu-west-1.localhost")
		for _, at := range []*servertest.Client{c, europe} {
			at.Push(t, "app", "v1", img)
		}
		c.Push(t, "other", "v1", img)
		d, d2 := digest.FromBytes(img.Layers[0]), digest.FromBytes(img.Layers[1])
		good := link(t, s.ECR(), "app", d)
		part := func(u *url.URL) []string { return strings.Split(strings.TrimPrefix(u.Path, "/_berth/v1/layers/"), "/") }
		get := func(parts []string, expires, signature string) int {
			t.Helper()
			q := url.Values{"expires": {expires}, "signature": {signature}}
			return anybody(c).Do(t, "GET", "/_berth/v1/layers/"+strings.Join(parts, "/")+"?"+q.Encode(), nil).Status
		}
		fields, expires, signature := part(good), good.Query().Get("expires"), good.Query().Get("signature")
		if got := get(fields, expires, signature); got != 200 || len(fields) != 4 {
			t.Fatalf("the link put together again = %d", got)
		}
		// Any field of any other good link.
		for _, other := range []*url.URL{link(t, s.ECR(), "app", d2), link(t, s.ECR(), "other", d), link(t, s.ECRIn("eu-west-1"), "app", d)} {
			for i, f := range part(other) {
				changed := append([]string(nil), fields...)
				if changed[i] == f {
					continue
				}
				changed[i] = f
				for _, sig := range []string{signature, other.Query().Get("signature")} {
					if sig != signature && slices.Equal(changed, part(other)) {
						continue // that is the other link
					}
					if got := get(changed, expires, sig); got != 403 {
						t.Errorf("a link with another field %d = %d, want 403", i, got)
					}
				}
			}
			if got := get(fields, expires, other.Query().Get("signature")); got != 403 {
				t.Errorf("a link with another one's signature = %d, want 403", got)
			}
		}
		n, err := strconv.ParseInt(expires, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range []int64{n + 1, n - 1, n + 3600, 0, -1, 1 << 62} {
			if got := get(fields, strconv.FormatInt(e, 10), signature); got != 403 {
				t.Errorf("a link that ends at %d = %d, want 403", e, got)
			}
		}
		for _, changed := range [][]string{
			{"210987654321", fields[1], fields[2], fields[3]}, {fields[0], "eu-west-1", fields[2], fields[3]},
			{fields[0] + fields[1], "", fields[2], fields[3]}, {"", fields[0] + fields[1], fields[2], fields[3]},
			{fields[0], fields[1], "", fields[3]}, {fields[0], fields[1], fields[2], ""}, {fields[0], fields[1], "app", fields[3]},
			{fields[0], fields[1], fields[2], strings.ToUpper(fields[3])}, {fields[0], fields[1], fields[2], digest.SHA512.FromString("x").String()},
			{fields[0], fields[1], fields[2] + "%00", fields[3]}, {fields[0], fields[1], "..", fields[3]},
		} {
			if got := get(changed, expires, signature); got != 403 && got != 404 {
				t.Errorf("a link to %q = %d, want 403 or 404", changed, got)
			}
		}
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		for i := range signature {
			for _, b := range []byte(alphabet) {
				if b == signature[i] || i < len(signature)-1 && b != alphabet[i] {
					continue
				}
				if got := get(fields, expires, signature[:i]+string(b)+signature[i+1:]); got != 403 {
					t.Errorf("a signature with another character %d = %d, want 403", i, got)
				}
			}
		}
		for _, sig := range []string{"", "A", signature[1:], signature + "A", signature + "=", signature + "\n", "\r\n" + signature, signature + signature, strings.Repeat("A", 43)} {
			if got := get(fields, expires, sig); got != 403 {
				t.Errorf("the signature %q = %d, want 403", sig, got)
			}
		}
	})
}

func TestMalformedDownloadLinks(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		img := servertest.NewImage(1, 100)
		c.Push(t, "app", "v1", img)
		u := link(t, s.ECR(), "app", digest.FromBytes(img.Layers[0]))
		c = anybody(c)
		expires, signature := "expires="+u.Query().Get("expires"), "signature="+u.Query().Get("signature")
		for _, target := range []string{
			u.Path, u.Path + "?", u.Path + "?" + expires, u.Path + "?" + signature, u.Path + "?" + expires + "&" + expires + "&" + signature,
			u.Path + "?" + expires + "&" + signature + "&" + signature, u.Path + "?" + u.RawQuery + "&response-content-type=text/html", u.Path + "?expires=never&" + signature,
			u.Path + "?expires=9223372036854775808&" + signature, u.Path + "?Expires=1&" + signature, u.Path + "/?" + u.RawQuery, u.Path + "/x?" + u.RawQuery,
			"/_berth/v1/layers/?" + u.RawQuery, "/_berth/v1/layers?" + u.RawQuery, "/_berth/v1/layers//?" + u.RawQuery, "/_berth/?" + u.RawQuery, "/_berth/v1/layers/a/b/c/d/e?" + u.RawQuery,
			strings.Replace(u.Path, "/v1/", "//v1/", 1) + "?" + u.RawQuery, "/" + u.RequestURI(),
		} {
			r := c.Do(t, "GET", s.URL+target, nil)
			check(t, "GET "+target, r, 404)
		}
		for _, uid := range []string{"%00", "%ff", "'", "%2e%2e", strings.Repeat("a", 10_000)} {
			r := c.Do(t, "GET", s.URL+"/_berth/v1/layers/123456789012/us-east-1/"+uid+"/sha256:abc?"+u.RawQuery, nil)
			checkError(t, "GET of a repository "+uid, r, 403, "DENIED")
		}
	})
}

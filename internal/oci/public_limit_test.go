package oci_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

func TestAnonymousPullsCanBeLimited(t *testing.T) {
	t.Parallel()
	limits := servertest.Options{Configure: func(c *config.Config) { c.AnonymousRate, c.AnonymousBytes = 1, 100_000 }}
	servertest.Each(t, limits, func(t *testing.T, s *servertest.Server) {
		owner, anybody, names := publicBegin(t, s, "app")
		img := servertest.NewImage(1, 60_000)
		owner.Push(t, names[0], "v1", img)
		path, blob := manifestPath(names[0], "v1"), blobPath(names[0], digest.FromBytes(img.Layers[0]))
		throttled := func(path, message string) {
			t.Helper()
			r := anybody.Do(t, "GET", path, nil)
			checkError(t, "GET "+path, r, 429, "TOOMANYREQUESTS")
			if r.Message() != message {
				t.Errorf("message = %q, want %q", r.Message(), message)
			}
		}
		for range 10 {
			check(t, "GET of a manifest", anybody.Do(t, "GET", path, nil), 200)
		}
		throttled(path, "Rate exceeded")
		check(t, "the owner's GET", owner.Do(t, "GET", path, nil), 200)
		s.Clock.Advance(time.Second)
		check(t, "GET a second later", anybody.Do(t, "GET", path, nil), 200)
		throttled(path, "Rate exceeded")

		for range 2 { // the one that passes the limit is served whole
			check(t, "GET of a blob", anybody.Do(t, "GET", blob, nil), 200)
		}
		throttled(blob, "Data limit exceeded")
		s.Clock.Advance(time.Minute)
		throttled(path, "Data limit exceeded")
		check(t, "the owner's GET", owner.Do(t, "GET", blob, nil), 200)
		s.Clock.Advance(30 * 24 * time.Hour)
		owner.Token, anybody.Token = s.PublicToken(t), anybody.FetchToken(t)
		check(t, "GET 30 days later", anybody.Do(t, "GET", blob, nil), 200)
	})
}

// What counts is what is sent, not what is asked for.
func TestTheDataLimitCountsWhatIsSent(t *testing.T) {
	t.Parallel()
	limits := servertest.Options{Configure: func(c *config.Config) { c.AnonymousBytes = 150_000 }}
	servertest.Each(t, limits, func(t *testing.T, s *servertest.Server) {
		owner, anybody, names := publicBegin(t, s, "app")
		img := servertest.NewImage(1, 100_000)
		owner.Push(t, names[0], "v1", img)
		d := digest.FromBytes(img.Layers[0])
		for range 20 {
			check(t, "a range", anybody.Do(t, "GET", blobPath(names[0], d), nil, "Range", "bytes=0-9"), 206)
			check(t, "what is known", anybody.Do(t, "GET", blobPath(names[0], d), nil, "If-None-Match", `"`+d.String()+`"`), 304)
			check(t, "a range beyond it", anybody.Do(t, "GET", blobPath(names[0], d), nil, "Range", "bytes=100000-"), 416)
			check(t, "HEAD", anybody.Do(t, "HEAD", blobPath(names[0], d), nil), 200)
		}
		check(t, "the layer", anybody.Do(t, "GET", blobPath(names[0], d), nil), 200)
		check(t, "the layer again", anybody.Do(t, "GET", blobPath(names[0], d), nil), 200)
		for _, path := range []string{blobPath(names[0], d), manifestPath(names[0], "v1"), "/v2/" + names[0] + "/tags/list", referrersPath(names[0], d)} {
			r := anybody.Do(t, "GET", path, nil)
			checkError(t, "GET "+path, r, 429, "TOOMANYREQUESTS")
			checkHeaders(t, "GET "+path, r, "Retry-After", "2592000")
		}
		check(t, "the owner's GET", owner.Do(t, "GET", blobPath(names[0], d), nil), 200)
	})
}

// Lists cost as much as manifests, and HEAD as much as GET.
func TestTheRateCountsListsAndHEAD(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{Configure: func(c *config.Config) { c.AnonymousRate = 1 }})
	owner, anybody, names := publicBegin(t, s, "app")
	img := servertest.NewImage(1)
	owner.Push(t, names[0], "v1", img)
	paths := []string{manifestPath(names[0], "v1"), "/v2/" + names[0] + "/tags/list", referrersPath(names[0], img.Digest)}
	for _, method := range []string{"GET", "HEAD"} {
		for _, path := range paths {
			s.Clock.Advance(time.Minute)
			for range 10 {
				check(t, method+" "+path, anybody.Do(t, method, path, nil), 200)
			}
			for _, other := range paths {
				r := anybody.Do(t, method, other, nil)
				check(t, method+" "+other, r, 429)
				checkHeaders(t, method+" "+other, r, "Retry-After", "1")
			}
		}
	}
}

// Somebody unknown is refused before anything is read of what they send, and
// before they take a turn at writing.
func TestAPushWithoutALoginIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		_, anybody, names := publicBegin(t, s, "app")
		for _, request := range []string{
			"PUT " + manifestPath(names[0], "v1"), "POST " + uploadsPath(names[0], "?digest="+digest.FromString("x").String()),
			"PATCH " + uploadsPath(names[0], "6f0b4a3e-1f0a-4e0e-8f2a-0d5b1c2d3e4f"),
		} {
			for _, size := range []string{"Content-Length: 1000", "Transfer-Encoding: chunked", "Content-Length: 1000\r\nExpect: 100-continue"} {
				c, err := net.Dial("tcp", s.Host)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil { // the server would wait for a minute
					t.Fatal(err)
				}
				fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\n%s\r\n\r\n",
					request, anybody.Host, anybody.Token, typeManifest, size)
				r, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Errorf("%s with %s and no body: %v", request, size, err)
					continue
				}
				if r.StatusCode != 403 || !r.Close {
					t.Errorf("%s with %s and no body = %d, want 403 and the end of the connection", request, size, r.StatusCode)
				}
			}
		}
	})
}

// Who belongs to another account learns the alias, and not whose it is.
func TestStrangersDoNotLearnTheAccount(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	owner, anybody, names := publicBegin(t, s, "app")
	alias, _, _ := strings.Cut(names[0], "/")
	owner.Push(t, names[0], "v1", servertest.NewImage(1))
	absent := digest.FromString("absent")
	for _, name := range []string{names[0], alias + "/absent"} {
		for _, e := range everyEndpoint {
			r := anybody.Do(t, e.method, fill(e.path, name), servertest.NewImage(1).Manifest, "Content-Type", typeManifest)
			if strings.Contains(string(r.Body), servertest.Account) {
				t.Errorf("%s %s of %s = %s, want no account", e.method, e.path, name, r.Body)
			}
		}
	}
	r := anybody.Do(t, "GET", blobPath(names[0], absent), nil)
	if want := "The layer with digest '" + absent.String() + "' does not exist within the repository with name 'app' in the registry with id '" + alias + "'"; r.Message() != want {
		t.Errorf("message = %q, want %q", r.Message(), want)
	}
}

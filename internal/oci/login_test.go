package oci_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

func TestPasswordsWorkForTwelveHours(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		img := servertest.NewImage(1, 10)
		c.Push(t, "app", "v1", img)
		for _, step := range []struct {
			after, warning string
			advance        time.Duration
		}{
			{"at once", "", 0},
			{"after 11 h 45 min", "", 11*time.Hour + 45*time.Minute},
			{"a second later", `299 - "Your authorization token expires in 14m59s. Log in again."`, time.Second},
			{"after 11 h 59 min", `299 - "Your authorization token expires in 1m0s. Log in again."`, 13*time.Minute + 59*time.Second},
			{"in the last second", `299 - "Your authorization token expires in 1s. Log in again."`, 59 * time.Second},
		} {
			s.Clock.Advance(step.advance)
			for _, path := range []string{"/v2/", manifestPath("app", "v1"), blobPath("app", digest.FromBytes(img.Layers[0]))} {
				r := c.Do(t, "GET", path, nil)
				check(t, "GET "+path+" "+step.after, r, 200)
				checkHeaders(t, "GET "+path+" "+step.after, r, "Warning", step.warning)
			}
		}
		for _, later := range []time.Duration{time.Second, time.Minute, 365 * 24 * time.Hour} {
			s.Clock.Advance(later)
			for _, e := range everyEndpoint {
				what := e.method + " " + e.path + " with an expired password"
				r := c.Do(t, e.method, fill(e.path, "app"), nil)
				if e.method == "HEAD" {
					check(t, what, r, 403)
					continue
				}
				checkError(t, what, r, 403, "DENIED")
				if want := "Your authorization token has expired. Reauthenticate and try again."; r.Message() != want {
					t.Errorf("%s: message = %q, want %q", what, r.Message(), want)
				}
				checkHeaders(t, what, r, "WWW-Authenticate", "", "Warning", "")
			}
		}
		c.Pass = s.Password(t)
		checkManifest(t, c, "app", "v1", typeManifest, img.Manifest)
	})
}

// refused reports a password that is not answered with a challenge.
func refused(t testing.TB, what string, s *servertest.Server, c *servertest.Client) {
	t.Helper()
	r := c.Do(t, "GET", "/v2/app/tags/list", nil)
	checkError(t, what, r, 401, "UNAUTHORIZED")
	checkHeaders(t, what, r, "WWW-Authenticate", `Basic realm="`+s.URL+`/",service="ecr.amazonaws.com"`)
}

func TestOtherPasswordsAreRefused(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		good := c.Pass
		check(t, "GET with the password", c.Do(t, "GET", "/v2/app/tags/list", nil), 200)
		sealed, err := base64.RawURLEncoding.DecodeString(good)
		if err != nil {
			t.Fatal(err)
		}
		for name, pass := range map[string]string{
			"no password":           "",
			"a random one":          "password",
			"the root's secret":     s.Config.RootSecretAccessKey,
			"a password and more":   good + "A",
			"less than a password":  good[1:],
			"another encoding":      base64.StdEncoding.EncodeToString(sealed),
			"hexadecimal":           strings.Repeat("ab", len(sealed)),
			"line breaks within":    good[:10] + "\r\n" + good[10:],
			"a line break after":    good + "\n",
			"padding":               good + "=",
			"only zeros":            base64.RawURLEncoding.EncodeToString(make([]byte, len(sealed))),
			"one that is too long":  strings.Repeat(good, 100),
			"the password twice":    good + ":" + good,
			"a NUL after":           good + "\x00",
			"what is not any text":  "\xff\xfe\xfd",
			"characters of no kind": strings.Repeat("é", 100),
		} {
			c.Pass = pass
			refused(t, name, s, c)
		}
		for i := range sealed { // each byte
			altered := append([]byte(nil), sealed...)
			altered[i] ^= 1 << (i % 8)
			c.Pass = base64.RawURLEncoding.EncodeToString(altered)
			refused(t, "an altered byte", s, c)
		}
		last := good[len(good)-1]
		for _, b := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") { // every other spelling of the last bits
			if b != last {
				c.Pass = good[:len(good)-1] + string(b)
				refused(t, "an altered last character", s, c)
			}
		}
		c.Pass = good
		for _, user := range []string{"aws", "AWS ", "root", "", "AWS\x00", "AKIAROOT"} {
			c.User = " "
			credentials := base64.StdEncoding.EncodeToString([]byte(user + ":" + good))
			r := c.Do(t, "GET", "/v2/", nil, "Authorization", "Basic "+credentials)
			checkError(t, "the user "+user, r, 401, "UNAUTHORIZED")
		}
		for _, header := range []string{"", "Basic", "Basic !", "Basic " + good, "Bearer " + good, "bearer " + base64.StdEncoding.EncodeToString([]byte("AWS:"+good)),
			"Digest " + base64.StdEncoding.EncodeToString([]byte("AWS:"+good)), "Basic " + base64.StdEncoding.EncodeToString([]byte("AWS"+good))} {
			r := c.Do(t, "GET", "/v2/", nil, "Authorization", header)
			checkError(t, "Authorization: "+header, r, 401, "UNAUTHORIZED")
		}
		c.User = "AWS"
		check(t, "GET with the password", c.Do(t, "GET", "/v2/app/tags/list", nil), 200)
	})
}

// Two readers of a request with two passwords could see two principals in it.
func TestTwoPasswordsAtOnceAreRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	c := begin(t, s, "app")
	for _, second := range []string{c.Pass, "other"} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, pass := range []string{c.Pass, second} {
			req.Header.Add("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("AWS:"+pass)))
		}
		res, err := c.HTTP.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != 401 {
			t.Errorf("GET with two passwords = %d, want 401", res.StatusCode)
		}
	}
}

func TestPasswordsOfAnotherServerAreRefused(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		other := servertest.Start(t, servertest.Options{Configure: func(c *config.Config) { c.MasterKey = strings.Repeat("2b", 32) }})
		mine := c.Pass
		c.Pass = other.Password(t)
		refused(t, "a password of another server", s, c)
		c.Pass = mine
		check(t, "GET with the password", c.Do(t, "GET", "/v2/app/tags/list", nil), 200)
	})
}

func TestPasswordEndsWithItsAccessKey(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := begin(t, s, "app")
		old := c.Pass
		s.Config.RootAccessKeyID, s.Config.RootSecretAccessKey = "AKIAOTHER", "another secret of the root"
		restart(t, s, c)
		refused(t, "the password of a key that is gone", s, c)
		c.Pass = s.Password(t)
		check(t, "GET with the new key's password", c.Do(t, "GET", "/v2/app/tags/list", nil), 200)
		c.Pass = old
		refused(t, "the password of a key that is gone", s, c)
	})
}

package oidc_test

import (
	"context"
	"crypto/elliptic"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/internal/egress"
	"berth/internal/fault"
	"berth/internal/oidc"
	"berth/internal/oidc/oidctest"
)

func TestDiscoveryThatIsRefused(t *testing.T) {
	t.Parallel()
	var i *oidctest.Issuer
	for name, tt := range map[string]struct {
		path string
		h    http.HandlerFunc
	}{
		"the document of another issuer": {oidctest.Discovery, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"issuer": "https://example.com", "jwks_uri": %q}`, i.URL+oidctest.Keys)
		}},
		"the issuer with a slash": {oidctest.Discovery, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"issuer": %q, "jwks_uri": %q}`, i.URL+"/", i.URL+oidctest.Keys)
		}},
		"an issuer twice": {oidctest.Discovery, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"issuer": "https://example.com", "issuer": %q, "jwks_uri": %q}`, i.URL, i.URL+oidctest.Keys)
		}},
		"keys by http": {oidctest.Discovery, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"issuer": %q, "jwks_uri": "http://127.0.0.1/keys"}`, i.URL)
		}},
		"keys in a file": {oidctest.Discovery, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"issuer": %q, "jwks_uri": "file:///etc/passwd"}`, i.URL)
		}},
		"keys at an address that is not allowed": {oidctest.Discovery, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"issuer": %q, "jwks_uri": "https://169.254.169.254/latest/"}`, i.URL)
		}},
		"a redirect to an address that is not allowed": {oidctest.Keys, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://10.0.0.1/keys", http.StatusFound)
		}},
		"no keys":     {oidctest.Discovery, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"issuer": %q}`, i.URL) }},
		"no document": {oidctest.Discovery, http.NotFound},
		"no set":      {oidctest.Keys, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `[]`) }},
		"a long set": {oidctest.Keys, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"keys": [`+strings.Repeat(" ", 1<<20)+`]}`)
		}},
		"many keys": {oidctest.Keys, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"keys": [`+strings.Repeat("0,", 1000)+`0]}`)
		}},
		"a large page": {oidctest.Discovery, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("<html>", 100_000))
		}},
		"an error": {oidctest.Keys, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "{}", http.StatusBadGateway) }},
	} {
		i = oidctest.Start(t)
		i.Replace(tt.path, tt.h)
		_, err := verifier(t, i, oidc.Options{}).Verify(t.Context(), i.URL, i.Token(nil))
		if fault.CodeOf(err) != "IDPCommunicationError" {
			t.Errorf("%s: Verify = %v, want IDPCommunicationError", name, err)
		}
		if e, _ := fault.As(err); e != nil && (e.Err == nil || strings.Contains(e.Message, e.Err.Error())) {
			t.Errorf("%s: the message is %q, the cause %v; want the cause for the log alone", name, e.Message, e.Err)
		}
	}
}

// An issuer at an address of the site's own is not asked unless that is allowed.
func TestIssuersAreBehindTheGuard(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	g, err := egress.New(egress.Options{CA: i.CA})
	if err != nil {
		t.Fatal(err)
	}
	v, err := oidc.New(oidc.Options{Client: g.Client(egress.ClientOptions{})})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), i.URL, i.Token(nil)); fault.CodeOf(err) != "IDPCommunicationError" {
		t.Errorf("Verify = %v, want IDPCommunicationError", err)
	}
	if n := i.Requests(oidctest.Discovery); n != 0 {
		t.Errorf("the issuer was asked %d times, want never", n)
	}
}

// wantKeys fails the test unless keys were fetched so often.
func wantKeys(t *testing.T, i *oidctest.Issuer, when string, want int) {
	t.Helper()
	if got := i.Requests(oidctest.Keys); got != want {
		t.Errorf("%s: keys were fetched %d times, want %d", when, got, want)
	}
}

func TestKeysAreRemembered(t *testing.T) {
	t.Parallel()
	i, c := oidctest.Start(t), &clock{}
	v := verifier(t, i, oidc.Options{Now: c.now})
	verify := func(k *oidctest.Key, want string) {
		t.Helper()
		token := i.Token(nil)
		if k != nil {
			token = k.Token(nil, i.Claims(nil))
		}
		if _, err := v.Verify(t.Context(), i.URL, token); fault.CodeOf(err) != want {
			t.Errorf("Verify = %v, want %q", err, want)
		}
		v.Wait()
	}
	for range 3 {
		verify(nil, "")
	}
	wantKeys(t, i, "at first", 1)

	// A key that is not known has them fetched again, once in a minute.
	next := oidctest.EC(t, "next", elliptic.P256())
	for range 3 {
		verify(&next, "InvalidIdentityToken")
	}
	wantKeys(t, i, "within a minute", 1)
	c.advance(time.Minute)
	for range 3 {
		verify(&next, "InvalidIdentityToken")
	}
	wantKeys(t, i, "a minute later", 2)
	i.Publish(next)
	c.advance(time.Minute)
	verify(&next, "")
	wantKeys(t, i, "when it is published", 3)

	// They are fetched again now and then, and outlast the issuer for a while.
	c.advance(16 * time.Minute)
	verify(&next, "")
	wantKeys(t, i, "when they are old", 4)
	i.Replace(oidctest.Keys, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusBadGateway) })
	c.advance(16 * time.Minute)
	for range 3 {
		verifyLater(t, v, i, next, c, "")
	}
	wantKeys(t, i, "when the issuer is away", 5)
	c.advance(11 * time.Second)
	verifyLater(t, v, i, next, c, "")
	wantKeys(t, i, "when it is tried again", 6)
	c.advance(12 * time.Hour)
	verifyLater(t, v, i, next, c, "IDPCommunicationError")
	verifyLater(t, v, i, next, c, "IDPCommunicationError")
	wantKeys(t, i, "when it is away for long", 7)
	i.Replace(oidctest.Keys, nil)
	c.advance(11 * time.Second)
	verifyLater(t, v, i, next, c, "")
}

// verifyLater verifies a token that is issued by the clock.
func verifyLater(t *testing.T, v *oidc.Verifier, i *oidctest.Issuer, k oidctest.Key, c *clock, want string) {
	t.Helper()
	now := c.now().Unix()
	token := k.Token(nil, i.Claims(map[string]any{"iat": now, "exp": now + 60}))
	if _, err := v.Verify(t.Context(), i.URL, token); fault.CodeOf(err) != want {
		t.Errorf("Verify = %v, want %q", err, want)
	}
	v.Wait()
}

// Nobody waits for new keys while old ones can be used.
func TestOldKeysAreReplacedInTheBackground(t *testing.T) {
	t.Parallel()
	i, c := oidctest.Start(t), &clock{}
	var failures []string
	v := verifier(t, i, oidc.Options{Now: c.now, Failed: func(issuer string, err error) { failures = append(failures, issuer+": "+err.Error()) }})
	k := oidctest.EC(t, "k", elliptic.P256())
	i.Publish(k)
	verifyLater(t, v, i, k, c, "")
	asked := make(chan struct{})
	i.Replace(oidctest.Keys, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	})
	c.advance(16 * time.Minute)
	now := c.now().Unix()
	token := k.Token(nil, i.Claims(map[string]any{"iat": now, "exp": now + 60}))
	for range 10 {
		if _, err := v.Verify(t.Context(), i.URL, token); err != nil {
			t.Errorf("Verify while the issuer hangs: %v", err)
		}
	}
	<-asked
	if err := v.Close(); err != nil { // does not wait until the issuer's time is up
		t.Error(err)
	}
	if len(failures) != 1 || !strings.HasPrefix(failures[0], i.URL+": ") {
		t.Errorf("failures = %q, want one", failures)
	}
}

func TestManyTokensFetchTheKeysOnce(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	v := verifier(t, i, oidc.Options{})
	token := i.Token(nil)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := v.Verify(t.Context(), i.URL, token); err != nil {
				t.Errorf("Verify: %v", err)
			}
		})
	}
	wg.Wait()
	wantKeys(t, i, "for all", 1)
}

// Who gives up does not wait, and takes nothing from the others.
func TestWaitingEndsWithTheRequest(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	v := verifier(t, i, oidc.Options{})
	asked, release := make(chan struct{}), make(chan struct{})
	i.Replace(oidctest.Keys, func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-release
		_, _ = w.Write(i.KeySet())
	})
	first, giveUp := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := v.Verify(first, i.URL, i.Token(nil))
		ended <- err
	}()
	<-asked
	giveUp()
	second, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.Verify(second, i.URL, i.Token(nil)); err != context.Canceled {
		t.Errorf("Verify of a request that has ended = %v, want %v", err, context.Canceled)
	}
	close(release)
	if err := <-ended; err != nil {
		t.Errorf("Verify of the first = %v, want the keys that it waited for", err)
	}
}

func TestIssuersAreForgotten(t *testing.T) {
	t.Parallel()
	i, c := oidctest.Start(t), &clock{}
	v := verifier(t, i, oidc.Options{Now: c.now})
	ask := func(path string) {
		t.Helper()
		name := i.URL + path
		i.Replace(path+oidctest.Discovery, func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(map[string]string{"issuer": name, "jwks_uri": i.URL + oidctest.Keys})
		})
		if _, err := v.Verify(t.Context(), name, i.Token(map[string]any{"iss": name})); err != nil {
			t.Fatal(err)
		}
		c.advance(time.Millisecond)
	}
	ask("/old")
	ask("/often")
	for n := range 255 {
		ask(fmt.Sprintf("/%d", n))
		ask("/often")
	}
	if n := i.Requests("/often" + oidctest.Discovery); n != 1 {
		t.Errorf("an issuer that is used was asked %d times, want once", n)
	}
	ask("/old")
	if n := i.Requests("/old" + oidctest.Discovery); n != 2 {
		t.Errorf("an issuer that is not used was asked %d times, want twice", n)
	}
}

package oidc_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth/internal/egress"
	"berth/internal/oidc"
	"berth/internal/oidc/oidctest"
)

// browser is what a person's browser does with an address: it follows redirects.
type browser struct {
	*http.Client
	change func(back *url.URL) // changes where the issuer sends it
}

func newBrowser(t *testing.T, i *oidctest.Issuer) *browser {
	t.Helper()
	g, err := egress.New(egress.Options{CA: i.CA, Allow: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{}
	b.Client = &http.Client{
		Transport: schemes{"https": g.Transport(), "http": http.DefaultTransport},
		CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			if b.change != nil && r.URL.Scheme == "http" {
				b.change(r.URL)
			}
			return nil
		},
	}
	return b
}

type schemes map[string]http.RoundTripper

func (s schemes) RoundTrip(r *http.Request) (*http.Response, error) {
	return s[r.URL.Scheme].RoundTrip(r)
}

// open follows an address and returns the answer.
func (b *browser) open(t *testing.T, address string) (int, string) {
	t.Helper()
	res, err := b.Get(address)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return res.StatusCode, string(text)
}

// login runs a login in which the person does something with the address.
func login(t *testing.T, i *oidctest.Issuer, person func(address string)) (string, *oidc.Token, error) {
	t.Helper()
	g, err := egress.New(egress.Options{CA: i.CA, Allow: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan struct{})
	l := &oidc.Login{Issuer: i.URL, ClientID: "berth-cli", Scopes: []string{"email"}, Client: g.Client(egress.ClientOptions{})}
	opened := false
	l.Open = func(address string) error {
		opened = true
		go func() { defer close(done); person(address) }()
		return nil
	}
	text, token, err := l.Run(ctx)
	if opened {
		<-done
	}
	return text, token, err
}

func TestLogin(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	b := newBrowser(t, i)
	text, token, err := login(t, i, func(address string) {
		u, err := url.Parse(address)
		if err != nil {
			t.Error(err)
		}
		q := u.Query()
		if q.Get("scope") != "openid email" || q.Get("code_challenge_method") != "S256" || len(q.Get("state")) < 40 || len(q.Get("nonce")) < 40 {
			t.Errorf("the address is %s", address)
		}
		if status, answer := b.open(t, address); status != http.StatusOK || !strings.HasPrefix(answer, "You are logged in") {
			t.Errorf("the browser shows %d %q", status, answer)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if issuer, err := oidc.Issuer(text); issuer != i.URL || err != nil {
		t.Errorf("the token is of %q, %v, want %s", issuer, err, i.URL)
	}
	if token.Subject != "ada@example.com" || token.Audience[0] != "berth-cli" {
		t.Errorf("the token says %+v", token)
	}
}

// What is not the answer to this login is refused and ends nothing.
func TestLoginIgnoresStrangers(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	b := newBrowser(t, i)
	_, _, err := login(t, i, func(address string) {
		u, _ := url.Parse(address)
		q := u.Query()
		back := q.Get("redirect_uri")
		for name, try := range map[string]string{
			"no state": back + "?code=x", "another state": back + "?code=x&state=y", "two states": back + "?code=x&state=y&state=" + q.Get("state"),
			"another path": strings.TrimSuffix(back, oidc.LoginPath) + "/?code=x&state=" + q.Get("state"),
		} {
			if status, _ := b.open(t, try); status != http.StatusBadRequest && status != http.StatusNotFound {
				t.Errorf("%s: the answer is %d, want it refused", name, status)
			}
		}
		r, _ := http.NewRequestWithContext(t.Context(), "GET", back+"?code=x&state="+q.Get("state"), nil)
		r.Host = "evil.example.com"
		if res, err := b.Do(r); err != nil || res.StatusCode != http.StatusNotFound {
			t.Errorf("with another host: %v, %v, want 404", res, err)
		} else {
			res.Body.Close()
		}
		if status, _ := b.open(t, address); status != http.StatusOK {
			t.Errorf("the real answer is %d, want 200", status)
		}
	})
	if err != nil {
		t.Errorf("Run: %v", err)
	}
}

// However often the answer comes, at once too, it is taken once.
func TestLoginTakesOneAnswer(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	b := newBrowser(t, i)
	var taken atomic.Int32
	_, _, err := login(t, i, func(address string) {
		answer := ""
		caught := errors.New("caught")
		b.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			answer = r.URL.String()
			return caught
		}
		if _, err := b.Get(address); !errors.Is(err, caught) {
			t.Errorf("the issuer sends nobody back: %v", err)
		}
		var start, all sync.WaitGroup
		start.Add(1)
		for range 64 {
			all.Go(func() {
				start.Wait()
				res, err := b.Get(answer)
				if err != nil {
					return // the login is over, and nobody listens
				}
				res.Body.Close()
				if res.StatusCode == http.StatusOK {
					taken.Add(1)
				}
			})
		}
		start.Done()
		all.Wait()
	})
	if err != nil {
		t.Errorf("Run: %v", err)
	}
	if taken.Load() != 1 {
		t.Errorf("of 64 answers %d were taken, want 1, and the others refused or not heard", taken.Load())
	}
}

func TestLoginThatFails(t *testing.T) {
	t.Parallel()
	const tokens = "/token"
	for name, tt := range map[string]struct {
		prepare func(*oidctest.Issuer, *browser)
		want    string
	}{
		"the person refuses": {func(_ *oidctest.Issuer, b *browser) {
			b.change = func(u *url.URL) {
				u.RawQuery = url.Values{"state": u.Query()["state"], "error": {"access_denied"}, "error_description": {"no\x1b[31m"}}.Encode()
			}
		}, `"access_denied": "no\x1b[31m"`},
		"no code":      {func(_ *oidctest.Issuer, b *browser) { b.change = func(u *url.URL) { del(u, "code") } }, "has no code"},
		"another code": {func(_ *oidctest.Issuer, b *browser) { b.change = func(u *url.URL) { set(u, "code", "x") } }, "invalid_grant"},
		"another issuer": {func(_ *oidctest.Issuer, b *browser) {
			b.change = func(u *url.URL) { set(u, "iss", "https://example.com") }
		}, "another issuer"},
		"the token of somebody": {answers(tokens, func(i *oidctest.Issuer) any {
			return map[string]any{"id_token": i.Token(map[string]any{"aud": "berth-cli", "nonce": "x"})}
		}), "of another login"},
		"a token without nonce": {answers(tokens, func(i *oidctest.Issuer) any {
			return map[string]any{"id_token": i.Token(map[string]any{"aud": "berth-cli"})}
		}), "of another login"},
		"for another client": {answers(tokens, func(i *oidctest.Issuer) any { return map[string]any{"id_token": i.Token(nil)} }), "for another client"},
		"for another party": {answers(tokens, func(i *oidctest.Issuer) any {
			return map[string]any{"id_token": i.Token(map[string]any{"aud": []string{"berth-cli", "b"}, "azp": "b"})}
		}), "for another client"},
		"no token": {answers(tokens, func(*oidctest.Issuer) any { return map[string]any{"access_token": "x"} }), "no identity token"},
		"an expired token": {answers(tokens, func(i *oidctest.Issuer) any {
			return map[string]any{"id_token": i.Token(map[string]any{"aud": "berth-cli", "exp": 1})}
		}), "Token expired"},
		"nothing":  {func(i *oidctest.Issuer, _ *browser) { i.Replace(tokens, http.NotFound) }, "answers 404"},
		"no login": {answers(oidctest.Discovery, func(i *oidctest.Issuer) any { return map[string]any{"issuer": i.URL} }), "no login by https"},
		"a login by http": {answers(oidctest.Discovery, func(i *oidctest.Issuer) any {
			return map[string]any{"issuer": i.URL, "authorization_endpoint": "http://127.0.0.1/", "token_endpoint": i.URL}
		}), "no login by https"},
		"an issuer that names itself": {answers(oidctest.Discovery, func(i *oidctest.Issuer) any {
			return map[string]any{"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + tokens, "jwks_uri": i.URL + oidctest.Keys,
				"authorization_response_iss_parameter_supported": true}
		}), "another issuer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := oidctest.Start(t)
			b := newBrowser(t, i)
			tt.prepare(i, b)
			_, _, err := login(t, i, func(address string) { b.open(t, address) })
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Run = %v, want an error with %s", err, tt.want)
			}
		})
	}
}

func answers(path string, with func(*oidctest.Issuer) any) func(*oidctest.Issuer, *browser) {
	return func(i *oidctest.Issuer, _ *browser) {
		i.Replace(path, func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(with(i)) })
	}
}

func set(u *url.URL, name, value string) {
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
}

func del(u *url.URL, name string) {
	q := u.Query()
	q.Del(name)
	u.RawQuery = q.Encode()
}

func TestLoginEndsWithItsContext(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	g, err := egress.New(egress.Options{CA: i.CA, Allow: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	l := &oidc.Login{Issuer: i.URL, ClientID: "c", Client: g.Client(egress.ClientOptions{}), Open: func(string) error { cancel(); return nil }}
	if _, _, err := l.Run(ctx); err == nil || !strings.Contains(err.Error(), "nobody has logged in") {
		t.Errorf("Run = %v, want an error", err)
	}
}

package oidc

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"berth/internal/egress"
)

// Login logs a person in with an issuer, in their browser: the authorization code
// flow for programs (RFC 8252) with a proof key (RFC 7636).
type Login struct {
	Issuer       string
	ClientID     string
	ClientSecret string   // "" for none, as it should be for a program
	Scopes       []string // openid is asked for anyhow
	Port         int      // of the address that the browser comes back to; 0 for any
	Client       *http.Client
	// Open shows an address to the person.
	Open func(url string) error
	// OpenWithCode shows an address and the code to type in there, for RunDevice.
	OpenWithCode func(url, code string) error
	Now          func() time.Time // time.Now if nil
	// Sleep waits; it is for tests, nil otherwise.
	Sleep func(context.Context, time.Duration) error
}

// LoginPath is where on 127.0.0.1 the browser comes back to.
const LoginPath = "/callback"

// endpoints are what a login needs of a discovery document.
type endpoints struct {
	authorization, token, device string // https, or "" if there is none

	namesIssuer bool // the browser comes back with the issuer, RFC 9207
}

// Run waits until the person has logged in, and returns the identity token as the
// issuer has sent it, and what it says.
func (l *Login) Run(ctx context.Context) (string, *Token, error) {
	at, err := l.discover(ctx)
	if err != nil {
		return "", nil, err
	}
	if at.authorization == "" || at.token == "" {
		return "", nil, errors.New("the issuer has no login by https in browsers")
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(l.Port)))
	if err != nil {
		return "", nil, err
	}
	a := newAttempt(l.Issuer, "http://"+listener.Addr().String()+LoginPath, at.namesIssuer)
	s := &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(listener) }()
	defer func() {
		soon, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_ = s.Shutdown(soon) // lets the browser have its answer
		_ = s.Close()
		<-ended
	}()
	address, err := l.address(at.authorization, a)
	if err != nil {
		return "", nil, err
	}
	if err := l.Open(address); err != nil {
		return "", nil, err
	}
	select {
	case r := <-a.result:
		if r.err != nil {
			return "", nil, r.err
		}
		return l.redeem(ctx, at.token, a, r.code)
	case <-ctx.Done():
		return "", nil, fmt.Errorf("nobody has logged in: %w", ctx.Err())
	}
}

func (l *Login) discover(ctx context.Context) (endpoints, error) {
	if !validIssuer(l.Issuer) {
		return endpoints{}, fmt.Errorf("%q is not the URL of an issuer, which begins with https://", l.Issuer)
	}
	document, err := discovery(ctx, l.Client, l.Issuer)
	if err != nil {
		return endpoints{}, err
	}
	address := func(name string) string {
		text, _ := document[name].(string)
		if !strings.HasPrefix(text, "https://") {
			return ""
		}
		return text
	}
	e := endpoints{
		authorization: address("authorization_endpoint"), token: address("token_endpoint"), device: address("device_authorization_endpoint"),
	}
	e.namesIssuer, _ = document["authorization_response_iss_parameter_supported"].(bool)
	return e, nil
}

// attempt is one login. Its secrets are used once.
type attempt struct {
	issuer, redirect       string
	state, nonce, verifier string
	namesIssuer            bool
	answered               atomic.Bool
	result                 chan result // of the one answer
}

type result struct {
	code string
	err  error
}

func newAttempt(issuer, redirect string, namesIssuer bool) *attempt {
	return &attempt{
		issuer: issuer, redirect: redirect, namesIssuer: namesIssuer, state: secret(), nonce: secret(), verifier: secret(), result: make(chan result, 1),
	}
}

// secret returns 256 random bits.
func secret() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// address is where the person logs in.
func (l *Login) address(endpoint string, a *attempt) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", err
	}
	challenge := sha256.Sum256([]byte(a.verifier))
	q := u.Query()
	for name, value := range map[string]string{
		"response_type": "code", "client_id": l.ClientID, "redirect_uri": a.redirect, "scope": l.scope(), "state": a.state, "nonce": a.nonce,
		"code_challenge": base64.RawURLEncoding.EncodeToString(challenge[:]), "code_challenge_method": "S256",
	} {
		q.Set(name, value)
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// ServeHTTP takes the browser's answer. One that does not have the state is not an
// answer to us, and ends nothing.
func (a *attempt) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet || "http://"+r.Host+r.URL.Path != a.redirect {
		http.NotFound(w, r)
		return
	}
	q := r.URL.Query()
	if len(q["state"]) != 1 || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(a.state)) != 1 {
		http.Error(w, "This is not the answer to a login that waits.", http.StatusBadRequest)
		return
	}
	if !a.answered.CompareAndSwap(false, true) {
		http.Error(w, "This login has had its answer.", http.StatusBadRequest)
		return
	}
	code, err := a.answer(q)
	a.result <- result{code, err}
	if err != nil {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "The login has failed. The terminal says why.\n")
		return
	}
	_, _ = io.WriteString(w, "You are logged in. You can close this window.\n")
}

// answer returns the code in the browser's answer.
func (a *attempt) answer(q url.Values) (string, error) {
	if issuer, there := q["iss"]; a.namesIssuer && !there || there && !slices.Equal(issuer, []string{a.issuer}) {
		return "", errors.New("the answer is that of another issuer")
	}
	if e := q.Get("error"); e != "" {
		return "", &refusal{e, q.Get("error_description")}
	}
	if len(q["code"]) != 1 || q.Get("code") == "" {
		return "", errors.New("the answer has no code")
	}
	return q.Get("code"), nil
}

// redeem exchanges the code for a token and checks that it is for this login.
func (l *Login) redeem(ctx context.Context, endpoint string, a *attempt, code string) (string, *Token, error) {
	document, err := l.post(ctx, endpoint, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {a.redirect}, "client_id": {l.ClientID}, "code_verifier": {a.verifier},
	})
	if err != nil {
		return "", nil, err
	}
	text, t, err := l.identityToken(ctx, document)
	if err != nil {
		return "", nil, err
	}
	if len(t.Claims["nonce"]) != 1 || subtle.ConstantTimeCompare([]byte(t.Claims["nonce"][0]), []byte(a.nonce)) != 1 {
		return "", nil, errors.New("the identity token is of another login")
	}
	return text, t, nil
}

// identityToken returns the identity token of an issuer's answer, which must be
// for this client.
func (l *Login) identityToken(ctx context.Context, document map[string]any) (string, *Token, error) {
	text, ok := document["id_token"].(string)
	if !ok {
		return "", nil, errors.New("the issuer has sent no identity token")
	}
	v, err := New(Options{Client: l.Client, Now: l.Now})
	if err != nil {
		return "", nil, err
	}
	t, err := v.Verify(ctx, l.Issuer, text)
	switch {
	case err != nil:
		return "", nil, fmt.Errorf("the identity token: %w", err)
	case !slices.Contains(t.Audience, l.ClientID) || (len(t.Audience) > 1 || t.AuthorizedParty != "") && t.AuthorizedParty != l.ClientID:
		return "", nil, errors.New("the identity token is for another client")
	}
	return text, t, nil
}

func (l *Login) scope() string {
	if slices.Contains(l.Scopes, "openid") {
		return strings.Join(l.Scopes, " ")
	}
	return strings.Join(append([]string{"openid"}, l.Scopes...), " ")
}

// refusal is an error that an issuer answers with.
type refusal struct{ code, text string }

// Error implements error.
func (r *refusal) Error() string {
	return fmt.Sprintf("the issuer refuses: %.100q: %.500q", r.code, r.text)
}

// post sends a form of the client's. An error that the issuer names is a
// [*refusal].
func (l *Login) post(ctx context.Context, address string, form url.Values) (map[string]any, error) {
	if l.ClientSecret != "" {
		form.Set("client_secret", l.ClientSecret)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	res, err := l.Client.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := egress.ReadAll(res.Body, maxDiscovery)
	if err != nil {
		return nil, err
	}
	document, err := parseObject(text)
	switch e, _ := document["error"].(string); {
	case e != "":
		text, _ := document["error_description"].(string)
		return nil, &refusal{e, text}
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the issuer answers %s", res.Status)
	case err != nil:
		return nil, fmt.Errorf("the issuer's answer %w", err)
	}
	return document, nil
}

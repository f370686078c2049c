package oidctest

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"net/url"
)

const (
	authorizePath = "/authorize"
	tokenPath     = "/token"
)

// grant is a login that waits for its code to be redeemed.
type grant struct {
	client, redirect, challenge, nonce string
}

// authorize logs somebody in without asking, and sends the browser back with a
// code.
func (i *Issuer) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || back.Hostname() != "127.0.0.1" || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" ||
		q.Get("code_challenge") == "" || q.Get("client_id") == "" || q.Get("state") == "" {
		http.Error(w, "not an authorization request", http.StatusBadRequest)
		return
	}
	code := rand.Text()
	i.mu.Lock()
	i.codes[code] = grant{q.Get("client_id"), q.Get("redirect_uri"), q.Get("code_challenge"), q.Get("nonce")}
	i.mu.Unlock()
	back.RawQuery = url.Values{"code": {code}, "state": {q.Get("state")}}.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

// token redeems a code, once.
func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	code := r.PostFormValue("code")
	i.mu.Lock()
	g, ok := i.codes[code]
	delete(i.codes, code)
	i.mu.Unlock()
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !ok || r.PostFormValue("grant_type") != "authorization_code" || r.PostFormValue("client_id") != g.client ||
		r.PostFormValue("redirect_uri") != g.redirect || subtle.ConstantTimeCompare([]byte(Base64(sum[:])), []byte(g.challenge)) != 1 {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_grant"})
		return
	}
	answer(w, map[string]any{
		"token_type": "Bearer", "access_token": rand.Text(), "expires_in": 3600,
		"id_token": i.Token(map[string]any{"aud": g.client, "nonce": g.nonce, "sub": "ada@example.com"}),
	})
}

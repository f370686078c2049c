// Package oidctest is an OpenID Connect issuer for tests: it serves discovery and
// keys over TLS, signs tokens, good and forged ones, and logs people in.
package oidctest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// Issuer is a running issuer.
type Issuer struct {
	URL string // https://127.0.0.1:PORT
	CA  []byte // the certificate to trust, in PEM

	t      testing.TB
	server *httptest.Server

	mu       sync.Mutex
	keys     []Key                   // published; guarded by mu
	requests map[string]int          // how often each path was asked for; guarded by mu
	replace  map[string]http.Handler // what answers instead; guarded by mu
	codes    map[string]grant        // guarded by mu
}

// Key is a key that signs tokens.
type Key struct {
	ID     string
	Signer crypto.Signer // *rsa.PrivateKey or *ecdsa.PrivateKey
}

// Alg is the algorithm that the key is for.
func (k Key) Alg() string {
	if _, ok := k.Signer.(*rsa.PrivateKey); ok {
		return "RS256"
	}
	return "ES256"
}

// RSA makes a key.
func RSA(t testing.TB, id string, bits int) Key {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return Key{id, k}
}

// EC makes a key.
func EC(t testing.TB, id string, curve elliptic.Curve) Key {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return Key{id, k}
}

// Start starts an issuer with the keys, or with one for ES256 if there are none.
// It ends with the test.
func Start(t testing.TB, keys ...Key) *Issuer {
	t.Helper()
	if len(keys) == 0 {
		keys = []Key{EC(t, "first", elliptic.P256())}
	}
	i := &Issuer{t: t, keys: keys, requests: map[string]int{}, replace: map[string]http.Handler{}, codes: map[string]grant{}}
	i.server = httptest.NewUnstartedServer(i)
	i.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	i.server.StartTLS()
	t.Cleanup(i.server.Close)
	i.URL = i.server.URL
	i.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.server.Certificate().Raw})
	return i
}

// Close ends the issuer early.
func (i *Issuer) Close() { i.server.Close() }

// Publish replaces the keys. The first one signs.
func (i *Issuer) Publish(keys ...Key) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys
}

// Replace has a handler answer a path; nil puts it right again.
func (i *Issuer) Replace(path string, h http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.replace, path)
	if h != nil {
		i.replace[path] = h
	}
}

// Requests returns how often a path was asked for.
func (i *Issuer) Requests(path string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.requests[path]
}

// The paths of an issuer.
const (
	Discovery = "/.well-known/openid-configuration"
	Keys      = "/keys"
)

// ServeHTTP implements [http.Handler].
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.requests[r.URL.Path]++
	h := i.replace[r.URL.Path]
	i.mu.Unlock()
	switch {
	case h != nil:
		h.ServeHTTP(w, r)
	case r.URL.Path == Discovery:
		answer(w, map[string]any{
			"issuer": i.URL, "jwks_uri": i.URL + Keys, "authorization_endpoint": i.URL + authorizePath, "token_endpoint": i.URL + tokenPath,
			"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
			"id_token_signing_alg_values_supported": []string{"RS256", "ES256"},
		})
	case r.URL.Path == Keys:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(i.KeySet())
	case r.URL.Path == authorizePath:
		i.authorize(w, r)
	case r.URL.Path == tokenPath:
		i.token(w, r)
	default:
		http.NotFound(w, r)
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// KeySet returns the published keys as a JWK set.
func (i *Issuer) KeySet() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	return KeySet(i.keys...)
}

// KeySet returns the public halves of keys as a JWK set.
func KeySet(keys ...Key) []byte {
	list := []any{}
	for _, k := range keys {
		list = append(list, k.JWK())
	}
	b, err := json.Marshal(map[string]any{"keys": list})
	if err != nil {
		panic(err)
	}
	return b
}

// JWK returns the public half of the key.
func (k Key) JWK() map[string]any {
	m := map[string]any{"kid": k.ID, "use": "sig", "alg": k.Alg()}
	switch public := k.Signer.Public().(type) {
	case *rsa.PublicKey:
		m["kty"], m["n"], m["e"] = "RSA", Base64(public.N.Bytes()), Base64(big.NewInt(int64(public.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := public.Bytes()
		if err != nil {
			panic(err)
		}
		size := (len(point) - 1) / 2
		m["kty"], m["crv"], m["x"], m["y"] = "EC", public.Params().Name, Base64(point[1:1+size]), Base64(point[1+size:])
	}
	return m
}

// Base64 encodes as tokens do.
func Base64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// Claims returns claims that are good for an hour, and those given besides. A
// claim given as nil is left out.
func (i *Issuer) Claims(more map[string]any) map[string]any {
	now := time.Now().Unix()
	claims := map[string]any{"iss": i.URL, "sub": "somebody", "aud": "sts.amazonaws.com", "iat": now, "exp": now + 3600}
	maps.Copy(claims, more)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

// Token returns a token that is good for an hour, with further claims.
func (i *Issuer) Token(more map[string]any) string {
	i.mu.Lock()
	k := i.keys[0]
	i.mu.Unlock()
	return k.Token(nil, i.Claims(more))
}

// Token signs claims. The header is that of the key, and what is given besides; a
// member given as nil is left out.
func (k Key) Token(header, claims map[string]any) string {
	h := map[string]any{"typ": "JWT", "alg": k.Alg(), "kid": k.ID}
	maps.Copy(h, header)
	maps.DeleteFunc(h, func(_ string, v any) bool { return v == nil })
	head, err := json.Marshal(h)
	if err != nil {
		panic(err)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return k.Sign(head, body)
}

// Sign signs a header and a body, whatever they are.
func (k Key) Sign(header, body []byte) string {
	text := Base64(header) + "." + Base64(body)
	sum := sha256.Sum256([]byte(text))
	var signature []byte
	var err error
	switch signer := k.Signer.(type) {
	case *rsa.PrivateKey:
		signature, err = rsa.SignPKCS1v15(rand.Reader, signer, crypto.SHA256, sum[:])
	case *ecdsa.PrivateKey:
		var r, s *big.Int
		if r, s, err = ecdsa.Sign(rand.Reader, signer, sum[:]); err == nil {
			size := (signer.Params().BitSize + 7) / 8
			signature = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
		}
	}
	if err != nil {
		panic(err)
	}
	return text + "." + Base64(signature)
}

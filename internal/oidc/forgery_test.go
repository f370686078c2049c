package oidc_test

import (
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"strings"
	"testing"

	"berth/internal/fault"
	"berth/internal/oidc"
	"berth/internal/oidc/oidctest"
)

// document returns v as JSON.
func document(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// unsigned is a token whose signature is a given text.
func unsigned(t *testing.T, header map[string]any, claims map[string]any, signature string) string {
	t.Helper()
	return oidctest.Base64(document(t, header)) + "." + oidctest.Base64(document(t, claims)) + "." + signature
}

// mac is a token that is signed with a public key as a shared secret.
func mac(t *testing.T, secret []byte, header map[string]any, claims map[string]any) string {
	t.Helper()
	text := oidctest.Base64(document(t, header)) + "." + oidctest.Base64(document(t, claims))
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(text))
	return text + "." + oidctest.Base64(h.Sum(nil))
}

// flip changes a character of a text.
func flip(s string, at int) string {
	c := byte('A')
	if s[at] == c {
		c = 'B'
	}
	return s[:at] + string(c) + s[at+1:]
}

func TestForgeries(t *testing.T) {
	t.Parallel()
	trusted, trustedEC := oidctest.RSA(t, "rsa", 2048), oidctest.EC(t, "ec", elliptic.P256())
	i := oidctest.Start(t, trusted, trustedEC)
	v := verifier(t, i, oidc.Options{})
	foreign, foreignEC := oidctest.RSA(t, "rsa", 2048), oidctest.EC(t, "ec", elliptic.P256())
	claims := i.Claims(nil)
	good := i.Token(nil)
	parts := strings.Split(good, ".")

	public := trusted.Signer.Public().(*rsa.PublicKey)
	pkix, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string][]byte{
		"DER": pkix, "PKCS1": x509.MarshalPKCS1PublicKey(public), "PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pkix}),
		"modulus": public.N.Bytes(), "JWK": document(t, trusted.JWK()), "nothing": nil,
	}
	forged := map[string]string{
		"foreign key, trusted kid":          foreign.Token(nil, claims),
		"foreign EC key, trusted kid":       foreignEC.Token(nil, claims),
		"jwk":                               foreign.Token(map[string]any{"jwk": foreign.JWK()}, claims),
		"jwk without a kid":                 foreign.Token(map[string]any{"jwk": foreign.JWK(), "kid": nil}, claims),
		"jku":                               foreign.Token(map[string]any{"jku": i.URL + "/foreign"}, claims),
		"jku and a kid of its own":          foreign.Token(map[string]any{"jku": i.URL + "/foreign", "kid": "foreign"}, claims),
		"x5u":                               foreign.Token(map[string]any{"x5u": i.URL + "/foreign"}, claims),
		"x5c":                               foreign.Token(map[string]any{"x5c": []string{base64.StdEncoding.EncodeToString(pkix)}}, claims),
		"another kid":                       trusted.Token(map[string]any{"kid": "other"}, claims),
		"the kid of a key of another type":  trusted.Token(map[string]any{"kid": "ec"}, claims),
		"no kid":                            trusted.Token(map[string]any{"kid": nil}, claims),
		"a kid that is a path":              trusted.Token(map[string]any{"kid": "../../dev/null"}, claims),
		"a kid that is a number":            trusted.Token(map[string]any{"kid": 1}, claims),
		"crit":                              trusted.Token(map[string]any{"crit": []string{"exp"}, "exp": 1}, claims),
		"crit of nothing":                   trusted.Token(map[string]any{"crit": []string{}}, claims),
		"b64":                               trusted.Token(map[string]any{"b64": false}, claims),
		"zip":                               trusted.Token(map[string]any{"zip": "DEF"}, claims),
		"enc":                               trusted.Token(map[string]any{"enc": "A128GCM"}, claims),
		"the type of another token":         trusted.Token(map[string]any{"typ": "at+jwt"}, claims),
		"a type that is none":               trusted.Token(map[string]any{"typ": 1}, claims),
		"ES256 by an RSA key":               trusted.Token(map[string]any{"alg": "ES256"}, claims),
		"ES256 by an RSA key, the EC kid":   trusted.Token(map[string]any{"alg": "ES256", "kid": "ec"}, claims),
		"RS256 by an EC key":                trustedEC.Token(map[string]any{"alg": "RS256"}, claims),
		"RS256 by an EC key, the RSA kid":   trustedEC.Token(map[string]any{"alg": "RS256", "kid": "rsa"}, claims),
		"no alg":                            trusted.Token(map[string]any{"alg": nil}, claims),
		"a list of algs":                    trusted.Token(map[string]any{"alg": []string{"RS256"}}, claims),
		"no signature":                      parts[0] + "." + parts[1] + ".",
		"two parts":                         parts[0] + "." + parts[1],
		"four parts":                        good + "." + parts[2],
		"the signature of another token":    parts[0] + "." + parts[1] + "." + strings.Split(i.Token(map[string]any{"sub": "other"}), ".")[2],
		"the claims of another token":       parts[0] + "." + strings.Split(i.Token(map[string]any{"sub": "other"}), ".")[1] + "." + parts[2],
		"a shorter signature":               good[:len(good)-4],
		"half":                              good[:len(good)/2],
		"a longer signature":                good + "AAAA",
		"padding":                           good + "==",
		"a newline":                         good + "\n",
		"a newline within":                  good[:10] + "\n" + good[10:],
		"a space before":                    " " + good,
		"Bearer":                            "Bearer " + good,
		"the other base64":                  parts[0] + "." + parts[1] + ".+/" + parts[2][2:],
		"nothing":                           "",
		"dots":                              "..",
		"two signatures":                    string(document(t, map[string]any{"payload": parts[1], "signatures": []any{map[string]any{"protected": parts[0], "signature": parts[2]}, map[string]any{"protected": parts[0], "signature": "AAAA"}}})),
		"the flattened JSON":                string(document(t, map[string]any{"payload": parts[1], "protected": parts[0], "signature": parts[2]})),
		"an alg twice":                      trusted.Sign([]byte(`{"alg":"RS256","alg":"none","kid":"rsa"}`), document(t, claims)),
		"a kid twice":                       trusted.Sign([]byte(`{"alg":"RS256","kid":"other","kid":"rsa"}`), document(t, claims)),
		"alg and Alg":                       trusted.Sign([]byte(`{"Alg":"RS256","kid":"rsa"}`), document(t, claims)),
		"a subject twice":                   trusted.Sign([]byte(`{"alg":"RS256","kid":"rsa"}`), []byte(strings.Replace(string(document(t, claims)), "{", `{"sub":"other",`, 1))),
		"a subject twice, once in escapes":  trusted.Sign([]byte(`{"alg":"RS256","kid":"rsa"}`), []byte(strings.Replace(string(document(t, claims)), "{", `{"s\u0075b":"other",`, 1))),
		"sub and Sub":                       i.Token(map[string]any{"Sub": "other"}),
		"sub and SUB":                       i.Token(map[string]any{"SUB": []string{"other", "another"}}),
		"aud and Aud":                       i.Token(map[string]any{"Aud": "other"}),
		"azp and AZP":                       i.Token(map[string]any{"azp": "client", "AZP": "other"}),
		"Oaud and OAUD":                     i.Token(map[string]any{"Oaud": "one", "OAUD": "other"}),
		"a k and a kelvin":                  i.Token(map[string]any{"k": "one", "\u212a": "other"}),
		"something after the claims":        trusted.Sign([]byte(`{"alg":"RS256","kid":"rsa"}`), append(document(t, claims), `{"sub":"other"}`...)),
		"claims that are no UTF-8":          trusted.Sign([]byte(`{"alg":"RS256","kid":"rsa"}`), []byte(strings.Replace(string(document(t, claims)), "somebody", "some\xffbody", 1))),
		"claims that are a list":            trusted.Sign([]byte(`{"alg":"RS256","kid":"rsa"}`), []byte(`[]`)),
		"claims that are no JSON":           trusted.Sign([]byte(`{"alg":"RS256","kid":"rsa"}`), []byte(`sub=somebody`)),
		"a header that is a list":           trusted.Sign([]byte(`[]`), document(t, claims)),
		"claims deeper than anybody's":      trusted.Sign([]byte(`{"alg":"RS256","kid":"rsa"}`), []byte(`{"a":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+`}`)),
		"a token that is too large":         i.Token(map[string]any{"more": strings.Repeat("a", oidc.MaxToken)}),
		"the case of a base64 character":    flip(good, len(parts[0])+5),
		"a bit of the signature":            flip(good, len(good)-10),
		"bits that base64 does not look at": good[:len(good)-1] + map[bool]string{true: "B", false: "x"}[good[len(good)-1] == 'A'],
	}
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "", "rs256", "Rs256", "RS256 ", "HS256", "hs256", "HS384", "HS512", "RS384", "RS512", "PS256", "ES384", "ES512", "EdDSA", "ML-DSA-65"} {
		header := map[string]any{"alg": alg, "kid": "rsa", "typ": "JWT"}
		forged["alg "+alg] = trusted.Token(map[string]any{"alg": alg}, claims)
		forged["alg "+alg+" by the EC key"] = trustedEC.Token(map[string]any{"alg": alg}, claims)
		forged["alg "+alg+" without a signature"] = unsigned(t, header, claims, "")
		forged["alg "+alg+" with a signature of nothing"] = unsigned(t, header, claims, "AA")
		for name, secret := range secrets {
			forged["alg "+alg+" with the public key as "+name] = mac(t, secret, header, claims)
		}
	}
	for name, secret := range secrets {
		forged["RS256 with the public key as "+name] = mac(t, secret, map[string]any{"alg": "RS256", "kid": "rsa"}, claims)
	}
	i.Replace("/foreign", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(oidctest.KeySet(foreign)) })
	for name, token := range forged {
		if token == good {
			continue
		}
		if _, err := v.Verify(t.Context(), i.URL, token); fault.CodeOf(err) != "InvalidIdentityToken" {
			t.Errorf("%s: Verify = %v, want InvalidIdentityToken", name, err)
		}
	}
	if n := i.Requests("/foreign"); n != 0 {
		t.Errorf("keys were fetched %d times from where the token says", n)
	}
	for _, token := range []string{good, trustedEC.Token(nil, claims), trusted.Token(map[string]any{"x5t": "abc", "jku": "https://example.com", "typ": nil}, claims)} {
		if _, err := v.Verify(t.Context(), i.URL, token); err != nil {
			t.Errorf("Verify of a good token: %v", err)
		}
	}
	t.Logf("%d forgeries were refused", len(forged))
}

// A key that is published is not good for that reason alone.
func TestKeysThatAreNotUsed(t *testing.T) {
	t.Parallel()
	with := func(k oidctest.Key, members map[string]any) map[string]any {
		jwk := k.JWK()
		maps.Copy(jwk, members)
		maps.DeleteFunc(jwk, func(_ string, v any) bool { return v == nil })
		return jwk
	}
	strong, p256 := oidctest.RSA(t, "k", 2048), oidctest.EC(t, "k", elliptic.P256())
	weak, p384 := oidctest.RSA(t, "k", 1024), oidctest.EC(t, "k", elliptic.P384())
	for name, tt := range map[string]struct {
		key  oidctest.Key
		jwk  any
		good bool
	}{
		"good":                      {strong, with(strong, nil), true},
		"no use and no alg":         {strong, with(strong, map[string]any{"use": nil, "alg": nil}), true},
		"verify":                    {p256, with(p256, map[string]any{"key_ops": []string{"verify"}}), true},
		"a certificate of no use":   {strong, with(strong, map[string]any{"x5c": []string{"nonsense"}}), true},
		"1024 bits":                 {weak, with(weak, nil), false},
		"P-384":                     {p384, with(p384, nil), false},
		"P-384 called P-256":        {p384, with(p384, map[string]any{"crv": "P-256"}), false},
		"a point off the curve":     {p256, with(p256, map[string]any{"y": p256.JWK()["x"]}), false},
		"for encryption":            {strong, with(strong, map[string]any{"use": "enc"}), false},
		"for another algorithm":     {strong, with(strong, map[string]any{"alg": "RS512"}), false},
		"for PSS":                   {strong, with(strong, map[string]any{"alg": "PS256"}), false},
		"for nothing of ours":       {strong, with(strong, map[string]any{"key_ops": []string{"encrypt"}}), false},
		"no kid":                    {strong, with(strong, map[string]any{"kid": nil}), false},
		"a published private key":   {strong, with(strong, map[string]any{"d": "AQAB"}), false},
		"exponent 1":                {strong, with(strong, map[string]any{"e": "AQ"}), false},
		"an even exponent":          {strong, with(strong, map[string]any{"e": "BA"}), false},
		"no modulus":                {strong, with(strong, map[string]any{"n": nil}), false},
		"a shared secret":           {strong, map[string]any{"kid": "k", "kty": "oct", "k": "c2VjcmV0"}, false},
		"of a kind not yet heard":   {strong, map[string]any{"kid": "k", "kty": "XYZ"}, false},
		"no object":                 {strong, "key", false},
		"a kind that is a number":   {strong, with(strong, map[string]any{"kty": 1}), false},
		"the key of something else": {strong, with(p256, nil), false},
	} {
		i := oidctest.Start(t, strong)
		i.Replace(oidctest.Keys, func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{tt.jwk}})
		})
		_, err := verifier(t, i, oidc.Options{}).Verify(t.Context(), i.URL, tt.key.Token(nil, i.Claims(nil)))
		if tt.good && err != nil || !tt.good && fault.CodeOf(err) != "InvalidIdentityToken" {
			t.Errorf("%s: Verify = %v, want good %t", name, err, tt.good)
		}
	}
}

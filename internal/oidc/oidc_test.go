package oidc_test

import (
	"crypto/elliptic"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/internal/egress"
	"berth/internal/fault"
	"berth/internal/oidc"
	"berth/internal/oidc/oidctest"

	"github.com/google/go-cmp/cmp"
)

// clock is a time that a test sets.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration // guarded by mu
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// verifier returns one that trusts the issuer's certificate.
func verifier(t testing.TB, i *oidctest.Issuer, o oidc.Options) *oidc.Verifier {
	t.Helper()
	g, err := egress.New(egress.Options{Allow: []string{strings.TrimPrefix(i.URL, "https://")}, CA: i.CA})
	if err != nil {
		t.Fatal(err)
	}
	o.Client = g.Client(egress.ClientOptions{Redirects: 3, Timeout: 10 * time.Second})
	t.Cleanup(o.Client.CloseIdleConnections)
	v, err := oidc.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVerify(t *testing.T) {
	t.Parallel()
	for _, k := range []oidctest.Key{oidctest.RSA(t, "r", 2048), oidctest.EC(t, "e", elliptic.P256())} {
		i := oidctest.Start(t, k)
		v := verifier(t, i, oidc.Options{})
		got, err := v.Verify(t.Context(), i.URL, i.Token(map[string]any{
			"sub": "repo:octo/app:ref:refs/heads/main", "aud": []string{"a", "b"}, "azp": "a", "amr": []string{"pwd", "otp"}, "run": 7, "protected": true,
			"nested": map[string]any{"a": "b"}, "control": "a\x00b",
			"https://aws.amazon.com/tags":                     map[string]any{"principal_tags": map[string]any{"team": []string{"blue"}}, "transitive_tag_keys": []string{"team"}},
			"https://aws.amazon.com/tags/principal_tags/cost": "1",
		}))
		if err != nil {
			t.Fatalf("Verify with %s: %v", k.Alg(), err)
		}
		if got.ExpiresAt.Sub(got.IssuedAt) != time.Hour {
			t.Errorf("the token lasts from %v to %v, want an hour", got.IssuedAt, got.ExpiresAt)
		}
		got.IssuedAt, got.ExpiresAt = time.Time{}, time.Time{}
		delete(got.Claims, "iat")
		delete(got.Claims, "exp")
		want := &oidc.Token{
			Issuer: i.URL, Subject: "repo:octo/app:ref:refs/heads/main", Audience: []string{"a", "b"}, AuthorizedParty: "a",
			Claims: map[string][]string{
				"iss": {i.URL}, "sub": {"repo:octo/app:ref:refs/heads/main"}, "aud": {"a", "b"}, "azp": {"a"}, "amr": {"pwd", "otp"}, "run": {"7"}, "protected": {"true"},
				"https://aws.amazon.com/tags/principal_tags/cost": {"1"},
			},
			Tags: map[string]string{"team": "blue", "cost": "1"}, TransitiveTags: []string{"team"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Verify (-want +got):\n%s", diff)
		}
	}
}

func TestIssuerOfAToken(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	if got, err := oidc.Issuer(i.Token(nil)); got != i.URL || err != nil {
		t.Errorf("Issuer = %q, %v, want %s", got, err, i.URL)
	}
	if _, err := oidc.Issuer("x.y.z"); fault.CodeOf(err) != "InvalidIdentityToken" {
		t.Errorf("Issuer of nothing = %v, want InvalidIdentityToken", err)
	}
}

func TestClaimsThatAreRefused(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	v := verifier(t, i, oidc.Options{})
	now := time.Now().Unix()
	tags := "https://aws.amazon.com/tags"
	for name, tt := range map[string]struct {
		claims map[string]any
		code   string
	}{
		"good":                        {map[string]any{"nbf": now}, ""},
		"a clock a little ahead":      {map[string]any{"nbf": now + 30, "iat": now + 30}, ""},
		"expired":                     {map[string]any{"exp": now - 1}, "ExpiredTokenException"},
		"expired this second":         {map[string]any{"exp": now}, "ExpiredTokenException"},
		"no expiry":                   {map[string]any{"exp": nil}, "InvalidIdentityToken"},
		"no time of issue":            {map[string]any{"iat": nil}, "InvalidIdentityToken"},
		"not yet":                     {map[string]any{"nbf": now + 300}, "InvalidIdentityToken"},
		"of tomorrow":                 {map[string]any{"iat": now + 86400}, "InvalidIdentityToken"},
		"a fraction of a second":      {map[string]any{"exp": float64(now) + 10.5}, "InvalidIdentityToken"},
		"a time in words":             {map[string]any{"exp": "2030-01-01T00:00:00Z"}, "InvalidIdentityToken"},
		"a time as text":              {map[string]any{"exp": "2000000000"}, "InvalidIdentityToken"},
		"a time before all":           {map[string]any{"nbf": -1}, "InvalidIdentityToken"},
		"a time beyond all":           {map[string]any{"exp": 1e18}, "InvalidIdentityToken"},
		"no subject":                  {map[string]any{"sub": nil}, "InvalidIdentityToken"},
		"an empty subject":            {map[string]any{"sub": ""}, "InvalidIdentityToken"},
		"a subject that is a list":    {map[string]any{"sub": []string{"a"}}, "InvalidIdentityToken"},
		"a subject with a NUL":        {map[string]any{"sub": "a\x00"}, "InvalidIdentityToken"},
		"no audience":                 {map[string]any{"aud": nil}, "InvalidIdentityToken"},
		"an empty audience":           {map[string]any{"aud": ""}, "InvalidIdentityToken"},
		"a list of no audience":       {map[string]any{"aud": []string{}}, "InvalidIdentityToken"},
		"an audience that is none":    {map[string]any{"aud": []any{"a", 1}}, "InvalidIdentityToken"},
		"no issuer":                   {map[string]any{"iss": nil}, "InvalidIdentityToken"},
		"another issuer":              {map[string]any{"iss": "https://example.com"}, "InvalidIdentityToken"},
		"the issuer with a slash":     {map[string]any{"iss": i.URL + "/"}, "InvalidIdentityToken"},
		"the issuer in capitals":      {map[string]any{"iss": strings.ToUpper(i.URL)}, "InvalidIdentityToken"},
		"a list of issuers":           {map[string]any{"iss": []string{i.URL}}, "InvalidIdentityToken"},
		"a party that is none":        {map[string]any{"azp": 1}, "InvalidIdentityToken"},
		"tags that are none":          {map[string]any{tags: "team=blue"}, "InvalidIdentityToken"},
		"a tag of no characters":      {map[string]any{tags + "/principal_tags/": "c"}, "InvalidIdentityToken"},
		"a tag of bad characters":     {map[string]any{tags + "/principal_tags/a": "<c>"}, "InvalidIdentityToken"},
		"a source identity of no use": {map[string]any{"https://aws.amazon.com/source_identity": "a b"}, "InvalidIdentityToken"},
		"a list of source identities": {map[string]any{"https://aws.amazon.com/source_identity": []string{"ada"}}, "InvalidIdentityToken"},
		"a tag of two values":         {map[string]any{tags: map[string]any{"principal_tags": map[string]any{"a": []string{"b", "c"}}}}, "InvalidIdentityToken"},
		"a tag twice":                 {map[string]any{tags: map[string]any{"principal_tags": map[string]any{"a": "b"}}, tags + "/principal_tags/a": "c"}, "InvalidIdentityToken"},
		"transitive tags of no use":   {map[string]any{tags: map[string]any{"transitive_tag_keys": map[string]any{}}}, "InvalidIdentityToken"},
	} {
		_, err := v.Verify(t.Context(), i.URL, i.Token(tt.claims))
		if got := fault.CodeOf(err); got != tt.code {
			t.Errorf("%s: Verify = %v, want %q", name, err, tt.code)
		}
	}
	if _, err := v.Verify(t.Context(), "https://example.com", i.Token(nil)); fault.CodeOf(err) != "InvalidIdentityToken" {
		t.Errorf("Verify for another issuer = %v, want InvalidIdentityToken", err)
	}
}

// What has not been verified is not told apart by what it says of its time.
func TestForgedTokensAreForgedBeforeTheyAreExpired(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	k := oidctest.EC(t, "first", elliptic.P256())
	_, err := verifier(t, i, oidc.Options{}).Verify(t.Context(), i.URL, k.Token(nil, i.Claims(map[string]any{"exp": 1})))
	if fault.CodeOf(err) != "InvalidIdentityToken" {
		t.Errorf("Verify = %v, want InvalidIdentityToken", err)
	}
}

func TestTokensExpireByTheClock(t *testing.T) {
	t.Parallel()
	i, c := oidctest.Start(t), &clock{}
	v := verifier(t, i, oidc.Options{Now: c.now})
	token := i.Token(nil)
	if _, err := v.Verify(t.Context(), i.URL, token); err != nil {
		t.Fatal(err)
	}
	c.advance(time.Hour)
	if _, err := v.Verify(t.Context(), i.URL, token); fault.CodeOf(err) != "ExpiredTokenException" {
		t.Errorf("Verify an hour later = %v, want ExpiredTokenException", err)
	}
}

func TestPinnedKeys(t *testing.T) {
	t.Parallel()
	i, c := oidctest.Start(t), &clock{}
	const github = "https://token.actions.githubusercontent.com"
	first, second := oidctest.RSA(t, "1", 2048), oidctest.EC(t, "2", elliptic.P256())
	file := filepath.Join(t.TempDir(), "keys.json")
	write := func(keys ...oidctest.Key) {
		t.Helper()
		if err := os.WriteFile(file, oidctest.KeySet(keys...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(first)
	v := verifier(t, i, oidc.Options{Pinned: map[string]string{github: file, i.URL: file}, Now: c.now})
	claims := i.Claims(map[string]any{"iss": github})
	if _, err := v.Verify(t.Context(), github, first.Token(nil, claims)); err != nil {
		t.Errorf("Verify with a pinned key: %v", err)
	}
	if _, err := v.Verify(t.Context(), github, second.Token(nil, claims)); fault.CodeOf(err) != "InvalidIdentityToken" {
		t.Errorf("Verify with another = %v, want InvalidIdentityToken", err)
	}
	if _, err := v.Verify(t.Context(), i.URL, i.Token(nil)); fault.CodeOf(err) != "InvalidIdentityToken" || i.Requests(oidctest.Discovery) != 0 {
		t.Errorf("Verify with a published key of an issuer whose keys are pinned = %v, want InvalidIdentityToken, and that it is not asked", err)
	}
	write(second)
	c.advance(2 * time.Second)
	if _, err := v.Verify(t.Context(), github, second.Token(nil, claims)); err != nil {
		t.Errorf("Verify after the file has changed: %v", err)
	}
	if _, err := v.Verify(t.Context(), github, first.Token(nil, claims)); fault.CodeOf(err) != "InvalidIdentityToken" {
		t.Errorf("Verify with the key that was in it before = %v, want InvalidIdentityToken", err)
	}

	// A file without keys revokes them; one that is gone or broken does, too, in a while.
	write()
	c.advance(time.Minute)
	if _, err := v.Verify(t.Context(), github, second.Token(nil, claims)); fault.CodeOf(err) != "InvalidIdentityToken" {
		t.Errorf("Verify without any pinned key = %v, want InvalidIdentityToken", err)
	}
	for name, spoil := range map[string]func() error{
		"gone": func() error { return os.Remove(file) }, "broken": func() error { return os.WriteFile(file, []byte("{"), 0o600) },
	} {
		write(second)
		c.advance(time.Minute)
		if _, err := v.Verify(t.Context(), github, second.Token(nil, claims)); err != nil {
			t.Errorf("Verify with a new key: %v", err)
		}
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		c.advance(4 * time.Minute)
		if _, err := v.Verify(t.Context(), github, second.Token(nil, claims)); err != nil {
			t.Errorf("Verify shortly after the file is %s: %v", name, err)
		}
		c.advance(time.Minute)
		if _, err := v.Verify(t.Context(), github, second.Token(nil, claims)); fault.CodeOf(err) != "IDPCommunicationError" {
			t.Errorf("Verify minutes after the file is %s = %v, want IDPCommunicationError", name, err)
		}
	}
	write(second)
	for name, pinned := range map[string]map[string]string{
		"no file": {github: file + "x"}, "http": {"http://example.com": file}, "a query": {"https://example.com?a": file}, "no host": {"https://": file},
	} {
		if _, err := oidc.New(oidc.Options{Pinned: pinned}); err == nil {
			t.Errorf("New with %s: no error", name)
		}
	}
	for _, text := range []string{"", "{}", `{"keys": []}`, `{"keys": {}}`, `{"keys": [], "keys": []}`} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := oidc.New(oidc.Options{Pinned: map[string]string{github: file}}); err == nil {
			t.Errorf("New with the keys %q: no error", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	k := oidctest.EC(f, "k", elliptic.P256())
	file := filepath.Join(f.TempDir(), "keys.json")
	if err := os.WriteFile(file, oidctest.KeySet(k), 0o600); err != nil {
		f.Fatal(err)
	}
	const issuer = "https://example.com"
	v, err := oidc.New(oidc.Options{Pinned: map[string]string{issuer: file}})
	if err != nil {
		f.Fatal(err)
	}
	claims := map[string]any{"iss": issuer, "sub": "s", "aud": "a", "iat": 1, "exp": 1 << 33}
	good := k.Token(nil, claims)
	f.Add([]byte(`{"alg":"ES256","kid":"k"}`), []byte(`{"iss":"https://example.com","sub":"s","aud":["a"],"iat":1,"exp":9999999999}`), good)
	f.Add([]byte(`{"alg":"none"}`), []byte(`{}`), strings.Replace(good, ".", "..", 1))
	f.Fuzz(func(t *testing.T, header, body []byte, text string) {
		if tok, err := v.Verify(t.Context(), issuer, text); err == nil && text != good && tok.Subject != "s" {
			t.Errorf("Verify(%q) = %v, which nobody has signed", text, tok)
		}
		// What is signed may say anything at all.
		tok, err := v.Verify(t.Context(), issuer, k.Sign(header, body))
		if code := fault.CodeOf(err); err != nil && !slices.Contains([]string{"InvalidIdentityToken", "ExpiredTokenException"}, code) {
			t.Errorf("Verify = %v", err)
		}
		if err == nil && (tok.Issuer != issuer || tok.Subject == "" || len(tok.Audience) == 0 || !tok.ExpiresAt.After(time.Now().Add(-time.Minute))) {
			t.Errorf("Verify = %+v", tok)
		}
	})
}

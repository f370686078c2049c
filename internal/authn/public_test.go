package authn

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
)

func withToken(token string) *http.Request {
	r := httptest.NewRequest("GET", "/v2/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func TestATokenForNobodyStandsForNobody(t *testing.T) {
	t.Parallel()
	now := start
	a, _ := authenticator(&now)
	token, life, err := a.PublicToken(httptest.NewRequest("GET", "/token/", nil))
	if err != nil || life != time.Hour {
		t.Fatalf("PublicToken = %v, %v, want one for an hour", life, err)
	}
	c, left, err := a.Public(withToken(token))
	if err != nil || left != time.Hour || c.Type != access.Anonymous || c.Account != "" || c.ARN != "" || c.ID != "" || c.RequestID != "request" || !c.SourceIP.IsValid() {
		t.Errorf("Public = %+v, %v, %v, want nobody with an address", c, left, err)
	}
	expiry, mac, _ := strings.Cut(token, ".")
	for _, forged := range []string{"9" + token, "0" + token, "+" + token, token[1:], expiry, expiry + ".", "." + mac, expiry + "." + mac + "A", "99999999999." + mac, token + "." + mac} {
		if _, _, err := a.Public(withToken(forged)); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("Public with %s = %v, want Unauthenticated", forged, err)
		}
	}
	if _, _, err := a.Registry(login("AWS", token)); fault.KindOf(err) != fault.Unauthenticated {
		t.Errorf("Registry with it as password = %v, want Unauthenticated", err)
	}
	now = now.Add(time.Hour)
	if _, _, err := a.Public(withToken(token)); fault.KindOf(err) != fault.Unauthenticated {
		t.Errorf("Public an hour later = %v, want Unauthenticated", err)
	}
}

func TestAPublicPasswordIsExchangedForAToken(t *testing.T) {
	t.Parallel()
	now := start
	a, known := authenticator(&now)
	password, expires, _ := a.MintPublic(alice, now)
	now = now.Add(time.Hour)
	token, life, err := a.PublicToken(login("AWS", password))
	if err != nil || life != 11*time.Hour || token != base64.StdEncoding.EncodeToString([]byte("AWS:"+password)) {
		t.Fatalf("PublicToken = %s, %v, %v, want user and password for 11 hours", token, life, err)
	}
	if c, left, err := a.Public(withToken(token)); err != nil || c.ARN != alice.ARN || left != 11*time.Hour {
		t.Errorf("Public = %+v, %v, %v, want alice for 11 hours", c, left, err)
	}
	private, _, _ := a.Mint(alice, now)
	for what, r := range map[string]*http.Request{
		"a private password": login("AWS", private), "another user": login("alice", password), "no password": login("AWS", ""),
		"a token": withToken(token),
	} {
		if _, _, err := a.PublicToken(r); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("PublicToken for %s = %v, want Unauthenticated", what, err)
		}
	}
	two := withToken(token)
	two.Header.Add("Authorization", "Bearer "+token)
	for what, r := range map[string]*http.Request{
		"a private password": withToken(base64.StdEncoding.EncodeToString([]byte("AWS:" + private))), "a bare password": withToken(password),
		"two tokens": two, "Basic": login("AWS", password), "nothing": httptest.NewRequest("GET", "/v2/", nil),
	} {
		if _, _, err := a.Public(r); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("Public with %s = %v, want Unauthenticated", what, err)
		}
	}
	if _, _, err := a.Registry(login("AWS", password)); fault.KindOf(err) != fault.Unauthenticated {
		t.Errorf("Registry with a public password = %v, want Unauthenticated", err)
	}
	delete(known, "AKIAALICE")
	if _, _, err := a.Public(withToken(token)); fault.KindOf(err) != fault.Unauthenticated {
		t.Errorf("Public without the access key = %v, want Unauthenticated", err)
	}
	known["AKIAALICE"] = alice
	now = expires
	if _, _, err := a.Public(withToken(token)); fault.KindOf(err) != fault.Denied {
		t.Errorf("Public with an expired password = %v, want ECR's refusal", err)
	}
}

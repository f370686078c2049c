package authn

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/seal"
)

// keys are principals by access key id.
type keys map[string]access.Caller

// Principal implements Principals.
func (k keys) Principal(_ context.Context, id string) (access.Caller, string, error) {
	c, ok := k[id]
	if !ok {
		return c, "", fault.New(fault.Unauthenticated, "UnrecognizedClientException", "The security token included in the request is invalid.")
	}
	return c, "secret of " + id, nil
}

var start = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

var alice = access.Caller{Account: "123456789012", ARN: "arn:aws:iam::123456789012:user/alice", ID: "AIDAALICE", AccessKeyID: "AKIAALICE", Type: "IAMUser"}

// authenticator knows alice and a clock.
func authenticator(now *time.Time) (*Authenticator, keys) {
	known := keys{"AKIAALICE": alice}
	return New(Options{
		Principals: known, Passwords: seal.NewMaster().Key("registry password"), Anonymous: seal.NewMaster().Key("anonymous token"),
		Source:    func(*http.Request) (netip.Addr, bool) { return netip.MustParseAddr("192.0.2.1"), true },
		RequestID: func(*http.Request) string { return "request" },
		Now:       func() time.Time { return *now },
	}), known
}

func login(user, password string) *http.Request {
	r := httptest.NewRequest("GET", "/v2/", nil)
	r.SetBasicAuth(user, password)
	return r
}

func TestAPasswordStandsForTheCaller(t *testing.T) {
	t.Parallel()
	now := start
	a, _ := authenticator(&now)
	password, expires, _ := a.Mint(alice, now.Add(300*time.Millisecond))
	if want := start.Add(12 * time.Hour); !expires.Equal(want) {
		t.Errorf("expires = %v, want %v", expires, want)
	}
	r := login("AWS", password)
	r.Header.Set("User-Agent", strings.Repeat("x", 300))
	got, left, err := a.Registry(r)
	want := alice
	want.SourceIP, want.Secure, want.UserAgent, want.RequestID = netip.MustParseAddr("192.0.2.1"), true, strings.Repeat("x", 256), "request"
	if got != want || left != 12*time.Hour || err != nil {
		t.Errorf("Registry = %+v, %v, %v\nwant %+v for 12 hours", got, left, err, want)
	}
	now = expires.Add(-time.Second)
	if _, left, err := a.Registry(login("AWS", password)); left != time.Second || err != nil {
		t.Errorf("Registry in the last second = %v, %v, want a second left", left, err)
	}
	now = expires
	_, _, err = a.Registry(login("AWS", password))
	f, _ := fault.As(err)
	if f == nil || f.Kind != fault.Denied || f.Message != "Your authorization token has expired. Reauthenticate and try again." {
		t.Errorf("Registry after it expired = %v, want ECR's refusal", err)
	}
}

func TestAPasswordFallsWithItsAccessKey(t *testing.T) {
	t.Parallel()
	now := start
	a, known := authenticator(&now)
	password, _, _ := a.Mint(alice, now)
	bob := alice
	bob.ID = "AIDABOB"
	known["AKIAALICE"] = bob
	if _, _, err := a.Registry(login("AWS", password)); fault.KindOf(err) != fault.Unauthenticated {
		t.Errorf("Registry with a key that is another's now = %v, want Unauthenticated", err)
	}
	delete(known, "AKIAALICE")
	if _, _, err := a.Registry(login("AWS", password)); fault.KindOf(err) != fault.Unauthenticated {
		t.Errorf("Registry with a key that is gone = %v, want Unauthenticated", err)
	}
}

func TestWhatIsNoPasswordOfOursIsRefused(t *testing.T) {
	t.Parallel()
	now := start
	a, _ := authenticator(&now)
	other, _ := authenticator(&now)
	password, _, _ := a.Mint(alice, now)
	foreign, _, _ := other.Mint(alice, now)
	twice := login("AWS", password)
	twice.Header.Add("Authorization", twice.Header.Get("Authorization"))
	bearer := httptest.NewRequest("GET", "/v2/", nil)
	bearer.Header.Set("Authorization", "Bearer "+password)
	for name, r := range map[string]*http.Request{
		"nothing": httptest.NewRequest("GET", "/v2/", nil), "another user": login("aws", password), "no user": login("", password),
		"no password": login("AWS", ""), "another installation's": login("AWS", foreign), "a bearer token": bearer, "two headers": twice,
		"an access key": login("AKIAALICE", "secret of AKIAALICE"), "half of it": login("AWS", password[:len(password)/2]),
		"more than it": login("AWS", password+"AAAA"), "padding": login("AWS", password+"="), "a long text": login("AWS", strings.Repeat("A", 5000)),
		"no base64": login("AWS", "!"), "a NUL": login("AWS", "\x00"), "the token itself": login("AWS", base64.StdEncoding.EncodeToString([]byte("AWS:"+password))),
	} {
		if c, _, err := a.Registry(r); fault.KindOf(err) != fault.Unauthenticated || c != (access.Caller{}) {
			t.Errorf("Registry with %s = %+v, %v, want Unauthenticated", name, c, err)
		}
	}
	for i := range password {
		for _, c := range []byte("A0_") {
			altered := []byte(password)
			altered[i] = c
			if string(altered) == password {
				continue
			}
			if _, _, err := a.Registry(login("AWS", string(altered))); fault.KindOf(err) != fault.Unauthenticated {
				t.Fatalf("Registry with %q at %d = %v, want Unauthenticated", c, i, err)
			}
		}
	}
}

func TestPasswordsAreDifferentEachTime(t *testing.T) {
	t.Parallel()
	now := start
	a, _ := authenticator(&now)
	one, _, _ := a.Mint(alice, now)
	two, _, _ := a.Mint(alice, now)
	if one == two || strings.Contains(one, "AKIAALICE") {
		t.Errorf("Mint = %s and %s, want two different passwords that say nothing", one, two)
	}
}

func TestASignedRequest(t *testing.T) {
	t.Parallel()
	now := start
	a, _ := authenticator(&now)
	signed := func(key, region, session string) *http.Request {
		r := httptest.NewRequest("POST", "/", nil)
		day := time.Now().UTC()
		r.Header.Set("X-Amz-Date", day.Format("20060102T150405Z"))
		headers := "host;x-amz-date"
		if session != "" {
			r.Header.Set("X-Amz-Security-Token", session)
			headers += ";x-amz-security-token"
		}
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+key+"/"+day.Format("20060102")+"/"+region+"/ecr/aws4_request, SignedHeaders="+
			headers+", Signature="+strings.Repeat("0", 64))
		return r
	}
	s, err := a.Begin(signed("AKIAALICE", "eu-west-1", ""))
	if err != nil {
		t.Fatal(err)
	}
	if s.Region() != "eu-west-1" || s.Service() != "ecr" {
		t.Errorf("scope = %s, %s, want eu-west-1 and ecr", s.Region(), s.Service())
	}
	if c, err := s.Verify(strings.Repeat("0", 64)); fault.CodeOf(err) != "InvalidSignatureException" || c != (access.Caller{}) {
		t.Errorf("Verify of a wrong signature = %+v, %v, want InvalidSignatureException", c, err)
	}
	for name, tt := range map[string]struct {
		r    *http.Request
		want string
	}{
		"an unknown key": {signed("AKIABOB", "eu-west-1", ""), "UnrecognizedClientException"},
		"a session":      {signed("AKIAALICE", "eu-west-1", "token"), "UnrecognizedClientException"},
		"no signature":   {httptest.NewRequest("POST", "/", nil), "MissingAuthenticationTokenException"},
		"a password":     {login("AWS", "x"), "IncompleteSignatureException"},
	} {
		if _, err := a.Begin(tt.r); fault.CodeOf(err) != tt.want || fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("Begin with %s = %v, want %s", name, err, tt.want)
		}
	}
}

func TestAPasswordEndsWithItsSessionAndIsRevoked(t *testing.T) {
	t.Parallel()
	now := start
	a, known := authenticator(&now)
	session := alice
	session.AccessKeyID = "ASIAALICE"
	session.Session = &access.Session{Owner: "AROAX", Expires: start.Add(time.Hour)}
	known["ASIAALICE"] = session
	password, expires, id := a.MintFor(session, now, 2*time.Hour)
	if !expires.Equal(start.Add(time.Hour)) || !strings.HasPrefix(id, "AROAX-") {
		t.Errorf("MintFor = %v, %s, want one that ends with the session", expires, id)
	}
	if _, expires, _ := a.MintFor(alice, now, 24*time.Hour); !expires.Equal(start.Add(12 * time.Hour)) {
		t.Errorf("MintFor a day = %v, want twelve hours", expires)
	}
	old := seal.EncodeText(a.o.Passwords.Seal([]byte("ASIAALICE\nAIDAALICE\n"+strconv.FormatInt(start.Add(12*time.Hour).Unix(), 10)), user))
	for what, tt := range map[string]struct {
		revoked     *access.Revoked
		new, before bool
	}{
		"nothing":     {nil, true, true},
		"another":     {&access.Revoked{Tokens: map[string]bool{"AROAX-other": true}}, true, true},
		"this one":    {&access.Revoked{Tokens: map[string]bool{id: true}}, false, true},
		"all so far":  {&access.Revoked{Before: start}, false, false},
		"all earlier": {&access.Revoked{Before: start.Add(-time.Microsecond)}, true, true},
	} {
		session.Revoked = tt.revoked
		known["ASIAALICE"] = session
		_, _, err := a.Registry(login("AWS", password))
		_, _, errOld := a.Registry(login("AWS", old))
		if (err == nil) != tt.new || (errOld == nil) != tt.before {
			t.Errorf("with %s revoked: %v and, of an older form, %v, want %v and %v", what, err, errOld, tt.new, tt.before)
		}
	}
	session.Revoked = &access.Revoked{Before: start.Add(time.Minute)}
	known["ASIAALICE"] = session
	if _, _, err := a.Registry(login("AWS", password)); err == nil {
		t.Error("a password from before a revocation works")
	}
	password, _, _ = a.Mint(session, now)
	if _, _, err := a.Registry(login("AWS", password)); err != nil {
		t.Errorf("a password from after a revocation that looks ahead: %v", err)
	}
	for _, text := range []string{"", "a\nb", "a\nb\nx", "a\nb\n1\n2", "a\nb\n1\nx\nid", "a\nb\n1\n2\nid\n", "a\nb\n1\n2\nid\nmore"} {
		if _, ok := parsePassword([]byte(text)); ok {
			t.Errorf("parsePassword(%q) = ok", text)
		}
	}
}

package authn

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"berth/internal/access"
	"berth/internal/seal"
)

// publicContext tells the passwords of the public registries from those of the
// private ones.
const publicContext = "AWS public"

// anonymousPurpose is the field of an anonymous token's MAC that tells it from
// others made with the same key.
const anonymousPurpose = "anonymous"

// anonymousLife is how long a token of somebody unknown works. Clients fetch
// another one by themselves.
const anonymousLife = time.Hour

// MintPublic is Mint for the public registries.
func (a *Authenticator) MintPublic(c access.Caller, now time.Time) (string, time.Time, string) {
	text, p := a.mint(c, now, passwordLife, publicContext)
	return text, p.expires, p.id
}

// Public returns who is asking a request to the public registries, which carries
// a token in Bearer authentication, and how long the token will still work. A
// token is one of two things:
//
//	base64("AWS:" + password)   stands for whom the password of the public registries stands for
//	expiry + "." + MAC          stands for nobody: an anonymous caller
//
// the expiry being in seconds since 1970, as text, and the MAC in base64 without
// padding for URLs. It is a MAC, and of a key of its own, since strangers have as
// many made as they like. Errors are those of Registry.
func (a *Authenticator) Public(r *http.Request) (access.Caller, time.Duration, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || len(token) > 2*maxPassword || len(r.Header.Values("Authorization")) != 1 {
		return access.Caller{}, 0, errNotAuthorized()
	}
	if b, err := base64.StdEncoding.Strict().DecodeString(token); err == nil {
		if text, ok := strings.CutPrefix(string(b), user+":"); ok {
			return a.redeem(r, text, publicContext)
		}
	}
	expiry, text, _ := strings.Cut(token, ".")
	mac, err := seal.DecodeText(text)
	if err != nil || !a.o.Anonymous.Verify(mac, anonymousPurpose, expiry) {
		return access.Caller{}, 0, errNotAuthorized()
	}
	seconds, err := strconv.ParseInt(expiry, 10, 64)
	left := time.Unix(seconds, 0).Sub(a.o.Now())
	if err != nil || left <= 0 {
		return access.Caller{}, 0, errNotAuthorized() // the challenge makes clients fetch another one
	}
	return a.describe(access.Caller{}, r), left, nil
}

// Nobody returns the anonymous caller of a request.
func (a *Authenticator) Nobody(r *http.Request) access.Caller { return a.describe(access.Caller{}, r) }

// PublicToken returns a token for the public registries and how long it works:
// for whom a password in Basic authentication stands for, or, without any
// credentials, for nobody. Errors are those of Registry.
func (a *Authenticator) PublicToken(r *http.Request) (string, time.Duration, error) {
	if len(r.Header.Values("Authorization")) == 0 {
		expiry := strconv.FormatInt(a.o.Now().Add(anonymousLife).Unix(), 10)
		return expiry + "." + seal.EncodeText(a.o.Anonymous.MAC(anonymousPurpose, expiry)), anonymousLife, nil
	}
	_, left, err := a.basic(r, publicContext)
	if err != nil {
		return "", 0, err
	}
	_, text, _ := r.BasicAuth() // it has been read before
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + text)), left, nil
}

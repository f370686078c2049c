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

// The contexts that tell the sealed values of the public registries from those
// of the private ones, and from each other.
const (
	publicContext    = "AWS public"
	anonymousContext = "public anonymous"
)

// anonymousLife is how long a token of somebody unknown works. Clients fetch
// another one by themselves.
const anonymousLife = time.Hour

// MintPublic is Mint for the public registries.
func (a *Authenticator) MintPublic(c access.Caller, now time.Time) (string, time.Time) {
	return a.mint(c, now, publicContext)
}

// Public returns who is asking a request to the public registries, which carries
// a token in Bearer authentication, and how long the token will still work. A
// token is one of two things:
//
//	base64("AWS:" + password)   stands for whom the password of the public registries stands for
//	a sealed value              stands for nobody: an anonymous caller
//
// the sealed value being the expiry in seconds since 1970, as text, in base64
// without padding for URLs. Errors are those of Registry.
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
	sealed, err := seal.DecodeText(token)
	if err != nil {
		return access.Caller{}, 0, errNotAuthorized()
	}
	plain, err := a.o.Passwords.Open(sealed, anonymousContext)
	if err != nil {
		return access.Caller{}, 0, errNotAuthorized()
	}
	seconds, err := strconv.ParseInt(string(plain), 10, 64)
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
		expires := a.o.Now().Add(anonymousLife).Unix()
		sealed := a.o.Passwords.Seal(strconv.AppendInt(nil, expires, 10), anonymousContext)
		return seal.EncodeText(sealed), anonymousLife, nil
	}
	_, left, err := a.basic(r, publicContext)
	if err != nil {
		return "", 0, err
	}
	_, text, _ := r.BasicAuth() // it has been read before
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + text)), left, nil
}

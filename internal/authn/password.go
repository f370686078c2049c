package authn

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
)

// passwordLife is how long a registry password works: ECR's twelve hours.
const passwordLife = 12 * time.Hour

// user is the user name that goes with every registry password.
const user = "AWS"

// password is what a registry password holds, sealed as seal.Key.Seal draws it
// and written in base64 without padding for URLs.
type password struct {
	AccessKeyID string `json:"k"` // the key that asked for it
	PrincipalID string `json:"p"` // the principal it belonged to then
	Expires     int64  `json:"e"` // seconds since 1970
}

// Mint implements the registry's Tokens: it returns a password that stands for
// the caller. It works until it expires, or until the access key that it was
// made with is no longer the caller's.
func (a *Authenticator) Mint(c access.Caller, now time.Time) (string, time.Time) {
	expires := now.Add(passwordLife).Truncate(time.Second)
	plain, err := json.Marshal(password{c.AccessKeyID, c.ID, expires.Unix()})
	if err != nil {
		panic(err) // only for types that JSON cannot hold
	}
	return base64.RawURLEncoding.EncodeToString(a.o.Passwords.Seal(plain, user)), expires
}

// maxPassword bounds what is taken for a password, in bytes.
const maxPassword = 4096

// Registry returns who is asking a request to the registry, which carries a
// password in Basic authentication, and how long the password will still work.
//
// Without credentials, or with credentials that are no password of ours, the
// error is of the kind Unauthenticated; with an expired one it is ECR's refusal,
// of the kind Denied.
func (a *Authenticator) Registry(r *http.Request) (access.Caller, time.Duration, error) {
	name, text, ok := r.BasicAuth()
	if !ok || name != user || len(text) > maxPassword || len(r.Header.Values("Authorization")) != 1 {
		return access.Caller{}, 0, errNotAuthorized()
	}
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return access.Caller{}, 0, errNotAuthorized()
	}
	plain, err := a.o.Passwords.Open(sealed, user)
	if err != nil {
		return access.Caller{}, 0, errNotAuthorized()
	}
	var p password
	if err := json.Unmarshal(plain, &p); err != nil {
		return access.Caller{}, 0, errNotAuthorized()
	}
	left := time.Unix(p.Expires, 0).Sub(a.o.Now())
	if left <= 0 {
		return access.Caller{}, 0, fault.New(fault.Denied, "ExpiredTokenException",
			"Your authorization token has expired. Reauthenticate and try again.")
	}
	c, _, ok := a.o.Principals.Principal(r.Context(), p.AccessKeyID)
	if !ok || c.ID != p.PrincipalID {
		return access.Caller{}, 0, errNotAuthorized()
	}
	return a.describe(c, r), left, nil
}

func errNotAuthorized() error {
	return fault.New(fault.Unauthenticated, "UnauthorizedException", "Not Authorized")
}

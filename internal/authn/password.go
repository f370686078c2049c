package authn

import (
	"crypto/rand"
	"net/http"
	"strconv"
	"strings"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/seal"
)

// passwordLife is how long a registry password works: ECR's twelve hours.
const passwordLife = 12 * time.Hour

// user is the user name that goes with every registry password.
const user = "AWS"

// password is what a registry password holds: lines of text, sealed as
// seal.Key.Seal draws it and written in base64 without padding for URLs.
//
//	the access key that asked for it
//	the id of the principal that the key belonged to then
//	when it expires, in seconds since 1970
//	when it was made, in microseconds since 1970
//	its own id
//
// Berth has made some without the last two, which were made for twelve hours.
type password struct {
	accessKeyID, principalID string
	expires, made            time.Time
	id                       string
}

func (p password) text() []byte {
	return []byte(strings.Join([]string{
		p.accessKeyID, p.principalID, strconv.FormatInt(p.expires.Unix(), 10), strconv.FormatInt(p.made.UnixMicro(), 10), p.id,
	}, "\n"))
}

func parsePassword(text []byte) (password, bool) {
	lines := strings.Split(string(text), "\n")
	if len(lines) != 3 && len(lines) != 5 {
		return password{}, false
	}
	seconds, err := strconv.ParseInt(lines[2], 10, 64)
	if err != nil {
		return password{}, false
	}
	p := password{accessKeyID: lines[0], principalID: lines[1], expires: time.Unix(seconds, 0)}
	p.made = p.expires.Add(-passwordLife)
	if len(lines) == 5 {
		var made int64
		made, err = strconv.ParseInt(lines[3], 10, 64)
		p.made, p.id = time.UnixMicro(made), lines[4]
	}
	return p, err == nil
}

// Mint implements the registry's Tokens: it returns a password that stands for
// the caller. It works until it expires, which it does with the caller's session at
// the latest, until it is revoked, or until the access key that it was made with is
// no longer the caller's. It returns also the id by which it can be revoked, which
// begins with that of the principal.
func (a *Authenticator) Mint(c access.Caller, now time.Time) (string, time.Time, string) {
	return a.MintFor(c, now, passwordLife)
}

// MintFor is Mint for a password that works for a time that is not longer than
// usual.
func (a *Authenticator) MintFor(c access.Caller, now time.Time, life time.Duration) (string, time.Time, string) {
	text, p := a.mint(c, now, min(life, passwordLife), user)
	return text, p.expires, p.id
}

// mint returns a password that is good where one of the context is asked for.
func (a *Authenticator) mint(c access.Caller, now time.Time, life time.Duration, context string) (string, password) {
	expires := now.Add(life)
	if c.Session != nil && c.Session.Expires.Before(expires) {
		expires = c.Session.Expires
	}
	made := now
	if c.Revoked.Has(now, "") { // those made before were revoked, by a clock that is ahead or for such a one
		made = c.Revoked.Before.Add(time.Microsecond)
	}
	p := password{c.AccessKeyID, c.ID, expires.Truncate(time.Second), made, c.Principal() + "-" + rand.Text()}
	return seal.EncodeText(a.o.Passwords.Seal(p.text(), context)), p
}

// maxPassword bounds what is taken for a password, in bytes.
const maxPassword = 4096

// Registry returns who is asking a request to the registry, which carries a
// password in Basic authentication, and how long the password will still work.
//
// Without credentials, or with credentials that are no password of ours, the
// error is of the kind Unauthenticated; with an expired one it is ECR's refusal,
// of the kind Denied.
//
// If clients may log in with access keys, any other user name is taken for an access
// key id. Where one is tried too often the error is of the kind Throttled.
func (a *Authenticator) Registry(r *http.Request) (access.Caller, time.Duration, error) {
	if name, secret, ok := r.BasicAuth(); ok && name != user && a.o.AccessKeys != nil {
		return a.accessKey(r, name, secret)
	}
	return a.basic(r, user)
}

// basic is Registry for passwords of a context.
func (a *Authenticator) basic(r *http.Request, context string) (access.Caller, time.Duration, error) {
	name, text, ok := r.BasicAuth()
	if !ok || name != user || len(text) > maxPassword || len(r.Header.Values("Authorization")) != 1 {
		return access.Caller{}, 0, errNotAuthorized()
	}
	return a.redeem(r, text, context)
}

// redeem returns whom a password of a context stands for, and how long it will
// still work.
func (a *Authenticator) redeem(r *http.Request, text, context string) (access.Caller, time.Duration, error) {
	sealed, err := seal.DecodeText(text)
	if err != nil {
		return access.Caller{}, 0, errNotAuthorized()
	}
	plain, err := a.o.Passwords.Open(sealed, context)
	if err != nil {
		return access.Caller{}, 0, errNotAuthorized()
	}
	p, ok := parsePassword(plain)
	if !ok {
		return access.Caller{}, 0, errNotAuthorized()
	}
	left := p.expires.Sub(a.o.Now())
	if left <= 0 {
		return access.Caller{}, 0, fault.New(fault.Denied, "ExpiredTokenException",
			"Your authorization token has expired. Reauthenticate and try again.")
	}
	c, _, err := a.o.Principals.Principal(r.Context(), p.accessKeyID)
	if err != nil && fault.KindOf(err) != fault.Unauthenticated {
		return access.Caller{}, 0, err
	}
	if err != nil || c.ID != p.principalID || c.Revoked.Has(p.made, p.id) {
		return access.Caller{}, 0, errNotAuthorized()
	}
	return a.describe(c, r), left, nil
}

func errNotAuthorized() error {
	return fault.New(fault.Unauthenticated, "UnauthorizedException", "Not Authorized")
}

package authn

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
)

// maxKey bounds what is taken for an access key id or its secret, in bytes.
const maxKey = 128

// sessionKey is what the access key ids of sessions begin with. Their secrets are
// worth nothing without the session's token, which has no place here.
const sessionKey = "ASIA"

// accessKey returns whom an access key id and its secret, as user and password,
// stand for. A key that nobody has and a secret that is wrong are answered in the
// same way, and counted in the same way: see [tries].
func (a *Authenticator) accessKey(r *http.Request, id, secret string) (access.Caller, time.Duration, error) {
	if id == "" || len(id) > maxKey || len(secret) > maxKey || len(r.Header.Values("Authorization")) != 1 {
		return access.Caller{}, 0, errNotAuthorized()
	}
	from, _ := a.o.Source(r)
	try := attempt{id, network(from)}
	if wait := a.tries.wait(try, a.o.Now()); wait > 0 {
		err := fault.New(fault.Throttled, "ThrottlingException", "Rate exceeded")
		err.RetryAfter = wait
		return access.Caller{}, 0, err
	}
	c, want, err := a.o.Principals.Principal(r.Context(), id)
	if err != nil && fault.KindOf(err) != fault.Unauthenticated {
		return access.Caller{}, 0, err
	}
	longLived := (c.Type == access.User || c.Type == access.Root) && c.Session == nil && !strings.HasPrefix(id, sessionKey)
	if err != nil {
		want = ""
	}
	got, right := sha256.Sum256([]byte(secret)), sha256.Sum256([]byte(want))
	if subtle.ConstantTimeCompare(got[:], right[:]) != 1 || want == "" || !longLived {
		a.tries.failed(try, a.o.Now())
		return access.Caller{}, 0, errNotAuthorized()
	}
	a.tries.succeeded(try, a.o.Now())
	c = a.describe(c, r)
	if err := a.o.AccessKeys(r.Context(), c); err != nil {
		return access.Caller{}, 0, err
	}
	return c, passwordLife, nil
}

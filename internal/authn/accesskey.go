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
	from, secure := a.o.Source(r)
	if !secure && !from.Unmap().IsLoopback() {
		return access.Caller{}, 0, fault.New(fault.Denied, "AccessDeniedException", "Access keys log in over TLS only, since whoever reads one can use it for good")
	}
	try := attempt{id, network(from)}
	if wait := a.tries.wait(try, a.o.Now()); wait > 0 { // and the key is not looked up
		return access.Caller{}, 0, errWait(wait)
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
	good := subtle.ConstantTimeCompare(got[:], right[:]) == 1 && want != "" && longLived
	v := a.tries.count(try, good, a.o.Now())
	if len(v.shut) > 0 {
		if err != nil {
			id = "unknown" // it may be anything, such as a secret in the wrong place
		}
		a.o.Log.Warn("failures to log in with an access key make clients wait", "shut", v.shut, "key", id, "from", from)
	}
	switch {
	case v.wait > 0:
		return access.Caller{}, 0, errWait(v.wait)
	case !good:
		return access.Caller{}, 0, errNotAuthorized()
	}
	c = a.describe(c, r)
	if err := a.o.AccessKeys(r.Context(), c, v.first); err != nil {
		return access.Caller{}, 0, err
	}
	return c, passwordLife, nil
}

func errWait(wait time.Duration) error {
	err := fault.New(fault.Throttled, "ThrottlingException", "Rate exceeded")
	err.RetryAfter = wait
	return err
}

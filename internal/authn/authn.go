// Package authn finds out who is asking: it turns a signed AWS request or a
// registry password into an [access.Caller].
package authn

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"berth/internal/access"
	"berth/internal/seal"
)

// Principals looks up principals. It is implemented by package identity.
type Principals interface {
	// Principal returns the principal that an access key belongs to, as it is
	// now, with the key's secret. If there is none the error is of the kind
	// Unauthenticated; any other means that it could not be found out.
	Principal(ctx context.Context, accessKeyID string) (access.Caller, string, error)
}

// Options are what an Authenticator is made of. All are required but AccessKeys, the log and the clocks.
type Options struct {
	Principals Principals
	Passwords  *seal.Key // seals registry passwords
	Anonymous  *seal.Key // authenticates tokens that stand for nobody
	// Source returns the address that a request came from and whether it came
	// over TLS, after trusted proxies.
	Source func(*http.Request) (netip.Addr, bool)
	// Endpoint returns the VPC endpoint that a request came through, nil for none.
	// It may be nil where there are none.
	Endpoint func(*http.Request) *access.Endpoint
	// RequestID returns the id of a request.
	RequestID func(*http.Request) string
	// AccessKeys, if not nil, lets clients log in with an access key id as user and
	// its secret as password. It is asked whether an authenticated caller may, and told
	// whether the key is used for the first time in a day at the caller's address.
	AccessKeys func(ctx context.Context, c access.Caller, first bool) error
	// Log is told when failures make clients wait. Nil means none.
	Log *slog.Logger
	// Now says when passwords expire; time.Now if nil.
	Now func() time.Time
	// SignatureNow is the time that signatures are held against, which is the
	// time that clients' clocks show; time.Now if nil.
	SignatureNow func() time.Time
}

// Authenticator finds out who is asking. It is safe for concurrent use.
type Authenticator struct {
	o     Options
	tries tries
}

// New returns an Authenticator.
func New(o Options) *Authenticator {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.SignatureNow == nil {
		o.SignatureNow = time.Now
	}
	return &Authenticator{o: o}
}

// maxUserAgent bounds what is kept of a User-Agent header, in bytes.
const maxUserAgent = 256

// describe adds what the request itself says about the caller.
func (a *Authenticator) describe(c access.Caller, r *http.Request) access.Caller {
	c.SourceIP, c.Secure = a.o.Source(r)
	if a.o.Endpoint != nil {
		c.Endpoint = a.o.Endpoint(r)
	}
	c.UserAgent = r.UserAgent()
	if len(c.UserAgent) > maxUserAgent {
		c.UserAgent = c.UserAgent[:maxUserAgent]
	}
	c.RequestID = a.o.RequestID(r)
	return c
}
